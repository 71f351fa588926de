"""Training together: each replica goes the way that a plain loop would take it, whatever the others do."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from scipy.stats import t as student

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.models import build
from dilution.noise import Dilution, structured
from dilution.training import BatchSampler, Task, TrainConfig, train_together
from dilution.training.augment import Augmentation
from dilution.training.ensemble import together
from dilution.training.evaluation import Normalise
from dilution.training.losses import cross_entropy, with_gradient
from dilution.training.optimizers import lr_factor, optimizer

STEPS = 50
# At larger rates optimizers that divide a gradient by its size turn rounding into whole steps (docs/log.md).
RATES = {"adadelta": (0.1, 0.5), "sgd": (0.01, 0.02), "adam": (3e-4, 1e-3), "adamw": (3e-4, 1e-3)}


pytestmark = pytest.mark.usefixtures("one_thread")


def tasks(model="mlp2", name="adam", targets="pooled", rates=None, **changes):
    """Four replicas that differ in noise level, noise model, skew, seed, subset and, if asked, rate."""
    digits = load("digits")
    dilutions = [
        Dilution(digits.train, 0, n=300, seed=0),
        Dilution(digits.train, 1.5, n=300, seed=1),
        Dilution(digits.train, 4, noise=structured(0.7), n=300, seed=2),
        Dilution(digits.train, eta=0.4, n=300, seed=3, stratified=True),
    ]
    rates = rates or [RATES[name][0]] * 4
    common = {"optimizer": name, "targets": targets, "steps": STEPS, "batch_size": 32, "n_evals": 2} | changes
    return [
        Task(model, noisy, digits.test, noisy.seed, 30, TrainConfig(lr=rate, **common))
        for noisy, rate in zip(dilutions, rates, strict=True)
    ]


def by_hand(task):
    """Return the weights after a plain loop over one network, and the loss of each step."""
    settings, noisy = task.settings, task.noisy
    training, _ = noisy.hold_out(task.n_val)
    shape = tuple(noisy.data.images.shape[1:])
    module = build(task.model, shape, noisy.classes, seed=task.seed)
    prepare = Normalise(noisy.data, training.clean_rows)
    using = optimizer(module.parameters(), settings)
    losses = []
    batches = BatchSampler(training, settings.targets, settings.batch_size, seed=task.seed).batches(
        settings.steps
    )
    augment = Augmentation(settings, shape, seed=task.seed)
    for step, batch in enumerate(augment.of(batches)):
        using.param_groups[0]["lr"] = settings.lr * lr_factor(settings.schedule, step, settings.steps)
        loss = cross_entropy(module(prepare(batch.images)), batch.targets)
        using.zero_grad()
        loss.backward()
        using.step()
        losses.append(float(loss.detach()))
    return weights(module), losses


def weights(module):
    return torch.cat([part.flatten() for part in module.state_dict().values()])


def assert_as_by_hand(task, result):
    expected, losses = by_hand(task)
    torch.testing.assert_close(weights(result.module), expected, rtol=1e-3, atol=2e-4)
    half = len(losses) // 2
    means = [sum(losses[:half]) / half, sum(losses[half:]) / half]
    assert result.history["train_loss"].tolist() == pytest.approx(means, rel=1e-4)


@pytest.mark.parametrize("rates", ["one rate", "a rate each"])
@pytest.mark.parametrize("name", RATES)
def test_replicas_equal_the_plain_loop_for_every_optimizer(name, rates):
    low, high = RATES[name]
    group = tasks(name=name, rates=[low, high, low, high] if rates == "a rate each" else None)
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_by_hand(task, result)


@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
@pytest.mark.parametrize("model", ["perceptron", "mlp1", "mlp4", "conv2", "conv4"])
def test_replicas_equal_the_plain_loop_for_every_network_and_order(model, order):
    # sgd: the first steps of Adam turn the rounding of a gradient near zero into a whole step
    group = tasks(model, "sgd", order, rates=[0.01, 0.02, 0.01, 0.01], schedule="linear")
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_by_hand(task, result)


TEXTBOOK = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "adadelta": torch.optim.Adadelta,
}


def from_a_textbook(task):
    """Return the averaged weights of a loop with PyTorch's own optimizers, one weight after the other."""
    settings, noisy = task.settings, task.noisy
    training, _ = noisy.hold_out(task.n_val)
    module = build(task.model, noisy.data.shape, noisy.classes, seed=task.seed)
    prepare = Normalise(noisy.data, training.clean_rows)
    plain = {"foreach": False, "weight_decay": settings.weight_decay}
    using = TEXTBOOK[settings.optimizer](module.parameters(), lr=settings.lr, **plain)
    average = None
    batches = BatchSampler(training, settings.targets, settings.batch_size, seed=task.seed).batches(
        settings.steps
    )
    for step, batch in enumerate(batches):
        using.param_groups[0]["lr"] = settings.lr * (1 + math.cos(math.pi * step / settings.steps)) / 2
        logits = module(prepare(batch.images))
        loss = -(batch.targets * torch.log_softmax(logits, dim=1)).sum() / settings.batch_size
        using.zero_grad()
        loss.backward()
        using.step()
        now = weights(module).clone()
        average = now if average is None else settings.ema_decay * average + (1 - settings.ema_decay) * now
    return average


@pytest.mark.parametrize("labels", ["added", "replaced"])
@pytest.mark.parametrize("model", ["mlp2", "conv2"])
@pytest.mark.parametrize("name", TEXTBOOK)
def test_replicas_equal_a_loop_with_optimizers_that_are_not_fused(model, name, labels):
    digits = load("digits")
    settings = {"optimizer": name, "weight_decay": 0.05, "ema_decay": 0.9, "schedule": "cosine"}
    settings |= {"targets": "pooled", "steps": STEPS, "batch_size": 32, "n_evals": 1, "momentum": 0.0}
    group = [
        Task(model, Dilution(digits.train, 1.5, n=300, seed=seed, labels=labels), digits.test, seed, 30,
             TrainConfig(lr=rate, **settings))
        for seed, rate in enumerate(RATES[name])
    ]  # fmt: skip
    for task, result in zip(group, train_together(group), strict=True):
        torch.testing.assert_close(weights(result.module), from_a_textbook(task), rtol=1e-3, atol=3e-3)


@pytest.mark.parametrize(("model", "steps"), [("conv2", STEPS), ("resnet18_w16", 4)])
@pytest.mark.parametrize(("name", "momentum", "lr"), [("adam", 0, 1e-4), ("sgd", 0.9, 2e-3)])
def test_convolutions_with_momentum_equal_the_plain_loop(model, steps, name, momentum, rate):
    # Few steps of a ResNet: once rounding switches a ReLU, its normalisation tells the whole batch.
    group = tasks(model, name, rates=[rate, 2 * rate, rate, rate], momentum=momentum, steps=steps)
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_by_hand(task, result)


@pytest.mark.parametrize("model", ["mlp2", "conv2"])
@pytest.mark.parametrize(
    "changes", [{"hflip": True}, {"translate": 2}, {"hflip": True, "translate": 1}], ids=str
)
def test_augmented_replicas_equal_the_plain_loop(model, changes):
    group = tasks(model, "sgd", rates=[0.01, 0.02, 0.01, 0.01], **changes)
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_by_hand(task, result)


@pytest.mark.parametrize(
    "changes", [{}, {"ema_decay": 0.9}, {"precision": "bfloat16"}, {"hflip": True, "translate": 2}], ids=str
)
@pytest.mark.parametrize("model", ["perceptron", "mlp2", "conv2"])
def test_a_replica_has_the_same_bits_in_any_company(model, changes):
    group = tasks(model, **changes)
    whole = train_together(group)
    for few in (group[:1], group[1:3], group[3:]):
        for task, result in zip(few, train_together(few), strict=True):
            other = whole[group.index(task)]
            assert torch.equal(weights(result.module), weights(other.module))
            pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)


@pytest.mark.parametrize("model", ["conv2", "conv4", "resnet18_w16"])
@pytest.mark.parametrize("batch_size", [31, 100])
def test_a_batch_in_slices_has_the_loss_and_gradient_of_the_whole(model, batch):
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.randn(1, batch, 1, 28, 28, generator=draw), torch.arange(batch)[None] % 10
    module = build(model, (1, 28, 28), 10, seed=0)
    expected = cross_entropy(module(images[0]), labels[0])
    slopes = torch.autograd.grad(expected, list(module.parameters()))
    joined = together([build(model, (1, 28, 28), 10, seed=0)])
    losses = joined.differentiate(images, labels, with_gradient)
    assert float(losses[0]) == pytest.approx(float(expected.detach()), rel=1e-5)
    for leaf, slope in zip(joined.leaves(0), slopes, strict=True):
        torch.testing.assert_close(leaf.grad, slope, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", ["perceptron", "mlp2"])
@pytest.mark.parametrize("batch_size", [64, 128])
def test_images_of_mnist_have_the_same_bits_in_any_company(model, precision, batch):
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (300, 1, 28, 28), generator=draw, dtype=torch.uint8)
    data = Arrays(images, torch.arange(300) % 10)
    settings = {
        "targets": "pooled",
        "optimizer": "adam",
        "steps": 20,
        "batch_size": batch,
        "precision": precision,
    }
    group = [
        Task(model, Dilution(data, seed, seed=seed), data, seed, 30, TrainConfig(lr=rate, **settings))
        for seed, rate in enumerate([1e-3, 1e-3, 3e-3])
    ]
    whole = train_together(group)
    for few in (group[:1], group[1:]):
        for task, result in zip(few, train_together(few), strict=True):
            assert torch.equal(weights(result.module), weights(whole[group.index(task)].module))


@pytest.mark.parametrize("model", ["perceptron", "mlp4", "conv4"])
def test_gradients_in_bfloat16_are_those_of_float32_rounded(model):
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(2, 64, 1, 8, 8, generator=draw)
    labels = torch.randint(10, (2, 64), generator=draw)
    found = []
    for products in (torch.float32, torch.bfloat16):
        both = together([build(model, (1, 8, 8), 10, seed=seed) for seed in (0, 1)], products)
        for _ in range(2):  # the second time with what the first has left
            losses = both.differentiate(images, labels, with_gradient)
        slopes = [torch.cat([leaf.grad.flatten() for leaf in both.leaves(replica)]) for replica in (0, 1)]
        assert {slope.dtype for slope in slopes} == {torch.float32}
        found.append((losses, torch.stack(slopes)))
    (exact, wanted), (rounded, slopes) = found
    assert rounded.tolist() == pytest.approx(exact.tolist(), rel=2e-3)
    apart = (slopes - wanted).norm(dim=1) / wanted.norm(dim=1)
    assert apart.min() > 1e-5  # it is another computation
    assert apart.max() < 0.1  # and a layer left out would be of order 1


def test_accuracy_with_bfloat16_is_within_the_interval_of_float32():
    digits = load("digits")
    for model, rate in (("mlp2", 3e-3), ("conv2", 3e-3)):
        for alpha in (0.0, 5.0):
            accuracies = {}
            for precision in ("float32", "bfloat16"):
                settings = TrainConfig(
                    targets="pooled", optimizer="adam", lr=rate, schedule="linear", batch_size=64, epochs=6,
                    n_evals=1, precision=precision,
                )  # fmt: skip
                group = [
                    Task(model, Dilution(digits.train, alpha, seed=seed), digits.test, seed, 143, settings)
                    for seed in range(4)
                ]
                found = [result.summary()["test_acc_last"] for result in train_together(group)]
                accuracies[precision] = torch.tensor(found, dtype=torch.float64)
            exact = accuracies["float32"]
            half = student.ppf(0.975, len(exact) - 1) * exact.std() / len(exact) ** 0.5
            assert abs(accuracies["bfloat16"].mean() - exact.mean()) <= half


@pytest.mark.parametrize("model", ["mlp2", "conv2"])
@pytest.mark.parametrize("lr", [1e20, 3.0])
def test_a_replica_that_diverges_does_not_disturb_the_others(model, rate):
    group = tasks(model, "sgd", rates=[0.01, 0.01, rate, 0.01])
    calm = tasks(model, "sgd", rates=[0.01, 0.01, 0.005, 0.01])
    results, expected = train_together(group), train_together(calm)
    for number in (0, 1, 3):
        assert results[number].state == "done"
        assert torch.equal(weights(results[number].module), weights(expected[number].module))
        pd.testing.assert_frame_equal(results[number].history, expected[number].history, check_exact=True)
    if rate == 1e20:
        assert results[2].state == "diverged"
        assert results[2].diverged_at == 2
        assert results[2].history.empty
        alone = train_together(group[2:3])[0]
        assert (alone.state, alone.diverged_at) == ("diverged", 2)


def test_training_ends_early_when_all_have_diverged():
    group = tasks("mlp1", "sgd", rates=[1e20] * 4, steps=10_000_000, n_evals=1_000_000)
    assert {result.state for result in train_together(group)} == {"diverged"}


def test_trainings_of_other_shapes_are_refused():
    one, two, *_ = tasks()
    for other in (
        replace(two, model="mlp1"),
        replace(two, settings=two.settings.model_copy(update={"batch_size": 16})),
        replace(two, settings=two.settings.model_copy(update={"steps": 49})),
        replace(two, settings=two.settings.model_copy(update={"targets": "sampled"})),
        replace(two, settings=two.settings.model_copy(update={"translate": 1})),
    ):
        with pytest.raises(InputError, match="2 trainings have 2 shapes"):
            train_together([one, other])
