"""The results as a page of Markdown; numbers are medians unless stated otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.scenarios import PIPELINE_STAGES


def results_page(results: dict) -> str:
    """Return the page for the content of results.json."""
    metrics = results["metrics"]
    sections = [
        _head(results),
        _targets(results["targets"]),
        _model(metrics),
        _pipeline(metrics.get("pipeline", {})),
        _stages(metrics),
        _footprint(metrics.get("footprint", {})),
        _peers(metrics.get("peers", {})),
        _node(metrics.get("node", {})),
        _gpu(metrics.get("gpu", {})),
        _skipped(results["skipped"]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; floats as :func:`number` formats them."""
    lines = [_line(head), "|" + "---|" * len(head)]
    return "\n".join(lines + [_line([_cell(value) for value in row]) for row in rows])


def number(value: float) -> str:
    """Format a number with three significant digits, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return number(value["median"])
    if isinstance(value, float):
        return number(value)
    return "-" if value is None else str(value)


def _ranged(figure: dict[str, float]) -> str:
    return f"{number(figure['median'])} ({number(figure['min'])} to {number(figure['max'])})"


def _head(results: dict) -> str:
    machine, about, versions = results["machine"], results["configuration"], results["versions"]
    lines = [
        f"# {machine['name']}",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB"
        + (f", {machine['gpu']}" if machine["gpu"] else "")
        + f"; {machine['system']}. Measured on {results['date']}, load {machine['load_before']} before and "
        f"{machine['load_after']} after the run"
        + (f", at niceness {machine['niceness']}" if machine["niceness"] else "")
        + ("." if machine["quiet"] else ": **the machine was busy, so the times are too long**."),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
    ]
    if "weights_sha256" in about:
        lines.append(
            f"{about['video']}, {about['frames']} frames, {about['repeats']} repeats, on {about['device']} in "
            f"{about['precision']} by {about['runtime']}; weights {about['weights_sha256'][:12]} "
            f"({about['parameters'] / 1e6:.2f} million parameters, {about['operations_per_face'] / 2e6:.1f} million "
            f"multiply-adds per face). Medians, with min and max in parentheses; results.json has all metrics."
        )
    return "\n\n".join(lines)


def _targets(rows: list[dict]) -> str:
    verdict = {True: "yes", False: "**no**", None: "not measured"}
    shown = [(r["metric"], r["target"], _with_unit(r["measured"], r["unit"]), verdict[r["met"]]) for r in rows]
    return "## Targets\n\n" + table(("metric", "target", "measured", "met"), shown)


def _with_unit(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{number(value)} {unit}".strip()


def _model(metrics: dict) -> str:
    measured = {"": metrics.get("model", {})}
    measured |= {f" ({runtime})": threads for runtime, threads in metrics.get("other_runtimes", {}).items()}
    rows = [
        (name + runtime, batch, _ranged(row["encode_ms"]), _ranged(row["step_ms"]), row["each_face_ms"])
        for runtime, threads in measured.items()
        for name, batches in threads.items()
        for batch, row in batches.items()
    ]
    head = ("threads", "faces at once", "encode, ms", "step, ms", "ms per face")
    return "## Model alone\n\n" + table(head, rows) if rows else ""


def _pipeline(scenarios: dict[str, dict]) -> str:
    if not scenarios:
        return ""
    rows = [
        (name, _ranged(row["frames_per_second"]), row["frame_p99_ms"],
         *(row.get(f"{stage}_ms") for stage in PIPELINE_STAGES), row["faces_per_frame"])
        for name, row in scenarios.items()
    ]  # fmt: skip
    head = ("frames", "frames/s", "p99, ms", *(f"{stage}, ms" for stage in PIPELINE_STAGES), "faces found")
    return "## Pipeline, end to end\n\n" + table(head, rows) + "\n\n![frames per second](pipeline.png)"


def _stages(metrics: dict) -> str:
    stages, floors = metrics.get("stages", {}), metrics.get("floors", {})
    if not stages:
        return ""
    known = floors.get("stages", {})
    rows = []
    for name, figure in stages.items():
        floor = known.get(name)
        rows.append((name, _ranged(figure), *_floor_cells(floor)))
    text = "## Stages at 640x360 with one face, and their floors\n\n"
    if floors:
        copies = ", ".join(
            f"{_ranged_giga(rate)} GB/s {where}" for where, rate in floors["copy_bytes_per_second"].items()
        )
        text += (
            f"Matrix products: {_ranged_giga(floors['matrix_operations_per_second'])} billion float32 operations per "
            f"second. Copies: {copies}. With {floors['threads']} threads.\n\n"
        )
    head = ("stage", "measured, ms", "million operations", "megabytes", "floor, ms", "times the floor")
    return text + table(head, rows) + ("\n\n![stages and floors](stages.png)" if known else "")


def _floor_cells(floor: dict | None) -> tuple[object, ...]:
    if floor is None:
        return ("-",) * 4
    return (floor["operations"] / 1e6, floor["bytes"] / 1e6, floor["floor_ms"], floor["times_the_floor"])


def _ranged_giga(figure: dict[str, float]) -> str:
    return _ranged({key: value / 1e9 for key, value in figure.items()})


def _footprint(footprint: dict) -> str:
    if not footprint:
        return ""
    rows = [
        ("import to the first result, s", _ranged(footprint["first_frame_s"])),
        ("resident memory after one frame, MB", _ranged(footprint["resident_mb"])),
        ("installed size with all requirements, MB", footprint["install_mb"]),
        ("installed size on a robot, beside ROS and its apt packages, MB", footprint["beside_ros_mb"]),
    ]
    return "## Library in a fresh process\n\n" + table(("", "measured"), rows)


def _peers(peers: dict) -> str:
    if not peers:
        return ""
    parts = ["## Compared with other packages, in the same run"]
    for peer in (name for name in peers if name != "networks"):
        found = peers[peer]
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        rows: list[tuple[object, ...]] = [
            (
                f"ast_net_ros, {way}",
                _ranged(own["frames_per_second"]),
                float(own["faces_per_frame"]),
                _ranged(own["ratio"]),
            )
            for way, own in found["ours"].items()
        ]
        rows.append((peer, _ranged(found["theirs_frames_per_second"]), float(found["theirs_faces_per_frame"]), "1"))
        parts.append(
            f"Whole pipelines on {found['frames']}, each with its own defaults unless stated otherwise "
            f"({versions}):\n\n" + table(("", "frames/s", "faces found per frame", f"times {peer}"), rows)
        )
    network_rows = [
        (name, row["parameters"] / 1e6, row["operations"] / 2e6, _ranged(row["face_ms"]),
         _ranged(row["ratio"]) if "ratio" in row else "1")
        for name, row in peers["networks"].items()
    ]  # fmt: skip
    head = ("network, one face", "million parameters", "million multiply-adds", "ms", "times ours")
    parts.append(
        "Networks alone; the others have their published shapes and random weights:\n\n" + table(head, network_rows)
    )
    return "\n\n".join(parts)


def _node(node: dict) -> str:
    if not node:
        return ""
    parts = [f"## Node over DDS, {node['size']}, one face"]
    rows: list[tuple[object, ...]] = [("bare pipeline, frames/s", _ranged(node["bare_pipeline"]["frames_per_second"]))]
    if "sustained" in node:
        rows += [
            ("one camera, highest rate probed without a drop, frames/s", node["sustained"]["without_a_drop"]),
            ("one camera, saturated, frames/s", _ranged(node["one camera, saturated"]["frames_per_second"])),
        ]
    if "start" in node:
        rows += [("start to first estimate, s", _ranged(node["start"]["first_estimate_s"]))]
    if "at 30 Hz" in node:
        run = node["at 30 Hz"]
        rows += [
            (f"30 Hz for {run['seconds']:.0f} s: dropped of {run['published']}", run["dropped"]),
            *((f"receipt to publish, {point}, ms", run["receipt_to_publish_ms"][point]) for point in _points(run)),
            *((f"stamp to publish, {point}, ms", run["stamp_to_publish_ms"][point]) for point in ("p50", "p99")),
            ("added by the node to the pipeline's time, %", 100 * run["overhead"]),
        ]
    if "growth" in node:
        grown = node["growth"]
        rows += [
            (f"memory over {grown['seconds']:.0f} s, MB", _ranged(grown["resident_mb"])),
            ("growth after warm-up, MB per minute", grown["growth_mb_per_minute"]),
        ]
    parts.append(table(("", "measured"), rows))
    if "cameras" in node:
        parts.append(_cameras(node))
    if "at 30 Hz" in node:
        parts.append("![latency](latency.png)")
    return "\n\n".join(parts)


def _points(run: dict) -> list[str]:
    return [point for point in ("p50", "p90", "p99", "max") if point in run["receipt_to_publish_ms"]]


def _cameras(node: dict) -> str:
    rows = []
    for kind, title in (
        ("cameras", "10 Hz each"),
        ("crowded", "slightly too fast in total"),
        ("overload", "twice too fast"),
    ):
        for count, run in node[kind].items():
            latency = run.get("receipt_to_publish_ms", {})
            rows.append(
                (title, count, _ranged(run["frames_per_second"]), f"{run['dropped']} of {run['published']}",
                 latency.get("p50"), latency.get("p99"), run.get("processing_ms"), run["resident_mb"],
                 100 * run["node_processor_share"], run["node_processor_ms_per_frame"],
                 run.get("least_served_over_most_served"))
            )  # fmt: skip
    head = ("rate", "cameras", "frames/s in total", "dropped", "p50, ms", "p99, ms", "processing, ms", "MB",
            "processor, % of a core", "processor, ms per frame", "least / most served")  # fmt: skip
    return table(head, rows)


def _gpu(precisions: dict[str, dict]) -> str:
    rows = [
        (precision, batch, row["encode_ms"], row["step_ms"])
        for precision, batches in precisions.items()
        for batch, row in batches.items()
    ]
    head = ("precision", "faces at once", "encode, ms", "step, ms")
    return "## GPU\n\n" + table(head, rows) if rows else ""


def _skipped(rows: list[dict[str, Any]]) -> str:
    return "## Skipped\n\n" + table(("what", "why"), [(row["what"], row["why"]) for row in rows]) if rows else ""
