"""The command `bench`. Only click is imported at once, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path

import click

NAMES = ("model", "stages", "pipeline", "floors", "footprint", "peers", "node", "gpu")
FILES = ("results.json", "README.md")


@click.command()
@click.argument("video", type=click.Path(path_type=Path), required=False)
@click.option(
    "--output", "-o", metavar="DIR", type=click.Path(path_type=Path), default=Path("out/bench"), show_default=True,
    help="Parent directory: the results go into one named after the machine.",
)  # fmt: skip
@click.option("--name", metavar="NAME", help="Name of the machine.  [default: from its processor]")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Only this scenario; repeatable.")
@click.option("--skip", multiple=True, type=click.Choice(NAMES), help="Skip this scenario; repeatable.")
@click.option("--full", is_flag=True, help="Long runs of the node: five minutes at 30 Hz, ten for memory (25 minutes).")
@click.option("--weights", metavar="PATH", type=click.Path(path_type=Path), help="Weights file.  [default: packaged]")
@click.option("--device", default="auto", metavar="NAME", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--runtime", default="auto", metavar="NAME", show_default=True, help="What computes the CNN.")
@click.option("--precision", default="auto", metavar="NAME", show_default=True, help="Arithmetic of the CNN.")
@click.option(
    "--peer-python", metavar="PEER=PATH", multiple=True, help="Python of an environment with the peer fer or py-feat."
)
@click.option(
    "--frames", type=click.IntRange(3), default=90, show_default=True, help="Frames of the video in each pass."
)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True)
@click.option("--latency", type=click.FloatRange(0), metavar="S", help="Seconds of the node at 30 Hz.  [default: 20]")
@click.option("--probe", type=click.FloatRange(0), metavar="S", help="Seconds at each rate.  [default: 4]")
@click.option("--cameras", type=click.FloatRange(0), metavar="S", help="Seconds with several cameras.  [default: 5]")
@click.option("--growth", type=click.FloatRange(0), metavar="S", help="Seconds of sampling memory.  [default: 30]")
@click.option("--starts", type=click.IntRange(0), metavar="N", help="Number of start-ups.  [default: 3]")
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
    peer_python: tuple[str, ...],
    frames: int,
    repeats: int,
    **lengths: float | None,
) -> None:
    """Measure the model, the pipeline and the node, and write results.json, a page and plots.

    VIDEO shows one face; the default is the one that `make bench` fetches. The length 0 skips a part of the node's
    scenario. What cannot be measured here is listed with the reason.
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

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that child processes are ended
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
        peers=_peers(peer_python),
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
    click.echo(f"results in {folder}: results.json, README.md and plots")


def _peers(given: tuple[str, ...]) -> dict[str, Path]:
    """Return the interpreter of each peer."""
    from bench.peer_process import PEERS

    peers = {}
    for text in given:
        peer, _, python = text.rpartition("=")
        peers[peer or "fer"] = Path(python)
    if unknown := set(peers) - set(PEERS):
        raise click.BadParameter(
            f"'{unknown.pop()}' is no peer; use {' or '.join(PEERS)}, as in fer=PATH", param_hint="--peer-python"
        )
    return peers
