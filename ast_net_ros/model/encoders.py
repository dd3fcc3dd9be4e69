"""The back ends that run the CNN, behind one interface, and the choice among them by device, precision and runtime."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ast_net_ros.model.errors import DeviceError, DeviceMemoryError
from ast_net_ros.model.onnx_export import onnx_model
from ast_net_ros.model.weights import Weights

# What each runtime computes on each kind of device; the preferred runtime of a kind first.
_PRECISIONS = {
    ("cpu", "onnxruntime"): ("float32",),
    ("cpu", "torch"): ("float32", "bfloat16"),
    ("cuda", "torch"): ("float32", "bfloat16", "float16"),
    ("cuda", "onnxruntime"): ("float32",),
    ("cuda", "tensorrt"): ("float32",),
}
RUNTIMES = ("onnxruntime", "torch", "tensorrt")
PRECISIONS = ("float32", "bfloat16", "float16")


def runtimes_for(device: str, precision: str) -> list[str]:
    """List the runtimes that compute in `precision` on `device` ("cpu" or "cuda"), the preferred one first."""
    return [name for (kind, name), computed in _PRECISIONS.items() if kind == device and precision in computed]


class Encoder(Protocol):
    """Computes attribute features and emotion logits of chips. Safe to share between threads."""

    def __call__(self, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encode chips (N x S x S uint8) into attributes (N x F float32) and logits (N x 8 float32).

        Raises:
            DeviceMemoryError: The batch does not fit into the device's memory.
        """
        ...


@dataclass(frozen=True)
class Backend:
    """Where and how the CNN runs.

    Attributes:
        device: "cpu" or "cuda:N".
        precision: One of PRECISIONS.
        runtime: One of RUNTIMES.
    """

    device: str
    precision: str
    runtime: str

    @property
    def index(self) -> int:
        """Return the number of the GPU."""
        return int(self.device.partition(":")[2] or 0)


def choose_backend(device: str, precision: str, runtime: str) -> Backend:
    """Resolve "auto" and refuse what is not available.

    Torch is imported only where a GPU is present and torch may use it.

    Raises:
        DeviceError: The device, precision or runtime is unknown, unavailable, or does not fit the others.
    """
    if runtime not in ("auto", *RUNTIMES):
        raise DeviceError(f"runtime '{runtime}': unknown; use auto, {', '.join(RUNTIMES)}")
    if precision not in ("auto", *PRECISIONS):
        raise DeviceError(f"precision '{precision}': unknown; use auto, {', '.join(PRECISIONS)}")
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device):
        raise DeviceError(f"device '{device}': unknown; use auto, cpu, cuda or cuda:N")
    arithmetic = "float32" if precision == "auto" else precision  # equal results everywhere; the network is small
    if device == "auto":
        usable = _gpu_runtimes(runtime, arithmetic) if gpu_count() else []
        device = "cuda:0" if usable else "cpu"
    elif device == "cuda":
        device = "cuda:0"
    kind = device.partition(":")[0]
    if kind == "cuda" and Backend(device, "", "").index >= gpu_count():
        raise DeviceError(f"device '{device}': the NVIDIA driver reports {gpu_count()} GPUs; use auto or cpu")
    if runtime == "auto":
        candidates = runtimes_for("cpu", arithmetic) if kind == "cpu" else _gpu_runtimes("auto", arithmetic)
        if kind == "cuda" and not candidates:
            raise DeviceError(
                f"device 'cuda': neither torch nor ONNX Runtime can use the GPU in {arithmetic}; install torch with "
                "CUDA (https://pytorch.org) or onnxruntime-gpu in place of onnxruntime"
            )
        runtime = candidates[0] if candidates else "torch"  # for float16 on a CPU, which is refused below
    allowed = _PRECISIONS.get((kind, runtime), ())
    if arithmetic not in allowed:
        fitting = runtimes_for(kind, arithmetic)
        other = f"use runtime {' or '.join(fitting)}" if fitting else f"use {' or '.join(allowed)}, or a GPU"
        raise DeviceError(f"runtime '{runtime}' does not support {arithmetic} on {device}; {other}")
    if runtime == "torch" and not _installed("torch"):
        raise DeviceError("runtime 'torch': the package torch is not installed; pip install 'ast_net_ros[torch]'")
    return Backend(device, arithmetic, runtime)


def make_encoder(weights: Weights, backend: Backend, threads: int = 0) -> Encoder:
    """Make the encoder of a back end; DeviceError: this machine cannot run it.

    `threads` are those of ONNX Runtime on the CPU; 0 chooses for this machine.
    """
    if backend.runtime == "torch":
        from ast_net_ros.model.torch_encoder import TorchEncoder

        return TorchEncoder(weights, backend)
    return OrtEncoder(weights, backend, threads)


class OrtEncoder:
    """Encodes chips with ONNX Runtime, on the CPU or on a GPU."""

    def __init__(self, weights: Weights, backend: Backend, threads: int = 0):
        from ast_net_ros.model import ort_session

        model = onnx_model(weights)
        if backend.device == "cpu":
            self._session = ort_session.cpu_session(model, threads)
        else:
            provider = ort_session.TENSORRT if backend.runtime == "tensorrt" else ort_session.CUDA
            self._session = ort_session.gpu_session(model, provider, backend.index)

    def __call__(self, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Encoder`."""
        try:
            return self._session.run(None, {"chips": chips[:, None]})
        except Exception as error:  # its exceptions share no base class
            if "Failed to allocate memory" in str(error):
                raise DeviceMemoryError(str(error)) from None
            raise


def gpu_count() -> int:
    """Count the GPUs that CUDA offers, by asking the driver: importing torch for it would take a second and 200 MB."""
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(library)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0


def _gpu_runtimes(runtime: str, precision: str) -> list[str]:
    """The runtimes among `runtime` ("auto": all but TensorRT, which is slow to start) that can use a GPU."""
    from ast_net_ros.model import ort_session

    def usable(name: str) -> bool:
        if name == "torch":
            return _torch_has_cuda()
        return ort_session.has_provider(ort_session.TENSORRT if name == "tensorrt" else ort_session.CUDA)

    wanted = ("torch", "onnxruntime") if runtime == "auto" else (runtime,)
    return [name for name in wanted if precision in _PRECISIONS["cuda", name] and usable(name)]


def _torch_has_cuda() -> bool:
    if not _installed("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
