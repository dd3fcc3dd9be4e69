"""Engagement: a share of time, not of frames, with hysteresis, in [0, 1]."""

import math
from itertools import pairwise

import numpy as np
import pytest

from ast_net_ros.face_affect import HeadPose
from ast_net_ros.vision.head_pose import Engagement, angle_to_camera


def turned(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> HeadPose:
    return HeadPose(math.radians(roll), math.radians(pitch), math.radians(yaw), (0.1, 0.1, 0.1))


def watch(yaw_at, stamps, window=3.0) -> list[float]:
    engagement = Engagement()
    return [engagement.update(stamp, turned(yaw_at(stamp)), window) for stamp in stamps]


def test_a_face_that_stays_turned_to_the_camera_is_engaged_after_the_window():
    values = watch(lambda stamp: 5, np.arange(0, 6, 0.1))
    assert values[0] == 0 and values[15] == pytest.approx(0.5) and values[-1] == 1.0
    assert all(later >= earlier for earlier, later in pairwise(values))


def test_a_face_that_turns_away_loses_it_within_the_window():
    values = watch(lambda stamp: 0 if stamp < 5 else 60, np.arange(0, 9, 0.1))
    assert values[50] == 1.0 and values[65] == pytest.approx(0.5, abs=0.04) and values[-1] == 0.0


@pytest.mark.parametrize("rate", [30.0, 15.0, 5.0, 3.0])
def test_the_frame_rate_does_not_matter(rate):
    value = watch(lambda stamp: 0 if stamp < 4 else 60, [*np.arange(0, 5.5, 1 / rate), 5.5])[-1]
    assert value == pytest.approx(0.5, abs=0.12)


def test_time_counts_and_not_frames():
    # Turned to the camera for 2 of 3 s, seen once in that time; away for 1 s, seen in 30 frames.
    stamps = [0.0, *np.linspace(2.0, 3.0, 31)]
    assert watch(lambda stamp: 0 if stamp < 2 else 60, stamps)[-1] == pytest.approx(2 / 3)


def test_between_the_two_angles_the_state_is_kept():
    stamps = np.arange(0, 12, 0.1)
    assert watch(lambda stamp: 25, stamps)[-1] == 0
    assert watch(lambda stamp: 15 if stamp < 1 else 25, stamps)[-1] == 1
    assert watch(lambda stamp: 15 if stamp < 1 else 35 if stamp < 2 else 25, stamps)[-1] == 0


def test_noise_around_a_limit_does_not_make_it_flicker():
    noise = np.random.default_rng(0).normal(0, 2, 1000)
    values = watch(lambda stamp: 20 + noise[round(stamp * 10) % 1000], np.arange(0, 30, 0.1))
    assert values[-1] == 1.0


def test_pitch_counts_like_yaw_and_roll_does_not():
    assert angle_to_camera(turned(0, -35)) == pytest.approx(math.radians(35))
    assert angle_to_camera(turned(30, 40)) > math.radians(45)
    assert angle_to_camera(turned(0, 0, 80)) == pytest.approx(0)


def test_an_unknown_pose_counts_as_turned_away():
    engagement = Engagement()
    values = [engagement.update(stamp, None, 1.0) for stamp in np.arange(0, 3, 0.1)]
    assert set(values) == {0.0}


def test_the_value_is_bounded_whatever_the_stamps():
    rng = np.random.default_rng(1)
    engagement, stamp = Engagement(), 1.7e9
    for _ in range(2000):
        stamp += float(rng.choice([0.0, 1e-6, 0.03, 0.9]))
        assert 0 <= engagement.update(stamp, turned(rng.uniform(-90, 90)), float(rng.uniform(0.5, 10))) <= 1
    assert len(engagement._periods) < 200
