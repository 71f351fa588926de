"""The GPU kernels compile for a GPU: ahead of time, on a machine that has none.

Triton's interpreter, which runs the other tests of the kernels, accepts what its compiler refuses: shapes
that are no powers of two, types that do not match, tiles that do not fit into shared memory.
"""

import pytest
import torch
from torch import nn

from dilution.models import build_model
from dilution.training.config import TrainConfig

triton = pytest.importorskip("triton", reason="Triton is not installed; `make test-kernels` installs it")
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402
from triton.runtime.jit import JITFunction  # noqa: E402

from dilution.training.kernels.ensemble_step import KernelEnsembleStep  # noqa: E402

pytestmark = pytest.mark.trains
H100 = GPUTarget("cuda", 90, 32)
SHARED_MEMORY = 227 * 1024  # bytes that one block may use on an H100 or H200
TYPES = {
    torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.uint8: "*u8", torch.int64: "*i64",
    int: "i32", float: "fp32",
}  # fmt: skip


def wide_convnet():
    """Return a ConvNet for images of 4×4 with as many channels as the kernels know."""
    first, second = nn.Conv2d(1, 256, 3, padding=1), nn.Conv2d(256, 256, 3, padding=1)
    dense = nn.Linear(1024, 16), nn.ReLU(), nn.Linear(16, 10)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), *dense)


def launches(monkeypatch, model, image_shape, config, *, weights=False):
    """Return the launches of a step of two replicas, without running any: (kernel, arguments, options)."""
    calls = []

    def record(kernel, *arguments, grid, warmup, **options):
        calls.append((kernel, arguments, options))

    monkeypatch.setattr(JITFunction, "run", record)
    models = [
        wide_convnet() if model == "wide" else build_model(model, image_shape, 10, seed=seed)
        for seed in range(2)
    ]
    step = KernelEnsembleStep(models, image_shape, config, [0.1, 0.2])
    targets = torch.zeros(2, config.batch_size, 10) if weights else torch.zeros(2, config.batch_size).long()
    step.step(torch.zeros(2, config.batch_size, *image_shape), targets, 1.0)
    monkeypatch.undo()
    return calls


def compile_launch(kernel, arguments, options):
    """Compile a kernel as a launch of it would."""
    names = kernel.arg_names
    values = dict(zip(names, arguments, strict=False)) | {k: v for k, v in options.items() if k in names}
    constants = {p.name for p in kernel.params if p.is_constexpr}
    signature, constexprs, attributes = {}, {}, {}
    for position, name in enumerate(names):
        value = values[name]
        if name in constants:
            signature[name], constexprs[position,] = "constexpr", value
        else:
            kind = value.dtype if isinstance(value, torch.Tensor) else type(value)
            signature[name] = TYPES[kind]
            if signature[name].startswith(
                "*"
            ):  # torch aligns memory to 16 bytes, and the compiler relies on it
                attributes[position,] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constexprs=constexprs, attrs=attributes)
    return triton.compile(source, target=H100, options={k: v for k, v in options.items() if k not in names})


@pytest.mark.skipif(not hasattr(JITFunction, "run"), reason="this Triton launches kernels in another way")
@pytest.mark.parametrize(
    ("model", "image_shape", "settings"),
    [
        ("conv2", (1, 28, 28), {"optimizer": "adadelta"}),
        ("conv4", (1, 28, 28), {"optimizer": "adam", "ema_decay": 0.99}),
        ("conv6", (3, 32, 32), {"optimizer": "sgd", "momentum": 0.9}),
        ("conv4", (3, 13, 11), {"optimizer": "adamw", "weights": True}),
    ],
)
def test_every_kernel_of_a_step_compiles_for_a_gpu(monkeypatch, model, image_shape, settings):
    weights = settings.pop("weights", False)
    config = TrainConfig(batch_size=128, precision="bfloat16", **settings)
    compiled = {}
    for launch in launches(monkeypatch, model, image_shape, config, weights=weights):
        kernel = compile_launch(*launch)
        compiled.setdefault(launch[0].__name__, []).append(kernel)
        assert kernel.metadata.shared <= SHARED_MEMORY
    assert {"forward", "input_gradient", "weight_gradient", "add_parts", "product", "update"} <= set(compiled)


@pytest.mark.skipif(not hasattr(JITFunction, "run"), reason="this Triton launches kernels in another way")
def test_a_convolution_of_256_channels_fits_into_shared_memory(monkeypatch):
    config = TrainConfig(batch_size=128, precision="bfloat16", optimizer="adam")
    calls = launches(monkeypatch, "wide", (1, 4, 4), config)
    _, widest = [call for call in calls if call[0].__name__ == "forward"]  # the others take half a minute
    assert compile_launch(*widest).metadata.shared <= SHARED_MEMORY
