"""The gradient noise scale against theory and against autograd."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.advice.gradient_sums import GradientSums, _make_blocks, _pairs
from dilution.advice.half_trained import HalfTrainedModel, _halfway_evaluation, train_halfway
from dilution.advice.noise_scale import _ratio, jackknife_error, measure_noise_scale
from dilution.data import Arrays
from dilution.errors import InputError
from dilution.noise import Dilution


def blobs(n=4000, classes=4, seed=0):
    """Return Gaussian classes that overlap, as rows of features."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = random.normal(size=(classes, 16))
    features = (centres[labels] + 0.8 * random.normal(size=(n, 16))).astype(np.float32)
    return dilution.from_numpy(
        features=features, labels=labels, test_features=features[:200], test_labels=labels[:200]
    )


@pytest.fixture(scope="module")
def scales():
    data = blobs().train
    model = train_halfway("mlp1", Dilution(data, 0), 400, seed=0)
    return [measure_noise_scale(model, Dilution(data, alpha), seed=0) for alpha in (0.0, 3.0)]


@pytest.mark.parametrize(
    ("losses", "number"),
    [([2.0, 1.6, 1.4, 1.0, 1.2], 2), ([2.0, 1.0, 1.9, 1.1], 1), ([2.0, math.inf, 1.4, math.nan, 1.0], 2)],
)
def test_the_model_is_the_first_that_is_halfway_to_the_lowest_loss(losses, number):
    assert _halfway_evaluation(losses, "mlp1") == number


@pytest.mark.trains
def test_the_noise_scale_grows_as_the_square_of_the_labels_per_clean_one(scales):
    clean, noisy = scales
    assert 4**1.5 < noisy.label.value / clean.label.value < 4**2.5
    assert noisy.label.low < noisy.label.value < noisy.label.high


@pytest.mark.trains
def test_pooling_divides_the_noise_scale_by_about_the_labels_per_image(scales):
    clean, noisy = scales
    assert clean.label.value == pytest.approx(clean.image.value, rel=0.2)
    assert 2 < noisy.label.value / noisy.image.value < 8


@pytest.mark.trains
def test_the_noise_scale_is_that_of_all_gradients_at_once():
    """Compare with |G|² and tr Σ from the gradient of every image, by autograd."""
    data = blobs(n=512).train
    noisy = Dilution(data, 0)
    model = train_halfway("perceptron", noisy, 51, seed=1)
    gradients = []
    for image, label in zip(data.images, data.labels, strict=True):
        model.module.zero_grad()
        logits = model.module(model.prepare(image[None]))
        torch.nn.functional.cross_entropy(logits, label[None]).backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.module.parameters()]))
    stacked = torch.stack(gradients).double()
    trace = float(stacked.var(dim=0).sum())
    square = float((stacked.mean(dim=0) ** 2).sum()) - trace / len(stacked)
    scale = measure_noise_scale(model, noisy, seed=0)
    assert scale.image.value == pytest.approx(trace / square, rel=0.05)


@pytest.mark.trains
def test_too_few_examples_for_a_noise_scale_are_refused():
    data = blobs(n=100).train
    model = train_halfway("mlp1", Dilution(data, 0), 10, seed=0)
    with pytest.raises(InputError, match="at least 128"):
        measure_noise_scale(model, Dilution(data, 1), seed=0)


# --- examples that are no independent evidence ---

COMMON = 0.8  # standard deviation of what the features of a group have in common


def logistic_examples(random, n_groups, sizes, shared):
    """Return features, labels and groups: the rows of a group are copies, or are alike ("patient")."""
    groups = np.repeat(np.arange(n_groups), sizes)
    centres = COMMON * random.normal(size=(n_groups, 4))
    own = math.sqrt(1 - COMMON**2) * random.normal(size=(n_groups if shared == "copy" else len(groups), 4))
    features = centres[groups] + (own[groups] if shared == "copy" else own)
    draws = random.random(n_groups if shared == "copy" else len(groups))
    p = 1 / (1 + np.exp(-features[:, 0] - 0.3))
    labels = ((draws[groups] if shared == "copy" else draws) < p).astype(np.int64)
    return features.astype(np.float32), labels, groups


def linear_model():
    """Return a model that predicts both classes alike: its gradients are (½ − y) times features and 1."""
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    for weight in module.parameters():
        torch.nn.init.zeros_(weight)
    return HalfTrainedModel(module, torch.Tensor.float, None, "float32")


def diluted(features, labels, groups):
    images = torch.from_numpy(features)[:, :, None, None]
    return Dilution(Arrays(images, torch.from_numpy(labels), ("a", "b"), None, torch.from_numpy(groups)), 0)


@pytest.fixture(scope="module")
def population():
    """Return tr Σ and |G|² of one example of the model above."""
    features, labels, _ = logistic_examples(np.random.default_rng(0), 400_000, 1, "copy")
    gradients = (0.5 - labels)[:, None] * np.c_[features, np.ones(len(features))]
    gradients = np.c_[gradients, -gradients]  # of both classes
    square = float((gradients.mean(axis=0) ** 2).sum())
    return float(gradients.var(axis=0).sum()), square


@pytest.mark.trains
@pytest.mark.parametrize(
    ("n_groups", "sizes", "shared"),
    [(60, (1, 10), "copy"), (150, (2, 6), "patient")],
    ids=["copies in different numbers", "patients"],
)
def test_intervals_of_the_noise_scale_cover_it_where_examples_are_of_groups(
    population, n_groups, sizes, shared
):
    trace, square = population
    model, covered, traces = linear_model(), 0, []
    draws = 60
    for seed in range(draws):
        random = np.random.default_rng(seed)
        per_group = random.integers(sizes[0], sizes[1] + 1, n_groups)
        features, labels, groups = logistic_examples(random, n_groups, per_group, shared)
        sums = GradientSums.measure(model, diluted(features, labels, groups), "pooled", torch.eye(2), seed)
        scale = _ratio(sums, sums)
        covered += scale.low <= trace / square <= scale.high
        traces.append(sums.estimates(np.arange(len(sums.sizes)))[1])
    assert covered / draws >= 0.87  # a standard error is 0.028
    error = np.std(traces) / math.sqrt(draws)
    assert np.mean(traces) == pytest.approx(trace, abs=3 * error)


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=40).filter(lambda sizes: sorted(sizes)[-2] > 1),
    st.integers(2, 16),
    st.integers(0, 99),
)
def test_blocks_are_whole_groups_and_hold_each_example_once(sizes, batch_size, seed):
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    blocks = _make_blocks(len(groups), batch_size, groups)
    of_blocks = [np.concatenate(batches) for batches in blocks]
    assert sorted(np.concatenate(of_blocks)) == list(range(len(groups)))
    assert 2 <= len(blocks) <= 16
    assert sum(len(set(groups[rows])) for rows in of_blocks) == len(sizes)
    assert min(len(batch) for batches in blocks for batch in batches) >= 2


def test_examples_of_one_group_have_no_noise_scale():
    features, labels, groups = logistic_examples(np.random.default_rng(0), 2, [199, 1], "patient")
    with pytest.raises(InputError, match=r"of one group, or all but one .* name smaller groups"):
        measure_noise_scale(linear_model(), diluted(features, labels, groups), 0)


def test_two_groups_give_a_noise_scale_without_bounds():
    features, labels, groups = logistic_examples(np.random.default_rng(0), 2, [150, 50], "patient")
    scale = measure_noise_scale(linear_model(), diluted(features, labels, groups), 0).image
    assert (scale.low, scale.high) == (0, math.inf)


def test_the_jackknife_of_blocks_of_any_size_is_exact_for_a_mean():
    random = np.random.default_rng(1)
    sizes = np.array([1, 2, 5, 8])
    blocks = [random.normal(size=size) for size in sizes]
    rows = np.concatenate(blocks)
    left_out = np.array([np.concatenate(blocks[:j] + blocks[j + 1 :]).mean() for j in range(4)])
    means = np.array([block.mean() for block in blocks])
    weights = sizes / sizes.sum()
    expected = math.sqrt(np.mean((means - rows.mean()) ** 2 * weights / (1 - weights)))
    assert jackknife_error(rows.mean(), left_out, sizes) == pytest.approx(expected)
    equal = jackknife_error(rows.mean(), left_out, np.full(4, 4))
    assert equal > 0


def test_the_scatter_of_one_gradient_is_told_from_what_a_group_has_in_common():
    """Groups of 30 rows fill most of each batch: without the correction tr Σ would be twice as large."""
    groups, traces, signals = np.repeat(np.arange(32), 30), [], []
    blocks = _make_blocks(len(groups), 7, groups)
    sizes = [np.array([len(batch) for batch in batches]) for batches in blocks]
    for seed in range(200):
        random = np.random.default_rng(seed)
        own, common = random.normal(size=(len(groups), 8)), random.normal(size=(32, 8))
        gradients = 1 + own + 0.7 * common[groups]
        sums = np.array([sum(gradients[batch].sum(axis=0) for batch in batches) for batches in blocks])
        squares = [sum((gradients[batch].sum(axis=0) ** 2).sum() for batch in batches) for batches in blocks]
        measured = GradientSums(
            np.array([size.sum() for size in sizes]),
            sums @ sums.T,
            np.array(squares),
            np.array([(size**2).sum() for size in sizes], dtype=float),
            np.array([sum(_pairs(groups[batch]) for batch in batches) for batches in blocks], dtype=float),
            np.array([_pairs(groups[np.concatenate(batches)]) for batches in blocks], dtype=float),
        )
        signal, trace = measured.estimates(np.arange(len(blocks)))
        signals.append(signal)
        traces.append(trace)
    for values, truth in ((signals, 8.0), (traces, 8 * (1 + 0.7**2))):
        assert np.mean(values) == pytest.approx(truth, abs=3 * np.std(values) / math.sqrt(200))
        assert np.std(values) / math.sqrt(200) < 0.02 * truth
