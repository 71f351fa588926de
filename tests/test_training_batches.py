"""Batches of sampled, pooled and expected targets: the same gradient, every example once per epoch."""

from collections import Counter

import pytest
import torch

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.models import build_model
from dilution.noise import Dilution, matrix, structured
from dilution.training import BatchSampler, batches
from dilution.training.losses import cross_entropy

TARGETS = ["sampled", "pooled", "expected"]
ALPHAS = [0.0, 0.013, 0.5, 1.0, 2.7, 20.0]


def stream(noisy, targets, batch_size, steps, seed=0):
    """Return the ids of the images of consecutive batches, and their targets."""
    parts = list(BatchSampler(noisy, targets, batch_size, seed=seed).batches(steps))
    assert all(len(part.images) == len(part.targets) == batch_size for part in parts)
    images = torch.cat([part.images for part in parts])
    ids = images[:, 0, 0, 0].long() * 256 + images[:, 0, 0, 1].long()
    return ids, torch.cat([part.targets for part in parts])


def full_gradient(noisy, targets, batch_size=None):
    """Return the gradient of the empirical risk: over one epoch, in batches that divide it."""
    model = build_model("mlp1", (1, 2, 2), noisy.classes, seed=3).double()
    length = BatchSampler(noisy, targets, 1, seed=7).length
    batch_size = batch_size or length
    steps, rest = divmod(length, batch_size)
    assert rest == 0
    risk = 0.0
    for batch in BatchSampler(noisy, targets, batch_size, seed=7).batches(steps):
        weights = batch.targets if batch.targets.ndim == 1 else batch.targets.double()
        risk = risk + cross_entropy(model(batch.images.double() / 255), weights) / steps
    risk.backward()
    return torch.cat([weights.grad.flatten() for weights in model.parameters()])


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_sampled_and_pooled_targets_have_the_same_full_gradient(make_data, alpha, stratified):
    noisy = Dilution(make_data(50), alpha, stratified=stratified)
    sampled, pooled = full_gradient(noisy, "sampled"), full_gradient(noisy, "pooled")
    assert float(sampled.norm()) > 1e-3
    assert torch.allclose(sampled, pooled, rtol=1e-5, atol=1e-7)


def test_the_full_gradient_does_not_depend_on_the_batch_size(make_data):
    noisy = Dilution(make_data(50), 2.6)  # 180 examples
    whole = full_gradient(noisy, "sampled")
    for targets, batch_size in [("sampled", 20), ("pooled", 10), ("pooled", 1)]:
        assert torch.allclose(full_gradient(noisy, targets, batch_size), whole, rtol=1e-5, atol=1e-7)


def test_pooled_and_expected_targets_differ_in_the_gradient(make_data):
    noisy = Dilution(make_data(50), 2.0)
    difference = full_gradient(noisy, "pooled") - full_gradient(noisy, "expected")
    assert float(difference.norm()) > 1e-3


@pytest.mark.parametrize("alpha", [0, 1, 7])
def test_pooled_equals_expected_where_the_added_label_is_certain(make_data, alpha):
    next_class = matrix(torch.eye(10).roll(1, dims=1).tolist())
    noisy = Dilution(make_data(30), alpha, noise=next_class)
    for seed in (0, 1):
        pooled, expected = (stream(noisy, targets, 10, 6, seed=seed) for targets in ("pooled", "expected"))
        assert torch.equal(pooled[0], expected[0])
        assert torch.allclose(pooled[1], expected[1], atol=1e-6)
    assert torch.allclose(full_gradient(noisy, "pooled"), full_gradient(noisy, "expected"), atol=1e-7)


@pytest.mark.parametrize("alpha", [10, 100, 1000])
def test_pooled_targets_converge_to_expected_ones(make_data, alpha):
    # A cell counts alpha draws of probability 1/10: its deviation is sqrt(0.09 alpha) / (1 + alpha).
    noisy = Dilution(make_data(200), alpha)
    pooled, expected = (stream(noisy, targets, 200, 1)[1] for targets in ("pooled", "expected"))
    deviation = float((pooled - expected).square().mean().sqrt())
    assert deviation == pytest.approx((0.09 * alpha) ** 0.5 / (1 + alpha), rel=0.1)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_pooled_weights_sum_to_the_number_of_images(make_data, alpha):
    noisy = Dilution(make_data(40), alpha)
    weights = stream(noisy, "pooled", 40, 1)[1]
    assert float(weights.sum()) == pytest.approx(40, rel=1e-5)
    assert float(weights.min()) >= 0


def test_expected_targets_are_the_rows_of_the_overall_matrix(make_data):
    noisy = Dilution(make_data(40), 3.3, noise=structured(0.7), seed=5)
    ids, targets = stream(noisy, "expected", 40, 1)
    overall = torch.from_numpy(noisy.noise.overall(10, 3.3, 5)).float()
    assert torch.equal(targets, overall[noisy.data.labels[ids]])


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_every_example_occurs_exactly_once_per_epoch(make_data, targets, batch_size):
    noisy = Dilution(make_data(45), 1.3, n=30)  # 69 examples or 30 images per epoch
    length = len(noisy) if targets == "sampled" else noisy.n
    epochs = 3
    ids, labels = stream(noisy, targets, batch_size, -(-epochs * length // batch_size))
    if targets == "sampled":
        index = torch.arange(len(noisy))
        yielded = list(zip(ids.tolist(), labels.tolist(), strict=True))
        expected = zip(noisy.source(index).tolist(), noisy.labels(index).tolist(), strict=True)
    else:
        yielded, expected = ids.tolist(), noisy.clean_rows.tolist()
    expected = Counter(expected)
    parts = [yielded[epoch * length : (epoch + 1) * length] for epoch in range(epochs)]
    assert all(Counter(part) == expected for part in parts)
    assert parts[0] != parts[1] != parts[2]


@pytest.mark.parametrize("targets", TARGETS)
def test_the_order_depends_on_the_seed_and_not_on_chunks_or_batch_size(make_data, targets, monkeypatch):
    noisy = Dilution(make_data(45), 1.3)
    ids, labels = stream(noisy, targets, 30, 8)
    other_ids, _ = stream(noisy, targets, 30, 8, seed=1)
    assert not torch.equal(ids, other_ids)
    for chunk, batch_size, table in [
        (1, 30, 1 << 26),
        (31, 30, 0),
        (64, 8, 0),
        (1 << 15, 240, 0),
        (7, 1, 1 << 26),
    ]:
        monkeypatch.setattr(batches, "_CHUNK", chunk)
        monkeypatch.setattr(batches, "_TABLE", table)
        again = stream(noisy, targets, batch_size, 240 // batch_size)
        assert torch.equal(again[0], ids)
        assert torch.equal(again[1], labels)


@pytest.mark.parametrize("n", [1, 3, 17, 45])
def test_many_epochs_are_shuffled_at_once_as_one_by_one(make_data, n):
    sampler = BatchSampler(Dilution(make_data(n), 0), "sampled", 8, seed=7)
    for start, count in ((0, 5 * n), (n - 1, 3 * n + 2), (2 * n, 1), (40 * n + n // 2, 60 * n)):
        one_by_one = sampler._shuffled(start, count)
        assert torch.equal(sampler._shuffled_at_once(start, count), one_by_one)  # as on a GPU


@pytest.mark.parametrize("targets", TARGETS)
def test_the_first_steps_do_not_depend_on_the_number_of_steps(make_data, targets):
    noisy = Dilution(make_data(45), 1.3)
    few, many = stream(noisy, targets, 16, 3), stream(noisy, targets, 16, 9)
    assert torch.equal(few[0], many[0][:48])
    assert torch.equal(few[1], many[1][:48])


@pytest.mark.parametrize("targets", ["pooled", "expected"])
@pytest.mark.parametrize("images", ["fresh", "white_noise", "external"])
def test_other_images_are_refused_for_pooled_and_expected_targets(make_data, targets, images):
    data = make_data(40)
    source = Arrays(data.images, data.labels) if images == "external" else images
    noisy = Dilution(data, 2, n=20, image_source=source)
    with pytest.raises(
        InputError, match=rf"targets='{targets}'.*image_source='{images}'.*Use targets='sampled'"
    ):
        BatchSampler(noisy, targets, 8, seed=0)
    assert BatchSampler(noisy, "sampled", 8, seed=0).length == 60
