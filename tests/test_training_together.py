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
from dilution.training import BatchOrderer, Task, TrainSettings, train_together
from dilution.training.augment import Augmentation
from dilution.training.ensemble import together
from dilution.training.evaluation import Normalise
from dilution.training.losses import cross_entropy, with_gradient
from dilution.training.optimizers import optimizer, rate_factor

STEPS = 50
# At larger rates optimizers that divide a gradient by its size turn rounding into whole steps (docs/log.md).
RATES = {"adadelta": (0.1, 0.5), "sgd": (0.01, 0.02), "adam": (3e-4, 1e-3), "adamw": (3e-4, 1e-3)}


pytestmark = pytest.mark.usefixtures("one_thread")


def tasks(network="mlp2", name="adam", order="pooled", rates=None, **changes):
    """Four replicas that differ in noise level, noise model, skew, seed, subset and, if asked, rate."""
    digits = load("digits")
    dilutions = [
        Dilution(digits.train, 0, n=300, seed=0),
        Dilution(digits.train, 1.5, n=300, seed=1),
        Dilution(digits.train, 4, noise=structured(0.7), n=300, seed=2),
        Dilution(digits.train, eta=0.4, n=300, seed=3, stratified=True),
    ]
    rates = rates or [RATES[name][0]] * 4
    common = {"optimizer": name, "order": order, "steps": STEPS, "batch": 32, "evaluations": 2} | changes
    return [
        Task(network, noisy, digits.test, noisy.seed, 30, TrainSettings(rate=rate, **common))
        for noisy, rate in zip(dilutions, rates, strict=True)
    ]


def by_hand(task):
    """Return the weights after a plain loop over one network, and the loss of each step."""
    settings, noisy = task.settings, task.noisy
    training, _ = noisy.hold_out(task.validation)
    shape = tuple(noisy.data.images.shape[1:])
    module = build(task.network, shape, noisy.classes, seed=task.seed)
    prepare = Normalise(noisy.data, training.clean_rows)
    using = optimizer(module.parameters(), settings)
    losses = []
    batches = BatchOrderer(training, settings.order, settings.batch, seed=task.seed).batches(settings.steps)
    augment = Augmentation(settings, shape, seed=task.seed)
    for step, batch in enumerate(augment.of(batches)):
        using.param_groups[0]["lr"] = settings.rate * rate_factor(settings.schedule, step, settings.steps)
        loss = cross_entropy(module(prepare(batch.pictures)), batch.targets)
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


@pytest.mark.parametrize("order", ["examples", "pooled", "expected"])
@pytest.mark.parametrize("network", ["perceptron", "mlp1", "mlp4", "conv2", "conv4"])
def test_replicas_equal_the_plain_loop_for_every_network_and_order(network, order):
    # sgd: the first steps of Adam turn the rounding of a gradient near zero into a whole step
    group = tasks(network, "sgd", order, rates=[0.01, 0.02, 0.01, 0.01], schedule="linear")
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
    training, _ = noisy.hold_out(task.validation)
    module = build(task.network, noisy.data.shape, noisy.classes, seed=task.seed)
    prepare = Normalise(noisy.data, training.clean_rows)
    plain = {"foreach": False, "weight_decay": settings.weight_decay}
    using = TEXTBOOK[settings.optimizer](module.parameters(), lr=settings.rate, **plain)
    average = None
    batches = BatchOrderer(training, settings.order, settings.batch, seed=task.seed).batches(settings.steps)
    for step, batch in enumerate(batches):
        using.param_groups[0]["lr"] = settings.rate * (1 + math.cos(math.pi * step / settings.steps)) / 2
        logits = module(prepare(batch.pictures))
        loss = -(batch.targets * torch.log_softmax(logits, dim=1)).sum() / settings.batch
        using.zero_grad()
        loss.backward()
        using.step()
        now = weights(module).clone()
        average = now if average is None else settings.averaging * average + (1 - settings.averaging) * now
    return average


@pytest.mark.parametrize("labels", ["added", "replaced"])
@pytest.mark.parametrize("network", ["mlp2", "conv2"])
@pytest.mark.parametrize("name", TEXTBOOK)
def test_replicas_equal_a_loop_with_optimizers_that_are_not_fused(network, name, labels):
    digits = load("digits")
    settings = {"optimizer": name, "weight_decay": 0.05, "averaging": 0.9, "schedule": "cosine"}
    settings |= {"order": "pooled", "steps": STEPS, "batch": 32, "evaluations": 1, "momentum": 0.0}
    group = [
        Task(network, Dilution(digits.train, 1.5, n=300, seed=seed, labels=labels), digits.test, seed, 30,
             TrainSettings(rate=rate, **settings))
        for seed, rate in enumerate(RATES[name])
    ]  # fmt: skip
    for task, result in zip(group, train_together(group), strict=True):
        torch.testing.assert_close(weights(result.module), from_a_textbook(task), rtol=1e-3, atol=3e-3)


@pytest.mark.parametrize(("network", "steps"), [("conv2", STEPS), ("resnet18_w16", 4)])
@pytest.mark.parametrize(("name", "momentum", "rate"), [("adam", 0, 1e-4), ("sgd", 0.9, 2e-3)])
def test_convolutions_with_momentum_equal_the_plain_loop(network, steps, name, momentum, rate):
    # Few steps of a ResNet: once rounding switches a ReLU, its normalisation tells the whole batch.
    group = tasks(network, name, rates=[rate, 2 * rate, rate, rate], momentum=momentum, steps=steps)
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_by_hand(task, result)


@pytest.mark.parametrize("network", ["mlp2", "conv2"])
@pytest.mark.parametrize("changes", [{"flips": True}, {"crops": 2}, {"flips": True, "crops": 1}], ids=str)
def test_augmented_replicas_equal_the_plain_loop(network, changes):
    group = tasks(network, "sgd", rates=[0.01, 0.02, 0.01, 0.01], **changes)
    for task, result in zip(group, train_together(group), strict=True):
        assert_as_by_hand(task, result)


@pytest.mark.parametrize(
    "changes", [{}, {"averaging": 0.9}, {"precision": "bfloat16"}, {"flips": True, "crops": 2}], ids=str
)
@pytest.mark.parametrize("network", ["perceptron", "mlp2", "conv2"])
def test_a_replica_has_the_same_bits_in_any_company(network, changes):
    group = tasks(network, **changes)
    whole = train_together(group)
    for few in (group[:1], group[1:3], group[3:]):
        for task, result in zip(few, train_together(few), strict=True):
            other = whole[group.index(task)]
            assert torch.equal(weights(result.module), weights(other.module))
            pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)


@pytest.mark.parametrize("network", ["conv2", "conv4", "resnet18_w16"])
@pytest.mark.parametrize("batch", [31, 100])
def test_a_batch_in_slices_has_the_loss_and_gradient_of_the_whole(network, batch):
    draw = torch.Generator().manual_seed(0)
    pictures, labels = torch.randn(1, batch, 1, 28, 28, generator=draw), torch.arange(batch)[None] % 10
    module = build(network, (1, 28, 28), 10, seed=0)
    expected = cross_entropy(module(pictures[0]), labels[0])
    slopes = torch.autograd.grad(expected, list(module.parameters()))
    joined = together([build(network, (1, 28, 28), 10, seed=0)])
    losses = joined.differentiate(pictures, labels, with_gradient)
    assert float(losses[0]) == pytest.approx(float(expected.detach()), rel=1e-5)
    for leaf, slope in zip(joined.leaves(0), slopes, strict=True):
        torch.testing.assert_close(leaf.grad, slope, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("network", ["perceptron", "mlp2"])
@pytest.mark.parametrize("batch", [64, 128])
def test_pictures_of_mnist_have_the_same_bits_in_any_company(network, precision, batch):
    draw = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (300, 1, 28, 28), generator=draw, dtype=torch.uint8)
    data = Arrays(pictures, torch.arange(300) % 10)
    settings = {"order": "pooled", "optimizer": "adam", "steps": 20, "batch": batch, "precision": precision}
    group = [
        Task(network, Dilution(data, seed, seed=seed), data, seed, 30, TrainSettings(rate=rate, **settings))
        for seed, rate in enumerate([1e-3, 1e-3, 3e-3])
    ]
    whole = train_together(group)
    for few in (group[:1], group[1:]):
        for task, result in zip(few, train_together(few), strict=True):
            assert torch.equal(weights(result.module), weights(whole[group.index(task)].module))


@pytest.mark.parametrize("network", ["perceptron", "mlp4", "conv4"])
def test_gradients_in_bfloat16_are_those_of_float32_rounded(network):
    draw = torch.Generator().manual_seed(0)
    pictures = torch.randn(2, 64, 1, 8, 8, generator=draw)
    labels = torch.randint(10, (2, 64), generator=draw)
    found = []
    for products in (torch.float32, torch.bfloat16):
        both = together([build(network, (1, 8, 8), 10, seed=seed) for seed in (0, 1)], products)
        for _ in range(2):  # the second time with what the first has left
            losses = both.differentiate(pictures, labels, with_gradient)
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
    for network, rate in (("mlp2", 3e-3), ("conv2", 3e-3)):
        for alpha in (0.0, 5.0):
            accuracies = {}
            for precision in ("float32", "bfloat16"):
                settings = TrainSettings(
                    order="pooled", optimizer="adam", rate=rate, schedule="linear", batch=64, epochs=6,
                    evaluations=1, precision=precision,
                )  # fmt: skip
                group = [
                    Task(network, Dilution(digits.train, alpha, seed=seed), digits.test, seed, 143, settings)
                    for seed in range(4)
                ]
                found = [result.summary()["test_last"] for result in train_together(group)]
                accuracies[precision] = torch.tensor(found, dtype=torch.float64)
            exact = accuracies["float32"]
            half = student.ppf(0.975, len(exact) - 1) * exact.std() / len(exact) ** 0.5
            assert abs(accuracies["bfloat16"].mean() - exact.mean()) <= half


@pytest.mark.parametrize("network", ["mlp2", "conv2"])
@pytest.mark.parametrize("rate", [1e20, 3.0])
def test_a_replica_that_diverges_does_not_disturb_the_others(network, rate):
    group = tasks(network, "sgd", rates=[0.01, 0.01, rate, 0.01])
    calm = tasks(network, "sgd", rates=[0.01, 0.01, 0.005, 0.01])
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
    group = tasks("mlp1", "sgd", rates=[1e20] * 4, steps=10_000_000, evaluations=1_000_000)
    assert {result.state for result in train_together(group)} == {"diverged"}


def test_trainings_of_other_shapes_are_refused():
    one, two, *_ = tasks()
    for other in (
        replace(two, network="mlp1"),
        replace(two, settings=two.settings.model_copy(update={"batch": 16})),
        replace(two, settings=two.settings.model_copy(update={"steps": 49})),
        replace(two, settings=two.settings.model_copy(update={"order": "examples"})),
        replace(two, settings=two.settings.model_copy(update={"crops": 1})),
    ):
        with pytest.raises(InputError, match="2 trainings have 2 shapes"):
            train_together([one, other])
