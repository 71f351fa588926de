"""The GPU kernels, without a GPU: Triton's interpreter runs them on CPU tensors.

``make test-kernels`` runs this file with TRITON_INTERPRET=1. On a machine with a GPU the kernels run there.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dilution
from dilution.models import build_model
from dilution.training import TrainTask, train_together
from dilution.training.config import TrainConfig
from dilution.training.device import reproducible_convolutions
from dilution.training.ensemble_step import EnsembleStep, _kernel_step
from dilution.training.kernels.layers import find_layers
from dilution.training.losses import LossContext, resolve_loss

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
if DEVICE == "cuda" and not torch.cuda.is_available():
    pytest.skip("no GPU; `make test-kernels` runs the kernels without one", allow_module_level=True)
pytest.importorskip("triton", reason="Triton is not installed; `make test-kernels` installs it")
TritonError = pytest.importorskip("triton.errors").TritonError
convnet = pytest.importorskip("dilution.training.kernels.convnet")
KernelEnsembleStep = pytest.importorskip("dilution.training.kernels.ensemble_step").KernelEnsembleStep

pytestmark = pytest.mark.trains
CLASSES = 7
GCE = resolve_loss("gce").of_group([])


@pytest.fixture(autouse=True)
def _in_float32():
    """On a GPU the convolutions of torch, which the kernels are compared with, round to TF32 by default."""
    with reproducible_convolutions(torch.device(DEVICE)):
        yield


def convnets(image_shape, layers, replicas, *, hidden=24):
    """Return ConvNets of the paper's form with a small dense layer."""
    models = [build_model(f"conv{layers}", image_shape, CLASSES, seed=seed) for seed in range(replicas)]
    for seed, model in enumerate(models):
        torch.manual_seed(seed)
        linear = [name for name, layer in enumerate(model) if isinstance(layer, nn.Linear)]
        model[linear[0]] = nn.Linear(model[linear[0]].in_features, hidden)
        model[linear[1]] = nn.Linear(hidden, CLASSES)
    return [model.to(DEVICE) for model in models]


def batch(image_shape, replicas, size, *, weights=False, seed=0):
    """Return random images and targets."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(replicas, size, *image_shape, generator=generator)
    if weights:
        return images.to(DEVICE), torch.rand(replicas, size, CLASSES, generator=generator).to(DEVICE)
    return images.to(DEVICE), torch.randint(0, CLASSES, (replicas, size), generator=generator).to(DEVICE)


def gradients_of(model, images, targets):
    """Return the loss and the gradients that autograd computes."""
    log_f = F.log_softmax(model(images), dim=-1)
    labels = targets if targets.ndim == 2 else F.one_hot(targets, CLASSES).float()
    loss = -(labels * log_f).sum() / len(images)
    return float(loss.detach()), torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize(
    ("image_shape", "layers", "replicas", "size", "weights"),
    [
        ((1, 8, 8), 2, 2, 5, False),
        ((3, 9, 7), 4, 1, 4, True),
        ((1, 7, 9), 4, 3, 3, False),
        pytest.param(
            (3, 6, 6),
            6,
            1,
            2,
            False,
            marks=pytest.mark.skipif(
                DEVICE == "cuda",
                reason="a GPU trains in bfloat16; 128 channels in float32 take long to compile",
            ),
        ),
        ((2, 1, 5), 2, 1, 3, False),  # too flat to be pooled
    ],
)
def test_gradients_equal_those_of_autograd(image_shape, layers, replicas, size, weights):
    models = convnets(image_shape, layers, replicas)
    convolutions, linear = find_layers(models[0], image_shape)
    rows = convnet.Rows(models, convolutions, linear)
    widths = [layer.out_features for layer in linear]
    step = convnet.Step(rows, convolutions, widths, size, torch.float32, weights_of_labels=weights)
    images, targets = batch(image_shape, replicas, size, weights=weights)
    losses = step.run(images, targets)
    for replica, model in enumerate(models):
        loss, expected = gradients_of(model, images[replica], targets[replica])
        assert float(losses[replica]) == pytest.approx(loss, rel=1e-4)
        computed = convnets(image_shape, layers, 1)[0]
        rows.write_to(computed, step.gradient[replica])
        for ours, theirs in zip(computed.parameters(), expected, strict=True):
            torch.testing.assert_close(ours.detach(), theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter multiplies no bfloat16")
def test_gradients_in_bfloat16_are_those_of_autograd_but_for_its_rounding():
    """Conv-4 as figures train it. With the rounding other pixels are the maxima of some windows."""
    image_shape = (1, 28, 28)
    models = convnets(image_shape, 4, 3, hidden=256)
    convolutions, linear = find_layers(models[0], image_shape)
    rows = convnet.Rows(models, convolutions, linear)
    widths = [layer.out_features for layer in linear]
    step = convnet.Step(rows, convolutions, widths, 64, torch.bfloat16, weights_of_labels=False)
    images, targets = batch(image_shape, 3, 64)
    losses = step.run(images, targets)
    for replica, model in enumerate(models):
        loss, expected = gradients_of(model, images[replica], targets[replica])
        assert float(losses[replica]) == pytest.approx(loss, rel=5e-3)
        computed = convnets(image_shape, 4, 1, hidden=256)[0]
        rows.write_to(computed, step.gradient[replica])
        errors = [
            float((ours.detach() - theirs).norm() / theirs.norm())
            for ours, theirs in zip(computed.parameters(), expected, strict=True)
        ]
        assert max(errors[:-4]) < 0.25  # convolutions; torch in bfloat16 on a CPU has 0.18
        assert max(errors[-4:-2]) < 0.15  # the first dense layer; 0.07 there
        assert max(errors[-2:]) < 0.02  # the last one; 0.007 there


def test_models_come_back_from_their_rows_as_they_were():
    models = convnets((3, 9, 7), 4, 2)
    rows = convnet.Rows(models, *find_layers(models[0], (3, 9, 7)))
    for replica, model in enumerate(models):
        copy = convnets((3, 9, 7), 4, 1)[0]
        rows.write_to(copy, rows.weights[replica])
        assert all(map(torch.equal, copy.parameters(), model.parameters()))


CONFIGS = {
    "adam": {"optimizer": "adam", "lr": 0.01, "ema_decay": 0.8},
    "adamw": {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "sgd": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
    "adadelta": {"optimizer": "adadelta", "lr": 1.0, "ema_decay": 0.5},
}


def narrow_convnet(seed):
    """Return a ConvNet of 16 channels for images of 2×2, which the interpreter trains twice as fast."""
    torch.manual_seed(seed)
    first, second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
    dense = nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, CLASSES)
    model = nn.Sequential(first, nn.ReLU(), second, nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), *dense)
    return model.to(DEVICE)


def trained(kind, config, lrs, steps, *, weights=False):
    """Return an ensemble after some steps, and their losses."""
    image_shape = (1, 4, 4) if steps < 50 else (1, 2, 2)
    models = [narrow_convnet(seed) for seed in range(len(lrs))]
    if steps < 50:
        models = convnets(image_shape, 2, len(lrs))
    config = TrainConfig(**config, batch_size=4)
    ensemble = (
        EnsembleStep(models, config, lrs)
        if kind == "plain"
        else KernelEnsembleStep(models, image_shape, config, lrs)
    )
    losses = []
    for step in range(steps):
        images, targets = batch(image_shape, len(lrs), 4, weights=weights, seed=step)
        losses.append(ensemble.step(images, targets, 1 - step / 100).clone())
    return ensemble, torch.stack(losses)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("adam", 50), ("adamw", 4), ("sgd", 4), ("adadelta", 4)],
)
def test_trainings_equal_the_plain_loop(name, steps):
    lrs = [CONFIGS[name]["lr"], CONFIGS[name]["lr"] / 3][: 1 if steps == 50 else 2]
    plain, expected = trained("plain", CONFIGS[name], lrs, steps, weights=name == "adam")
    kernels, losses = trained("kernels", CONFIGS[name], lrs, steps, weights=name == "adam")
    torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-4)
    for replica in range(len(lrs)):
        for ours, theirs in zip(
            kernels.model(replica).parameters(), plain.model(replica).parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("loss", ["cross_entropy", "gce", "bootstrap_soft"])
def test_a_replica_has_the_same_bits_in_any_group(loss):
    images, targets = batch((1, 4, 4), 3, 4)
    models = convnets((1, 4, 4), 2, 3)
    config = TrainConfig(**CONFIGS["adam"], batch_size=4)
    by_loss = resolve_loss(loss).of_group([])
    group = KernelEnsembleStep(models, (1, 4, 4), config, [0.01, 0.02, 0.03], by_loss)
    alone = KernelEnsembleStep(models[1:2], (1, 4, 4), config, [0.02], by_loss)
    for _ in range(2):
        losses = group.step(images, targets, 1.0)
        loss = alone.step(images[1:2], targets[1:2], 1.0)
        assert torch.equal(losses[1:2], loss)
    assert all(map(torch.equal, group.model(1).parameters(), alone.model(0).parameters()))


@pytest.mark.skipif(
    DEVICE == "cpu", reason="the interpreter refuses the argmax of numbers that are not finite"
)
def test_a_replica_that_diverges_disturbs_no_other():
    images, targets = batch((1, 4, 4), 2, 4)
    config = TrainConfig(optimizer="sgd", lr=0.1, batch_size=4)
    models = convnets((1, 4, 4), 2, 2)
    group = KernelEnsembleStep(models, (1, 4, 4), config, [1e30, 0.1])
    alone = KernelEnsembleStep(models[1:], (1, 4, 4), config, [0.1])
    for _ in range(4):
        losses = group.step(images, targets, 1.0)
        alone.step(images[1:], targets[1:], 1.0)
    assert not losses[0].isfinite()
    assert all(map(torch.equal, group.model(1).parameters(), alone.model(0).parameters()))


@pytest.mark.parametrize("layer", [0, 1, 2, 3], ids=["first", "second", "dense", "last"])
def test_a_weight_that_is_not_a_number_gives_a_loss_that_is_none(layer):
    """The ReLU must not take it for zero, and the other replica must not see it."""
    models = convnets((2, 1, 5), 2, 2)  # too flat to be pooled: the interpreter refuses the argmax
    weighted = [part for part in models[0] if isinstance(part, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        weighted[layer].weight[0] = torch.nan
    step = KernelEnsembleStep(models, (2, 1, 5), TrainConfig(optimizer="sgd", batch_size=4), [0.1, 0.1])
    losses = step.step(*batch((2, 1, 5), 2, 4), 1.0)
    assert losses.isnan().tolist() == [True, False]


def test_a_training_resumes_from_its_state():
    images, targets = batch((1, 4, 4), 2, 4)
    config = TrainConfig(**CONFIGS["adadelta"], batch_size=4)
    first = KernelEnsembleStep(convnets((1, 4, 4), 2, 2), (1, 4, 4), config, [1.0, 0.3])
    first.step(images, targets, 1.0)
    state = first.state()
    second = KernelEnsembleStep(convnets((1, 4, 4), 2, 2), (1, 4, 4), config, [1.0, 0.3])
    second.load(state)
    for ensemble in (first, second):
        ensemble.step(images, targets, 0.5)
    for replica in range(2):
        pairs = zip(first.model(replica).parameters(), second.model(replica).parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(
            nn.Conv2d(1, 32, 5), nn.ReLU(), nn.Flatten(), nn.Linear(512, 8), nn.ReLU(), nn.Linear(8, 2)
        ),
        nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1), nn.Flatten(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 2)
        ),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2)),
        nn.Linear(3, 2),
    ],
    ids=["5×5", "24 channels", "no convolution", "no sequence"],
)
def test_models_that_the_kernels_do_not_know_are_left_to_others(model):
    assert find_layers(model, (1, 8, 8)) is None


def elr_of(replicas):
    """Return the loss with a state of replicas that train together, and their targets for a batch of four."""
    classes = tuple(map(str, range(CLASSES)))
    context = LossContext(classes, 4, np.eye(CLASSES), takes_weights=False, device=torch.device(DEVICE))
    return resolve_loss("elr").of_group([context] * replicas)


def numbered(labels):
    """Return labels with the numbers of their examples."""
    return torch.stack([labels, torch.arange(4, device=DEVICE).expand_as(labels)], dim=-1)


def test_the_state_of_a_loss_is_resumed_too():
    config = TrainConfig(**CONFIGS["sgd"], batch_size=4, loss="elr")
    images, labels = batch((1, 4, 4), 2, 4)
    first, second = (
        KernelEnsembleStep(convnets((1, 4, 4), 2, 2), (1, 4, 4), config, [0.05, 0.02], elr_of(2))
        for _ in range(2)
    )
    for _ in range(3):
        first.step(images, numbered(labels), 1.0)
    second.load(first.state())
    one, other = (step.step(images, numbered(labels), 1.0).clone() for step in (first, second))
    assert torch.equal(one, other)
    assert all(map(torch.equal, first.model(1).parameters(), second.model(1).parameters()))


@pytest.mark.parametrize("first", [0.0, 0.05], ids=["zeros", "numbers"])
def test_torch_takes_over_with_the_first_state_of_a_loss(monkeypatch, first):
    config = TrainConfig(**CONFIGS["sgd"], batch_size=4, loss="elr")
    images, labels = batch((1, 4, 4), 2, 4)

    def fails(*_):
        raise TritonError("out of shared memory")

    monkeypatch.setattr(convnet.Step, "_weight_gradient", fails)  # behind the loss
    losses = [elr_of(2) for _ in range(2)]
    for loss in losses:
        for averages in loss.buffers():
            averages.fill_(first)
    step = _kernel_step(convnets((1, 4, 4), 2, 2), (1, 4, 4), config, [0.05, 0.02], losses[0])
    plain = EnsembleStep(convnets((1, 4, 4), 2, 2), config, [0.05, 0.02], loss=losses[1])
    for _ in range(2):
        assert torch.equal(
            step.step(images, numbered(labels), 1.0), plain.step(images, numbered(labels), 1.0)
        )
    assert step.state()["kind"] == "torch"


def test_torch_takes_over_where_triton_has_no_c_compiler(monkeypatch):
    build = pytest.importorskip("triton.runtime.build")._build
    config = TrainConfig(**CONFIGS["sgd"], batch_size=4)
    images, labels = batch((1, 4, 4), 1, 4)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(convnet.Step, "_forward", lambda *_: build("launcher", "", "", [], [], [], []))
    step = _kernel_step(convnets((1, 4, 4), 2, 1), (1, 4, 4), config, [0.05], GCE)
    step.step(images, labels, 1.0)
    assert step.state()["kind"] == "torch"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("a mistake")])
def test_other_errors_of_the_kernels_are_raised(monkeypatch, error):
    def fails(*_):
        raise error

    config = TrainConfig(**CONFIGS["sgd"], batch_size=4)
    monkeypatch.setattr(convnet.Step, "_forward", fails)
    step = _kernel_step(convnets((1, 4, 4), 2, 1), (1, 4, 4), config, [0.05], GCE)
    with pytest.raises(type(error), match=str(error)):
        step.step(*batch((1, 4, 4), 1, 4), 1.0)


@pytest.mark.parametrize("loss", ["cross_entropy", "gce", "elr", "forward"])
def test_a_study_trains_by_the_kernels_as_by_torch(monkeypatch, loss):
    """The whole trainer: batches of the group, evaluations, the averaged model, the result."""
    digits = dilution.load("digits")
    train, test = (  # every other pixel: the interpreter takes a quarter of the time
        dilution.Arrays(part.images[:, :, ::2, ::2].contiguous(), part.labels, part.classes)
        for part in (digits.train, digits.test)
    )
    # not Adam: where a gradient is nearly zero, its last bits decide on the direction of a whole step
    config = TrainConfig(steps=2, batch_size=4, n_evals=2, optimizer="sgd", lr=0.05, ema_decay=0.5, loss=loss)
    noisy = [dilution.Dilution(train, n=40, alpha=1.0, seed=seed) for seed in range(2)]
    few = test.subset(torch.arange(10))
    tasks = [TrainTask("conv2", part, few, seed, 10, config) for seed, part in enumerate(noisy)]
    monkeypatch.setattr(
        "dilution.training.trainer.make_group_step",
        lambda models, shape, config, lrs, _, __, loss: KernelEnsembleStep(models, shape, config, lrs, loss),
    )
    results = train_together(tasks, DEVICE)
    monkeypatch.undo()
    for result, expected in zip(results, train_together(tasks, DEVICE), strict=True):
        assert result.state == "done"
        assert list(result.history.step) == list(expected.history.step)
        for column in ("train_loss", "val_loss_noisy"):
            assert list(result.history[column]) == pytest.approx(list(expected.history[column]), rel=1e-3)
        for one, other in zip(result.model.parameters(), expected.model.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


@pytest.fixture
def kernels(monkeypatch):
    """The benchmark of the kernels."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parent.parent / "benchmarks")
    return pytest.importorskip("kernels")


def test_the_benchmark_compares_places_of_maxima_by_their_number(kernels):
    places = torch.arange(20_000, device=DEVICE).remainder(5).byte()
    few, many = places.clone(), places.clone()
    few[7], many[:3] = 4, 4
    assert not kernels.differs(few, places)
    assert kernels.differs(many, places)
    sums = torch.linspace(-1, 1, 100, device=DEVICE)
    assert not kernels.differs(1.0005 * sums, sums)
    assert kernels.differs(1.002 * sums, sums)
    assert kernels.differs(torch.full_like(sums, torch.nan), sums)


def test_the_benchmark_compiles_every_kernel_once(kernels):
    size = kernels.SMALL if DEVICE == "cpu" else dataclasses.replace(kernels.SMALL, device="cuda")
    # without the convolutions a step computes with whatever lies in the memory of its maps
    with kernels.recorded() as launches, np.errstate(all="ignore"):
        for part in range(3):
            kernels.compile_part(size, part, 3)
    assert {launch.name for launch in launches} == {
        name for names in kernels.LAUNCHED.values() for name in names
    }
    tiles = [
        (launch.name, launch.shape, launch.options["BM"], launch.options["num_stages"])
        for launch in launches
        if launch.name in ("forward", "input_gradient", "weight_gradient")
    ]
    assert len(tiles) == len(set(tiles)) == 10


def test_the_benchmark_leaves_out_tiles_whose_sums_fill_the_registers(kernels):
    tile = kernels.Tile(256, 4, 1)
    assert kernels.is_too_large(tile, 128)
    assert not kernels.is_too_large(tile, 64)
    assert not kernels.is_too_large(dataclasses.replace(tile, num_warps=8), 128)


def test_the_benchmark_of_the_kernels_measures_every_launch_and_variant(kernels):
    size = kernels.SMALL if DEVICE == "cpu" else dataclasses.replace(kernels.SMALL, device="cuda")
    rows = []
    kernels.measure(size, rows.append)
    of_step = [row["kernel"] for row in rows if row["what"] == "step"]
    assert set(of_step) == {name for names in kernels.LAUNCHED.values() for name in names}
    assert of_step.count("forward") == 2
    variants = [row for row in rows if row["what"] == "variant"]
    assert [(row["kernel"], row["number"]) for row in variants] == [
        ("forward", 0), ("weight_gradient", 0), ("forward", 1), ("weight_gradient", 1), ("input_gradient", 1),
    ]  # fmt: skip
    assert {row["pixels"] for row in variants} == {64}
    assert [row["error"] for row in rows if row["what"] != "step"] == [""] * 10
    assert all(row["microseconds"] > 0 for row in rows)
