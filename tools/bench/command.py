"""`ast_net bench`. Only click is imported here, so that help comes at once; the rest on use."""

from __future__ import annotations

from pathlib import Path

import click

NAMES = ("model", "stages", "pipeline", "floors", "peers", "node", "gpu")
FILES = ("results.json", "README.md")


@click.command()
@click.argument("video", type=click.Path(path_type=Path), required=False)
@click.option(
    "--output", "-o", metavar="DIR", type=click.Path(path_type=Path), default=Path("out/bench"), show_default=True,
    help="Folder of folders: the results go into one named after the machine.",
)  # fmt: skip
@click.option("--name", metavar="NAME", help="Of the machine.  [default: made of its processor]")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="This scenario; may be given several times.")
@click.option("--skip", multiple=True, type=click.Choice(NAMES), help="All but this one; may be given several times.")
@click.option("--full", is_flag=True, help="The node's long runs: five minutes at 30 Hz, ten of memory (about 25 min).")
@click.option("--weights", metavar="PATH", type=click.Path(path_type=Path), help="Weights.  [default: packaged]")
@click.option("--device", default="auto", metavar="NAME", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--runtime", default="auto", metavar="NAME", show_default=True, help="What computes the CNN.")
@click.option("--precision", default="auto", metavar="NAME", show_default=True, help="Of the CNN's arithmetic.")
@click.option(
    "--peer-python", metavar="PATH", type=click.Path(path_type=Path), help="Python of an environment with fer."
)
@click.option("--frames", type=click.IntRange(3), default=90, show_default=True, help="Of the video, for each pass.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--latency", type=click.FloatRange(0), metavar="S", help="Seconds of the node at 30 Hz.  [default: 20]")
@click.option("--probe", type=click.FloatRange(0), metavar="S", help="Seconds of each rate tried.  [default: 4]")
@click.option("--cameras", type=click.FloatRange(0), metavar="S", help="Seconds with several cameras.  [default: 5]")
@click.option("--growth", type=click.FloatRange(0), metavar="S", help="Seconds of watching memory.  [default: 30]")
@click.option("--starts", type=click.IntRange(0), metavar="N", help="Starts of the node.  [default: 3]")
def bench(
    video: Path | None,
    output: Path,
    name: str | None,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    full: bool,
    weights: Path | None,
    device: str,
    precision: str,
    runtime: str,
    peer_python: Path | None,
    frames: int,
    repeats: int,
    **lengths: float | None,
) -> None:
    """Measure the model, the pipeline and the node: results.json, a page and plots for this machine.

    VIDEO shows one face; without it, the one that `make bench` fetched is taken. A part of the node's scenario is left
    out with the length 0. What cannot be measured here is named with the reason.
    """
    import json
    import os
    import signal
    import sys
    from dataclasses import replace

    from ast_net_ros.atomic_files import atomic_dir
    from bench import node
    from bench.harness import Options, finite, run_benchmark
    from bench.plots import FILES as PLOTS
    from bench.plots import write_plots
    from bench.table import results_page

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that what was started is ended
    given = {part: value for part, value in lengths.items() if value is not None}
    options = Options(
        video=video or Path(os.environ.get("AST_NET_MEDIA", ".cache/media")) / "WolfgangLanger_Pexels.mp4",
        weights=weights,
        device=device,
        precision=precision,
        runtime=runtime,
        frames=frames,
        repeats=repeats,
        wanted=tuple(scenario for scenario in NAMES if (not only or scenario in only) and scenario not in skip),
        peer_python=peer_python,
        machine_name=name,
        lengths=replace(node.FULL if full else node.Lengths(), **given),  # type: ignore[arg-type]
    )
    results = finite(run_benchmark(options))
    page = results_page(results)
    folder = output / results["machine"]["name"]
    with atomic_dir(folder, (*FILES, *PLOTS)) as aside:
        (aside / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (aside / "README.md").write_text(page)
        write_plots(results, aside)
    click.echo(page)
    click.echo(f"written: {folder}/results.json, README.md and plots")
