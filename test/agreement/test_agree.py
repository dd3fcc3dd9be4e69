"""`ast_net agree`: the whole command on ratings whose truth is known, and on ratings that do not fit together."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from ast_net_ros.cli import ast_net
from ast_net_ros.evaluation.agreement.panels import AgreementError, read_panels
from ast_net_ros.evaluation.agreement.run import run_agreement
from ast_net_ros.evaluation.estimates import EstimatesWriter
from ast_net_ros.evaluation.labels.ground_truth import LabelOptions, ground_truth_of
from ast_net_ros.face_affect import FaceAffect
from ast_net_ros.label_statistics import read_label_statistics
from ast_net_ros.ratings import read_ratings
from ast_net_ros.training.data.datasets.manifest import read_labels


@cache
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(
        resources.files("ast_net_ros.evaluation.agreement").joinpath("agreement.schema.json").read_text()
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def agree(study, output: Path, drawn: bool = False, **more) -> dict:
    """Run, check the file against its schema, and return its content.

    Without `drawn` the page's plots stay empty, which take most of the time.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            patch.setattr("ast_net_ros.evaluation.agreement.page.svg_plot", lambda *_: "<svg></svg>")
        run_agreement([study.folder], output, **more)
    text = (output / "agreement.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in agreement.json"))
    validator().validate(content)
    return content


def test_the_command_says_how_raters_agree(study, tmp_path):
    made = study(recordings=3, seconds=30)
    made.write_all([0.2, 0.6, 0.4])
    run = CliRunner().invoke(ast_net, ["agree", str(made.folder), "-o", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    assert "3 raters, 3 faces, 1.5 minutes" in run.output and "ICC(3,k) 0.9" in run.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"agreement.json", "agreement.html", "label_statistics.json", "gold"}


def test_lags_are_removed_before_agreement_is_measured(study, tmp_path):
    made = study(recordings=2, seconds=60)
    made.write_all([0.0, 0.1, 1.5], noise=0.03)
    content = agree(made, tmp_path / "out")
    summary = content["summary"]
    for dimension in ("valence", "arousal"):
        rated, aligned = (summary[s][dimension]["concatenated"]["ccc_mean"] for s in ("as_rated", "aligned"))
        assert aligned["value"] > rated["value"] + 0.02 and aligned["value"] > 0.95
        assert aligned["interval"][0] <= aligned["value"] <= aligned["interval"][1]
    assert content["raters"]["rater_2"]["lag"]["seconds"] == pytest.approx(1.45, abs=0.05)
    assert content["raters"]["rater_2"]["outlying"] == []


def test_the_gold_standard_is_nearer_the_truth_than_any_rater(study, tmp_path):
    made = study(recordings=2, seconds=60)
    made.write_all([0.0, 0.3, 0.6, 0.3], noise=0.12)
    agree(made, tmp_path / "out")
    gold = read_ratings(tmp_path / "out" / "gold" / "walk_0.csv")
    assert gold.info.recording_sha256 == "0" * 64 and gold.info.rater == "gold"
    at = np.round(gold.times / 0.04).astype(int)
    inner = (at > 50) & (at < len(made.times) - 50)
    truth = made.truth(0, 0.3)[at]  # without estimates of the face, the raters' common lag stays
    error = np.sqrt(np.nanmean((gold.values - truth)[inner] ** 2))
    for rater in range(4):
        own = read_ratings(made.folder / f"walk_0.rater_{rater}.face_1.csv").values[at]
        assert error < 0.75 * np.sqrt(np.mean((own - truth)[inner] ** 2))


def test_evaluation_and_training_read_the_gold_standard_as_labels(study, tmp_path):
    made = study(seconds=20)
    made.write_all([0.0, 0.2])
    agree(made, tmp_path / "out")
    options = LabelOptions(labels=str(tmp_path / "out" / "gold"))
    truth = ground_truth_of(Path("walk_0.mp4"), "walk_0", options)
    times, values, _ = read_labels(tmp_path / "out" / "gold" / "walk_0.csv")
    assert truth is not None and (np.diff(times) > 0).all()
    assert truth.faces[0].values == pytest.approx(values, nan_ok=True)


def test_the_lag_behind_the_face_is_removed_where_estimates_are_given(study, tmp_path):
    made = study(seconds=60)
    made.write_all([0.5, 0.9, 0.7])
    mixing = np.random.default_rng(0).normal(size=(2, 8))
    weights = np.exp(made.truth(0) @ mixing)
    (tmp_path / "walk_0").mkdir()
    with EstimatesWriter(tmp_path / "walk_0" / "estimates.csv") as writer:
        for index, (time, row) in enumerate(zip(made.times, weights / weights.sum(axis=1, keepdims=True))):
            other = FaceAffect("short", (0, 0, 1, 1), 0.0, 0.0, 0.5, (0.125,) * 8, 1.0)
            face = FaceAffect("a_track", (0, 0, 9, 9), 0.0, 0.0, 0.5, tuple(row.tolist()), 1.0)
            writer.write(index, time, [face, *([other] if index < 20 else [])])
    content = agree(made, tmp_path / "out", estimates=[tmp_path])
    assert content["gold_standard"]["lag_removed"] == "behind the face"
    one = content["summary"]["aligned"]["valence"]["concatenated"]
    assert one["interval_over"] == "stretches" and one["icc_3_k"]["interval"] is not None, "a minute has four stretches"
    for rater, lag in (("rater_0", 0.5), ("rater_1", 0.9)):
        assert content["raters"][rater]["lag_behind_face"]["seconds"] == pytest.approx(lag, abs=0.1)
        assert content["raters"][rater]["lag"]["removed"] == pytest.approx(lag, abs=0.05)
    assert read_label_statistics(tmp_path / "out" / "label_statistics.json").reaction_lags == pytest.approx(
        [0.5, 0.9, 0.7], abs=0.05
    )
    gold = read_ratings(tmp_path / "out" / "gold" / "walk_0.csv")
    truth = made.truth(0)[np.round(gold.times / 0.04).astype(int)]
    assert np.nanmean(np.abs(gold.values - truth)) < 0.05


def test_label_statistics_are_those_of_the_people_and_raters(study, tmp_path):
    made = study(recordings=8, seconds=120, seed=3)
    made.write_all([0.0, 0.0], noise=0.06)
    agree(made, tmp_path / "out")
    found = read_label_statistics(tmp_path / "out" / "label_statistics.json")
    assert (found.recordings, found.raters, found.reaction_lags) == (8, 2, ())
    assert np.median(found.correlation_seconds) == pytest.approx(5.5, abs=2)
    assert np.median(found.spread) == pytest.approx(0.3, abs=0.08)
    assert found.noise is not None and found.noise.spread == pytest.approx((0.04, 0.04), abs=0.02)
    assert found.rate_of_change[0] < found.rate_of_change[2] < found.rate_of_change[4]


def test_raters_far_from_the_others_are_named_with_the_reason(study, tmp_path):
    made = study(recordings=2, seconds=60)
    made.write_all([0.0, 0.2, 0.1, 0.3])
    for recording in range(2):
        rated = made.rated(recording, 0.1)
        made.write("reversed", recording, rated * [-1, 1])
        made.write("high", recording, np.clip(rated * 0.5 + 0.5, -1, 1))
        made.write("timid", recording, rated * 0.15)
        made.write("slow", recording, made.rated(recording, 3.0))
        made.write("absent", recording, np.full_like(rated, 0.1))
    raters = agree(made, tmp_path / "out")["raters"]
    for rater, text in (
        ("reversed", "valence: correlates -"),
        ("high", "above the others on average"),
        ("timid", "standard deviation"),
        ("slow", "later than the others"),
        ("absent", "valence: constant ratings"),
    ):
        assert any(text in reason for reason in raters[rater]["outlying"]), (rater, raters[rater]["outlying"])
    assert all(raters[f"rater_{number}"]["outlying"] == [] for number in range(4))
    assert not any("arousal" in reason for reason in raters["reversed"]["outlying"])
    assert raters["absent"]["weight"] == {"valence": 0.0, "arousal": 0.0}
    assert raters["reversed"]["weight"]["valence"] == 0 < raters["reversed"]["weight"]["arousal"]


def test_constant_ratings_give_null_with_a_reason(study, tmp_path):
    made = study(seconds=20)
    for rater in ("anna", "ben"):
        made.write(rater, 0, np.full((len(made.times), 2), 0.3))
    content = agree(made, tmp_path / "out", drawn=True)
    found = content["recordings"][0]["aligned"]["valence"]
    assert found["icc_3_k"]["value"] is None and found["ccc_mean"]["value"] is None and found["alpha"]["value"] is None
    assert found["reasons"] == ["constant ratings of anna, ben: their CCC is undefined"]
    assert not (tmp_path / "out" / "label_statistics.json").exists()
    assert (tmp_path / "out" / "agreement.html").is_file()


def test_ratings_of_other_images_of_one_name_do_not_mix(study, tmp_path):
    made = study(recordings=2, seconds=20)
    made.write_all([0.0, 0.1])
    made.write("late_comer", 0, made.rated(0, 0.0), sha="f" * 64)
    content = agree(made, tmp_path / "out")
    assert "late_comer" not in content["raters"]
    (reason,) = content["left_out"]
    assert "'walk_0'" in reason and "only 1 rater (late_comer)" in reason and "ffffffffffff" in reason
    command = ["agree", str(made.folder), "-o", str(tmp_path / "again"), "-q"]
    assert CliRunner().invoke(ast_net, command).exit_code == 1


def test_two_files_of_one_rater_are_refused(study, tmp_path):
    made = study(seconds=20)
    made.write_all([0.0, 0.1])
    made.write("rater_0", 0, made.rated(0, 0.0), name="copy_of_walk")
    with pytest.raises(AgreementError, match=r"(?s)copy_of_walk.*walk_0.*rater_0.*remove one"):
        read_panels([made.folder])


def test_one_rater_only_is_refused(study):
    made = study(seconds=20)
    made.write("anna", 0, made.rated(0, 0.0))
    with pytest.raises(AgreementError, match=r"no face has ratings of two raters.*only 1 rater \(anna\)"):
        read_panels([made.folder])
    made.write("ben", 0, made.rated(0, 0.0))
    with pytest.raises(AgreementError, match=r"only 1 rater \(anna\)"):
        read_panels([made.folder], excluded=["ben"])


def test_gaps_are_left_out_and_a_mostly_empty_file_is_named(study, tmp_path):
    made = study(seconds=40)
    made.write_all([0.0, 0.0, 0.0])
    gap, empty = made.rated(0, 0.0), made.rated(0, 0.0)
    gap[250:500] = np.nan
    empty[200:] = np.nan
    made.write("gap", 0, gap)
    made.write("empty", 0, empty)
    content = agree(made, tmp_path / "out", drawn=True)
    assert "they cover only 20 % of the recording" in content["left_out"][0] and "empty" not in content["raters"]
    found = content["recordings"][0]["as_rated"]["valence"]
    assert found["count"] == pytest.approx(1001 - 250, abs=2)
    assert any("1 gaps without valence or arousal" in remark for remark in content["remarks"])
    gold = read_ratings(tmp_path / "out" / "gold" / "walk_0.csv")
    assert np.isfinite(gold.values[260:480]).all(), "the others' ratings fill the gap"


def test_two_faces_of_a_recording_get_a_gold_standard_each(study, tmp_path):
    made = study(recordings=2, seconds=20)
    for recording, face in enumerate(("face_1", "face_2")):
        for rater in ("anna", "ben"):
            made.write(rater, recording, made.rated(recording, 0.0), sha="e" * 64, name="meeting", face=face)
    content = agree(made, tmp_path / "out")
    assert [r["gold"] for r in content["recordings"]] == ["gold/meeting.face_1.csv", "gold/meeting.face_2.csv"]
    assert content["summary"]["recordings"] == 1 and content["summary"]["faces"] == 2


@pytest.mark.filterwarnings("error")
def test_ratings_of_valence_alone_are_compared(study, tmp_path):
    made = study(recordings=2, seconds=70)
    for recording in range(2):
        for rater, lag in (("anna", 0.0), ("ben", 0.2), ("cleo", 0.1)):
            values = made.rated(recording, lag)
            values[:, 1] = np.nan
            made.write(rater, recording, values)
    content = agree(made, tmp_path / "out", drawn=True)
    found = content["recordings"][0]["aligned"]
    assert found["valence"]["icc_3_k"]["value"] > 0.9 and found["valence"]["icc_3_k"]["interval"] is not None
    assert found["arousal"]["icc_3_k"]["value"] is None
    assert found["arousal"]["reasons"] == ["no moment was rated by all raters"]
    assert content["raters"]["ben"]["lag"]["seconds"] == pytest.approx(0.15, abs=0.05)
    gold = read_ratings(tmp_path / "out" / "gold" / "walk_0.csv")
    assert np.isfinite(gold.values[100:1500, 0]).all() and np.isnan(gold.values[:, 1]).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seconds", [0.0, 0.04, 1.0, 3.0])
def test_very_short_recordings_are_compared_without_lags(study, tmp_path, seconds):
    made = study(recordings=2, seconds=seconds)
    made.write_all([0.0, 0.0, 0.0])
    content = agree(made, tmp_path / "out", drawn=True)
    assert content["raters"]["rater_0"]["lag"]["seconds"] is None or seconds > 1
    assert (tmp_path / "out" / "gold" / "walk_1.csv").is_file()


def test_a_recordings_name_cannot_lead_out_of_the_output(study, tmp_path):
    made = study(seconds=20)
    for rater in ("anna", "ben"):
        path = made.write(rater, 0, made.rated(0, 0.0))
        about = json.loads(path.with_suffix(".json").read_text()) | {"recording": "../../outside"}
        path.with_suffix(".json").write_text(json.dumps(about))
    content = agree(made, tmp_path / "out")
    assert content["recordings"][0]["gold"] == "gold/.._.._outside.csv"
    assert {path.name for path in (tmp_path / "out" / "gold").iterdir()} == {
        ".._.._outside.csv",
        ".._.._outside.json",
    }
    assert not list(tmp_path.glob("outside*"))


def test_the_mean_of_recordings_stands_for_faces_rated_by_different_people(study, tmp_path):
    made = study(recordings=4, seconds=20)
    for recording in range(4):
        for rater in (f"rater_{recording}", f"rater_{recording + 1}", f"rater_{recording + 2}"):
            made.write(rater, recording, made.rated(recording, 0.1 * int(rater[-1])))
    run = CliRunner().invoke(ast_net, ["agree", str(made.folder), "-o", str(tmp_path / "out")])
    content = json.loads((tmp_path / "out" / "agreement.json").read_text())
    value = content["summary"]["aligned"]["valence"]["mean_of_recordings"]["icc_3_k"]["value"]
    assert f"ICC(3,k) {value:.3f}" in run.output and content["summary"]["raters"] == 6
    lags = [content["raters"][f"rater_{number}"]["lag"]["seconds"] for number in range(6)]
    assert lags == pytest.approx([-0.3, -0.2, -0.1, 0.1, 0.2, 0.3], abs=0.05)
