"""Every back end computes the same, at every size, and one that is not available is refused by name."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from ast_net_ros.model import encoders, ort_session
from ast_net_ros.model.config import NetworkConfig
from ast_net_ros.model.encoders import choose_backend
from ast_net_ros.model.errors import DeviceError
from ast_net_ros.model.inference import DEFAULT_WEIGHTS, build_model, load_model
from ast_net_ros.model.network import ASTNet, load_weights, weights_of
from ast_net_ros.model.onnx_export import onnx_model

TOLERANCE = 2e-5
"""Of attribute features and probabilities: rounding, in another order of summation."""

CONFIGS = [
    NetworkConfig(widths=(8,), depths=(1,), attributes=8, hidden=4),
    NetworkConfig(chip_side=64, widths=(8, 16, 16), depths=(2, 1, 2), attributes=8, hidden=4),
]


def _chips(count: int, side: int = 48) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side), dtype=np.uint8)


def _trained(config: NetworkConfig) -> ASTNet:
    """A network with statistics as after training, so that folding them matters."""
    torch.manual_seed(1)
    network = ASTNet(config)
    for name, value in network.named_buffers():
        if name.endswith("running_mean"):
            value.normal_(0, 0.2)
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    return network.eval()


def _assert_equal(ours, theirs, tolerance=TOLERANCE) -> None:
    for one, other in zip(ours, theirs):
        assert one.dtype == other.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_both_runtimes_agree_on_the_default_weights(count):
    ours, theirs = (load_model(device="cpu", runtime=name).encode(_chips(count)) for name in ("onnxruntime", "torch"))
    _assert_equal(ours, theirs)


@pytest.mark.parametrize("config", CONFIGS)
def test_both_runtimes_agree_on_networks_of_other_sizes(config):
    weights, chips = weights_of(_trained(config)), _chips(3, config.chip_side)
    ours, theirs = (build_model(weights, runtime=name).encode(chips) for name in ("onnxruntime", "torch"))
    _assert_equal(ours, theirs)


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_both_runtimes_compute_the_network_that_was_trained(runtime):
    network, _ = load_weights(DEFAULT_WEIGHTS)
    chips = _chips(4)
    with torch.inference_mode():
        attributes, logits = network.encode(torch.from_numpy(chips).unsqueeze(1))
    model = load_model(device="cpu", runtime=runtime)
    _assert_equal(model.encode(chips), (attributes.numpy(), logits.softmax(dim=1).numpy()), 1e-4)


@pytest.mark.parametrize("config", [NetworkConfig(), *CONFIGS])
def test_the_graph_passes_the_checker_of_onnx(config):
    model = onnx.load_from_string(onnx_model(weights_of(_trained(config))))
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.output] == ["attributes", "logits"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
@pytest.mark.parametrize("shade", [0, 255])
def test_a_uniform_face_gives_finite_estimates(runtime, shade):
    model = load_model(device="cpu", runtime=runtime)
    assert all(np.isfinite(part).all() for part in model.encode(np.full((1, 48, 48), shade, np.uint8)))


def test_the_cpu_runs_without_torch_and_onnx():
    code = """
import sys
import numpy as np
from ast_net_ros.pipeline import AffectPipeline
pipeline = AffectPipeline()
pipeline.process(np.zeros((90, 160, 3), np.uint8), 0.0)
pipeline.model.warm_up()
print([name for name in ("torch", "onnx") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


def test_importing_the_model_loads_no_library_it_may_not_need():
    libraries = ("cv2", "rclpy", "onnxruntime", "torch")
    code = f"import sys, ast_net_ros.model; print([name for name in {libraries} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


def test_auto_takes_onnx_runtime_in_float32_and_torch_otherwise():
    assert load_model(device="cpu").runtime == "onnxruntime"
    assert load_model(device="cpu", precision="bfloat16").runtime == "torch"


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"device": "gpu"}, "device 'gpu': unknown; use auto, cpu"),
        ({"device": "cpu0"}, "device 'cpu0': unknown"),
        ({"device": "cuda:99"}, "device 'cuda:99': the NVIDIA driver reports"),
        ({"runtime": "tensorflow"}, "runtime 'tensorflow': unknown; use auto"),
        ({"runtime": "tensorrt"}, "'tensorrt' does not support float32 on cpu; use runtime onnxruntime or torch"),
        ({"precision": "int3"}, "precision 'int3': unknown"),
        ({"precision": "float16"}, "float16 on cpu; use float32 or bfloat16, or a GPU"),
        ({"precision": "bfloat16", "runtime": "onnxruntime"}, "bfloat16 on cpu; use runtime torch"),
    ],
)
def test_what_is_not_available_is_refused_with_the_fix(choice, complaint):
    with pytest.raises(DeviceError, match=complaint):
        load_model(**{"device": "cpu", **choice})


def test_without_torch_its_runtime_is_refused_with_the_fix(monkeypatch):
    monkeypatch.setattr(encoders, "_installed", lambda package: False)
    assert choose_backend("auto", "auto", "auto").runtime == "onnxruntime"
    with pytest.raises(DeviceError, match=r"pip install 'ast_net_ros\[torch\]'"):
        choose_backend("cpu", "bfloat16", "auto")


def test_a_gpu_that_no_library_can_use_is_refused_with_the_fix(monkeypatch):
    monkeypatch.setattr(encoders, "gpu_count", lambda: 1)
    monkeypatch.setattr(encoders, "_torch_has_cuda", lambda: False)
    monkeypatch.setattr(ort_session, "has_provider", lambda provider: False)
    assert choose_backend("auto", "auto", "auto").device == "cpu"
    with pytest.raises(DeviceError, match="install torch with CUDA .* or onnxruntime-gpu"):
        choose_backend("cuda", "auto", "auto")
    with pytest.raises(DeviceError, match="has no CUDAExecutionProvider.*onnxruntime-gpu"):
        load_model(device="cuda", runtime="onnxruntime")


def test_a_gpu_is_used_by_whichever_library_can(monkeypatch):
    monkeypatch.setattr(encoders, "gpu_count", lambda: 2)
    monkeypatch.setattr(encoders, "_torch_has_cuda", lambda: False)
    monkeypatch.setattr(ort_session, "has_provider", lambda provider: provider == ort_session.CUDA)
    backend = choose_backend("cuda:1", "auto", "auto")
    assert (backend.runtime, backend.index) == ("onnxruntime", 1)
    monkeypatch.setattr(encoders, "_torch_has_cuda", lambda: True)
    assert choose_backend("auto", "auto", "auto").runtime == "torch"


@pytest.mark.parametrize("provider", [ort_session.CUDA, ort_session.TENSORRT])
def test_a_silent_fallback_to_the_cpu_is_an_error(monkeypatch, provider):
    monkeypatch.setattr(ort_session, "has_provider", lambda name: True)
    weights = weights_of(_trained(CONFIGS[0]))
    cpu = ort_session.cpu_session(onnx_model(weights))
    monkeypatch.setattr(ort_session.onnxruntime, "InferenceSession", lambda *args, **kwargs: cpu)
    with pytest.raises(DeviceError, match=f"fell back from {provider} to CPUExecutionProvider.*pip install"):
        ort_session.gpu_session(onnx_model(weights), provider, 0)


def test_a_graph_that_onnx_runtime_cannot_load_is_an_error():
    with pytest.raises(DeviceError, match=r"cannot load the network.*onnxruntime>="):
        ort_session.cpu_session(b"not a graph")


def test_threads_are_chosen_where_the_system_tells_no_affinity(monkeypatch):
    monkeypatch.delattr(ort_session.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(ort_session.os, "cpu_count", lambda: 8)
    assert ort_session.suitable_threads() == 2
    monkeypatch.setattr(ort_session.os, "cpu_count", lambda: None)
    assert ort_session.suitable_threads() == 1


def test_bfloat16_rounds_and_is_reported():
    exact, rounded = load_model(device="cpu"), load_model(device="cpu", precision="bfloat16")
    chips = _chips(3)
    assert (exact.precision, rounded.precision) == ("float32", "bfloat16")
    (fine, sure), (coarse, less_sure) = exact.encode(chips), rounded.encode(chips)
    assert coarse.dtype == np.float32
    assert not np.array_equal(fine, coarse)
    np.testing.assert_allclose(less_sure, sure, atol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_torch_on_a_gpu_agrees_with_the_cpu(precision):
    chips = _chips(5)
    _, wanted = load_model(device="cpu").encode(chips)
    _, emotions = load_model(device="cuda", precision=precision, runtime="torch").encode(chips)
    np.testing.assert_allclose(emotions, wanted, atol=1e-3 if precision == "float32" else 0.05)


@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
def test_onnx_runtime_on_a_gpu_agrees_with_the_cpu(runtime):
    provider = ort_session.CUDA if runtime == "onnxruntime" else ort_session.TENSORRT
    if not encoders.gpu_count() or not ort_session.has_provider(provider):
        pytest.skip(f"needs a GPU and an ONNX Runtime with {provider}")
    chips = _chips(5)
    _assert_equal(load_model(device="cuda", runtime=runtime).encode(chips), load_model(device="cpu").encode(chips))
