"""ONNX Runtime as this package uses it: on the CPU, with few threads, and silent.

In: an ONNX model as bytes. Out: a session that runs it. Everything that runs a graph imports the library from here,
because official Linux builds from 1.29 on note each session in the user's cache folder and send the notes to their
maker. Nothing of the kind may leave a robot that looks at people.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the library is loaded

import onnxruntime

if hasattr(onnxruntime, "disable_telemetry_events"):  # in case that somebody else had loaded it before
    onnxruntime.disable_telemetry_events()


def cpu_session(model: bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session for `model`. threads: that it computes with; 0 for what suits the machine (`suitable_threads`)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or suitable_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would burn the cores that the rest of the robot needs between two images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def suitable_threads() -> int:
    """Half of the cores, two at most: the networks are small, so that more threads cost work and gain little.

    Two threads on two cores: a tenth less time for a frame, 40 % more work (docs/performance.md).
    """
    return min(2, max(1, len(os.sched_getaffinity(0)) // 2))


def profiling_session(model: bytes, prefix: str) -> onnxruntime.InferenceSession:
    """A session that runs `model` as written and notes every layer, in a file whose path begins with `prefix`."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = prefix
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
