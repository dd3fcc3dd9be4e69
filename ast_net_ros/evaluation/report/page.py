"""Write report.html: an evaluation as one self-contained page for screen, phone and print.

The page has no script and loads nothing, enforced by a content security policy. Text from recordings, command lines and
other files is escaped; only the plots are not, and they contain no such text. Plots are inline SVG by matplotlib; an
interactive library would add megabytes of script. Curves are thinned, so hours of recordings take a few megabytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from tqdm import tqdm

from ast_net_ros.atomic_files import atomic_write
from ast_net_ros.evaluation.metrics.accuracy import DIMENSIONS
from ast_net_ros.evaluation.metrics.summary import counted
from ast_net_ros.evaluation.recording_result import RecordingResult
from ast_net_ros.evaluation.report import page_plots
from ast_net_ros.evaluation.report.page_plots import NONE, clock, number, signed
from ast_net_ros.evaluation.report.thumbnails import read_thumbnails, thumbnails_wanted, worst_moments

_MAX_FACE_IDS = 6
_LABELS = {"ccc": "CCC", "r": "r", "rmse": "RMSE", "mae": "MAE", "sagr": "SAGR"}


def write_report(
    path: Path,
    metrics: Mapping[str, Any],
    results: Sequence[RecordingResult],
    thumbnails: bool | None = None,
    show_progress: bool = False,
) -> None:
    """Write the page; it appears complete or not at all.

    Without a choice, `thumbnails` of the worst frames are shown for offline recordings only. They are read from the
    recordings, and their boxes from `recordings/NAME` beside `path`; if that fails, the page says so.
    """
    folder = path.parent / "recordings"
    warm_up = metrics["options"]["warm_up_seconds"]
    # The more recordings, the less of each, so that the page stays small.
    points = max(160, min(1000, 24_000 // max(1, len(results))))
    moments = max(2, min(6, 96 // max(1, len(results))))
    bar = tqdm(list(zip(results, metrics["recordings"])), desc="report", disable=None if show_progress else True)
    parts = [
        _recording_part(place, result, single, warm_up, points)
        | _moments(result, warm_up, moments, folder / result.name, thumbnails_wanted(result, thumbnails))
        for place, (result, single) in enumerate(bar, 1)
    ]
    groups = [
        _group(mode, pooled, [(r, p) for r, p in zip(results, parts) if r.mode == mode], warm_up)
        for mode, pooled in metrics["pooled"].items()
    ]
    single = _single(metrics)
    comparison = metrics.get("comparison")
    page = template_environment().get_template("report.html.j2").render(
        title=single[0]["name"] if len(single) == 1 else f"{len(single)} recordings",
        subtitle=_subtitle(metrics),
        schema=metrics["schema"],
        options=metrics["options"],
        run=list(flat({name: value for name, value in metrics["run"].items() if name != "failed"})),
        failed=metrics["run"].get("failed") or [],
        parts=parts,
        groups=groups,
        marked=[part for part in parts if part["metrics"]["partial"] or part["metrics"]["problems"]],
        comparison=comparison,
        comparison_rows=_comparison_rows(comparison) if comparison else {},
    )  # fmt: skip
    atomic_write(path, page)


@cache  # which keeps the compiled templates
def template_environment() -> jinja2.Environment:
    """Return the environment of the templates: everything is escaped, and the filters that format values."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
        "counted": lambda count, thing: f"{thousands(count)} {thing}{'' if count == 1 else 's'}",
        "duration": duration,
        "moment": lambda seconds: clock(int(seconds), hours=seconds >= 3600) + f"{seconds % 1:.1f}"[1:],
        "num": number,
        "percent": lambda share: number(None if share is None else 100 * share, 1 if share not in (0, 1) else 0),
        "plot": Markup,
        "signed": signed,
        "thousands": thousands,
    }
    return environment


def thousands(count: int | None) -> str:
    """Format a count as 12 345 with narrow no-break spaces."""
    return NONE if count is None else f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float) -> str:
    """Format seconds as 4.2 s, 3 min 20 s or 1 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return "{} min {} s".format(*divmod(round(seconds), 60))
    return "{} h {} min".format(*divmod(round(seconds / 60), 60))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (label, text) of nested values; underscores in names become spaces."""
    for name, value in values.items():
        label = prefix + (name if name.endswith("sha256") else name.replace("_", " "))
        if isinstance(value, Mapping):
            yield from flat(value, f"{label}, ")
        elif isinstance(value, (list, tuple)):
            rows = [
                ", ".join(f"{k} {v}" for k, v in flat(row)) if isinstance(row, Mapping) else str(row) for row in value
            ]
            yield label, "; ".join(rows)
        elif value is not None:
            yield label, f"{value:g}" if isinstance(value, float) else str(value)


def _recording_part(
    place: int, result: RecordingResult, metrics: Mapping[str, Any], warm_up: float, points: int
) -> dict[str, Any]:
    """Return what the template shows of one recording, except single moments."""
    faces = list(dict.fromkeys(face for face in result.face_ids if face))
    part: dict[str, Any] = {
        "number": place,
        "metrics": metrics,
        "face_ids": faces[:_MAX_FACE_IDS],
        "more_faces": max(0, len(faces) - _MAX_FACE_IDS),
        "live": list(flat(metrics["live"])) if metrics["live"] else [],
        "wide": None,
        "errors": page_plots.error_distribution([result], warm_up),
        "confidence": page_plots.confidence_plot(metrics["confidence"]),
    }
    if counted(result, 0.0).any():
        part["wide"] = page_plots.time_curves(result, warm_up, page_plots.WIDE, points)
        part["narrow"] = page_plots.time_curves(result, warm_up, page_plots.NARROW, points // 2)
        part["path"] = page_plots.affect_path(result, warm_up)
    return part


def _moments(result: RecordingResult, warm_up: float, most: int, folder: Path, wanted: bool) -> dict[str, Any]:
    moments = worst_moments(result, warm_up, most)
    images: dict[int, bytes] = {}
    problem = ""
    if wanted and moments:
        try:
            images = read_thumbnails(result, moments, folder if folder.is_dir() else None)
        except (OSError, ValueError) as error:  # the report is complete without them
            problem = str(error)
    uris = {frame: "data:image/jpeg;base64," + base64.b64encode(jpeg).decode() for frame, jpeg in images.items()}
    entries = [{"moment": moment, "image": uris.get(moment.frame)} for moment in moments]
    return {"moments": entries, "thumbnails": wanted, "thumbnails_problem": problem}


def _group(
    mode: str, pooled: Mapping[str, Any], members: Sequence[tuple[RecordingResult, dict[str, Any]]], warm_up: float
) -> dict[str, Any]:
    """Return what the template shows of all recordings of one mode."""
    parts, several = [part for _, part in members], len(members) > 1
    return {
        "mode": mode,
        "pooled": pooled,
        "parts": parts,
        "errors": page_plots.error_distribution([r for r, _ in members], warm_up) if several else None,
        "confidence": page_plots.confidence_plot(pooled["confidence"]) if several else None,
        "latency": _latency([part["metrics"]["live"] for part in parts if part["metrics"]["live"]]),
    }


def _latency(live: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the latency of the slowest live run, which a mean of medians would hide."""
    known = [run for run in live if (run.get("latency_ms") or {}).get("median") is not None]
    if not known:
        return None
    slowest = max(known, key=lambda run: run["latency_ms"]["median"])["latency_ms"]
    return {
        "median": slowest["median"],
        "p95": slowest.get("p95"),
        "dropped": sum(run.get("frames_dropped", 0) for run in live),
        "sent": sum(run.get("frames_sent", 0) for run in live),
    }


def _comparison_rows(comparison: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the table rows of each mode, with positions of the interval's bar in percent; zero is in the middle."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for mode, modes in comparison["modes"].items():
        cells = [(dimension, measure, modes[dimension][measure]) for dimension in DIMENSIONS for measure in _LABELS]
        edges = [abs(v) for *_, p in cells for v in (p["difference"], *(p["interval"] or ())) if v is not None]
        reach = max(edges, default=0.0) or 1.0
        tables[mode] = [
            {
                "dimension": dimension,
                "first": measure == "ccc",
                "label": _LABELS[measure],
                "paired": paired,
                "bar": _bar(paired, reach),
            }
            for dimension, measure, paired in cells
        ]
    return tables


def _bar(paired: Mapping[str, Any], reach: float) -> dict[str, float | None] | None:
    if paired["difference"] is None:
        return None
    dot, *ends = (round(50 + 45 * value / reach, 2) for value in (paired["difference"], *(paired["interval"] or ())))
    left, width = (ends[0], round(ends[1] - ends[0], 2)) if ends else (None, None)
    return {"dot": dot, "left": left, "width": width}


def _single(metrics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return each recording once; one that was also played live has two entries."""
    return list({(single["path"], single["topic"]): single for single in metrics["recordings"]}.values())


def _subtitle(metrics: Mapping[str, Any]) -> str:
    """Return the total duration, the day (the exact time is at the end of the page), device and weights."""
    run = metrics["run"]
    parts = [duration(sum(single["duration_seconds"] for single in _single(metrics)))]
    if run.get("started"):
        started = datetime.fromisoformat(run["started"])
        parts.append(f"{started.day} {started:%B %Y}")
    if run.get("device"):
        parts.append(f"on {run['device']}")
    if run.get("weights_sha256"):
        parts.append(f"weights {run['weights_sha256'][:12]}")
    return " · ".join(parts)
