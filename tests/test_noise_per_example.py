"""Noise that depends on the image: part-dependent, locally concentrated, and by a model's predictions."""

import itertools
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.noise import (
    Dilution,
    PerExampleNoise,
    idn,
    locally_concentrated,
    locally_concentrated_features,
    part_dependent,
    pmd,
)

MakeData = Callable[..., Arrays]


@pytest.fixture(scope="module")
def data() -> Arrays:
    """1,500 images of three classes, each with a mean of its own."""
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 3, 1500))
    pixels = rng.integers(0, 128, (1500, 1, 6, 6)) + 40 * labels.numpy()[:, None, None, None]
    return Arrays(torch.from_numpy(pixels.astype(np.uint8)), labels, ("a", "b", "c"))


def probabilities_for(data: Arrays, seed: int = 0) -> np.ndarray:
    """Return predictions that are mostly right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(data), len(data.classes)))
    logits[np.arange(len(data)), data.labels.numpy()] += 3
    exponentials = np.exp(3 * logits)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def every_noise(data: Arrays) -> list[PerExampleNoise]:
    probabilities = probabilities_for(data)
    return [
        part_dependent(0.3),
        part_dependent(0.3, shared=True),
        locally_concentrated(0.3),
        idn(0.3, probabilities),
        pmd(0.3, probabilities),
        pmd(0.3, probabilities, kind="II"),
        pmd(0.3, probabilities, kind="III"),
        locally_concentrated_features(0.3, probabilities),
    ]


@pytest.mark.parametrize("number", range(8))
def test_noise_has_its_rate_and_is_a_function_of_the_seed(data, number):
    noise = every_noise(data)[number]
    noisy = Dilution(data, noise=noise, seed=1)
    assert noisy.label_mode == "replaced"
    summary = noisy.noise_summary()
    assert summary.noise_rate_empirical == pytest.approx(0.3, abs=0.04)
    assert summary.transition_expected == pytest.approx(summary.transition_empirical)
    again = Dilution(data, noise=every_noise(data)[number], seed=1)
    assert torch.equal(noisy.own_labels, again.own_labels)
    state = torch.random.get_rng_state()
    other = Dilution(data, noise=noise, seed=2)
    assert torch.equal(state, torch.random.get_rng_state())
    share = float((noisy.own_labels != other.own_labels).double().mean())
    assert share == 0 if noise.name == "idn" else share > 0.1  # idn draws no label


@pytest.mark.parametrize("number", range(8))
def test_a_subset_and_its_parts_keep_the_labels_of_the_whole(data, number):
    noise = every_noise(data)[number]
    whole = Dilution(data, noise=noise, seed=1).own_labels
    part = Dilution(data, noise=noise, n=400, seed=1)
    assert torch.equal(part.own_labels, whole[part.clean_rows])
    for half in part.hold_out(100):
        assert torch.equal(half.own_labels, whole[half.clean_rows])


def test_flip_rates_of_part_dependent_noise_are_truncated_normal(data):
    noise = part_dependent(0.05, spread=0.1)
    rates = noise._flip_rates(torch.arange(20_000), 0).numpy()  # type: ignore[attr-defined]
    assert rates.min() >= 0
    assert rates.max() <= 1
    from scipy import stats

    expected = stats.truncnorm(-0.5, 9.5, loc=0.05, scale=0.1)
    assert stats.kstest(rates, expected.cdf).pvalue > 1e-3


def equal_images(pixels: torch.Tensor, n: int = 4000) -> Arrays:
    """Return n equal images of the first of four classes."""
    return Arrays(pixels.expand(n, 1, 6, 6), torch.zeros(n, dtype=torch.int64), tuple("abcd"))


def test_flip_rates_and_labels_of_part_dependent_noise_are_drawn_independently_of_each_other():
    noise = part_dependent(0.5, spread=0.3)
    black = equal_images(torch.zeros(1, 6, 6, dtype=torch.uint8))
    rates = noise._flip_rates(torch.arange(4000), 0)  # type: ignore[attr-defined]
    is_wrong = noise.labels(black, 0) != 0
    for is_low in (rates < 0.5, rates >= 0.5):  # standard error of each share: 0.01
        assert float(is_wrong[is_low].double().mean()) == pytest.approx(float(rates[is_low].mean()), abs=0.05)


def test_every_draw_of_part_dependent_noise_depends_on_the_seed():
    first, second = (part_dependent(0.5)._flip_rates(torch.arange(4000), seed) for seed in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1  # standard error: 0.016
    always = part_dependent(1.0, spread=1e-6)
    black = equal_images(torch.zeros(1, 6, 6, dtype=torch.uint8))  # all products are 0
    first, second = (always.labels(black, seed) for seed in (0, 1))
    assert float((first == second).double().mean()) == pytest.approx(1 / 3, abs=0.05)  # standard error: 0.007
    white = equal_images(torch.full((1, 6, 6), 255, dtype=torch.uint8), 100)
    most_frequent = {int(always.labels(white, seed).mode().values) for seed in range(10)}
    assert len(most_frequent) > 1  # of three classes by the directions of ten seeds


def test_part_dependent_noise_depends_on_the_pixels(data):
    """Images with equal pixels and class have equal distributions; the wrong class follows the directions."""
    images = torch.zeros(4000, 1, 6, 6, dtype=torch.uint8)
    images[2000:] = torch.randint(0, 255, (1, 1, 6, 6), generator=torch.Generator().manual_seed(1)).byte()
    same_class = Arrays(images, torch.zeros(4000, dtype=torch.int64), ("a", "b", "c", "d"))
    # Labels of another class are needed, so that it may be named.
    same_class = Arrays(
        torch.cat([images, images[:3]]),
        torch.cat([same_class.labels, torch.tensor([1, 2, 3])]),
        same_class.classes,
    )
    noisy = part_dependent(0.5).labels(same_class, 0)[:4000]
    shares = torch.stack([torch.bincount(part, minlength=4) for part in noisy.split(2000)]).double() / 2000
    assert shares[0, 1:].numpy() == pytest.approx(0.5 / 3, abs=0.04)  # black: all products are 0
    assert (shares[0] - shares[1]).abs().max() > 0.1


@given(rate=st.floats(0, 1), seed=st.integers(0, 50))
def test_idn_flips_exactly_the_share_with_the_largest_wrong_probability(data, rate, seed):
    probabilities = probabilities_for(data, seed)
    noisy = idn(rate, probabilities).labels(data, 0).numpy()
    true = data.labels.numpy()
    wrong = probabilities.copy()
    wrong[np.arange(len(true)), true] = -1
    flipped = noisy != true
    assert flipped.sum() == round(rate * len(true))
    assert (noisy[flipped] == wrong.argmax(axis=1)[flipped]).all()
    if flipped.any() and not flipped.all():
        assert wrong.max(axis=1)[flipped].min() >= wrong.max(axis=1)[~flipped].max()


@pytest.mark.parametrize("kind", ["I", "II", "III"])
def test_pmd_labels_are_the_two_most_probable_classes_and_doubt_makes_them_wrong(data, kind):
    probabilities = probabilities_for(data)
    noisy = pmd(0.4, probabilities, kind=kind).labels(data, 0).numpy()
    order = np.argsort(-probabilities, axis=1)
    assert ((noisy == order[:, 0]) | (noisy == order[:, 1])).all()
    margin = np.sort(probabilities, axis=1)[:, -1] - np.sort(probabilities, axis=1)[:, -2]
    second = noisy == order[:, 1]
    assert margin[second].mean() < margin[~second].mean()


@pytest.mark.parametrize(
    ("kind", "flips"),
    [
        ("I", lambda d: 0.5 - d**2 / 2),
        ("II", lambda d: 1 - d**3),
        ("III", lambda d: 1 - (d + d**2 + d**3) / 3),
    ],
)
def test_pmd_flips_at_the_published_polynomial_of_the_margin(kind, flips):
    margins, per_margin = np.array([0.2, 0.6, 0.9]), 3000
    first, second = (1 + margins) / 2, (1 - margins) / 2
    probabilities = np.stack([first, second, np.zeros(3)], axis=1).repeat(per_margin, axis=0)
    labels = torch.zeros(len(probabilities), dtype=torch.int64)
    data = Arrays(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels, ("a", "b", "c"))
    expected = flips(margins)
    rate = float(expected.mean()) + 1e-9  # the least rate, for which no factor is needed
    noisy = pmd(rate, probabilities, kind=kind).labels(data, 0)
    assert (noisy.view(3, per_margin) == 1).double().mean(dim=1).numpy() == pytest.approx(expected, abs=0.03)


def test_a_rate_that_pmd_cannot_have_is_refused_with_those_it_can(data):
    with pytest.raises(InputError, match=r"with these probabilities type III makes from 0\.077 to"):
        pmd(0.05, probabilities_for(data), kind="III").labels(data, 0)


def test_locally_concentrated_labels_are_wrong_among_neighbours(data):
    noisy = locally_concentrated(0.3).labels(data, 0)
    true = data.labels
    for label in range(3):
        rows = (true == label).nonzero()[:, 0]
        assert int((noisy[rows] != label).sum()) == round(0.3 * len(rows))
    flipped = (noisy != true).numpy()
    pixels = data.images.flatten(1).double().numpy()
    same_class = np.equal.outer(true.numpy(), true.numpy())
    distances = ((pixels[:, None] - pixels[None]) ** 2).sum(axis=2)
    distances[~same_class] = np.inf
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    assert flipped[nearest][flipped].mean() > 0.3 + 0.1  # independent flips: 0.3


def test_a_cluster_of_pixels_has_one_wrong_label_and_the_last_one_flips_from_its_centre_on():
    """Each of four classes has ten well separated groups of 20 images; three and a half of them flip."""
    rng = np.random.default_rng(0)
    centres = 200 * rng.integers(0, 2, (40, 36)) + 20
    pixels = centres.repeat(20, axis=0) + rng.integers(-9, 10, (800, 36))
    images = torch.from_numpy(pixels.astype(np.uint8)).view(800, 1, 6, 6)
    data = Arrays(images, torch.arange(4).repeat_interleave(200), tuple("abcd"))
    groups = pixels.reshape(4, 10, 20, 36)
    distance = ((groups - groups.mean(axis=2, keepdims=True)) ** 2).sum(axis=3)
    flipped, targets = [], []
    for seed in range(3):
        noisy = locally_concentrated(0.35).labels(data, seed).view(4, 10, 20).numpy()
        is_wrong = noisy != np.arange(4)[:, None, None]
        count = is_wrong.sum(axis=2)
        assert np.sort(count, axis=1).tolist() == [[0] * 6 + [10] + [20] * 3] * 4
        for place in zip(*count.nonzero(), strict=True):
            (target,) = set(noisy[place][is_wrong[place]])
            targets.append((seed, place[0], target))
        for place in zip(*(count == 10).nonzero(), strict=True):
            assert distance[place][is_wrong[place]].max() <= distance[place][~is_wrong[place]].min()
        flipped.append(count > 0)
    assert len(set(targets)) > 2 * 3 * 4  # of four clusters with three classes to choose from: 2.4 on average
    overlap = [(one & two).sum(axis=1) for one, two in itertools.combinations(flipped, 2)]
    assert np.mean(overlap) < 3  # of 4; random orders: 1.6


@given(rate=st.floats(0, 1), seed=st.integers(0, 20))
def test_whole_clusters_of_features_get_one_wrong_label_up_to_the_rate(rate, seed):
    """Each class has 30 images in groups of equal predictions: 10, 8, 6, 4 and 2 of them."""
    groups = np.repeat(np.arange(5), [10, 8, 6, 4, 2])
    logits = np.eye(5)[groups] * 4
    probabilities = np.tile(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), (5, 1))
    data = Arrays(
        torch.zeros(150, 1, 1, 1, dtype=torch.uint8), torch.arange(5).repeat_interleave(30), tuple("abcde")
    )
    noise = locally_concentrated_features(rate, probabilities)
    left, delivered = round(rate * 30), 0
    for size in (10, 8, 6, 4, 2):
        if size <= left - delivered:
            delivered += size
    if delivered / 30 < rate / 2:
        with pytest.raises(InputError, match=r"whole clusters make \S+ of the labels wrong, and the next"):
            noise.labels(data, seed)
        return
    noisy = noise.labels(data, seed).view(5, 30)
    for label, row in enumerate(noisy):
        is_wrong = row != label
        left, expected = round(rate * 30), []
        for group, size in enumerate([10, 8, 6, 4, 2]):  # the largest first
            if size <= left:
                expected.append(group)
                left -= size
        assert set(groups[is_wrong.numpy()]) == set(expected)
        for group in expected:
            assert len(row[torch.from_numpy(groups == group)].unique()) == 1


class OddRows(PerExampleNoise):
    """A noise model of a user."""

    name = "odd rows"

    def __init__(self, result):
        self.result = result

    def labels(self, data: Arrays, seed: int):
        del data, seed
        return self.result


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (torch.zeros(1500), "labels that are torch.float32 of shape"),
        (torch.zeros(3, dtype=torch.int64), r"torch.int64 of shape \(3,\) for 1,500 examples"),
        ([0] * 1500, "labels that are a list for"),
        (torch.full((1500,), 3), "labels from 3 to 3; with 3 classes"),
    ],
)
def test_labels_of_a_noise_model_of_ones_own_are_checked(data, result, words):
    with pytest.raises(InputError, match=words):
        Dilution(data, noise=OddRows(result))
    right = Dilution(data, noise=OddRows(torch.zeros(1500, dtype=torch.int64)))
    assert not right.own_labels.any()


@pytest.mark.parametrize(
    "setting", [{"alpha": 1.0}, {"eta": 0.1}, {"stratified": True}, {"label_mode": "added"}]
)
def test_settings_of_draws_are_refused(data, setting):
    with pytest.raises(InputError, match="part_dependent"):
        Dilution(data, noise=part_dependent(0.3), **setting)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: idn(0.3, [[0.5, 0.6]]), "probabilities of row 0 sum to 1.1"),
        (lambda: idn(0.3, [0.5, 0.5]), r"probabilities have shape \(2,\)"),
        (lambda: idn(0.3, [[0.5, np.nan]]), "probabilities have shape"),
        (lambda: idn(0.3, "many"), "probabilities are no table of numbers"),
        (lambda: idn(2, [[0.5, 0.5]]), "rate of idn noise is 2"),
        (lambda: pmd(0.3, [[0.5, 0.5]], kind="IV"), "'IV' is not a type of pmd noise"),
        (lambda: part_dependent(0.3, shared="no"), "shared of part_dependent noise is 'no'"),
        (lambda: part_dependent(0.3, spread=0), "spread of part_dependent noise is 0"),
        (lambda: locally_concentrated(-1), "rate of locally_concentrated noise is -1"),
        (
            lambda: locally_concentrated_features(1.5, [[0.5, 0.5]]),
            "rate of locally_concentrated_features noise is 1.5",
        ),
        (lambda: locally_concentrated_features(0.3, [[0.5, 0.6]]), "probabilities of row 0 sum to 1.1"),
    ],
)
def test_parameters_that_break_a_rule_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_probabilities_of_other_data_are_refused(data, make_data: MakeData):
    with pytest.raises(InputError, match=r"have shape \(1500, 3\); the data have 40 images and 10 classes"):
        Dilution(make_data(40), noise=idn(0.3, probabilities_for(data)))


def test_pmd_reaches_its_rate_where_the_second_class_is_more_often_right(data):
    probabilities = np.roll(probabilities_for(data), 1, axis=1)  # a model that is nearly always wrong
    with pytest.raises(InputError, match=r"makes from (\S+) to (\S+) of the labels wrong") as caught:
        pmd(0.0, probabilities).labels(data, 0)
    least, largest = map(float, re.search(r"from (\S+) to (\S+) of", str(caught.value)).groups())
    assert least < largest
    rate = (least + largest) / 2
    noisy = pmd(rate, probabilities).labels(data, 0)
    assert (noisy != data.labels).double().mean() == pytest.approx(rate, abs=0.05)
