"""Data sets in their own formats: small ones made here are read right, wrong ones are refused by what they miss."""

import json
import shutil

import cv2
import numpy as np
import pytest

from ast_net_ros.rating_files import DataError
from ast_net_ros.training.data.datasets import open_recordings


def _by_name(which):
    opened = open_recordings(which)
    return {recording.name: recording for recording in opened.recordings}, opened.left_out


def _write_avec2012(folder, media):
    for part, stem, number in (("train", "train", "001"), ("devel", "devel", "002"), ("test", "tests", "003")):
        labels = folder / "emotion labels" / part / f"FC_{part}_labels"
        labels.mkdir(parents=True)
        for dimension, sign in (("arousal", -1), ("valence", 1)):
            values = "\n".join(f"{sign * i / 200:.4f}" for i in range(150))
            (labels / f"labels_continuous_{stem}{number}_{dimension}.dat").write_text(values + "\n")
        for dimension in ("expectancy", "power"):
            (labels / f"labels_continuous_{stem}{number}_{dimension}.dat").write_text("0\n")
        (folder / "video" / part).mkdir(parents=True)
        shutil.copy(media / "single_face.mp4", folder / "video" / part / f"{stem}_video{number}.avi")
    return folder


def test_avec2012_labels_match_their_videos(tmp_path, media):
    recordings, left_out = _by_name(f"avec2012:{_write_avec2012(tmp_path, media)}")
    assert {name: r.split for name, r in recordings.items()} == {
        "train001": "train",
        "devel002": "valid",
        "test003": "test",
    }
    assert left_out == ()
    one = recordings["devel002"]
    assert one.label_stamps[:3] == pytest.approx([0, 0.02, 0.04])
    assert one.labels[100] == pytest.approx([0.5, -0.5])
    stamps = [stamp for stamp, _, frame in one.frames() if frame is not None]
    assert len(stamps) == 72 and stamps[0] == 0


def test_incomplete_avec2012_sessions_are_left_out(tmp_path, media):
    folder = _write_avec2012(tmp_path, media)
    (folder / "video" / "train" / "train_video001.avi").unlink()
    labels = folder / "emotion labels"
    (labels / "test" / "FC_test_labels" / "labels_continuous_tests003_arousal.dat").unlink()
    recordings, left_out = _by_name(f"avec2012:{folder}")
    assert set(recordings) == {"devel002"}
    assert any("train001: expected one video" in reason and "found none" in reason for reason in left_out)
    assert any("test003: no arousal labels" in reason for reason in left_out)
    shutil.copy(folder / "video" / "devel" / "devel_video002.avi", folder / "video" / "devel" / "devel_002_copy2.avi")
    shutil.copy(folder / "video" / "devel" / "devel_video002.avi", folder / "video" / "devel" / "devel_other002.avi")
    with pytest.raises(DataError, match=r"no usable recording.*"):
        open_recordings(f"avec2012:{folder}")


def test_damaged_avec2012_labels_are_reported(tmp_path, media):
    folder = _write_avec2012(tmp_path, media)
    path = folder / "emotion labels" / "train" / "FC_train_labels" / "labels_continuous_train001_valence.dat"
    path.write_text("0.1\nNaN\n0.3\n")
    recordings, _ = _by_name(f"avec2012:{folder}")
    assert recordings["train001"].labels.shape == (3, 2)
    assert np.isnan(recordings["train001"].labels[1, 0])
    assert "3 valence and 150 arousal labels" in recordings["train001"].remarks[0]
    path.write_text("0.1\nabc\n")
    _, left_out = _by_name(f"avec2012:{folder}")
    assert "line 2: 'abc' is not a number" in left_out[0]
    path.write_text("")
    _, left_out = _by_name(f"avec2012:{folder}")
    assert "contains no value" in left_out[0]


def test_a_folder_that_is_not_avec2012_is_refused(tmp_path, media):
    with pytest.raises(DataError, match="no 'emotion labels/"):
        open_recordings(f"avec2012:{tmp_path}")
    _write_avec2012(tmp_path, media)
    shutil.rmtree(tmp_path / "video")
    with pytest.raises(DataError, match="label files but no video"):
        open_recordings(f"avec2012:{tmp_path}")


def _write_frames(folder, names):
    folder.mkdir(parents=True)
    image = np.full((12, 16, 3), 128, np.uint8)
    for name in names:
        cv2.imwrite(str(folder / name), image)


def _write_afew_va(folder, media):
    for number, actor in (("001", "Anna"), ("002", "Ben")):
        clip = folder / number[:2] / number
        _write_frames(clip, [f"{i:05d}.png" for i in range(8)])
        frames = {f"{i:05d}": {"valence": i - 5.0, "arousal": 10.0, "landmarks": [[1, 2]]} for i in range(8)}
        (clip / f"{number}.json").write_text(json.dumps({"video_id": number, "actor": actor, "frames": frames}))
    return folder


def test_afew_va_labels_are_scaled(tmp_path, media):
    recordings, left_out = _by_name(f"afew-va:{_write_afew_va(tmp_path, media)}")
    assert set(recordings) == {"001", "002"} and left_out == ()
    one = recordings["001"]
    assert one.person == "Anna"
    assert one.labels[0] == pytest.approx([-0.5, 1.0])
    assert one.label_stamps[1] == pytest.approx(0.04)
    assert [round(stamp, 3) for stamp, _, frame in one.frames() if frame is not None][:3] == [0, 0.04, 0.08]


def test_damaged_afew_va_clips_are_left_out(tmp_path, media):
    folder = _write_afew_va(tmp_path, media)
    (folder / "00" / "001" / "00003.png").unlink()
    (folder / "00" / "002" / "002.json").write_text('{"frames": {"00000": {"valence": 1}}}')
    recordings, left_out = _by_name(f"afew-va:{folder}")
    assert "1 frames without a label" in recordings["001"].remarks[0]
    assert len(list(recordings["001"].frames())) == 7
    assert "002.json: not a label file of AFEW-VA" in left_out[0]
    with pytest.raises(DataError, match=r"no clip such as 001/001\.json"):
        open_recordings(f"afew-va:{media}")


def test_afew_va_clips_without_frames_are_left_out(tmp_path, media):
    folder = _write_afew_va(tmp_path, media)
    for image in (folder / "00" / "001").glob("*.png"):
        image.unlink()
    _, left_out = _by_name(f"afew-va:{folder}")
    assert "8 labels and 0 frames" in left_out[0]


def _write_aff_wild2(folder, media):
    for part, name in (("Train_Set", "12-24-1920x1080"), ("Validation_Set", "video7_left")):
        labels = folder / "annotations" / "VA_Estimation_Challenge" / part
        labels.mkdir(parents=True)
        lines = [f"{i / 10},{-i / 10}" for i in range(9)]
        lines[4] = "-5,-5"
        (labels / f"{name}.txt").write_text("valence,arousal\n" + "\n".join(lines) + "\n")
        _write_frames(folder / "cropped_aligned" / name, [f"{i:05d}.jpg" for i in range(1, 10) if i != 3])
    return folder


def test_aff_wild2_frames_match_their_lines(tmp_path, media):
    folder = _write_aff_wild2(tmp_path, media)
    shutil.copy(media / "single_face.mp4", folder / "video7.mp4")
    recordings, left_out = _by_name(f"aff-wild2:{folder}")
    train, valid = recordings["12-24-1920x1080"], recordings["video7_left"]
    assert (train.split, valid.split, left_out) == ("train", "valid", ())
    assert np.isnan(train.labels[4]).all() and train.labels[3] == pytest.approx([0.3, -0.3])
    assert train.label_stamps[1] == pytest.approx(1 / 30) and "30 frames per second assumed" in train.remarks[0]
    assert valid.label_stamps[1] == pytest.approx(1 / 25, abs=0.02) and not valid.remarks
    stamps = [stamp for stamp, _, _ in train.frames()]
    assert stamps[:3] == pytest.approx([0, 1 / 30, 3 / 30]), "frame 00003 is missing, frame 00004 belongs to line 4"
    assert train.cropped


def test_a_folder_that_is_not_aff_wild2_is_refused(tmp_path, media):
    with pytest.raises(DataError, match="no VA_Estimation_Challenge"):
        open_recordings(f"aff-wild2:{tmp_path}")
    folder = _write_aff_wild2(tmp_path, media)
    (folder / "annotations/VA_Estimation_Challenge/Train_Set/12-24-1920x1080.txt").write_text("0.1,0.2\n")
    shutil.rmtree(folder / "cropped_aligned" / "video7_left")
    with pytest.raises(DataError, match=r"expected the header 'valence,arousal'.*no folder cropped"):
        open_recordings(f"aff-wild2:{folder}")
    shutil.rmtree(folder / "cropped_aligned")
    with pytest.raises(DataError, match=r"no folder 'cropped\*'"):
        open_recordings(f"aff-wild2:{folder}")


def _write_manifest(folder, media, rows, header="frames,labels,split,person,name,rate"):
    shutil.copy(media / "single_face.mp4", folder / "a.mp4")
    if not (folder / "images").exists():
        _write_frames(folder / "images", ["2.jpg", "1.jpg"])
    (folder / "a.csv").write_text("time,valence,arousal\n0,0.1,-0.1\n1,,0.2\n2,0.3,nan\n3,0.5,0.5\n")
    (folder / "list.csv").write_text("\n".join([header, *rows]) + "\n")
    return f"manifest:{folder / 'list.csv'}"


def test_a_manifest_lists_videos_and_folders(tmp_path, media):
    rows = ["a.mp4,a.csv,train,anna,,", "images, a.csv, devel, ben, second, 2"]
    recordings, left_out = _by_name(_write_manifest(tmp_path, media, rows))
    assert left_out == ()
    assert (recordings["a"].split, recordings["a"].person) == ("train", "anna")
    assert (recordings["second"].split, recordings["second"].person) == ("valid", "ben")
    assert [(stamp, name) for stamp, name, _ in recordings["second"].frames()] == [(0, "1.jpg"), (0.5, "2.jpg")]
    assert recordings["a"].labels[3] == pytest.approx([0.5, 0.5])
    assert np.isnan(recordings["a"].labels[1, 0]) and np.isnan(recordings["a"].labels[2, 1])


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("missing.mp4,a.csv,train,anna,,", "frames 'missing.mp4': no such file"),
        ("a.mp4,missing.csv,train,anna,,", "missing.csv': no such file"),
        ("a.mp4,a.csv,learn,anna,,", "split is 'learn'"),
        ("images,a.csv,train,anna,,", "its rate is ''"),
        ("a.mp4,list.csv,train,anna,,", "lacks the columns arousal, time, valence"),
        ("a.mp4,bad.csv,train,anna,,", "could not convert"),
        ("a.mp4,falling.csv,train,anna,,", "are not increasing"),
        ("a.mp4,scale.csv,train,anna,,", r"contains 7; expected valence and arousal in \[-1, 1\]"),
        ("a.mp4,empty.csv,train,anna,,", "contains no label"),
    ],
)
def test_a_bad_manifest_row_is_left_out(tmp_path, media, row, complaint):
    for name, text in (("bad", "x,1,1"), ("falling", "1,0,0\n0,0,0"), ("scale", "0,7,1"), ("empty", "")):
        (tmp_path / f"{name}.csv").write_text(f"time,valence,arousal\n{text}\n")
    which = _write_manifest(tmp_path, media, [row, "a.mp4,a.csv,valid,anna,good,"])
    recordings, left_out = _by_name(which)
    assert set(recordings) == {"good"}
    assert len(left_out) == 1 and "line 2" in left_out[0]
    with pytest.raises(DataError, match=complaint):
        open_recordings(_write_manifest(tmp_path, media, [row]))


def test_a_manifest_of_another_form_is_refused(tmp_path, media):
    with pytest.raises(DataError, match="lacks the columns labels"):
        open_recordings(_write_manifest(tmp_path, media, ["a.mp4,train,anna"], "frames,split,person"))
    with pytest.raises(DataError, match="two recordings are named 'a'"):
        open_recordings(_write_manifest(tmp_path, media, ["a.mp4,a.csv,train,anna,,"] * 2))
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="x.csv: "):
        open_recordings(f"manifest:{tmp_path / 'x.csv'}")


@pytest.mark.parametrize("which", ["semaine:/tmp", "/tmp", "manifest:/does/not/exist"])
def test_data_without_kind_and_path_is_refused(which):
    with pytest.raises(DataError, match="expected NAME:PATH|does not exist"):
        open_recordings(which)
