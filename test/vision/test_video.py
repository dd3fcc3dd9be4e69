"""Videos come out frame by frame with true, increasing times; what is no video is refused by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ast_net_ros.vision import video as video_module
from ast_net_ros.vision.video import VideoError, open_video

RATE = 12.5


@pytest.fixture(scope="module")
def numbered_video(tmp_path_factory):
    """20 frames of 64x48 at 12.5 frames per second; frame i is grey 10 * i + 20."""
    path = tmp_path_factory.mktemp("video") / "numbered.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (64, 48))
    assert writer.isOpened()
    for index in range(20):
        writer.write(np.full((48, 64, 3), 10 * index + 20, np.uint8))
    writer.release()
    return path


def test_every_frame_comes_once_in_order_with_its_time(numbered_video):
    with open_video(numbered_video) as video:
        assert video.fps == pytest.approx(RATE)
        assert video.frame_count == 20
        assert video.size == (64, 48)
        frames = list(video)
    assert [round((frame.mean() - 20) / 10) for _, frame in frames] == list(range(20))
    assert [seconds for seconds, _ in frames] == pytest.approx([index / RATE for index in range(20)])
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for _, frame in frames)
    assert list(video) == []


def test_a_varying_frame_rate_keeps_the_containers_times(media):
    with open_video(media / "noface_face.mov") as video:
        seconds = np.array([seconds for seconds, _ in video])
    steps = np.diff(seconds)
    assert seconds[0] == 0 and steps.min() > 0
    assert seconds[-1] == pytest.approx(6.35, abs=0.05)


def test_length_and_rate_are_those_of_the_video(media):
    with open_video(str(media / "WolfgangLanger_Pexels.mp4")) as video:
        assert (video.frame_count, video.size) == (472, (640, 360))
        assert video.fps == pytest.approx(24000 / 1001)
        seconds = [seconds for seconds, _ in video]
    assert seconds == pytest.approx(np.arange(472) / video.fps, abs=1e-3)


class ScriptedCapture:
    """Stands for an OpenCV capture whose container states the given milliseconds."""

    def __init__(self, milliseconds, rate):
        self.milliseconds, self.rate, self.at = milliseconds, rate, -1

    def read(self):
        self.at += 1
        return self.at < len(self.milliseconds), np.zeros((4, 6, 3), np.uint8)

    def get(self, propId):  # noqa: N803
        return {
            cv2.CAP_PROP_FPS: self.rate,
            cv2.CAP_PROP_FRAME_COUNT: -1.0,
            cv2.CAP_PROP_POS_MSEC: self.milliseconds[min(max(self.at, 0), len(self.milliseconds) - 1)],
        }[propId]

    def release(self):
        pass


@pytest.mark.parametrize(
    ("stated", "rate", "expected"),
    [
        ([0, 0, 0, 0], 10.0, [0, 0.1, 0.2, 0.3]),  # a container without times
        ([500, 600, 800, 900], 10.0, [0, 0.1, 0.3, 0.4]),  # starts late, one frame left out
        ([0, 100, 50, 300], 10.0, [0, 0.1, 0.2, 0.3]),  # one time runs backward
        ([0, float("nan"), 200], 10.0, [0, 0.1, 0.2]),
        ([0, 0, 0], 0.0, [0, 1 / 30, 2 / 30]),  # no believable rate either
        ([0, 0, 0], float("nan"), [0, 1 / 30, 2 / 30]),
    ],
)
def test_times_increase_strictly_whatever_the_container_states(stated, rate, expected):
    video = video_module.Video("scripted", ScriptedCapture(stated, rate), live=False)
    assert video.frame_count is None
    assert [seconds for seconds, _ in video] == pytest.approx(expected)


def test_a_webcams_frames_carry_the_time_they_were_taken(monkeypatch):
    clock = iter([50.0, 50.03, 50.2])
    monkeypatch.setattr(video_module.time, "monotonic", lambda: next(clock))
    video = video_module.Video("webcam 0", ScriptedCapture([0, 0, 0], 30.0), live=True)
    assert [seconds for seconds, _ in video] == pytest.approx([0, 0.03, 0.2])


def refusal(path):
    with pytest.raises(VideoError) as raised:
        open_video(path)
    return str(raised.value)


def test_other_files_are_refused_by_name_and_reason(tmp_path, capfd):
    def file(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    noise = np.random.default_rng(0).bytes(5000)
    image = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    assert "nowhere.mp4: no such file" in refusal(tmp_path / "nowhere.mp4")
    assert "is a folder" in refusal(tmp_path)
    assert "empty" in refusal(file("empty.mp4", b""))
    assert "noise.mp4: not a video" in refusal(file("noise.mp4", noise))
    assert "text file" in refusal(file("notes.txt", b"Nothing to see here.\n" * 50))
    assert "text file" in refusal(file("list.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n"))
    assert "still image" in refusal(file("picture_01.png", image))


def test_a_video_cut_off_is_read_as_far_as_it_goes_or_refused(numbered_video, tmp_path, capfd):
    whole = numbered_video.read_bytes()
    lengths = []
    for kept in (0.05, 0.3, 0.6, 0.9):
        path = tmp_path / f"cut_{kept}.avi"
        path.write_bytes(whole[: int(len(whole) * kept)])
        try:
            with open_video(path) as video:
                lengths.append(len(list(video)))
        except VideoError as error:
            assert path.name in str(error)
            lengths.append(0)
    assert lengths == sorted(lengths) and lengths[0] == 0 and 0 < lengths[-1] <= 20


def test_an_absent_webcam_is_refused_by_its_number(capfd):
    assert "webcam 97: cannot be opened" in refusal(97)
    assert "webcam 97" in refusal("97")
