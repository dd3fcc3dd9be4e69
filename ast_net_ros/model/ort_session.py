"""ONNX Runtime as this package uses it: few threads, no telemetry, and never on another device than the one asked for.

Everything that runs a graph imports the library from here: official Linux builds from 1.29 on record each session in
the user's cache folder and send the records to their vendor, which a robot that sees people must not do.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, when the library is loaded

import onnxruntime

from ast_net_ros.model.errors import DeviceError

if hasattr(onnxruntime, "disable_telemetry_events"):  # in case something else has loaded it before
    onnxruntime.disable_telemetry_events()

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


def cpu_session(model: bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """Make a session of an ONNX model on the CPU. DeviceError: the installed ONNX Runtime cannot load it.

    `threads` compute; 0 chooses for this machine (`suitable_threads`).
    """
    options = _options()
    options.intra_op_num_threads = threads or suitable_threads()
    # Spinning threads would occupy the cores that the rest of the robot needs between two images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return _session(model, options, [CPU])


def gpu_session(model: bytes, provider: str, index: int) -> onnxruntime.InferenceSession:
    """Make a session of an ONNX model with a provider (CUDA or TENSORRT) on the GPU of this number.

    Raises:
        DeviceError: The provider is missing, cannot be loaded, or ONNX Runtime has fallen back to another one.
    """
    if not has_provider(provider):
        raise DeviceError(
            f"ONNX Runtime {onnxruntime.__version__} has no {provider}; pip uninstall onnxruntime and "
            "pip install onnxruntime-gpu (on a Jetson, NVIDIA's wheel of it)"
        )
    # TF32 rounds to 10 bits: results would differ from the CPU's.
    wanted = [(CUDA, {"device_id": str(index), "use_tf32": "0"})]
    if provider == TENSORRT:  # what TensorRT cannot run still runs on the GPU
        wanted.insert(0, (TENSORRT, {"device_id": str(index)}))
    session = _session(model, _options(), wanted)
    actual = session.get_providers()[0]
    if actual != provider:
        raise DeviceError(
            f"ONNX Runtime {onnxruntime.__version__} fell back from {provider} to {actual}: its CUDA"
            f"{', TensorRT' if provider == TENSORRT else ''} or cuDNN libraries are missing; "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    return session


def has_provider(provider: str) -> bool:
    """Whether the installed ONNX Runtime was built with `provider`. Its libraries may still be missing."""
    return provider in onnxruntime.get_available_providers()


def suitable_threads() -> int:
    """Return half of the usable cores, two at most.

    The networks are small: more threads cost processor time and gain little. Two threads on two cores take a tenth
    less time for a frame and 40 % more processor time (docs/performance.md).
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(2, max(1, usable // 2))


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _session(model: bytes, options: onnxruntime.SessionOptions, providers: list) -> onnxruntime.InferenceSession:
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # its exceptions share no base class
        raise DeviceError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load the network ({error}); pip install 'onnxruntime>=1.16'"
        ) from error
    # Hand the memory that building a graph took back to the system (about 30 MB); glibc keeps it otherwise.
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another libc, such as musl
            ctypes.CDLL("libc.so.6").malloc_trim(0)
    return session
