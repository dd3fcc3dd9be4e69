"""Scenes with known truth: who is where in every frame, and what of them can be seen.

In: actors. Out: a Scene, which renders its frames at RATE frames a second with the true boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from tracking.actors import Actor, Box, Pose, Sprite

RATE = 30  # frames a second of a rendered scene; lower rates leave frames out
CANVAS = (640, 360)  # width, height
SECONDS = 7.0
Script = Callable[[float], Pose]


@dataclass(frozen=True)
class TrueFace:
    """Where a person is in one frame. visible: share of the box that is inside the frame and not hidden."""

    person: str
    box: Box
    visible: float


@dataclass(frozen=True)
class Scene:
    """What happens: actors with their scripts, the ones in front last."""

    name: str
    kind: str
    cast: tuple[tuple[Actor, Script], ...]
    seed: int = 0

    def frames(self) -> Iterator[tuple[float, np.ndarray, list[TrueFace]]]:
        """Time, BGR uint8 frame and true faces, RATE times a second."""
        rng = np.random.default_rng(self.seed)
        coarse = rng.uniform(60, 190, (5, 8, 3)).astype(np.float32)
        background = cv2.resize(coarse, CANVAS, interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
        grain = [rng.integers(0, 7, (CANVAS[1], CANVAS[0], 3), dtype=np.uint8) for _ in range(5)]
        for index in range(round(SECONDS * RATE)):
            time = index / RATE
            frame = background.copy()
            shown = []
            for actor, script in self.cast:
                sprite = actor.sprite(script(time), time, CANVAS)
                part = frame[_part(sprite)]
                part[...] = part + (sprite.colour.astype(np.float32) - part) * sprite.opacity[..., None]
                shown.append((actor.name, sprite))
            truth = [
                TrueFace(name, sprite.box, _visible(sprite, [other for _, other in shown[order + 1 :]]))
                for order, (name, sprite) in enumerate(shown)
            ]
            exposure = 1 + 0.06 * np.sin(2 * np.pi * 0.4 * time)
            yield time, cv2.add(cv2.convertScaleAbs(frame, alpha=exposure), grain[index % 5]), truth


def _part(sprite: Sprite) -> tuple[slice, slice]:
    (left, top), (height, width) = sprite.corner, sprite.opacity.shape
    return slice(top, top + height), slice(left, left + width)


def _visible(own: Sprite, others: Sequence[Sprite]) -> float:
    """Share of the face's box that shows the face."""
    shown = np.zeros((CANVAS[1], CANVAS[0]), bool)
    shown[_part(own)] = own.opacity > 0.5
    for other in others:
        shown[_part(other)] &= other.opacity < 0.5
    x, y, width, height = own.box
    left, top, right, bottom = (max(round(v), 0) for v in (x, y, x + width, y + height))
    return float(shown[top:bottom, left:right].sum() / max(width * height, 1))


def build(actors: Sequence[Actor], seed: int) -> list[Scene]:
    """A set of scenes for these people; each kind several times, with people of their own."""
    rng = np.random.default_rng(seed)
    order = [actors[i] for i in rng.permutation(len(actors))]
    next_person = iter(order * 20)
    scenes = []
    for kind, (people, times, writer) in KINDS.items():
        for number in range(times):
            cast: list[Actor] = []
            while len(cast) < people:
                actor = next(next_person)
                if actor not in cast:
                    cast.append(actor)
            scripts = writer(rng, number)
            scenes.append(Scene(f"{kind}-{number + 1}", kind, tuple(zip(cast, scripts)), int(rng.integers(1 << 30))))
    return scenes


def _sway(rng: np.random.Generator, reach: float, slow: float = 0.15, fast: float = 0.6) -> Callable[[float], float]:
    """A smooth wandering about zero: two sine waves, in the unit of `reach`."""
    speeds, phases = rng.uniform(slow, fast, 2), rng.uniform(0, 2 * np.pi, 2)
    shares = np.array([0.65, 0.35])
    return lambda t: float(reach * (shares * np.sin(2 * np.pi * speeds * t + phases)).sum())


def _at(rng: np.random.Generator, x: float, y: float, size: float, yaw: float = 20, wander: float = 10) -> Script:
    """Somebody who stands at a place, moves a little, looks about and smiles now and then."""
    dx, dy = _sway(rng, wander), _sway(rng, wander / 2)
    turn, nod, tilt, smile = _sway(rng, yaw), _sway(rng, 8), _sway(rng, 6), _sway(rng, 1.0)
    return lambda t: Pose(x + dx(t), y + dy(t), size, tilt(t), turn(t), nod(t), max(0.0, smile(t)))


def _moved(
    script: Script, path: Callable[[float], tuple[float, float]], present: Callable[[float], bool] = lambda t: True
) -> Script:
    """A script with a path added, for the time that the person is there."""

    def moved(t: float) -> Pose:
        pose, (x, y) = script(t), path(t)
        return replace(pose, x=pose.x + x, y=pose.y + y, present=pose.present and present(t))

    return moved


def _turning(rng: np.random.Generator, number: int) -> list[Script]:
    """One person who turns the head far and fast, before a camera that stands still."""
    turn, nod, tilt = _sway(rng, 42, 0.3, 0.7), _sway(rng, 15, 0.3, 0.7), _sway(rng, 20, 0.2, 0.6)
    size = rng.uniform(70, 130)
    dx, dy = _sway(rng, 25), _sway(rng, 10)
    return [lambda t: Pose(320 + dx(t), 170 + dy(t), size, tilt(t), turn(t), nod(t), max(0.0, dy(t) / 10))]


def _tiled(rng: np.random.Generator, number: int) -> list[Script]:
    """Four people beside each other."""
    return [_at(rng, 95 + 150 * i, 160 + rng.uniform(-20, 20), rng.uniform(55, 75), yaw=30) for i in range(4)]


def _crossing(rng: np.random.Generator, number: int) -> list[Script]:
    """Two people change sides, to and fro; the faces overlap in part or not at all."""
    period = rng.uniform(4, 8)
    lift = rng.uniform(35, 70)
    scripts = []
    for side in (-1, 1):
        base = _at(rng, 320, 170 + side * lift / 2, rng.uniform(60, 85), yaw=25)
        scripts.append(_moved(base, partial(_swing, side * 200, period)))
    return scripts


def _swing(reach: float, period: float, time: float) -> tuple[float, float]:
    return float(reach * np.cos(2 * np.pi * time / period)), 0.0


def _behind(rng: np.random.Generator, number: int) -> list[Script]:
    """One person passes behind another and is hidden for a while."""
    speed = rng.uniform(90, 220)
    near = _at(rng, 320, 170, rng.uniform(85, 110))
    far = _at(rng, 0, 165, rng.uniform(60, 80))
    period = 2 * 500 / speed

    def path(t: float) -> tuple[float, float]:
        phase = t / period % 2
        return 70 + 500 * (phase if phase < 1 else 2 - phase), 0.0

    return [_moved(far, path), near]


def _leaving(rng: np.random.Generator, number: int) -> list[Script]:
    """One person leaves at the side and returns; another stays."""
    begins, away = 2.5, [0.5, 0.8, 2.0, 3.0][number % 4]
    speed = 260.0
    out = 230 / speed

    def path(t: float) -> tuple[float, float]:
        if t < begins:
            return 0.0, 0.0
        if t < begins + out + away:
            return min(speed * (t - begins), 330.0), 0.0
        return max(0.0, 330 - speed * (t - begins - out - away)), 0.0

    return [_moved(_at(rng, 470, 170, rng.uniform(65, 95)), path), _at(rng, 170, 170, rng.uniform(65, 95))]


def _replacing(rng: np.random.Generator, number: int) -> list[Script]:
    """One person is gone, and after a gap another one has the place: nobody came in from the side."""
    gap = [0.3, 0.4, 0.5, 0.6, 0.7, 0.9][number % 6]
    size, until = rng.uniform(70, 110), 3.0
    shift = rng.uniform(-15, 15)
    first, second = _at(rng, 320, 170, size), _at(rng, 320 + shift, 170, size * rng.uniform(0.9, 1.1))
    return [_moved(first, _still, lambda t: t < until), _moved(second, _still, lambda t: t >= until + gap)]


def _still(time: float) -> tuple[float, float]:
    return 0.0, 0.0


def _panning(rng: np.random.Generator, number: int) -> list[Script]:
    """The camera turns to and fro: everybody moves across the frame at once."""
    pan = _sway(rng, 110, 0.3, 0.6)
    return [_moved(_at(rng, x, 170, rng.uniform(60, 90), yaw=25), lambda t: (pan(t), 0.0)) for x in (170, 320, 470)]


def _close(rng: np.random.Generator, number: int) -> list[Script]:
    """Two people with their heads together, who swap a little, as for a photograph."""
    scripts = []
    for side in (-1, 1):
        script = _at(rng, 320 + side * 50, 165 + side * 12, rng.uniform(75, 95), yaw=30, wander=16)
        scripts.append(script)
    return scripts


KINDS: dict[str, tuple[int, int, Callable[[np.random.Generator, int], list[Script]]]] = {
    "turning": (1, 6, _turning),
    "tiled": (4, 3, _tiled),
    "crossing": (2, 5, _crossing),
    "behind": (2, 5, _behind),
    "leaving": (2, 4, _leaving),
    "replacing": (2, 6, _replacing),
    "panning": (3, 3, _panning),
    "close": (2, 3, _close),
}
"""Name of a kind: people in it, how often it is built, and what writes its scripts."""
