"""report.html: an evaluation as one page that needs nothing beside it, on a screen, a phone or paper.

In: the figures of results.json and the recordings they are of. Out: one HTML file.

The page holds no script and loads nothing, and says so to the browser (a content security policy). Whatever comes from
a recording, a command line or another file is text to it: the template escapes all but the plots, which hold none of
it. Plots are inline SVG by matplotlib, which the package needs anyway; an interactive library would add megabytes of
script to each page. Curves are thinned to what can be seen, so that hours of recordings stay a few megabytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from tqdm import tqdm

from ast_net_ros.atomic_files import atomic_write
from ast_net_ros.evaluation.metrics.agreement import DIMENSIONS
from ast_net_ros.evaluation.metrics.summary import counted
from ast_net_ros.evaluation.recording_result import RecordingResult
from ast_net_ros.evaluation.report import page_plots as report_plots
from ast_net_ros.evaluation.report.page_plots import clock, signed
from ast_net_ros.evaluation.report.thumbnails import pictures_wanted, read_pictures, worst_moments

_ALL_POINTS, _MOST_POINTS, _FEWEST_POINTS = 24_000, 1000, 160
_ALL_MOMENTS, _MOST_MOMENTS = 96, 6
_FACES_NAMED = 6
_LABELS = {"ccc": "CCC", "r": "r", "rmse": "RMSE", "mae": "MAE", "sagr": "SAGR"}


def write_report(
    path: Path,
    figures: Mapping[str, Any],
    results: Sequence[RecordingResult],
    thumbnails: bool | None = None,
    show_progress: bool = False,
) -> None:
    """Writes the page; it appears whole or not at all.

    figures: of evaluation_figures(results). thumbnails: pictures of the worst moments; None makes them of offline
    recordings only. They are read from the recordings again, boxes from `recordings/NAME` beside `path`; where that
    fails the page says so.
    """
    page = report_page(figures, results, path.parent / "recordings", thumbnails, show_progress)
    atomic_write(path, page)


def report_page(
    figures: Mapping[str, Any],
    results: Sequence[RecordingResult],
    folder: Path,
    thumbnails: bool | None = None,
    show_progress: bool = False,
) -> str:
    """The page as text. folder: that which holds each recording's folder of results."""
    warm_up = figures["options"]["warm_up_seconds"]
    points = max(_FEWEST_POINTS, min(_MOST_POINTS, _ALL_POINTS // max(1, len(results))))
    moments = max(2, min(_MOST_MOMENTS, _ALL_MOMENTS // max(1, len(results))))
    bar = tqdm(list(zip(results, figures["recordings"])), desc="report", disable=None if show_progress else True)
    parts = [
        _recording_part(number, result, single, folder, (warm_up, points, moments), thumbnails)
        for number, (result, single) in enumerate(bar, 1)
    ]
    groups = [
        _group(mode, pooled, [(r, p) for r, p in zip(results, parts) if r.mode == mode], warm_up)
        for mode, pooled in figures["pooled"].items()
    ]
    comparison = figures.get("comparison")
    return _environment().get_template("report.html.j2").render(
        title=_title(figures),
        subtitle=_subtitle(figures),
        schema=figures["schema"],
        options=figures["options"],
        run=list(flat({name: value for name, value in figures["run"].items() if name != "failed"})),
        failed=figures["run"].get("failed") or [],
        parts=parts,
        groups=groups,
        marked=[part for part in parts if part["figures"]["partial"] or part["figures"]["problems"]],
        comparison=comparison,
        comparison_rows=_comparison_rows(comparison) if comparison else {},
    )  # fmt: skip


def _environment() -> jinja2.Environment:
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
        "signed": lambda value, digits=2: _NONE if value is None else signed(value, digits),
        "thousands": thousands,
    }
    return environment


_NONE = "–"  # noqa: RUF001  (an en dash, as in tables)


def number(value: float | None, digits: int = 2) -> str:
    """0.12, with a true minus; a dash where there is none."""
    if value is None:
        return _NONE
    text = f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def thousands(count: int | None) -> str:
    """12 345, with a narrow space that does not break."""
    return _NONE if count is None else f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float) -> str:
    """4.2 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{round(seconds) // 60} min {round(seconds) % 60} s"
    return f"{round(seconds / 60) // 60} h {round(seconds / 60) % 60} min"


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of nested values; underscores read as spaces, but not in what is a name itself."""
    for name, value in values.items():
        label = f"{prefix}{name.replace('_', ' ')}" if not name.endswith("sha256") else f"{prefix}{name}"
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
    place: int,
    result: RecordingResult,
    figures: Mapping[str, Any],
    folder: Path,
    limits: tuple[float, int, int],
    thumbnails: bool | None,
) -> dict[str, Any]:
    """What the template shows of one recording."""
    warm_up, points, most_moments = limits
    faces = list(dict.fromkeys(face for face in result.face_ids if face))
    part: dict[str, Any] = {
        "number": place,
        "figures": figures,
        "face_ids": faces[:_FACES_NAMED],
        "more_faces": max(0, len(faces) - _FACES_NAMED),
        "live": list(flat(figures["live"])) if figures["live"] else [],
        "wide": None,
        "errors": report_plots.error_distribution([result], warm_up),
        "confidence": report_plots.confidence_plot(figures["confidence"]),
    }
    if counted(result, 0.0).any():
        part["wide"] = report_plots.time_curves(result, warm_up, report_plots.WIDE, points)
        part["narrow"] = report_plots.time_curves(result, warm_up, report_plots.NARROW, points // 2)
        part["path"] = report_plots.affect_path(result, warm_up)
    return part | _moments(result, warm_up, most_moments, folder, pictures_wanted(result, thumbnails))


def _moments(result: RecordingResult, warm_up: float, most: int, folder: Path, wanted: bool) -> dict[str, Any]:
    moments = worst_moments(result, warm_up, most)
    pictures: dict[int, bytes] = {}
    problem = ""
    if wanted and moments:
        own_folder = folder / result.name
        try:
            pictures = read_pictures(result, moments, own_folder if own_folder.is_dir() else None)
        except (OSError, ValueError) as error:  # the figures stand without them
            problem = str(error)
    entries = [{"moment": m, "picture": _data_address(pictures.get(m.frame))} for m in moments]
    return {"moments": entries, "pictures": wanted, "pictures_problem": problem}


def _data_address(jpeg: bytes | None) -> str | None:
    return None if jpeg is None else "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _group(
    mode: str, pooled: Mapping[str, Any], members: Sequence[tuple[RecordingResult, dict[str, Any]]], warm_up: float
) -> dict[str, Any]:
    """What the template shows of all recordings of one mode."""
    parts, several = [part for _, part in members], len(members) > 1
    return {
        "mode": mode,
        "pooled": pooled,
        "parts": parts,
        "errors": report_plots.error_distribution([r for r, _ in members], warm_up) if several else None,
        "confidence": report_plots.confidence_plot(pooled["confidence"]) if several else None,
        "latency": _latency([part["figures"]["live"] for part in parts if part["figures"]["live"]]),
    }


def _latency(live: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Of several live runs the slowest: a mean of medians would hide it."""
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
    """Rows of the table of each mode, with the places of the interval's bar in percent; zero is in the middle."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for mode, modes in comparison["modes"].items():
        cells = [(dimension, measure, modes[dimension][measure]) for dimension in DIMENSIONS for measure in _LABELS]
        edges = [abs(v) for *_, p in cells for v in (p["difference"], *(p["interval"] or ())) if v is not None]
        reach = max(edges, default=0.0) or 1.0
        tables[mode] = [
            {
                "dimension": dimension,
                "first": measure == next(iter(_LABELS)),
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
    places = [round(50 + 45 * value / reach, 2) for value in (paired["difference"], *(paired["interval"] or ()))]
    if len(places) == 1:
        return {"dot": places[0], "left": None, "width": None}
    return {"dot": places[0], "left": places[1], "width": round(places[2] - places[1], 2)}


def _title(figures: Mapping[str, Any]) -> str:
    count = len(figures["recordings"])
    return figures["recordings"][0]["name"] if count == 1 else f"{count} recordings"


def _subtitle(figures: Mapping[str, Any]) -> str:
    total = sum(single["duration_seconds"] for single in figures["recordings"])
    run = figures["run"]
    weights = run.get("weights_sha256")
    said = (
        duration(total),
        run.get("started"),
        f"on {run['device']}" if run.get("device") else None,
        f"weights {weights[:12]}" if isinstance(weights, str) and weights else None,
    )
    return " · ".join(str(part) for part in said if part)
