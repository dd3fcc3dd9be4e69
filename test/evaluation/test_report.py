"""report.html is complete and escaped, shows people only on request, and is small."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ast_net_ros.evaluation.comparison import compare_results
from ast_net_ros.evaluation.estimates import EstimatesWriter
from ast_net_ros.evaluation.metrics.intervals import Resampling
from ast_net_ros.evaluation.metrics.summary import MetricOptions, evaluation_metrics
from ast_net_ros.evaluation.recording_result import RecordingResult
from ast_net_ros.evaluation.report import page_plots
from ast_net_ros.evaluation.report.page import duration, flat, number, write_report
from ast_net_ros.evaluation.report.thumbnails import MIN_SECONDS_BETWEEN, thumbnail, thumbnails_wanted, worst_moments
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.vision.video import open_video

OPTIONS = MetricOptions(resampling=Resampling(resamples=50))
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}$\\bad$"


def recording(name="walk", frames=200, mode="offline", truth=True, path="/no/such.bag", **about) -> RecordingResult:
    seconds = np.arange(frames) / 10
    trajectory = np.stack([np.sin(seconds / 5), np.cos(seconds / 7)], 1) * 0.6
    predicted = 0.8 * trajectory + 0.05
    predicted[:10] = np.nan
    known = np.arange(frames) >= 10
    return RecordingResult(
        name=name,
        path=path,
        topic="/image",
        mode=mode,
        stamps_ns=(seconds * 1e9).astype(np.int64),
        face_ids=["face_1" if there else "" for there in known],
        predicted=predicted,
        truth=trajectory if truth else np.full((frames, 2), np.nan),
        confidence=np.where(known, 0.5 + 0.4 * np.abs(np.sin(seconds)), np.nan),
        state_age=np.where(known, seconds - 1, np.nan),
        faces=known.astype(np.int64),
        about=about,
    )


def page(tmp_path: Path, results, thumbnails: bool | None = False, run=None, baseline=None) -> str:
    metrics = evaluation_metrics(results, OPTIONS, run)
    if baseline is not None:
        metrics["comparison"] = compare_results(metrics, baseline, OPTIONS.resampling)
    write_report(tmp_path / "report.html", metrics, results, thumbnails)
    assert [path.name for path in tmp_path.glob("report*")] == ["report.html"]
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_gain_over_a_baseline_is_shown_for_each_recording(tmp_path, undrawn):
    results = [recording("walk"), recording("talk")]
    worse = [replace(one, predicted=0.5 * one.predicted) for one in results]
    text = page(tmp_path, results, baseline=evaluation_metrics(worse, OPTIONS))
    (table,) = re.findall(r"<table>(?:(?!</table>).)*gain of CCC.*?</table>", text, flags=re.S)
    assert re.findall(r"<bdi>(\w+)</bdi></th><td>\+0\.\d{3}</td><td>\+0\.\d{3}</td>", table) == ["walk", "talk"]


def test_every_kind_of_result_gives_a_static_page(tmp_path):
    kinds = [
        [],
        [recording(frames=0)],
        [recording(frames=1)],
        [recording(truth=False)],
        [
            recording("a"),
            recording("a", mode="live", live={"frames_sent": 200, "latency_ms": {"median": 12.5, "p95": 20}}),
        ],
    ]
    for results in kinds:
        text = page(tmp_path, results, baseline=evaluation_metrics(results, OPTIONS))
        assert text.startswith("<!doctype html>") and text.rstrip().endswith("</html>")
        assert not re.search(r"(src|href)=\"(?!data:|#)", text) and "@import" not in text and "<script" not in text
        assert not re.search(r"\bnan\b|None|inf\b", re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", text, flags=re.S))
        assert "default-src 'none'" in text
    assert "12.5" in text and "Difference to offline" not in page(tmp_path, kinds[3])


def test_the_page_shows_the_metrics_of_the_results(tmp_path, undrawn):
    results = [recording("a"), recording("b", frames=300)]
    pooled = evaluation_metrics(results, OPTIONS)["pooled"]["offline"]
    text = page(tmp_path, results)
    for dimension in ("valence", "arousal"):
        low, high = pooled[dimension]["intervals"]["concatenated"]["rmse"]
        for value in (pooled[dimension]["concatenated"]["ccc"], pooled[dimension]["mean_of_recordings"]["mae"]):
            assert f">{number(value)}<" in text
        assert f"{number(low)} to {number(high)}" in text


def test_names_problems_and_commands_are_escaped(tmp_path):
    result = recording(HOSTILE, path=HOSTILE, problems=[HOSTILE], partial=True)
    result = replace(result, topic=HOSTILE, face_ids=[HOSTILE] * 200)
    live = replace(result, mode="live", about={"live": {HOSTILE: HOSTILE}})
    run = {"command": HOSTILE, HOSTILE: {HOSTILE: [HOSTILE]}, "failed": [{"name": HOSTILE, "reason": HOSTILE}]}
    baseline = json.loads(json.dumps(evaluation_metrics([result], OPTIONS, run)))
    baseline["recordings"].append({**baseline["recordings"][0], "name": "only there" + HOSTILE})
    text = page(tmp_path, [result, live], run=run, baseline=baseline)
    assert "<script" not in text and "<img" not in text and "&lt;script&gt;alert(1)" in text
    assert "{{ 7*7 }}" in text, "a name was rendered as a template"


def test_names_that_no_file_can_hold_are_shown_escaped(tmp_path):
    assert r"bad\udcffname" in page(tmp_path, [recording("bad\udcffname")])


def test_problems_and_failures_are_shown_at_the_top(tmp_path, undrawn):
    failed = [{"name": "broken", "reason": "no image topic"}]
    text = page(
        tmp_path, [recording("good"), recording("cut", partial=True, problems=["ends early"])], run={"failed": failed}
    )
    top = text[: text.index("Summary")]
    assert "1 recording with problems" in top and "cut</bdi></a> (partial)" in top and "ends early" in top
    assert "broken" in top and "no image topic" in top and "good" not in top.split("<body>")[1]
    assert "Read only partially" in text


@pytest.fixture(scope="module")
def filmed(media, tmp_path_factory) -> tuple[RecordingResult, Path]:
    """Results of the first eight seconds of a real video, and their output folder."""
    path = media / "single_face.mp4"
    folder = tmp_path_factory.mktemp("out")
    own = folder / "recordings" / "filmed"
    own.mkdir(parents=True)
    from ast_net_ros.bags.recordings import open_recording

    with open_recording(path) as opened:
        stamps = [frame.stamp_ns for _, frame in zip(range(40), opened.frames())]
    result = recording("filmed", frames=len(stamps), path=str(path))
    result = replace(result, topic="", stamps_ns=np.array(stamps, np.int64))
    with EstimatesWriter(own / "estimates.csv") as rows:
        for frame in range(len(stamps)):
            face = FaceAffect("face_1", (20.0, 20.0, 60.0, 60.0), 0.0, 0.0, 0.5, (0.125,) * 8, 0.0)
            rows.write(frame, 0.0, [face])
    return result, folder


def test_the_worst_moment_is_shown_as_a_thumbnail(filmed, undrawn):
    result, folder = filmed
    result.predicted[23] = -np.sign(result.truth[23])
    text = page(folder, [result], thumbnails=None)
    moments = worst_moments(result)
    assert moments[0].frame == 23
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)" alt="frame (\d+)"', text)
    assert [int(frame) for _, frame in images] == [moment.frame for moment in moments]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(images[0][0]), np.uint8), cv2.IMREAD_COLOR)
    with open_video(result.path) as video:
        image = next(image for index, (_, image) in enumerate(video) if index == 23)
    expected = cv2.imdecode(np.frombuffer(thumbnail(image), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None and expected is not None
    apart = np.abs(shown.astype(int) - expected).max(axis=2)
    assert max(shown.shape) == 320 and (apart < 12).mean() > 0.9  # but for the box
    assert (apart > 60).sum() > 50, "the face's box is not drawn"


def test_thumbnails_follow_the_option_and_skip_live_runs(filmed, undrawn):
    result, folder = filmed
    assert "data:image/jpeg" not in page(folder, [result], thumbnails=False)
    assert "data:image/jpeg" not in page(folder, [replace(result, mode="live")], thumbnails=None)
    assert "data:image/jpeg" in page(folder, [replace(result, mode="live")], thumbnails=True)
    assert thumbnails_wanted(result, None) and not thumbnails_wanted(replace(result, mode="live"), None)
    assert not list(folder.rglob("*.jpg"))


def test_a_missing_recording_leaves_the_metrics(tmp_path, undrawn):
    text = page(tmp_path, [recording(path="/no/such<b>.bag")], thumbnails=True)
    assert "Images could not be read" in text and "/no/such&lt;b&gt;.bag" in text and "Largest errors" in text


def test_worst_moments_lie_apart_and_come_worst_first():
    result = recording(frames=1000)
    moments = worst_moments(result, most=6)
    distances = [moment.distance or 0.0 for moment in moments]
    seconds = sorted(moment.seconds for moment in moments)
    assert len(moments) == 6 and distances == sorted(distances, reverse=True)
    assert min(np.diff(seconds)) >= MIN_SECONDS_BETWEEN
    everywhere = np.linalg.norm(result.predicted - result.truth, axis=1)
    assert distances[0] == pytest.approx(np.nanmax(everywhere))


def test_without_labels_the_least_confident_are_shown():
    result = recording(truth=False)
    moments = worst_moments(result)
    assert moments[0].truth is None and moments[0].confidence == pytest.approx(np.nanmin(result.confidence))


def test_thinning_keeps_peaks_and_gaps():
    times, values = np.arange(100_000.0), np.zeros(100_000)
    values[12_345], values[77_777] = 0.9, -0.8
    values[40_000:50_000] = np.nan
    kept_times, kept = page_plots.thinned(times, values, 500)
    assert len(kept) <= 760 and (np.diff(kept_times) > 0).all()
    assert {12_345.0: 0.9, 77_777.0: -0.8}.items() <= dict(zip(kept_times, kept)).items()
    assert np.isnan(kept[(kept_times > 41_000) & (kept_times < 49_000)]).all()


def test_an_hour_of_frames_makes_a_page_below_a_megabyte(tmp_path):
    assert len(page(tmp_path, [recording(frames=36_000)])) < 1_000_000


def test_a_page_is_the_same_for_the_same_results(tmp_path):
    assert page(tmp_path, [recording()]) == page(tmp_path, [recording()])


def test_numbers_are_formatted_for_readers():
    assert [duration(s) for s in (4.25, 59.99, 200, 3900)] == ["4.2 s", "60.0 s", "3 min 20 s", "1 h 5 min"]
    minus = "\N{MINUS SIGN}"
    assert number(-0.004) == "0.00" and number(-0.25) == f"{minus}0.25" and number(None) not in ("", "None")
    assert page_plots.signed(-0.001) == "0.00" and page_plots.signed(0.5) == "+0.50"
    assert list(flat({"a_b": {"c": 1.5}, "weights_sha256": "0f", "l": [1, {"x": 2}], "n": None})) == [
        ("a b, c", "1.5"),
        ("weights_sha256", "0f"),
        ("l", "1; x 2"),
    ]


def test_the_headline_has_no_iso_timestamp(tmp_path, undrawn):
    text = page(tmp_path, [recording("walk")], run={"started": "2026-11-24T16:11:16+00:00"})
    header = text[text.index("<header>") : text.index("</header>")]
    assert "24 November 2026" in header and "2026-11-24T" not in header
    assert "2026-11-24T16:11:16" in text


def test_a_recording_played_live_counts_once(tmp_path, undrawn):
    both = [recording("walk", frames=200), recording("walk", frames=200, mode="live")]
    header = page(tmp_path, both).partition("</header>")[0].partition("<header>")[2]
    assert "<h1>walk</h1>" in header and "19.9 s" in header
