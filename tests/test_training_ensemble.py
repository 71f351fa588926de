"""Ensembles: each replica trains as it would in a plain loop, whatever the other replicas do."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from scipy.stats import t as student
from torch import nn

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.models import build_model
from dilution.noise import Dilution, structured
from dilution.training import BatchSampler, TrainConfig, TrainTask, train_together
from dilution.training.augment import Augmentation
from dilution.training.ensemble import is_stackable, make_ensemble
from dilution.training.evaluation import Normalise
from dilution.training.losses import cross_entropy, cross_entropy_with_gradient
from dilution.training.optimizers import make_optimizer
from dilution.training.schedules import resolve_schedule

STEPS = 20
# At larger rates optimizers that divide a gradient by its size turn rounding into whole steps (docs/log.md).
LRS = {"adadelta": (0.1, 0.5), "sgd": (0.01, 0.02), "adam": (3e-4, 1e-3), "adamw": (3e-4, 1e-3)}
SGD_LRS = [0.01, 0.02, 0.01]


pytestmark = pytest.mark.usefixtures("one_thread")


def tasks(model="mlp2", optimizer="adam", targets="pooled", lrs=None, n=150, **settings):
    """Return three trainings that differ in noise level, noise model, seed, subset and, if given, lr."""
    digits = load("digits")
    dilutions = [
        Dilution(digits.train, 1.5, n=n, seed=1),
        Dilution(digits.train, 4, noise=structured(0.7), n=n, seed=2),
        Dilution(digits.train, eta=0.4, n=n, seed=3, stratified=True),
    ]
    common = {"optimizer": optimizer, "targets": targets, "steps": STEPS, "batch_size": 32, "n_evals": 2}
    return [
        TrainTask(model, noisy, digits.test, noisy.seed, n // 10, TrainConfig(lr=lr, **common | settings))
        for noisy, lr in zip(dilutions, lrs or [LRS[optimizer][0]] * 3, strict=True)
    ]


def weights(model):
    return torch.cat([part.flatten() for part in model.state_dict().values()])


def plain_loop(task):
    """Return the weights after a plain loop over one model, and the loss of each step."""
    config, noisy = task.config, task.noisy
    training, _ = noisy.hold_out(task.n_val)
    model = build_model(task.model, noisy.data.shape, noisy.classes, seed=task.seed)
    normalise = Normalise(noisy.data, training.clean_rows)
    optimizer = make_optimizer(model.parameters(), config)
    lr_factor = resolve_schedule(config.schedule).of_training(config.steps)
    losses = []
    sampler = BatchSampler(training, config.targets, config.batch_size, seed=task.seed)
    augmentation = Augmentation(config, noisy.data.shape, seed=task.seed)
    for step, batch in enumerate(augmentation.apply(sampler.batches(config.steps))):
        optimizer.param_groups[0]["lr"] = config.lr * lr_factor(step)
        loss = cross_entropy(model(normalise(batch.images)), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return weights(model), losses


def assert_as_in_plain_loop(task, result):
    expected, losses = plain_loop(task)
    torch.testing.assert_close(weights(result.model), expected, rtol=1e-3, atol=2e-4)
    half = len(losses) // 2
    means = [sum(losses[:half]) / half, sum(losses[half:]) / half]
    assert result.history["train_loss"].tolist() == pytest.approx(means, rel=1e-4)


@pytest.mark.trains
@pytest.mark.parametrize("optimizer", LRS)
def test_replicas_equal_the_plain_loop_for_every_optimizer(optimizer):
    low, high = LRS[optimizer]
    group = tasks(optimizer=optimizer, lrs=[low, high, low])
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_in_plain_loop(task, result)


@pytest.mark.trains
@pytest.mark.parametrize(
    ("model", "targets"),
    [
        ("perceptron", "sampled"),
        ("mlp1", "pooled"),
        ("mlp4", "expected"),
        ("conv2", "pooled"),
        ("conv2", "expected"),
        ("conv4", "sampled"),
    ],
)
def test_replicas_equal_the_plain_loop_for_all_models_and_targets(model, targets):
    # sgd: the first steps of Adam turn the rounding of a gradient near zero into a whole step
    group = tasks(model, "sgd", targets, lrs=SGD_LRS, schedule="linear")
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_in_plain_loop(task, result)


TORCH_OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "adadelta": torch.optim.Adadelta,
}


def averaged_loop(task):
    """Return the averaged weights of a loop with optimizers of PyTorch that update one weight at a time."""
    config, noisy = task.config, task.noisy
    training, _ = noisy.hold_out(task.n_val)
    model = build_model(task.model, noisy.data.shape, noisy.classes, seed=task.seed)
    normalise = Normalise(noisy.data, training.clean_rows)
    plain = {"foreach": False, "weight_decay": config.weight_decay}
    optimizer = TORCH_OPTIMIZERS[config.optimizer](model.parameters(), lr=config.lr, **plain)
    average = None
    sampler = BatchSampler(training, config.targets, config.batch_size, seed=task.seed)
    for step, batch in enumerate(sampler.batches(config.steps)):
        optimizer.param_groups[0]["lr"] = config.lr * (1 + math.cos(math.pi * step / config.steps)) / 2
        logits = model(normalise(batch.images))
        loss = -(batch.targets * torch.log_softmax(logits, dim=1)).sum() / config.batch_size
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        current = weights(model).clone()
        decay = config.ema_decay
        average = current if average is None else decay * average + (1 - decay) * current
    return average


@pytest.mark.trains
@pytest.mark.parametrize(("model", "label_mode"), [("mlp2", "replaced"), ("conv2", "added")])
@pytest.mark.parametrize("optimizer", TORCH_OPTIMIZERS)
def test_replicas_equal_a_loop_with_optimizers_that_are_not_fused(model, optimizer, label_mode):
    digits = load("digits")
    config = TrainConfig(
        optimizer=optimizer, weight_decay=0.05, ema_decay=0.9, schedule="cosine", targets="pooled",
        steps=STEPS, batch_size=32, n_evals=1, momentum=0.0,
    )  # fmt: skip
    group = [
        TrainTask(
            model, Dilution(digits.train, 1.5, n=150, seed=seed, label_mode=label_mode), digits.test, seed,
            15, config.model_copy(update={"lr": lr}),
        )
        for seed, lr in enumerate(LRS[optimizer])
    ]  # fmt: skip
    for task, result in zip(group, train_together(group), strict=True):
        torch.testing.assert_close(weights(result.model), averaged_loop(task), rtol=1e-3, atol=3e-3)


@pytest.mark.trains
@pytest.mark.parametrize(("model", "steps"), [("conv2", STEPS), ("resnet18_w16", 4)])
@pytest.mark.parametrize(("optimizer", "momentum", "lr"), [("adam", 0, 1e-4), ("sgd", 0.9, 2e-3)])
def test_convolutions_with_momentum_equal_the_plain_loop(model, steps, optimizer, momentum, lr):
    # Few steps of a ResNet: once rounding switches a ReLU, normalisation spreads it over the whole batch.
    group = tasks(model, optimizer, lrs=[2 * lr, lr, lr], n=300, momentum=momentum, steps=steps)
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_in_plain_loop(task, result)


@pytest.mark.trains
@pytest.mark.parametrize(
    ("model", "settings"),
    [("mlp2", {"hflip": True}), ("mlp2", {"translate": 2}), ("conv2", {"hflip": True, "translate": 1})],
    ids=str,
)
def test_augmented_replicas_equal_the_plain_loop(model, settings):
    group = tasks(model, "sgd", lrs=SGD_LRS, **settings)
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_in_plain_loop(task, result)


@pytest.mark.trains
@pytest.mark.parametrize(
    "settings", [{"ema_decay": 0.9}, {"precision": "bfloat16"}, {"hflip": True, "translate": 2}], ids=str
)
@pytest.mark.parametrize("model", ["perceptron", "mlp2", "conv2"])
def test_a_replica_has_the_same_bits_in_any_group(model, settings):
    group = tasks(model, steps=4, **settings)
    whole = train_together(group)
    for part in (group[:1], group[1:]):
        for task, result in zip(part, train_together(part), strict=True):
            other = whole[group.index(task)]
            assert torch.equal(weights(result.model), weights(other.model))
            pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)


@pytest.mark.trains
@pytest.mark.parametrize(
    ("model", "batch_size"), [("conv2", 31), ("conv2", 100), ("conv4", 100), ("resnet18_w16", 40)]
)
def test_a_batch_in_slices_has_the_loss_and_gradient_of_the_whole(model, batch_size):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, batch_size, 1, 28, 28, generator=generator)
    labels = torch.arange(batch_size)[None] % 10
    whole = build_model(model, (1, 28, 28), 10, seed=0)
    expected = cross_entropy(whole(images[0]), labels[0])
    gradients = torch.autograd.grad(expected, list(whole.parameters()))
    ensemble = make_ensemble([build_model(model, (1, 28, 28), 10, seed=0)])
    losses = ensemble.differentiate(images, labels, cross_entropy_with_gradient)
    assert float(losses[0]) == pytest.approx(float(expected.detach()), rel=1e-5)
    for weight, gradient in zip(ensemble.replica_parameters(0), gradients, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.trains
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("model", "batch_size"), [("perceptron", 64), ("mlp2", 128)])
def test_images_of_mnist_have_the_same_bits_in_any_group(model, precision, batch_size):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (200, 1, 28, 28), generator=generator, dtype=torch.uint8)
    data = Arrays(images, torch.arange(200) % 10)
    config = TrainConfig(
        targets="pooled", optimizer="adam", steps=8, batch_size=batch_size, precision=precision, n_evals=1
    )
    group = [
        TrainTask(
            model, Dilution(data, seed, seed=seed), data, seed, 20, config.model_copy(update={"lr": lr})
        )
        for seed, lr in enumerate([1e-3, 1e-3, 3e-3])
    ]
    whole = train_together(group)
    for part in (group[:1], group[1:]):
        for task, result in zip(part, train_together(part), strict=True):
            assert torch.equal(weights(result.model), weights(whole[group.index(task)].model))


@pytest.mark.parametrize("model", ["perceptron", "mlp4", "conv4"])
def test_gradients_in_bfloat16_are_those_of_float32_rounded(model):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 64, 1, 8, 8, generator=generator)
    labels = torch.randint(10, (2, 64), generator=generator)
    computed = []
    for dtype in (torch.float32, torch.bfloat16):
        ensemble = make_ensemble([build_model(model, (1, 8, 8), 10, seed=seed) for seed in (0, 1)], dtype)
        for _ in range(2):  # the second time on the memory that the first has left
            losses = ensemble.differentiate(images, labels, cross_entropy_with_gradient)
        gradients = [
            torch.cat([weight.grad.flatten() for weight in ensemble.replica_parameters(replica)])
            for replica in (0, 1)
        ]
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        computed.append((losses, torch.stack(gradients)))
    (exact, expected), (rounded, gradients) = computed
    assert rounded.tolist() == pytest.approx(exact.tolist(), rel=2e-3)
    difference = (gradients - expected).norm(dim=1) / expected.norm(dim=1)
    assert difference.min() > 1e-5  # it is another computation
    assert difference.max() < 0.1  # and without one layer the difference would be of order 1


@pytest.mark.trains
@pytest.mark.parametrize("model", ["mlp2", "conv2"])
def test_accuracy_with_bfloat16_is_within_the_interval_of_float32(model):
    digits = load("digits")
    alphas, n, epochs = ((0.0, 5.0), 500, 5) if model == "mlp2" else ((2.0,), 300, 4)
    for alpha in alphas:
        accuracies = {}
        for precision in ("float32", "bfloat16"):
            config = TrainConfig(
                targets="pooled", optimizer="adam", lr=3e-3, schedule="linear", batch_size=32, epochs=epochs,
                n_evals=1, precision=precision,
            )  # fmt: skip
            group = [
                TrainTask(
                    model, Dilution(digits.train, alpha, n=n, seed=seed), digits.test, seed, n // 10, config
                )
                for seed in range(4)
            ]
            measured = [result.summary()["test_acc_last"] for result in train_together(group)]
            accuracies[precision] = torch.tensor(measured, dtype=torch.float64)
        exact = accuracies["float32"]
        assert exact.min() > 0.5
        half_width = student.ppf(0.975, len(exact) - 1) * exact.std() / len(exact) ** 0.5
        assert half_width < 0.06  # else anything would be within it
        assert abs(accuracies["bfloat16"].mean() - exact.mean()) <= half_width


@pytest.mark.trains
@pytest.mark.parametrize(("model", "lr"), [("mlp2", 1e20), ("mlp2", 3.0), ("conv2", 1e20)])
def test_a_replica_that_diverges_does_not_affect_the_others(model, lr):
    group = tasks(model, "sgd", lrs=[0.01, lr, 0.01])
    finite = tasks(model, "sgd", lrs=[0.01, 0.005, 0.01])
    results, expected = train_together(group), train_together(finite)
    for number in (0, 2):
        assert results[number].state == "done"
        assert torch.equal(weights(results[number].model), weights(expected[number].model))
        pd.testing.assert_frame_equal(results[number].history, expected[number].history, check_exact=True)
    if lr == 1e20:
        assert results[1].state == "diverged"
        assert results[1].diverged_at == 2
        assert results[1].history.empty
        (alone,) = train_together(group[1:2])
        assert (alone.state, alone.diverged_at) == ("diverged", 2)


@pytest.mark.trains
def test_training_ends_early_when_all_replicas_have_diverged():
    group = tasks("mlp1", "sgd", lrs=[1e20] * 3, steps=10_000_000, n_evals=1_000_000)
    assert {result.state for result in train_together(group)} == {"diverged"}


def test_trainings_of_different_kinds_are_refused():
    one, two, _ = tasks()
    for other in (
        replace(two, model="mlp1"),
        replace(two, config=two.config.model_copy(update={"batch_size": 16})),
        replace(two, config=two.config.model_copy(update={"steps": 19})),
        replace(two, config=two.config.model_copy(update={"targets": "sampled"})),
        replace(two, config=two.config.model_copy(update={"translate": 1})),
    ):
        with pytest.raises(InputError, match="2 trainings are of 2 kinds"):
            train_together([one, other])


def shared_layer():
    layer = nn.Linear(8, 8)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), layer, nn.ReLU(), layer)


def frozen_weight():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8))
    model[1].weight.requires_grad_(False)
    return model


def forward_hook():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    model[1].register_forward_hook(lambda _, __, out: 2 * out)
    return model


def weight_hook():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    model[1].weight.register_hook(lambda gradient: 0.5 * gradient)
    return model


def halve(weight):
    weight.grad.mul_(0.5)


def gradient_hook():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    model[1].weight.register_post_accumulate_grad_hook(halve)
    return model


def replaced_forward():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    plain = model[1].forward
    model[1].forward = lambda x: 2 * plain(x)
    return model


class Scaled(nn.Linear):
    def forward(self, x):
        return 3 * super().forward(x)


LIKE_MLPS = {
    "no ReLU between": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 8)),
    "a ReLU at the end": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU()),
    "two ReLUs": lambda: nn.Sequential(nn.Flatten(), nn.ReLU(), nn.ReLU(), nn.Linear(64, 8)),
    "another activation": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 8)),
    "no bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8, bias=False)),
    "a layer twice": shared_layer,
    "a frozen layer": frozen_weight,
    "a hook": forward_hook,
    "a hook on a weight": weight_hook,
    "a hook after the gradient": gradient_hook,
    "another forward": replaced_forward,
    "a subclass": lambda: nn.Sequential(nn.Flatten(), Scaled(64, 8)),
    "spectral norm": lambda: nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.spectral_norm(Scaled(64, 8))
    ),
    "an MLP": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8)),
}


@pytest.mark.parametrize("kind", LIKE_MLPS)
def test_models_that_look_like_an_mlp_keep_their_loss_and_gradient(kind):
    torch.manual_seed(0)
    model = LIKE_MLPS[kind]().train(not kind.startswith("spectral"))
    assert is_stackable(model) == (kind == "an MLP")
    images, labels = torch.randn(1, 5, 1, 8, 8), torch.randint(8, (1, 5))
    expected = cross_entropy(model(images[0]), labels[0])
    expected.backward()
    gradients = [None if weight.grad is None else weight.grad.clone() for weight in model.parameters()]
    ensemble = make_ensemble([model]).train(not kind.startswith("spectral"))
    losses = ensemble.differentiate(images, labels, cross_entropy_with_gradient)
    assert float(losses[0]) == pytest.approx(float(expected.detach()), rel=1e-5)
    if kind == "an MLP":
        (row,) = ensemble.replica_parameters(0)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.testing.assert_close(row.grad[: len(flat)], flat, rtol=1e-4, atol=1e-6)
        return
    for weight, gradient in zip(ensemble.replica_parameters(0), gradients, strict=True):
        assert (weight.grad is None) == (gradient is None)
        if gradient is not None:
            torch.testing.assert_close(weight.grad, gradient, rtol=1e-4, atol=1e-6)
