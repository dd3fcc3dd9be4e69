"""What is fuzzed: every reader of this project that takes bytes which somebody else made.

In: bytes. Out of :attr:`Target.run`: whether they were read (False: refused with the reader's own error). Anything else
that is raised is a finding, and so is a result that breaks what the reader promises.
"""

from __future__ import annotations

import importlib.util
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from ast_net_ros.vision.image_decoding import ENCODINGS, ImageError, decode_image

MAX_PIXELS = 10_000
FORMATS = ("jpeg", "png", "", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed rgb8", "16UC1; compressedDepth png")


@dataclass(frozen=True)
class Target:
    """A reader under test. seeds: whole inputs to begin from."""

    name: str
    run: Callable[[bytes], bool]
    seeds: Callable[[], list[bytes]]


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ast_net_fuzz_") as name:
        yield Path(name)


# Images --------------------------------------------------------------------------------------------------------------

_RAW = struct.Struct("<BBBHHH")  # encoding, big-endian, step beyond the row, height, width, how far the sizes lie


def raw_message(data: bytes) -> Any:
    """A sensor_msgs/Image stand-in: its fields from the first bytes, the rest as pixels."""
    encoding, big_endian, padding, height, width, scale = _RAW.unpack(data[: _RAW.size].ljust(_RAW.size, b"\0"))
    pixels = data[_RAW.size :]
    name = ENCODINGS[encoding] if encoding < len(ENCODINGS) else pixels[:20].decode("latin-1")
    # Mostly sizes that could fit, now and then the far ends of the fields.
    factor = scale * 2**16 if scale > 0xFF00 else 1
    height, width = (height, width) if scale > 0xFF00 else (height % 40, width % 40)
    step = max(0, width * 4 + padding - 128) if padding else width
    return SimpleNamespace(
        encoding=name,
        height=height * factor % 2**32,
        width=width * factor % 2**32,
        step=step % 2**32,
        is_bigendian=big_endian,
        data=pixels,
    )


def _decoded(message: Any) -> bool:
    try:
        image = decode_image(message, max_pixels=MAX_PIXELS)
    except ImageError as error:
        assert str(error) and len(str(error)) < 500
        return False
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.flags.c_contiguous
    assert 0 < image.shape[0] * image.shape[1] <= MAX_PIXELS
    return True


def _run_raw(data: bytes) -> bool:
    return _decoded(raw_message(data))


def _raw_seeds() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, 12 * 16 * 4, np.uint8).tobytes()
    return [_RAW.pack(index, 0, 128, 12, 16, 0) + pixels for index in range(len(ENCODINGS))]


def _run_compressed(data: bytes) -> bool:
    return _decoded(SimpleNamespace(format=FORMATS[data[0] % len(FORMATS)] if data else "", data=data[1:]))


def _compressed_seeds() -> list[bytes]:
    noise = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    colour = cv2.GaussianBlur(noise, (0, 0), 4)
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    made = [
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
        for image in (colour, grey)
        for progressive in (0, 1)
    ]
    made.append(cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes())
    made += [cv2.imencode(".png", image)[1].tobytes() for image in (colour, grey, grey.astype(np.uint16) * 257)]
    made.append(cv2.imencode(".png", grey // 128 * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes())
    return [bytes([index % 5]) + data for index, data in enumerate(made)]


# Data sets -----------------------------------------------------------------------------------------------------------


def _checked(read: Callable[[], Any]) -> bool:
    """Whether any recording was read, each with labels in their range."""
    from ast_net_ros.training.data.faces import DataError
    from ast_net_ros.training.data.recordings import labels_at

    try:
        found = read()
    except DataError as error:
        assert str(error)
        return False
    for recording in found.recordings:
        assert np.isfinite(recording.label_stamps).all()
        assert not (np.abs(recording.labels) > 1).any() and not np.isinf(recording.labels).any()
        sampled = labels_at(np.linspace(-1, 60, 40), recording.label_stamps, recording.labels)
        assert not (np.abs(sampled) > 1 + 1e-9).any()
    return bool(found.recordings)


def _run_avec(data: bytes) -> bool:
    from ast_net_ros.training.data.datasets.avec2012 import read_avec2012

    with _folder() as folder:
        labels = folder / "emotion labels" / "train" / "FC_train_labels"
        labels.mkdir(parents=True)
        (labels / "labels_continuous_train001_valence.dat").write_bytes(data)
        (labels / "labels_continuous_train001_arousal.dat").write_text("0.1\n0.2\n0.3\n")
        (folder / "train_video001.avi").touch()
        return _checked(lambda: read_avec2012(folder))


def _run_afew(data: bytes) -> bool:
    from ast_net_ros.training.data.datasets.afew_va import read_afew_va

    with _folder() as folder:
        (folder / "001").mkdir()
        (folder / "001" / "001.json").write_bytes(data)
        (folder / "001" / "00000.png").touch()
        return _checked(lambda: read_afew_va(folder))


def _run_aff_wild2(data: bytes) -> bool:
    from ast_net_ros.training.data.datasets.aff_wild2 import read_aff_wild2

    with _folder() as folder:
        labels, frames = folder / "VA_Estimation_Challenge" / "Train_Set", folder / "cropped_aligned" / "one"
        labels.mkdir(parents=True)
        frames.mkdir(parents=True)
        (labels / "one.txt").write_bytes(data)
        (frames / "00001.jpg").touch()
        return _checked(lambda: read_aff_wild2(folder))


def _run_manifest(data: bytes) -> bool:
    from ast_net_ros.training.data.datasets.manifest import read_manifest

    with _folder() as folder:
        (folder / "list.csv").write_bytes(data)
        (folder / "images").mkdir()
        (folder / "images" / "1.png").touch()
        (folder / "a.mp4").touch()
        (folder / "a.csv").write_text("time,valence,arousal\n0,0.1,0.2\n1,,\n2,0.3,-0.4\n")
        return _checked(lambda: read_manifest(folder / "list.csv"))


def _run_labels(data: bytes) -> bool:
    from ast_net_ros.training.data.datasets.manifest import read_manifest

    with _folder() as folder:
        (folder / "list.csv").write_text("frames,labels,split,person\na.mp4,a.csv,train,p\n")
        (folder / "a.mp4").touch()
        (folder / "a.csv").write_bytes(data)
        return _checked(lambda: read_manifest(folder / "list.csv"))


_AVEC = b"0.25\n-0.5\nNaN\n1e-3\n-1\n+0.125\n"
_AFEW = (
    b'{"video_id": "001", "actor": "somebody", "frames": {"00000": {"valence": -2.0, "arousal": 5.0, "landmarks": []},'
    b' "00001": {"valence": 1, "arousal": -10}}}'
)
_AFF_WILD2 = b"valence,arousal\n0.1,0.2\n-5,-5\n-0.75,0.5\n"
_MANIFEST = (
    b"frames,labels,split,person,name,rate\na.mp4,a.csv,train,anna,one,\npictures,a.csv,valid,ben,two,25\n"
    b'"a.mp4",a.csv,dev,,"a ""third"" one",\n'
)
_LABELS = b"time,valence,arousal\n0,0.5,-0.5\n0.04,,\n0.08,nan,0.1\n1e1,1,-1\n"


# Files of our own ----------------------------------------------------------------------------------------------------


def _run_estimates(data: bytes) -> bool:
    from ast_net_ros.evaluation.estimates import EstimatesError, read_estimates

    with _folder() as folder:
        path = folder / "estimates.csv"
        path.write_bytes(data)
        try:
            rows = read_estimates(path)
        except EstimatesError as error:
            assert str(error)
            return False
        assert all(np.isfinite([row.time, *row.face.box, row.face.valence, *row.face.emotions]).all() for row in rows)
        return True


def _estimates_seeds() -> list[bytes]:
    from ast_net_ros.evaluation.estimates import ESTIMATE_COLUMNS

    header = ",".join(ESTIMATE_COLUMNS).encode()
    row = b"0,0.040000,face_1,1.00,2.00,30.00,40.00,0.100000,-0.200000,0.900000,1.200000"
    row += b",0.125" * (len(ESTIMATE_COLUMNS) - row.count(b",") - 1)
    return [header + b"\n" + row + b"\n" + row + b"\n", header + b"\n"]


def _run_ratings(data: bytes) -> bool:
    from ast_net_ros.rating_files import DataError
    from ast_net_ros.ratings import read_ratings

    with _folder() as folder:
        (folder / "a.json").write_bytes(data)
        (folder / "a.csv").write_text("time,valence,arousal\n0,0.1,0.2\n0.04,,\n2,0.3,-0.4\n")
        try:
            ratings = read_ratings(folder / "a.csv")
        except DataError as error:
            assert str(folder) in str(error)
            return False
        assert np.isfinite([ratings.info.duration_seconds, *ratings.times]).all()
        assert isinstance(ratings.info.rater, str) and isinstance(ratings.info.recording_sha256, str)
        return True


def _ratings_seeds() -> list[bytes]:
    from ast_net_ros.ratings import RatingInfo, write_ratings

    with _folder() as folder:
        info = RatingInfo("walk", "ab" * 32, "anna", "face_1", 2.0, face_box=(0.1, 0.2, 0.3, 0.4))
        write_ratings(folder / "a.csv", info, ())
        return [(folder / "a.json").read_bytes()]


def _run_label_statistics(data: bytes) -> bool:
    from ast_net_ros.label_statistics import read_label_statistics
    from ast_net_ros.rating_files import DataError

    with _folder() as folder:
        path = folder / "label_statistics.json"
        path.write_bytes(data)
        try:
            found = read_label_statistics(path)
        except DataError as error:
            assert str(path) in str(error)
            return False
        assert np.isfinite([found.mean_spread, found.still_share, *found.reaction_lags]).all()
        assert (np.array(found.correlation_seconds) > 0).all() and (np.abs(found.spread) <= 1).all()
        return True


def _label_statistics_seeds() -> list[bytes]:
    from ast_net_ros.label_statistics import LabelStatistics, RaterNoise, write_label_statistics

    with _folder() as folder:
        one, noise = (0.5, 0.25), RaterNoise((0.1, 0.1), (1.0, 2.0))
        write_label_statistics(
            folder / "a.json", LabelStatistics(1, 3, 1.0, (one,), (one,), 0.2, 0.5, (one,) * 5, (0.4, 1.0), noise)
        )
        return [(folder / "a.json").read_bytes()]


def _run_configuration(data: bytes) -> bool:
    from ast_net_ros.model.config import parameter_shapes
    from ast_net_ros.model.weights import parse_config

    try:
        config = parse_config(data.decode("utf-8", "replace"))
    except ValueError as error:
        assert str(error)
        return False
    assert all(size >= 0 for shape in parameter_shapes(config).values() for size in shape)
    return True


def _configuration_seeds() -> list[bytes]:
    import json
    from dataclasses import asdict

    from ast_net_ros.model.config import NetworkConfig

    return [json.dumps(asdict(NetworkConfig())).encode()]


def _run_weights(data: bytes) -> bool:
    import numpy as np

    from ast_net_ros.model.weights import MAX_DESCRIPTION, WeightsError, read_weights

    with _folder() as folder:
        path = folder / "some.safetensors"
        path.write_bytes(data)
        try:
            weights = read_weights(path)
        except WeightsError as error:
            assert str(error)
            return False
        assert all(np.isfinite(value).all() for value in weights.tensors.values())
        shown = weights.info.description
        assert len(shown) <= MAX_DESCRIPTION + 3 and shown.isprintable()
        return True


@cache
def _weights_seed() -> bytes:
    import torch

    from ast_net_ros.model.config import NetworkConfig
    from ast_net_ros.model.network import ASTNet, save_weights

    small = NetworkConfig(chip_side=16, widths=(4,), depths=(1,), attributes=4, hidden=2, layers=1)
    torch.manual_seed(0)
    with _folder() as folder:
        save_weights(ASTNet(small), folder / "small.safetensors", "small")
        return (folder / "small.safetensors").read_bytes()


# Bags ----------------------------------------------------------------------------------------------------------------

BAG_KINDS = (("mcap", "none"), ("mcap", "storage"), ("mcap", "message"), ("sqlite3", "none"), ("sqlite3", "file"))
_PATCH = struct.Struct("<BIB")  # which file, where, what it becomes


def bag_writer() -> Any:
    """The tests' module that writes bags."""
    path = Path(__file__).parents[1] / "bags" / "bag_fixtures.py"
    spec = importlib.util.spec_from_file_location("bags", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _whole_bags() -> list[dict[str, bytes]]:
    """Tiny bags as {file: content}: three images of 16 x 12, raw and JPEG, and two labels."""
    bags = bag_writer()
    images = [np.full((12, 16, 3), 40 * index, np.uint8) for index in range(3)]
    whole = []
    for number, (storage, compression) in enumerate(BAG_KINDS):
        make = bags.jpeg_message if number % 2 else bags.image_message
        stamps = [bags.START_NS + 40_000_000 * index for index in range(3)]
        recorded = [(bags.TOPIC, stamp, make(image, stamp)) for stamp, image in zip(stamps, images)]
        recorded += list(bags.label_messages([(0.15, 0.5, -0.5), (0.2, 0.25, 0.0)]))
        with _folder() as folder:
            bags.write_bag(folder / "bag", recorded, storage, compression)
            whole.append({path.name: path.read_bytes() for path in sorted((folder / "bag").iterdir())})
    return whole


def damaged_bag(data: bytes) -> dict[str, bytes]:
    """A bag as {file: content}: the first byte chooses a whole one, the second cuts it, the rest patches its bytes."""
    whole = _whole_bags()[(data[0] if data else 0) % len(BAG_KINDS)]
    files = {name: bytearray(content) for name, content in whole.items()}
    names = list(files)
    cut = data[1] if len(data) > 1 else 0
    if cut:
        longest = max(files, key=lambda name: len(files[name]))
        del files[longest][len(files[longest]) * cut // 256 :]
    for start in range(2, len(data) - _PATCH.size + 1, _PATCH.size):
        which, place, value = _PATCH.unpack_from(data, start)
        # The metadata are small: one patch in four is for them.
        content = files[names[(which // 4) % len(names)] if which % 4 == 0 else max(files, key=lambda n: len(files[n]))]
        if content:
            content[place % len(content)] = value
    return {name: bytes(content) for name, content in files.items()}


def _run_bag(data: bytes) -> bool:
    with _folder() as folder:
        path = folder / "bag"
        path.mkdir()
        for name, content in damaged_bag(data).items():
            (path / name).write_bytes(content)
        return read_bag(path)


def read_bag(path: Path) -> bool:
    """Reads all that is read of a bag; False where it is refused."""
    from ast_net_ros.bags.affect_messages import affect_topics, read_affect_labels
    from ast_net_ros.bags.paths import RecordingError
    from ast_net_ros.bags.recordings import open_recording

    count = 0
    try:
        affect_topics(path)
        with open_recording(path, None) as recording:
            for frame in recording.frames():
                assert frame.image.dtype == np.uint8 and frame.image.shape[2] == 3
                count += 1
                assert count <= 100
        read_affect_labels(path)
    except RecordingError as error:
        assert str(error)
        return False
    return True


def _bag_seeds() -> list[bytes]:
    return [bytes([kind, 0]) for kind in range(len(BAG_KINDS))]


TARGETS = {
    target.name: target
    for target in (
        Target("raw_image", _run_raw, _raw_seeds),
        Target("compressed_image", _run_compressed, _compressed_seeds),
        Target("avec2012", _run_avec, lambda: [_AVEC]),
        Target("afew_va", _run_afew, lambda: [_AFEW]),
        Target("aff_wild2", _run_aff_wild2, lambda: [_AFF_WILD2]),
        Target("manifest", _run_manifest, lambda: [_MANIFEST]),
        Target("labels", _run_labels, lambda: [_LABELS]),
        Target("estimates", _run_estimates, _estimates_seeds),
        Target("ratings", _run_ratings, _ratings_seeds),
        Target("label_statistics", _run_label_statistics, _label_statistics_seeds),
        Target("configuration", _run_configuration, _configuration_seeds),
        Target("weights", _run_weights, lambda: [_weights_seed()]),
        Target("bag", _run_bag, _bag_seeds),
    )
}
