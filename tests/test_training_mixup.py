"""Mixup: images and labels are mixed with others of the batch, by the seed and the step."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dilution.data import load
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training import TrainConfig, TrainTask, train, train_together
from dilution.training.batches import Batch
from dilution.training.mixup import Mixup

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = 4


def batches(count, size, weights=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        images = torch.randint(256, (size, 1, 2, 3), generator=generator, dtype=torch.uint8)
        labels = torch.randint(CLASSES, (size,), generator=generator)
        yield Batch(images, torch.rand(size, CLASSES, generator=generator) if weights else labels)


@given(st.integers(1, 9), st.integers(0, 5), st.booleans(), st.floats(0.05, 4))
def test_a_batch_is_mixed_with_a_permutation_of_itself(size, start, weights, a):
    mixup = Mixup(TrainConfig(mixup=a), CLASSES, seed=3)
    plain = list(batches(3, size, weights))
    mixed = list(mixup.apply(plain, start))
    factors, partners = mixup.draw(torch.arange(start, start + 3), size)
    for step, (before, after) in enumerate(zip(plain, mixed, strict=True)):
        factor, partner = float(factors[step]), partners[step]
        assert sorted(partner.tolist()) == list(range(size))
        images = factor * before.images.double() + (1 - factor) * before.images[partner].double()
        torch.testing.assert_close(after.images.double(), images, rtol=1e-5, atol=1e-3)
        targets = before.targets if weights else torch.nn.functional.one_hot(before.targets, CLASSES)
        expected = factor * targets.double() + (1 - factor) * targets[partner].double()
        torch.testing.assert_close(after.targets.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_batches_of_a_step_do_not_depend_on_where_a_training_resumed():
    mixup = Mixup(TrainConfig(mixup=0.4), CLASSES, seed=3)
    plain = list(batches(5, 6))
    whole = list(mixup.apply(plain))
    resumed = list(mixup.apply(plain[3:], start=3))
    for first, second in zip(whole[3:], resumed, strict=True):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.targets, second.targets)


@pytest.mark.parametrize("a", [0.2, 1.0, 3.0])
def test_the_weights_have_the_distribution_beta_and_partners_are_uniform(a):
    weights, partners = Mixup(TrainConfig(mixup=a), CLASSES, seed=0).draw(torch.arange(4000), 5)
    assert stats.kstest(weights.numpy(), stats.beta(a, a).cdf).pvalue > 1e-3
    counts = np.array([torch.bincount(partners[:, place], minlength=5).numpy() for place in range(5)])
    assert stats.chisquare(counts, axis=1).pvalue.min() > 1e-4


def test_off_it_leaves_batches_as_they_are():
    plain = list(batches(2, 4))
    kept = list(Mixup(TrainConfig(), CLASSES, seed=0).apply(plain))
    assert [id(batch) for batch in kept] == [id(batch) for batch in plain]


@pytest.mark.trains
@pytest.mark.parametrize("targets", ["sampled", "pooled"])
@pytest.mark.parametrize("model", ["mlp1", "conv2"])
def test_a_training_with_mixup_has_the_same_bits_in_any_group(model, targets):
    digits = load("digits")
    config = TrainConfig(
        mixup=0.3, loss="gce", targets=targets, steps=10, batch_size=16, n_evals=1, optimizer="adam", lr=0.01
    )
    tasks = [
        TrainTask(model, Dilution(digits.train, 1, n=60, seed=s), digits.test, s, 6, config) for s in (0, 1)
    ]
    together = train_together(tasks)
    for task, result in zip(tasks, together, strict=True):
        (alone,) = train_together([task])
        for name, weight in alone.model.state_dict().items():
            assert torch.equal(weight, result.model.state_dict()[name])


@pytest.mark.trains
def test_mixed_labels_are_not_learned_by_heart():
    digits = load("digits")
    noisy = Dilution(digits.train, eta=0.4, label_mode="replaced", n=300)
    settings = {"steps": 300, "batch_size": 64, "n_evals": 1, "optimizer": "adam", "lr": 0.01}
    losses = {
        mixup: train("mlp1", noisy, test=digits.test, mixup=mixup, **settings).history["train_loss"].iloc[-1]
        for mixup in (0.0, 1.0)
    }
    assert losses[1.0] > losses[0.0] + 0.3


@pytest.mark.parametrize("value", [-0.1, float("nan"), 1e7])
def test_a_parameter_out_of_range_is_refused(value):
    with pytest.raises(InputError, match="mixup is"):
        TrainConfig(mixup=value)
