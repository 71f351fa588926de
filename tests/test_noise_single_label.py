"""Sets with one label per image: labels that replace the clean ones, and labels as they were observed."""

import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.noise import (
    Dilution,
    LabelNoise,
    NoiseSummary,
    matrix,
    observed,
    structured,
    uniform,
)
from dilution.training import train

MakeData = Callable[..., Arrays]

T = np.array([[0.7, 0.2, 0.1, 0.0], [0.1, 0.5, 0.3, 0.1], [0.0, 0.0, 1.0, 0.0], [0.25, 0.25, 0.1, 0.4]])


def everything(dilution: Dilution) -> torch.Tensor:
    return torch.arange(len(dilution))


@st.composite
def replaced(draw: st.DrawFn) -> Dilution:
    """Any small set of replaced labels: class counts need not be equal, and a class may have no example."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    m, size = draw(st.integers(2, 12)), draw(st.integers(3, 120))
    images = torch.from_numpy(rng.integers(0, 256, (size, 1, 2, 2), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, m, size))
    return Dilution(
        Arrays(images, labels, tuple(str(c) for c in range(m))),
        draw(st.floats(0, 12)),
        noise=draw(
            st.sampled_from([uniform(), structured(0.7), matrix(rng.dirichlet(np.full(m, 0.3), size=m))])
        ),
        label_mode="replaced",
        n=draw(st.integers(2, size)),
        stratified=draw(st.booleans()),
        seed=draw(st.integers(0, 999)),
    )


@pytest.fixture(scope="module")
def observed_data(make_data: MakeData) -> Arrays:
    """Data with observed labels, a third of them wrong: no label of class 9 is ever right."""
    data = make_data(600)
    wrong = (torch.arange(600) % 3 == 0) | (data.labels == 9)
    return replace(
        data, observed=torch.where(wrong, (data.labels + 1 + torch.arange(600) % 4) % 10, data.labels)
    )


# Replaced labels


@given(replaced())
def test_each_image_occurs_once_with_one_label(dilution: Dilution) -> None:
    index = everything(dilution)
    assert len(dilution) == dilution.n
    assert dilution.n_noisy == 0
    assert torch.equal(dilution.source(index), dilution.clean_rows)
    assert torch.equal(dilution.true_labels(index), dilution.data.labels[dilution.clean_rows])
    labels = dilution.labels(index)
    assert labels.dtype == torch.int64
    assert torch.equal(dilution.histogram(index), torch.nn.functional.one_hot(labels, dilution.classes))
    assert [label for _, label in dilution] == labels.tolist()


@pytest.mark.parametrize("noise", [uniform(), structured(0.6), matrix(T)])
@pytest.mark.parametrize("alpha", [0.4, 3.0])
def test_the_label_is_drawn_from_the_distribution_of_all_labels(
    make_data: MakeData, noise: LabelNoise, alpha: float
) -> None:
    dilution = Dilution(make_data(40_000, 4), alpha, noise=noise, label_mode="replaced", seed=2)
    index = everything(dilution)
    P = noise.overall(4, alpha, 2)
    counts = np.zeros((4, 4))
    np.add.at(counts, (dilution.true_labels(index).numpy(), dilution.labels(index).numpy()), 1)
    assert counts[P == 0].sum() == 0
    expected = 10_000 * P
    statistic = ((counts - expected)[P > 0] ** 2 / expected[P > 0]).sum()
    assert statistic <= chi2.isf(1e-3, (P > 0).sum() - 4)


@pytest.mark.parametrize(
    "noise", [uniform(), structured(0.6), matrix(np.tri(10) / np.arange(1, 11)[:, None])]
)
@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("eta", [0, 0.3, 0.5])
def test_a_noise_rate_means_the_same_as_with_added_labels(
    make_data: MakeData, noise: LabelNoise, stratified: bool, eta: float
) -> None:
    settings: dict[str, Any] = {"eta": eta, "noise": noise, "stratified": stratified}
    one = Dilution(make_data(20_000), label_mode="replaced", **settings)
    many = Dilution(make_data(20_000), label_mode="added", **settings)
    assert one.alpha == many.alpha
    np.testing.assert_array_equal(one.overall, many.overall)
    assert one.expected_noise_summary().noise_rate_expected == pytest.approx(eta, abs=1e-12)
    assert one.noise_summary().noise_rate_empirical == pytest.approx(eta, abs=0.003 if stratified else 0.015)


def test_without_noise_every_label_stays(make_data: MakeData) -> None:
    dilution = Dilution(make_data(100), 0, label_mode="replaced")
    assert torch.equal(dilution.labels(everything(dilution)), dilution.data.labels)


@given(replaced())
def test_empirical_noise_counts_the_labels_and_keeps_alpha(dilution: Dilution) -> None:
    index = everything(dilution)
    wrong = dilution.true_labels(index) != dilution.labels(index)
    noise_summary = dilution.noise_summary()
    assert noise_summary.noise_rate_empirical == pytest.approx(float(wrong.double().mean()))
    assert noise_summary.alpha_empirical == noise_summary.alpha_expected == dilution.alpha
    assert (
        np.isnan(noise_summary.transition_empirical).any(1)
        | np.isclose(noise_summary.transition_empirical.sum(1), 1)
    ).all()


@given(replaced(), st.data())
def test_a_part_of_the_images_keeps_its_labels_and_validation_has_its_own(
    dilution: Dilution, data: st.DataObject
) -> None:
    training, validation = dilution.hold_out(data.draw(st.integers(1, dilution.n - 1)))
    assert sorted(torch.cat([training.clean_rows, validation.clean_rows]).tolist()) == sorted(
        dilution.clean_rows.tolist()
    )
    label = dict(
        zip(dilution.clean_rows.tolist(), dilution.labels(everything(dilution)).tolist(), strict=True)
    )
    for part in (training, validation):
        assert part.label_mode == "replaced"
        assert len(part) == part.n
        np.testing.assert_array_equal(part.overall, dilution.overall)
    if not dilution.stratified:
        kept = [label[row] for row in training.clean_rows.tolist()]
        assert training.labels(everything(training)).tolist() == kept


def test_a_smaller_subset_of_a_seed_has_the_same_labels_on_the_same_images(make_data: MakeData) -> None:
    small, large = (Dilution(make_data(200), 9, label_mode="replaced", n=n, seed=4) for n in (50, 150))
    labels = dict(zip(large.clean_rows.tolist(), large.labels(everything(large)).tolist(), strict=True))
    assert [labels[row] for row in small.clean_rows.tolist()] == small.labels(everything(small)).tolist()


@pytest.mark.parametrize("stratified", [False, True])
def test_labels_of_other_seeds_and_of_validation_are_independent(
    make_data: MakeData, stratified: bool
) -> None:
    data = make_data(8000, classes=4)
    # At this alpha the label says almost nothing about the class.
    one, other = (
        Dilution(data, 1000, label_mode="replaced", stratified=stratified, seed=seed) for seed in (0, 1)
    )
    index = everything(one)
    parts = one.hold_out(4000)
    for first, second in [
        (one.labels(index), other.labels(index)),
        (one.labels(index)[:-1], one.labels(index)[1:]),
        tuple(part.labels(everything(part)) for part in parts),
        (one.labels(parts[1].clean_rows), parts[1].labels(everything(parts[1]))),
    ]:
        pairs = torch.bincount(first * 4 + second, minlength=16).reshape(4, 4)
        assert chi2_contingency(pairs.numpy()).pvalue > 1e-3


@given(replaced())
def test_stratified_counts_are_exact_to_one_in_every_part(dilution: Dilution) -> None:
    if not dilution.stratified:
        return
    for part in (dilution, *dilution.hold_out(1)):
        index = everything(part)
        counts = np.zeros((part.classes, part.classes))
        np.add.at(counts, (part.true_labels(index).numpy(), part.labels(index).numpy()), 1)
        assert np.abs(counts - part.overall * counts.sum(1, keepdims=True)).max() < 1 + 1e-9


def test_replaced_labels_are_the_same_on_every_machine_and_in_every_version() -> None:
    # A stored result names its labels by seed and row alone: a change here changes every result.
    data = Arrays(torch.zeros(40, 1, 1, 1, dtype=torch.uint8), torch.arange(40) % 10)
    labels = Dilution(data, 5, label_mode="replaced").labels(torch.arange(12))
    assert labels.tolist() == [0, 9, 2, 8, 7, 4, 8, 4, 8, 0, 2, 1]
    counted = Dilution(data, 5, label_mode="replaced", stratified=True).labels(torch.arange(12))
    assert counted.tolist() == [7, 2, 8, 9, 3, 5, 5, 0, 8, 2, 4, 5]


@given(replaced())
def test_a_pickled_copy_has_the_same_labels(dilution: Dilution) -> None:
    copy = pickle.loads(pickle.dumps(dilution))
    assert torch.equal(copy.labels(everything(copy)), dilution.labels(everything(dilution)))


def test_settings_that_cannot_be_combined_with_replaced_labels_are_refused(make_data: MakeData) -> None:
    data = make_data(30)
    for images in ("fresh", "white_noise", data):
        with pytest.raises(
            InputError, match=r"image_source is .* and labels are replaced.*Give image_source='same'"
        ):
            Dilution(data, 1, n=20, label_mode="replaced", image_source=images)
    with pytest.raises(InputError, match=r"'replacd' is not a value of label_mode. Did you mean 'replaced'"):
        Dilution(data, 1, label_mode="replacd")  # type: ignore[arg-type]


# Observed labels


def test_observed_labels_are_those_of_the_data_in_every_part(observed_data: Arrays) -> None:
    assert observed_data.observed is not None
    dilution = Dilution(observed_data, noise=observed(), n=400, seed=3)
    assert (len(dilution), dilution.n_noisy, dilution.label_mode) == (400, 0, "replaced")
    for part in (dilution, *dilution.hold_out(100)):
        assert torch.equal(part.labels(everything(part)), observed_data.observed[part.clean_rows])
        assert torch.equal(part.true_labels(everything(part)), observed_data.labels[part.clean_rows])
        assert torch.equal(
            part.histogram(everything(part)).argmax(1), observed_data.observed[part.clean_rows]
        )


def test_observed_noise_is_counted_and_expected_as_it_is(observed_data: Arrays) -> None:
    assert observed_data.observed is not None
    dilution = Dilution(observed_data, noise=observed())
    noise_summary = dilution.noise_summary()
    wrong = float((observed_data.observed != observed_data.labels).double().mean())
    assert noise_summary.noise_rate_empirical == pytest.approx(wrong)
    assert noise_summary.noise_rate_expected == pytest.approx(wrong)
    assert np.isnan([dilution.alpha, noise_summary.alpha_expected, noise_summary.alpha_empirical]).all()
    np.testing.assert_allclose(noise_summary.transition_empirical, noise_summary.transition_expected)
    assert noise_summary.transition_expected[9, 9] == 0


def test_a_class_without_images_is_expected_to_have_clean_labels() -> None:
    data = Arrays(
        torch.zeros(4, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 0, 1, 1]), ("a", "b", "c"),
        torch.tensor([0, 2, 1, 1]),
    )  # fmt: skip
    summary = Dilution(data, noise=observed()).noise_summary()
    np.testing.assert_array_equal(summary.transition_expected, [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    assert np.isnan(summary.transition_empirical[2]).all()


def test_observed_labels_refuse_settings_that_draw_labels(observed_data: Arrays, make_data: MakeData) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"alpha": 2}, "alpha is 2 and noise is 'observed'.*Leave alpha out"),
        ({"eta": 0.4}, "eta is 0.4 and noise is 'observed'"),
        ({"stratified": True}, "stratified is True and noise is 'observed'"),
        ({"label_mode": "added"}, "label_mode is 'added' and noise is 'observed'"),
        ({"image_source": "white_noise"}, "image_source is 'white_noise' and labels are replaced"),
    ]
    for settings, rule in wrong:
        with pytest.raises(InputError, match=rule):
            Dilution(observed_data, noise=observed(), **settings)
    with pytest.raises(
        InputError, match=r"no observed labels beside the true ones.*noisy_label.*cifar10n/worse"
    ):
        Dilution(make_data(10), noise=observed())
    with pytest.raises(InputError, match="observed labels have no matrix of added labels"):
        observed().added(10, 1.0, 0)


# Training


@pytest.mark.trains
@pytest.mark.parametrize("kind", ["replaced", "observed"])
@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_all_targets_train_on_one_label_per_image(observed_data: Arrays, kind: str, targets: str) -> None:
    noisy = (
        Dilution(observed_data, noise=observed())
        if kind == "observed"
        else Dilution(observed_data, 2, label_mode="replaced")
    )
    result = train("perceptron", noisy, test=observed_data, targets=targets, epochs=1, batch_size=32)
    training, _ = noisy.hold_out(60)
    wanted = training.expected_noise_summary() if targets == "expected" else training.noise_summary()
    assert result.state == "done"
    assert result.n_train == 540
    for field in fields(NoiseSummary):
        np.testing.assert_array_equal(getattr(result.noise_summary, field.name), getattr(wanted, field.name))


@pytest.mark.trains
def test_sampled_and_pooled_targets_are_the_same_training(observed_data: Arrays, one_thread: None) -> None:
    noisy = Dilution(observed_data, 2, label_mode="replaced")
    one, pooled = (
        train("perceptron", noisy, test=observed_data, targets=targets, epochs=2, batch_size=32).history
        for targets in ("sampled", "pooled")
    )
    np.testing.assert_allclose(one, pooled, rtol=1e-4)


@pytest.mark.trains
def test_clean_validation_uses_the_true_labels(observed_data: Arrays) -> None:
    # The images show their class, and every label is that of the next class.
    images = torch.eye(10).mul(255).byte()[observed_data.labels].reshape(600, 1, 2, 5)
    images += torch.randint(20, images.shape, generator=torch.manual_seed(0)).where(images == 0, 0).byte()
    data = replace(observed_data, images=images, observed=(observed_data.labels + 1) % 10)
    noisy = Dilution(data, noise=observed())
    result = train("perceptron", noisy, test=data, epochs=40, lr=0.01, optimizer="adam", batch_size=32)
    assert result.history["val_acc_clean"].iloc[-1] == 0
    assert result.history["test_acc"].iloc[-1] == 0
    assert result.history["val_loss_noisy"].iloc[-1] < 0.5
