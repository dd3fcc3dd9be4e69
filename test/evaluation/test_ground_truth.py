"""Labels are found, read and interpolated at the frames' stamps by the stated rules."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ast_net_ros.evaluation.labels.ground_truth import (
    DelayTrajectory,
    LabelOptions,
    LabelsError,
    estimate_delay,
    fit_problems,
    ground_truth_of,
    interpolate,
    truth_at,
)
from ast_net_ros.rating_files import DataError, read_label_csv

FIRST_NS = 1_760_000_000_000_000_000


def stamps(*seconds):
    return np.array([FIRST_NS + round(s * 1e9) for s in seconds], np.int64)


def truth_of(tmp_path, text, name="session.csv", **options):
    """The labels beside a recording `session`, read by the rules."""
    (tmp_path / name).write_text(text)
    return ground_truth_of(tmp_path / "session", "session", LabelOptions(**options))


def at(truth, seconds, **options):
    return truth_at(stamps(*seconds), truth, truth.faces[0], LabelOptions(**options)).tolist()


def test_labels_are_interpolated_between_neighbours_only(tmp_path):
    truth = truth_of(tmp_path, "time,valence,arousal\n1,0,1\n1.5,0.5,0\n4,-1,0\n4.5,nan,0.5\n5,0.2,0.2\n")
    found = np.array(at(truth, [0, 0.99, 1, 1.1, 1.5, 2.0, 4.0, 4.25, 4.5, 4.75, 5.0, 5.01]))
    expected = np.full((12, 2), np.nan)
    expected[2] = 0, 1
    expected[3] = 0.1, 0.8
    expected[4] = 0.5, 0  # 2.0 s lies in a gap of 2.5 s; about 4.5 s a value is missing
    expected[6] = -1, 0
    expected[10] = 0.2, 0.2
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_wider_gap_is_bridged_on_request(tmp_path):
    truth = truth_of(tmp_path, "time,valence,arousal\n0,0,0\n4,1,-1\n")
    assert np.isnan(at(truth, [0, 1])[1]).all()
    assert at(truth, [0, 1], max_gap=4.0)[1] == pytest.approx([0.25, -0.25])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=30, unique=True).map(sorted),
    st.lists(st.integers(-50, 350), min_size=1, max_size=40),
    st.floats(0.05, 5),
)
def test_interpolation_equals_numpys_inside_gaps(ticks, moments, max_gap):
    times, asked = np.array(ticks) / 10, np.array(moments) / 10
    values = np.stack([np.sin(times), np.cos(times)], axis=1)
    found = interpolate(asked, times, values, max_gap)
    for moment, row in zip(asked, found):
        near = np.abs(times - moment).min() < 1e-9
        before, after = times[times <= moment], times[times >= moment]
        bridged = len(before) and len(after) and after[0] - before[-1] <= max_gap + 1e-4
        if near or bridged:
            wanted = [np.interp(moment, times, values[:, d]) for d in (0, 1)]
            np.testing.assert_allclose(row, wanted, atol=1e-9)
        else:
            assert np.isnan(row).all()


@pytest.mark.parametrize(("unit", "digits"), [(1, 3), (1e3, 0), (1e6, 0), (1e9, 0)])
def test_epoch_times_of_every_unit_meet_the_stamps(tmp_path, unit, digits):
    rows = "".join(f"{(1.76e9 + s) * unit:.{digits}f},{s / 10},0\n" for s in (0, 0.5, 1.0))
    truth = truth_of(tmp_path, "timestamp;valence;arousal\n" + rows.replace(",", ";"))
    assert truth.epoch
    np.testing.assert_allclose(at(truth, [0, 0.25, 1.0]), [[0.0, 0.0], [0.025, 0.0], [0.1, 0.0]], atol=1e-4)


def test_small_times_are_relative_unless_declared_epoch(tmp_path):
    text = "time,valence,arousal\n12,0.5,0.5\n12.5,0.5,0.5\n"
    simulated = np.array([12_000_000_000, 12_400_000_000], np.int64)  # a simulator's clock
    relative, absolute = (truth_of(tmp_path, text, time=rule) for rule in ("auto", "epoch"))
    assert np.isnan(truth_at(simulated, relative, relative.faces[0], LabelOptions())).all()
    assert np.isfinite(truth_at(simulated, absolute, absolute.faces[0], LabelOptions())).all()


def test_offset_and_delay_shift_labels_in_opposite_ways(tmp_path):
    truth = truth_of(tmp_path, "time,valence,arousal\n" + "".join(f"{t / 10},{t / 100},0\n" for t in range(101)))
    assert at(truth, [0, 5])[1][0] == pytest.approx(0.5)
    assert at(truth, [0, 5], annotation_delay=2.0)[1][0] == pytest.approx(0.7)  # the label of two seconds later
    assert at(truth, [0, 5], clock_offset=2.0)[1][0] == pytest.approx(0.3)
    assert np.isnan(at(truth, [0, 9], annotation_delay=2.0)[1]).all()


def test_the_delay_of_simulated_raters_is_found(tmp_path):
    moments = np.arange(0, 60, 0.04)
    trajectory = np.stack([np.sin(moments / 3), np.cos(moments / 5)], axis=1)
    labels = np.arange(0, 66, 0.1)
    rated = np.stack([np.sin((labels - 2.3) / 3), np.cos((labels - 2.3) / 5)], axis=1)
    found = estimate_delay([DelayTrajectory(moments, trajectory * 0.8, labels, rated)], 0.0, 6.0, 1.0)
    assert found["seconds"] == pytest.approx(2.3) and not found["at_search_limit"]
    assert found["mean_ccc"] > found["mean_ccc_at_lowest"] + 0.1
    too_short = estimate_delay([DelayTrajectory(moments, trajectory, labels, rated)], 0.0, 1.0, 1.0)
    assert too_short["seconds"] == 1.0 and too_short["at_search_limit"]
    with pytest.raises(LabelsError, match="no recording of the development set"):
        estimate_delay([], 0.0, 6.0, 1.0)


def test_avec_pairs_of_unequal_length_are_cut(tmp_path):
    (tmp_path / "session_valence.dat").write_text("0.0\n0.2\n0.4\n0.6\n")
    truth = truth_of(tmp_path, "0.5\n0.5\n0.5\n", "session_arousal.dat")
    assert truth.remarks == ["session_valence.dat: 4 valence and 3 arousal labels; the first 3 are used"]
    expected = [[0, 0.5], [0.1, 0.5], [0.4, 0.5], [np.nan, np.nan]]
    np.testing.assert_allclose(at(truth, [0, 0.01, 0.04, 0.06]), expected, atol=1e-9)
    named = ground_truth_of(tmp_path / "s", "s", LabelOptions(labels=str(tmp_path / "session_arousal.dat")))
    assert named is not None and named.faces[0].values[2].tolist() == [0.4, 0.5]


def test_afew_va_labels_are_scaled_at_25_frames_a_second(tmp_path):
    frames = {f"{n:05d}": {"valence": n, "arousal": -5.0, "landmarks": []} for n in range(3)}
    truth = truth_of(tmp_path, json.dumps({"frames": frames, "actor": "somebody"}), "session.json")
    np.testing.assert_allclose(at(truth, [0, 0.04, 0.06]), [[0, -0.5], [0.1, -0.5], [0.15, -0.5]], atol=1e-9)


def test_labels_in_a_bag_are_taken_but_a_nodes_own_are_not(tmp_path, media, bags):
    rows = [(s / 10, s / 100, 0.5) for s in range(5)]
    annotated = bags.video_bag(tmp_path / "annotated", media / "single_face.mp4", frames=2, labels=rows)
    truth = ground_truth_of(annotated, "annotated", LabelOptions())
    assert truth is not None and truth.epoch and truth.faces[0].face_id == "person"
    found = truth_at(np.array([bags.START_NS + 50_000_000]), truth, truth.faces[0], LabelOptions())
    assert found[0].tolist() == pytest.approx([0.005, 0.5], abs=1e-4)
    own = [(bags.LABELS.replace("annotator", "ast_net"), ns, message) for _, ns, message in bags.label_messages(rows)]
    recorded = bags.write_bag(tmp_path / "recorded", own)
    assert ground_truth_of(recorded, "recorded", LabelOptions()) is None
    asked = ground_truth_of(recorded, "recorded", LabelOptions(labels="topic:/ast_net/valence_arousal"))
    assert asked is not None and len(asked.faces[0].times) == 5


def test_templates_folders_and_none_say_where_labels_are(tmp_path):
    text = "t,valence,arousal,face_id\n0,0.1,0.2,a\n0,0.3,0.4,b\n1,0.1,0.2,a\n"
    (tmp_path / "truth_07.csv").write_text(text)
    (tmp_path / "devel_video_07.csv").write_text(text)

    def found(labels, alone=False):
        return ground_truth_of(tmp_path / "x" / "devel_video_07.avi", "devel_video_07", LabelOptions(labels), alone)

    for labels in ("truth_{number}.csv", "{name}.csv", ""):
        truth = found(str(tmp_path / labels))
        assert truth is not None and [face.face_id for face in truth.faces] == ["a", "b"]
    assert found("none") is None and found(None) is None
    with pytest.raises(LabelsError, match=r"one file for several recordings"):
        found(str(tmp_path / "truth_07.csv"))
    assert found(str(tmp_path / "truth_07.csv"), alone=True) is not None
    with pytest.raises(LabelsError, match=r"cannot be filled in"):
        found("{person}.csv")
    with pytest.raises(LabelsError, match=r"no such file"):
        found(str(tmp_path / "{name}.json"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seconds,valence,arousal\n0,0,0\n", "expected a header time,valence,arousal"),
        ("time,valence,arousal\n", "contains no label"),
        ("time,valence,arousal\n0,0.1\n", "line 2: 2 fields"),
        ("time,valence,arousal\n0,high,0\n", "has text where a number is expected"),
        ("time,valence,arousal\nnan,0,0\n", "the time is 'nan'"),
        ("time,valence,arousal\n0,5,0\n", "expected valence and arousal in \\[-1, 1\\]"),
    ],
)
def test_a_damaged_csv_is_refused_by_place_and_reason(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        truth_of(tmp_path, text)


def test_unsorted_and_repeated_rows_are_repaired_and_named(tmp_path):
    (tmp_path / "l.csv").write_text("time,arousal,valence\n1,0.2,0.1\n0,0.4,0.3\n1,0.9,0.9\n2,,0.5\n")
    (rows,) = read_label_csv(tmp_path / "l.csv")
    assert rows.times.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(rows.values, [[0.3, 0.4], [0.1, 0.2], [0.5, np.nan]])
    assert len(rows.remarks) == 2 and "not increasing" in rows.remarks[0] and "1 rows repeat a time" in rows.remarks[1]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("20,0,0\n21,0,0\n", "do not overlap"),
        ("0,nan,nan\n1,nan,nan\n", "all 2 labels are missing"),
        ("0.5,0,0\n9.5,0,0\n", "no frame lies between two labels at most 1 s apart"),
        ("0,0,0\n1,0,0\n2,0,0\n", "labels run from 0.00 s to 2.00 s, the recording from 0 to 10.00 s"),
        ("".join(f"{t},0,0\n" for t in (0, 1, 4, 5, 6, 7, 8, 9, 10)), "1 gaps between labels are longer than 1 s"),
    ],
)
def test_labels_that_do_not_fit_are_named(tmp_path, rows, words):
    truth = truth_of(tmp_path, "time,valence,arousal\n" + rows)
    frames = stamps(*np.arange(0.25, 10, 0.5), 10) - 0
    frames[0] = FIRST_NS
    found = truth_at(frames, truth, truth.faces[0], LabelOptions())
    assert any(words in problem for problem in fit_problems(frames, truth, truth.faces[0], LabelOptions(), found))


def test_labels_that_fit_give_no_problem(tmp_path):
    truth = truth_of(tmp_path, "time,valence,arousal\n" + "".join(f"{t / 2},0,0\n" for t in range(21)))
    frames = stamps(*np.arange(0, 10.01, 0.1))
    found = truth_at(frames, truth, truth.faces[0], LabelOptions())
    assert np.isfinite(found).all()
    assert fit_problems(frames, truth, truth.faces[0], LabelOptions(), found) == []
