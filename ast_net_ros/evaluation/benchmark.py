"""How fast the pipeline is on this machine, stage by stage, as data.

In: a video with faces. Out: a dictionary (machine, versions, configuration, figures as min, median and max over the
repeats), which :func:`benchmark_table` shows as Markdown. Times on a shared machine vary: compare figures of one run.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from ast_net_ros.model.network import ASTNet
from ast_net_ros.model.runtime import AffectModel
from ast_net_ros.pipeline import AffectPipeline, PipelineSettings
from ast_net_ros.vision.video import open_video

SCHEMA = "ast_net_bench/1"
SIZES = ((320, 180), (640, 360), (1280, 720))  # width, height
BATCHES = (1, 2, 4, 8, 16)


def benchmark(video: Path, model: AffectModel, frames: int = 120, repeats: int = 5) -> dict:
    """Measure the model alone and the whole pipeline on the first `frames` of `video`."""
    with open_video(str(video)) as source:
        clip = [image for _, image in islice(source, frames)]
        rate = source.fps
    pipeline = AffectPipeline(model)
    progress = tqdm(total=len(BATCHES) + 2 * len(SIZES), desc="measuring", unit="scenario")
    alone = {}
    for batch in BATCHES:
        alone[str(batch)] = _model_alone(model, batch, repeats)
        progress.update()
    whole = {}
    for width, height in SIZES:
        resized = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in clip]
        for name, interval in (("detection in every frame", 0.0), ("detection every 0.2 s", 0.2)):
            settings = PipelineSettings(detection_interval=interval)
            runs = [_run_pipeline(pipeline, resized, rate, settings) for _ in range(repeats)]
            whole[f"{width}x{height}, {name}"] = {key: _spread([run[key] for run in runs]) for key in runs[0]}
            progress.update()
    progress.close()
    return {
        "schema": SCHEMA,
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnxruntime": metadata.version("onnxruntime"),
            "opencv": cv2.__version__,
            "numpy": np.__version__,
        },
        "configuration": {
            "video": video.name,
            "frames": len(clip),
            "repeats": repeats,
            "device": str(model.device),
            "precision": model.precision,
            "weights_sha256": model.weights_hash,
            "torch_threads": torch.get_num_threads(),
            "parameters": sum(p.numel() for p in ASTNet(model.config).parameters()),
        },
        "model_alone_ms": alone,
        "pipeline": whole,
    }


def _model_alone(model: AffectModel, batch: int, repeats: int, calls: int = 20) -> dict:
    """Milliseconds of one `encode` and one `step` of `batch` faces."""
    side = model.config.chip_side
    chips = torch.randint(0, 256, (batch, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    state = model.initial_state(batch)
    attributes, _ = model.encode(chips)
    encode = [_milliseconds(lambda: model.encode(chips), calls, model.device) for _ in range(repeats)]
    step = [_milliseconds(lambda: model.step(attributes, state), calls, model.device) for _ in range(repeats)]
    return {"encode": _spread(encode), "step": _spread(step)}


def _milliseconds(call: Callable[[], object], calls: int, device: torch.device) -> float:
    def settled() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    call()
    began = settled()
    for _ in range(calls):
        call()
    return (settled() - began) / calls * 1e3


def _run_pipeline(
    pipeline: AffectPipeline, clip: Sequence[np.ndarray], rate: float, settings: PipelineSettings
) -> dict[str, float]:
    """Frames per second and mean milliseconds of every stage over one pass of the clip."""
    pipeline.reset()
    pipeline.settings = settings
    stages: dict[str, float] = {}
    faces = 0
    began = time.perf_counter()
    for index, image in enumerate(clip):
        faces += len(pipeline.process(image, index / rate))
        for stage, seconds in pipeline.timings.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    elapsed = time.perf_counter() - began
    figures = {f"{stage}_ms": seconds / len(clip) * 1e3 for stage, seconds in stages.items()}
    return {"frames_per_second": len(clip) / elapsed, "faces_per_frame": faces / len(clip), **figures}


def benchmark_table(results: dict) -> str:
    """The figures (medians) as Markdown."""
    machine, about = results["machine"], results["configuration"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores; torch {results['versions']['torch']} on {about['device']} "
        f"in {about['precision']}, {about['torch_threads']} threads. Medians of {about['repeats']} runs.",
        "",
        "| faces at once | encode, ms | step, ms | ms a face |",
        "|---|---|---|---|",
    ]
    for batch, row in results["model_alone_ms"].items():
        encode, step = row["encode"]["median"], row["step"]["median"]
        lines.append(f"| {batch} | {encode:.2f} | {step:.2f} | {(encode + step) / int(batch):.2f} |")
    stages = [key for key in next(iter(results["pipeline"].values())) if key.endswith("_ms")]
    names = [key.removesuffix("_ms") for key in stages]
    lines += ["", f"| pipeline, one face | frames/s | {', ms | '.join(names)}, ms |", "|---" * (len(stages) + 2) + "|"]
    for name, row in results["pipeline"].items():
        cells = [f"{row['frames_per_second']['median']:.0f}", *(f"{row[stage]['median']:.2f}" for stage in stages)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "min": round(min(values), 4),
        "median": round(statistics.median(values), 4),
        "max": round(max(values), 4),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
