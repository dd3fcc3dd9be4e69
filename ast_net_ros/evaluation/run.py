"""Run an evaluation: recordings to results.json and report.html.

Output folder:

    DIR/recordings/NAME/        estimates.csv, frames.csv and recording.json of each recording (recording_result.py)
    DIR/recordings/NAME.live/   likewise for the live run, if requested
    DIR/results.json            metrics (metrics/summary.py)
    DIR/report.html             the page (report/page.py)

A recording whose results are complete and were made from the same files with the same settings is kept, so an
interrupted evaluation resumes where it stopped. results.json and report.html are removed when a recording is processed
again and written at the end: they always describe what lies beside them.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import functools
import itertools
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from tqdm import tqdm

from ast_net_ros.atomic_files import PARTIAL_SUFFIX
from ast_net_ros.bags.names import LIVE_SUFFIX, unique_names
from ast_net_ros.bags.paths import RecordingError, find_recordings
from ast_net_ros.bags.recordings import open_recording
from ast_net_ros.evaluation.comparison import compare_results
from ast_net_ros.evaluation.estimates import iterate_estimates
from ast_net_ros.evaluation.labels.ground_truth import GroundTruth, LabelOptions, LabelsError, ground_truth_of
from ast_net_ros.evaluation.labels.labelling import delay_of, label_recording
from ast_net_ros.evaluation.labels.matching import check_rule
from ast_net_ros.evaluation.live import LiveOptions, check_ros, node_parameters, record_live
from ast_net_ros.evaluation.metrics.summary import MetricOptions, evaluation_metrics, read_results, write_results
from ast_net_ros.evaluation.offline import evaluate_recording, key_of, library_versions
from ast_net_ros.evaluation.options import EstimationSettings
from ast_net_ros.evaluation.recording_result import ESTIMATES, RecordingResult, RecordingResultError, read_recording
from ast_net_ros.evaluation.report.page import write_report
from ast_net_ros.evaluation.workers import FULL_DISK, Progress, RecordingJob, disk_full, run_here, run_in_processes
from ast_net_ros.model.inference import AffectModel, load_model

RESULTS, REPORT, RECORDINGS = "results.json", "report.html", "recordings"


class EvaluationError(ValueError):
    """An evaluation that is not possible as requested; the message names the option and the fix."""


@dataclass(frozen=True)
class RunOptions:
    """Options of an evaluation."""

    output: Path
    topic: str | None = None  # image topic; None takes each bag's only one
    settings: EstimationSettings = field(default_factory=EstimationSettings)
    labels: LabelOptions = field(default_factory=LabelOptions)
    development: tuple[str, ...] = ()  # patterns of names of recordings whose labels give the annotation delay
    longest_delay: float = 10.0  # largest delay tried, in seconds
    workers: int = 1
    ray: str | None = None  # "local" or a cluster's address; None does not use Ray
    live: LiveOptions | None = None  # how recordings are played to a node as well; None does not
    baseline: Path | None = None  # results.json of another run, or its folder
    write_bag: str | None = None  # path, or a template with {name}, of bags with the estimates
    thumbnails: bool | None = None  # whether the report shows images; None shows them for offline runs only
    warm_up: float = 0.0  # seconds of each face's beginning that metrics exclude
    quiet: bool = False
    command: str = ""  # the command line, for the report


@dataclass(frozen=True)
class FailedRecording:
    """A recording without results, in which mode ("offline" or "live"), and why."""

    name: str
    path: str
    mode: str
    reason: str


@dataclass(frozen=True)
class EvaluationOutcome:
    """Outcome of an evaluation."""

    metrics: dict  # the content of results.json
    failures: tuple[FailedRecording, ...]
    kept: int  # number of results kept from an earlier run
    label_problems: tuple[str, ...]  # why recordings have no labels although some were requested


def evaluate(arguments: Sequence[str], options: RunOptions) -> EvaluationOutcome:
    """Evaluate recordings (bags, videos, folders of these, globs) and write the output folder.

    A recording that fails is listed and excluded from the metrics; the others are finished.

    Raises:
        EvaluationError: The options do not fit the recordings, or none of these could be evaluated.
        RecordingError: An argument names no recording.
        DiskFullError: The disk is full.
    """
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    baseline = _checked(options)
    paths = find_recordings(arguments)
    names = unique_names(paths)
    development = _development(names, options)
    if options.write_bag and len(names) > 1 and "{name}" not in options.write_bag:
        raise EvaluationError(
            f"--write-bag {options.write_bag}: one file cannot hold {len(names)} recordings; use {{name}} in its name"
        )
    model = _load_model(options)
    truths, label_problems = _ground_truths(paths, names, options)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        jobs = [_job(path, name, options, model) for path, name in zip(paths, names)]
        kept, failures = _process(jobs, "offline", functools.partial(_estimate, options=options))
        done = _without(failures, jobs)
        delay = None
        if development:
            labelled = [(Path(job.folder), truths[job.name]) for job in done if job.name in development]
            known = [(folder, truth) for folder, truth in labelled if truth is not None]
            delay = delay_of(known, options.labels, options.longest_delay)
            options = replace(options, labels=replace(options.labels, annotation_delay=delay["seconds"]))
        live_jobs = [_live_job(job, options, model) for job in done] if options.live else []
        live_kept, live_failures = _process(live_jobs, "live", functools.partial(_play, options=options))
        failures += live_failures
        results = [
            label_recording(Path(job.folder), truths[job.name], options.labels, label_problems.get(job.name))
            for job in [*done, *_without(live_failures, live_jobs)]
        ]
        if not results:
            raise EvaluationError(_nothing_left(failures))
        metrics = _write(results, _run_facts(started, model, options, failures, delay), options, baseline)
        for job in done if options.write_bag else []:
            _write_bag(Path(job.folder), Path(str(options.write_bag).replace("{name}", job.name)))
    except OSError as error:
        if error.errno in FULL_DISK:
            raise disk_full(f"{error.filename or options.output}: {error.strerror}") from error
        raise
    return EvaluationOutcome(metrics, tuple(failures), kept + live_kept, tuple(label_problems.values()))


def _load_model(options: RunOptions) -> AffectModel:
    chosen = options.settings.model
    if options.ray:  # which device and runtime other machines have is not known here
        return load_model(chosen.weights, "cpu")
    return load_model(chosen.weights, chosen.device, chosen.precision, runtime=chosen.runtime)


def _checked(options: RunOptions) -> dict | None:
    """Check what can be checked before hours of work; return the baseline's results."""
    check_rule(options.labels.match)
    if options.output.exists() and not options.output.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file; name a folder for the results", str(options.output))
    if options.live:
        check_ros()
    return read_results(options.baseline) if options.baseline else None


def _development(names: Sequence[str], options: RunOptions) -> set[str]:
    """Return the names of the recordings whose labels give the annotation delay."""
    chosen = {name for name in names for pattern in options.development if fnmatch.fnmatchcase(name, pattern)}
    if options.development and not chosen:
        raise EvaluationError(
            f"--estimate-delay {' '.join(options.development)}: no recording of that name; "
            f"the names are {', '.join(names)}"
        )
    return chosen


def _ground_truths(
    paths: Sequence[Path], names: Sequence[str], options: RunOptions
) -> tuple[dict[str, GroundTruth | None], dict[str, str]]:
    """Return by name the labels, and why there are none although some were expected."""
    truths: dict[str, GroundTruth | None] = {}
    problems: dict[str, str] = {}
    for path, name in zip(paths, names):
        truths[name] = None
        try:
            truths[name] = ground_truth_of(path, name, options.labels, alone=len(paths) == 1)
        except LabelsError as error:
            problems[name] = str(error)
        except (ValueError, OSError) as error:
            problems[name] = f"{name}: {error}"
    return truths, problems


def _job(path: Path, name: str, options: RunOptions, model: AffectModel) -> RecordingJob:
    chosen = options.settings.model
    chosen = replace(chosen, weights=chosen.weights and str(Path(chosen.weights).resolve()))
    if not options.ray:  # resolve "auto" once for all workers
        chosen = replace(chosen, device=str(model.device), precision=model.precision, runtime=model.runtime)
    settings = replace(options.settings, model=chosen)
    key = key_of(path, options.topic, settings, model.weights_hash, mode="offline")
    folder = options.output.resolve() / RECORDINGS / name
    return RecordingJob(name, str(path.resolve()), str(folder), options.topic, settings, key, model.weights_hash)


def _live_job(job: RecordingJob, options: RunOptions, model: AffectModel) -> RecordingJob:
    assert options.live
    played = {"rate": options.live.rate, "loops": options.live.loops}
    key = key_of(Path(job.path), job.topic, job.settings, model.weights_hash, mode="live", **played)
    return replace(job, folder=job.folder + LIVE_SUFFIX, key=key)


def _is_finished(job: RecordingJob) -> bool:
    try:
        return read_recording(Path(job.folder)).about["key"] == job.key
    except RecordingResultError:
        return False


def _begin(jobs: Sequence[RecordingJob], options: RunOptions) -> int | None:
    """Return the expected number of frames, None if unknown, and remove results.json and report.html.

    They stay if no recording can be opened, as with a mistyped topic.
    """
    counts = []
    for job in jobs:
        # An error is reported by the worker that processes the recording.
        with contextlib.suppress(RecordingError, OSError), open_recording(Path(job.path), job.topic) as recording:
            counts.append(recording.frame_count)
    if counts:
        for name in (RESULTS, REPORT):
            (options.output / name).unlink(missing_ok=True)
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _process(
    jobs: Sequence[RecordingJob], mode: str, work: Callable[[list[RecordingJob]], list[str | None]]
) -> tuple[int, list[FailedRecording]]:
    """Do the work for all jobs that are not finished; return the number of kept results and the failures."""
    waiting = [job for job in jobs if not _is_finished(job)]
    try:
        reasons = work(waiting) if waiting else []
    finally:
        for job in waiting:  # unfinished results of killed workers
            shutil.rmtree(job.folder + PARTIAL_SUFFIX, ignore_errors=True)
    failed = [(job, reason) for job, reason in zip(waiting, reasons) if reason is not None]
    return len(jobs) - len(waiting), [FailedRecording(job.name, job.path, mode, reason) for job, reason in failed]


def _estimate(jobs: list[RecordingJob], options: RunOptions) -> list[str | None]:
    hidden = True if options.quiet else None
    with tqdm(total=_begin(jobs, options), unit=" frames", desc="evaluate", disable=hidden) as bar:
        if options.ray:
            from ast_net_ros.evaluation.ray_workers import run_on_ray

            def log(text: str) -> None:
                if not options.quiet:
                    tqdm.write(text, file=sys.stderr)

            return run_on_ray(jobs, evaluate_recording, bar.update, options.ray, options.workers, log)
        if min(options.workers, len(jobs)) == 1:
            return run_here(jobs, evaluate_recording, bar.update)
        return run_in_processes(jobs, evaluate_recording, bar.update, options.workers)


def _play(jobs: list[RecordingJob], options: RunOptions) -> list[str | None]:
    """Play the jobs to a node, one after the other so that they do not slow each other down."""
    return run_here(jobs, functools.partial(_play_one, options=options), lambda _: None)


def _play_one(job: RecordingJob, _: Progress, options: RunOptions) -> None:
    assert options.live
    settings = job.settings.as_dict()
    parameters = node_parameters(settings | {"weights": settings["weights"] or ""})
    live = replace(options.live, topic=job.topic, node_arguments=parameters, name=job.name, key=job.key)
    frames = _begin([job], options)
    record_live(Path(job.path), Path(job.folder), live, frames, progress=not options.quiet)


def _without(failures: Sequence[FailedRecording], jobs: Sequence[RecordingJob]) -> list[RecordingJob]:
    failed = {failure.name for failure in failures}
    return [job for job in jobs if job.name not in failed]


def _nothing_left(failures: Sequence[FailedRecording]) -> str:
    if len(failures) == 1:
        return failures[0].reason
    return "none of the recordings could be evaluated:\n" + "\n".join(f"  {f.name}: {f.reason}" for f in failures)


def _run_facts(
    started: str, model: AffectModel, options: RunOptions, failures: Sequence[FailedRecording], delay: dict | None
) -> dict:
    """Return the field `run` of results.json."""
    return {
        "command": options.command,
        "started": started,
        "device": options.settings.model.device if options.ray else str(model.device),
        "weights": model.weights_path,
        "weights_sha256": model.weights_hash,
        "weights_description": model.description,
        "versions": library_versions() | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}",
        "settings": options.settings.as_dict(),
        "labels": asdict(options.labels) | {"delay_estimate": delay},
        "failed": [asdict(failure) for failure in failures],
    }


def _write(results: Sequence[RecordingResult], run: dict, options: RunOptions, baseline: dict | None) -> dict:
    metrics = evaluation_metrics(results, MetricOptions(warm_up_seconds=options.warm_up), run)
    if baseline is not None:
        metrics["comparison"] = compare_results(metrics, baseline)
    write_report(options.output / REPORT, metrics, results, options.thumbnails, show_progress=not options.quiet)
    write_results(options.output / RESULTS, metrics)
    return metrics


def _write_bag(folder: Path, path: Path) -> None:
    """Write one ValenceArousalArray for every frame of a results folder, with the frame's own stamp."""
    from ast_net_ros.bags.writer import affect_bag

    result = read_recording(folder)
    frame_id = str(result.about.get("frame_id", ""))
    by_frame = itertools.groupby(iterate_estimates(folder / ESTIMATES), key=lambda row: row.frame)
    with affect_bag(path) as bag:
        upcoming = next(by_frame, None)
        for frame, stamp_ns in enumerate(result.stamps_ns.tolist()):
            faces = []
            if upcoming is not None and upcoming[0] == frame:
                faces = [row.face for row in upcoming[1]]
                upcoming = next(by_frame, None)
            bag.write(stamp_ns, frame_id, result.topic or result.path, faces)
