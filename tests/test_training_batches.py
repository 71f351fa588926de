"""The three batch orders: the same risk and gradient, every example once an epoch."""

from collections import Counter

import pytest
import torch

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.models import build
from dilution.noise import Dilution, matrix, structured
from dilution.training import BatchSampler, batches
from dilution.training.losses import cross_entropy

ORDERS = ["sampled", "pooled", "expected"]
ALPHAS = [0.0, 0.013, 0.5, 1.0, 2.7, 20.0]


def stream(noisy, order, batch, steps, seed=0):
    """Return the ids of the images that the batches show one after the other, and their targets."""
    parts = list(BatchSampler(noisy, order, batch, seed=seed).batches(steps))
    assert all(len(part.images) == len(part.targets) == batch for part in parts)
    images = torch.cat([part.images for part in parts])
    ids = images[:, 0, 0, 0].long() * 256 + images[:, 0, 0, 1].long()
    return ids, torch.cat([part.targets for part in parts])


def full_gradient(noisy, order, batch_size=None):
    """Return the gradient of the empirical risk: over one epoch, in batches that divide it."""
    module = build("mlp1", (1, 2, 2), noisy.classes, seed=3).double()
    orderer = BatchSampler(noisy, order, batch_size or 1, seed=7)
    whole = orderer.length if batch_size is None else batch_size
    orderer = BatchSampler(noisy, order, whole, seed=7)
    steps, rest = divmod(orderer.length, whole)
    assert rest == 0
    risk = 0.0
    for part in orderer.batches(steps):
        targets = part.targets if part.targets.ndim == 1 else part.targets.double()
        risk = risk + cross_entropy(module(part.images.double() / 255), targets) / steps
    risk.backward()
    return torch.cat([weights.grad.flatten() for weights in module.parameters()])


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_examples_and_pooled_have_the_same_full_gradient(make_data, alpha, stratified):
    noisy = Dilution(make_data(50), alpha, stratified=stratified)
    examples, pooled = full_gradient(noisy, "sampled"), full_gradient(noisy, "pooled")
    assert float(examples.norm()) > 1e-3
    assert torch.allclose(examples, pooled, rtol=1e-5, atol=1e-7)


def test_the_full_gradient_does_not_depend_on_how_an_epoch_is_cut_into_batches(make_data):
    noisy = Dilution(make_data(50), 2.6)  # 180 examples
    whole = full_gradient(noisy, "sampled")
    for order, batch in [("sampled", 20), ("pooled", 10), ("pooled", 1)]:
        assert torch.allclose(full_gradient(noisy, order, batch), whole, rtol=1e-5, atol=1e-7)


def test_a_sampled_label_set_differs_from_its_expectation_in_the_gradient(make_data):
    noisy = Dilution(make_data(50), 2.0)
    difference = full_gradient(noisy, "pooled") - full_gradient(noisy, "expected")
    assert float(difference.norm()) > 1e-3


@pytest.mark.parametrize("alpha", [0, 1, 7])
def test_pooled_equals_expected_where_the_added_label_is_certain(make_data, alpha):
    next_class = matrix(torch.eye(10).roll(1, dims=1).tolist())
    noisy = Dilution(make_data(30), alpha, noise=next_class)
    for seed in (0, 1):
        pooled, expected = (stream(noisy, order, 10, 6, seed=seed) for order in ("pooled", "expected"))
        assert torch.equal(pooled[0], expected[0])
        assert torch.allclose(pooled[1], expected[1], atol=1e-6)
    assert torch.allclose(full_gradient(noisy, "pooled"), full_gradient(noisy, "expected"), atol=1e-7)


@pytest.mark.parametrize("alpha", [10, 100, 1000])
def test_pooled_tends_to_expected_as_labels_grow(make_data, alpha):
    # A cell counts alpha draws of probability 1/10: its deviation is sqrt(0.09 alpha) / (1 + alpha).
    noisy = Dilution(make_data(200), alpha)
    pooled, expected = (stream(noisy, order, 200, 1)[1] for order in ("pooled", "expected"))
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


@pytest.mark.parametrize("targets", ORDERS)
@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_every_example_is_visited_exactly_once_an_epoch_without_a_gap(make_data, order, batch):
    noisy = Dilution(make_data(45), 1.3, n=30)  # 69 examples or 30 images an epoch
    length = len(noisy) if order == "sampled" else noisy.n
    epochs = 3
    ids, targets = stream(noisy, order, batch, -(-epochs * length // batch))
    if order == "sampled":
        everything = torch.arange(len(noisy))
        shown = list(zip(ids.tolist(), targets.tolist(), strict=True))
        wanted = zip(noisy.source(everything).tolist(), noisy.labels(everything).tolist(), strict=True)
    else:
        shown, wanted = ids.tolist(), noisy.clean_rows.tolist()
    wanted = Counter(wanted)
    parts = [shown[epoch * length : (epoch + 1) * length] for epoch in range(epochs)]
    assert all(Counter(part) == wanted for part in parts)
    assert parts[0] != parts[1] != parts[2]


@pytest.mark.parametrize("targets", ORDERS)
def test_the_order_does_not_depend_on_chunks_or_batch_size_and_starts_with_the_seed(
    make_data, order, monkeypatch
):
    noisy = Dilution(make_data(45), 1.3)
    ids, targets = stream(noisy, order, 30, 8)
    other_ids, _ = stream(noisy, order, 30, 8, seed=1)
    assert not torch.equal(ids, other_ids)
    for chunk, batch, table in [
        (1, 30, 1 << 26),
        (31, 30, 0),
        (64, 8, 0),
        (1 << 15, 240, 0),
        (7, 1, 1 << 26),
    ]:
        monkeypatch.setattr(batches, "_CHUNK", chunk)
        monkeypatch.setattr(batches, "_TABLE", table)
        again = stream(noisy, order, batch, 240 // batch)
        assert torch.equal(again[0], ids)
        assert torch.equal(again[1], targets)


@pytest.mark.parametrize("targets", ORDERS)
def test_the_first_steps_are_the_same_however_many_follow(make_data, order):
    noisy = Dilution(make_data(45), 1.3)
    few, many = stream(noisy, order, 16, 3), stream(noisy, order, 16, 9)
    assert torch.equal(few[0], many[0][:48])
    assert torch.equal(few[1], many[1][:48])


@pytest.mark.parametrize("targets", ["pooled", "expected"])
@pytest.mark.parametrize("images", ["fresh", "white_noise", "external"])
def test_other_images_are_refused_where_labels_are_pooled(make_data, order, images):
    data = make_data(40)
    source = Arrays(data.images, data.labels) if images == "external" else images
    noisy = Dilution(data, 2, n=20, image_source=source)
    with pytest.raises(InputError, match=rf"order='{order}'.*images='{images}'.*Use targets='sampled'"):
        BatchSampler(noisy, order, 8, seed=0)
    assert BatchSampler(noisy, "sampled", 8, seed=0).length == 60


def test_cross_entropy_is_linear_in_the_label():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]], dtype=torch.float64)
    log_f = logits.log_softmax(dim=1)
    labels = torch.tensor([0, 2])
    by_hand = -(log_f[0, 0] + log_f[1, 2]) / 2
    assert float(cross_entropy(logits, labels)) == pytest.approx(float(by_hand))
    one_hot = torch.nn.functional.one_hot(labels, 3).double()
    assert float(cross_entropy(logits, one_hot)) == pytest.approx(float(by_hand))
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.5, 0.5]], dtype=torch.float64)
    assert float(cross_entropy(logits, weights)) == pytest.approx(float(-(weights * log_f).sum() / 2))
