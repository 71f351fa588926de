import pickle
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from dilution.data import Arrays, DataSet
from dilution.errors import InputError
from dilution.noise import Dilution, LabelNoise, NoiseSummary, matrix, structured, uniform

MakeData = Callable[..., Arrays]
SOURCES = ["same", "fresh", "white_noise", "external"]


def everything(dilution: Dilution) -> torch.Tensor:
    return torch.arange(len(dilution))


@st.composite
def dilutions(draw: st.DrawFn, sources: tuple[str, ...] = tuple(SOURCES)) -> Dilution:
    """Any small dilution: class counts need not be equal, and a class may have no example at all."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    m = draw(st.one_of(st.integers(2, 12), st.integers(2, 1000)))
    size = draw(st.integers(2, 120))
    labels = torch.from_numpy(rng.integers(0, m, size))
    images = torch.from_numpy(rng.integers(0, 256, (size, 1, 2, 2), dtype=np.uint8))
    names = tuple(str(c) for c in range(m))
    source = draw(st.sampled_from(sources))
    noise = draw(st.sampled_from(["uniform", "structured", "matrix"]))
    model = {
        "uniform": uniform,
        "structured": lambda: structured(draw(st.floats(0, 1))),
        "matrix": lambda: matrix(rng.dirichlet(np.full(m, 0.3), size=m)),
    }[noise]()
    other = Arrays(images.flip(0)[: size // 2], labels[: size // 2])
    return Dilution(
        Arrays(images, labels, names),
        draw(st.one_of(st.just(0.0), st.floats(0, 12))),
        noise=model,
        image_source=other if source == "external" else source,
        n=draw(st.integers(1, size - 1)),
        stratified=draw(st.booleans()),
        seed=draw(st.integers(0, 999)),
    )


@given(dilutions())
def test_its_length_is_n_times_one_plus_alpha_rounded(dilution: Dilution) -> None:
    assert len(dilution) == round(dilution.n * (1 + dilution.alpha))
    assert dilution.noise_summary().alpha_empirical == pytest.approx(
        (len(dilution) - dilution.n) / dilution.n
    )


@given(dilutions(), st.randoms(use_true_random=False), st.integers(1, 50))
def test_labels_are_the_same_in_any_order_and_any_chunks(
    dilution: Dilution, rng: random.Random, chunk: int
) -> None:
    index = everything(dilution)
    labels = dilution.labels(index)
    assert int(labels.min()) >= 0
    assert int(labels.max()) < dilution.classes
    shuffled = torch.tensor(rng.sample(index.tolist(), len(index)))
    for method in (dilution.labels, dilution.source, dilution.true_labels):
        whole = method(index)
        assert whole.dtype == torch.int64
        assert torch.equal(torch.cat([method(part) for part in index.split(chunk)]), whole)
        assert torch.equal(method(shuffled), whole[shuffled])
        assert torch.equal(
            method(index[: len(index) // 2 * 2].reshape(2, -1)).flatten(), whole[: len(index) // 2 * 2]
        )
    one_by_one = [int(dilution.labels(index[j : j + 1])) for j in shuffled[:40]]
    assert one_by_one == labels[shuffled[:40]].tolist()


@given(dilutions(), st.data())
def test_single_examples_equal_whole_batches(dilution: Dilution, data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(dilution) - 1), min_size=1, max_size=20))
    index = torch.tensor(indices)
    images, labels = dilution.images(index), dilution.labels(index)
    assert images.dtype == torch.uint8
    batch = dilution.__getitems__(indices)
    assert len(batch) == len(indices)
    for j, number in enumerate(indices):
        for image, label in (dilution[number], dilution[number - len(dilution)], batch[j]):
            assert image.dtype == torch.float32
            assert torch.equal(image, images[j].float() / 255)
            assert isinstance(label, int)
            assert label == labels[j]


@given(dilutions())
def test_the_clean_examples_come_first_unchanged(dilution: Dilution) -> None:
    clean = torch.arange(dilution.n)
    assert torch.equal(dilution.labels(clean), dilution.data.labels[dilution.clean_rows])
    assert torch.equal(dilution.true_labels(clean), dilution.labels(clean))
    assert torch.equal(dilution.source(clean), dilution.clean_rows)
    assert torch.equal(dilution.images(clean), dilution.data.images[dilution.clean_rows])


@given(dilutions(sources=("same",)))
def test_a_histogram_counts_the_labels_of_an_image(dilution: Dilution) -> None:
    index = everything(dilution)
    counted = torch.zeros(len(dilution.data), dilution.classes, dtype=torch.int64)
    counted.index_put_((dilution.source(index), dilution.labels(index)), torch.tensor(1), accumulate=True)
    some = torch.randperm(dilution.n, generator=torch.Generator().manual_seed(0))
    histogram = dilution.histogram(some)
    assert histogram.dtype == torch.int64
    assert torch.equal(histogram, counted[dilution.clean_rows[some]])
    assert int(histogram.sum()) == len(dilution)


def test_a_histogram_row_sums_to_one_plus_a_whole_alpha(make_data: MakeData) -> None:
    for alpha in (0, 1, 37):
        rows = Dilution(make_data(30), alpha).histogram(torch.arange(30)).sum(1)
        assert rows.tolist() == [1 + alpha] * 30


@pytest.mark.parametrize("chunk", [1, 50, 1 << 20])
def test_a_histogram_does_not_depend_on_the_size_of_its_chunks(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    dilution = Dilution(make_data(30), 12.4)
    whole = dilution.histogram(torch.arange(30))
    noise_summary = dilution.noise_summary()
    monkeypatch.setattr("dilution.noise.dilution._CHUNK", chunk)
    assert torch.equal(dilution.histogram(torch.arange(30)), whole)
    assert dilution.noise_summary().noise_rate_empirical == noise_summary.noise_rate_empirical


@pytest.mark.parametrize("images", ["fresh", "white_noise"])
def test_labels_of_images_shown_once_cannot_be_pooled(make_data: MakeData, images: str) -> None:
    with pytest.raises(
        InputError, match=f"image_source='{images}' gives each noisy label an image of its own"
    ):
        Dilution(make_data(30), 1, n=20, image_source=images).histogram(torch.arange(3))


@given(dilutions())
def test_empirical_noise_equals_a_count_label_by_label(dilution: Dilution) -> None:
    index = everything(dilution)
    true, noisy = dilution.true_labels(index).tolist(), dilution.labels(index).tolist()
    table = np.zeros((dilution.classes, dilution.classes))
    for c, k in zip(true, noisy, strict=True):
        table[c, k] += 1
    noise_summary = dilution.noise_summary()
    assert noise_summary.noise_rate_empirical == pytest.approx(np.mean(np.array(true) != np.array(noisy)))
    present = table.sum(1) > 0
    np.testing.assert_allclose(
        noise_summary.transition_empirical[present], table[present] / table[present].sum(1, keepdims=True)
    )
    assert np.isnan(noise_summary.transition_empirical[~present]).all()


@given(dilutions())
def test_expected_noise_is_the_matrix_of_the_model_and_its_noise_rate(dilution: Dilution) -> None:
    expected = dilution.expected_noise_summary()
    present = torch.bincount(dilution.data.labels, minlength=dilution.classes).numpy() > 0
    P = dilution.noise.among(present).overall(dilution.classes, dilution.alpha, dilution.seed)
    np.testing.assert_array_equal(expected.transition_expected, P)
    clean = dilution.data.labels[dilution.clean_rows].numpy()
    assert expected.noise_rate_expected == pytest.approx(1 - P[clean, clean].mean(), abs=1e-12)
    assert expected.alpha_expected == dilution.alpha
    noise_summary = dilution.noise_summary()
    for field in fields(NoiseSummary):
        if field.name.endswith("expected"):
            np.testing.assert_array_equal(getattr(noise_summary, field.name), getattr(expected, field.name))


@pytest.mark.parametrize(
    "noise", [uniform(), structured(0.6), matrix(np.tri(10) / np.arange(1, 11)[:, None])]
)
@pytest.mark.parametrize("eta", [0, 0.3, 0.5])
def test_a_noise_rate_can_be_given_instead_of_alpha(make_data: MakeData, noise: Any, eta: float) -> None:
    dilution = Dilution(make_data(500), eta=eta, noise=noise, n=333, stratified=True)
    assert dilution.expected_noise_summary().noise_rate_expected == pytest.approx(eta, abs=1e-12)
    assert dilution.noise_summary().noise_rate_empirical == pytest.approx(eta, abs=0.03)


@pytest.mark.parametrize("alpha", [np.float32(2), np.int64(2), np.float64(2), 2])
def test_numbers_of_numpy_are_numbers(make_data: MakeData, alpha: Any) -> None:
    assert len(Dilution(make_data(30), alpha, n=np.int64(20))) == 60


@given(dilutions())
def test_a_pickled_copy_has_the_same_examples(dilution: Dilution) -> None:
    copy = pickle.loads(pickle.dumps(dilution))
    index = everything(dilution)
    assert torch.equal(copy.labels(index), dilution.labels(index))
    assert torch.equal(copy.images(index), dilution.images(index))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.trains)])
def test_a_data_loader_serves_it_with_and_without_workers(make_data: MakeData, workers: int) -> None:
    dilution = Dilution(make_data(20), 2.5, stratified=True, seed=3)
    loader = DataLoader(
        dilution,
        batch_size=32,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator().manual_seed(0),
    )
    images, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
    index = everything(dilution)
    assert torch.equal(labels, dilution.labels(index))
    assert torch.equal(images, dilution.images(index).float() / 255)


def test_iterating_ends_after_the_last_example(make_data: MakeData) -> None:
    dilution = Dilution(make_data(12), 1.5)
    assert [label for _, label in dilution] == dilution.labels(everything(dilution)).tolist()


def test_an_index_out_of_range_is_refused(make_data: MakeData) -> None:
    dilution = Dilution(make_data(10), 1)
    for index in (20, -21):
        with pytest.raises(IndexError, match=f"index {index} is outside a dilution of 20 examples"):
            dilution[index]


# Seeds


@given(dilutions())
def test_the_same_seed_gives_the_same_bits_whatever_the_global_generators_hold(dilution: Dilution) -> None:
    index = everything(dilution)
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    again = Dilution(
        dilution.data,
        dilution.alpha,
        noise=dilution.noise,
        image_source=dilution._image_source_setting,
        n=dilution.n,
        stratified=dilution.stratified,
        seed=dilution.seed,
    )
    first = again.labels(index), again.images(index), again.noise_summary().noise_rate_empirical
    if again.n > 1:
        again.hold_out(1)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.random.get_state()[1].tolist() == state[1]
    assert random.getstate() == state[2]
    torch.manual_seed(dilution.seed)
    assert torch.equal(dilution.labels(index), first[0])
    assert torch.equal(dilution.images(index), first[1])
    assert dilution.noise_summary().noise_rate_empirical == first[2]


@pytest.mark.parametrize("stratified", [False, True])
def test_another_seed_gives_other_noise_and_another_subset(make_data: MakeData, stratified: bool) -> None:
    one, other = (Dilution(make_data(300), 5, n=200, stratified=stratified, seed=seed) for seed in (0, 1))
    assert sorted(one.clean_rows.tolist()) != sorted(other.clean_rows.tolist())
    for dilution in (one, other):
        assert len(dilution.clean_rows.unique()) == 200
    whole, other_whole = (Dilution(make_data(300), 5, stratified=stratified, seed=seed) for seed in (0, 1))
    index = torch.arange(300, 1800)
    same = (whole.labels(index) == other_whole.labels(index)).double().mean()
    assert same == pytest.approx(0.1, abs=0.04)


def test_a_subset_takes_every_example_equally_often(make_data: MakeData) -> None:
    data = make_data(100)
    taken = sum(
        torch.bincount(Dilution(data, 0, n=25, seed=seed).clean_rows, minlength=100) for seed in range(800)
    )
    assert ((taken - 200) ** 2 / (200 * 0.75)).sum() < 149  # chi-square, 99 degrees of freedom, p = 0.001


def test_a_smaller_subset_of_a_seed_lies_within_a_larger_one(make_data: MakeData) -> None:
    small, large = (Dilution(make_data(100), 0, n=n, seed=4).clean_rows.tolist() for n in (20, 60))
    assert set(small) < set(large)


def test_noise_at_an_index_does_not_depend_on_alpha(make_data: MakeData) -> None:
    small, large = (Dilution(make_data(50), alpha) for alpha in (2, 900))
    index = everything(small)
    assert torch.equal(small.labels(index), large.labels(index))


def test_labels_are_the_same_on_every_machine_and_in_every_version() -> None:
    # A stored result names its labels by seed and index alone: a change here changes every result.
    classes = tuple("0123456789")
    images = torch.arange(160, dtype=torch.uint8).reshape(40, 1, 2, 2)
    data = Arrays(images, torch.arange(40) % 10, classes)

    def first(dilution: Dilution) -> list[int]:
        return dilution.labels(dilution.n + torch.tensor([0, 1, 2, 3, 4, 5, 60])).tolist()

    assert first(Dilution(data, 20)) == [0, 9, 2, 8, 7, 3, 0]
    assert first(Dilution(data, 20, noise=structured(0.8))) == [0, 9, 2, 8, 8, 4, 0]
    assert first(Dilution(data, 20, stratified=True)) == [3, 4, 0, 6, 9, 1, 5]
    fresh = Dilution(data, 20, n=12, image_source="fresh", seed=1)
    assert first(fresh) == [4, 9, 9, 9, 9, 9, 2]
    assert fresh.source(torch.tensor([0, 1, 12, 13, 251])).tolist() == [4, 13, 39, 5, 23]
    white = Dilution(data, 20, n=12, image_source="white_noise")
    assert white.images(torch.tensor([251])).flatten().tolist() == [101, 110, 51, 101]


# Cost


class Allocations(TorchDispatchMode):
    """Sums the elements of every tensor that torch makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.elements += result.numel() if isinstance(result, torch.Tensor) else 0
        return result


def held(value: Any) -> int:
    """Bytes of all tensors and arrays that an object holds, the clean data set itself left out."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.nbytes
    if isinstance(value, Arrays):
        return 0
    if isinstance(value, tuple | list):
        return sum(held(part) for part in value)
    parts = [getattr(value, f.name) for f in fields(value)] if is_dataclass(value) else []
    return sum(held(part) for part in parts or vars(value).values()) if hasattr(value, "__dict__") else 0


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("images", SOURCES)
def test_opening_costs_the_same_at_every_alpha(make_data: MakeData, images: str, stratified: bool) -> None:
    data = make_data(3000)
    chosen = make_data(500) if images == "external" else images
    cost = {}
    with Allocations():
        Dilution(data, 1, image_source=chosen, n=2000, stratified=stratified)  # what is imported on first use
    for alpha in (0, 1000):
        tracemalloc.start()
        with Allocations() as allocations:
            dilution = Dilution(data, alpha, image_source=chosen, n=2000, stratified=stratified)
        cost[alpha] = tracemalloc.get_traced_memory()[1], allocations.elements, held(dilution)
        tracemalloc.stop()
    assert len(dilution) == 2_002_000
    python, elements, kept = zip(cost[0], cost[1000], strict=True)
    assert kept[0] == kept[1] > 0
    assert elements[1] <= elements[0] + 2000  # stratified counts of the last, unfinished lap
    assert python[1] <= python[0] + 20_000


def test_the_last_example_costs_as_much_as_the_first(make_data: MakeData) -> None:
    dilution = Dilution(make_data(3000), 10_000, stratified=True)
    elements = []
    for index in (3000, len(dilution) - 1):
        with Allocations() as allocations:
            dilution[index]
        elements.append(allocations.elements)
    assert elements[1] <= 2 * elements[0] < 2000


# Validation


@given(dilutions(), st.data())
def test_validation_examples_are_split_off_from_the_clean_ones(
    dilution: Dilution, data: st.DataObject
) -> None:
    if dilution.n == 1:
        return
    count = data.draw(st.integers(1, dilution.n - 1))
    training, validation = dilution.hold_out(count)
    assert (training.n, validation.n) == (dilution.n - count, count)
    assert sorted(torch.cat([training.clean_rows, validation.clean_rows]).tolist()) == sorted(
        dilution.clean_rows.tolist()
    )
    assert training.image_source.name == dilution.image_source.name
    assert validation.image_source.name == "same"
    for part in (training, validation):
        assert len(part) == round(part.n * (1 + dilution.alpha))
        assert part.stratified == dilution.stratified
        np.testing.assert_array_equal(part.overall, dilution.overall)
    if dilution.image_source.name != "external":
        shown = training.source(everything(training)).tolist()
        assert not set(validation.clean_rows.tolist()) & set(shown)
    if dilution.image_source.name == "fresh":
        shown = training.source(torch.arange(training.n, len(training))).tolist()
        assert not set(shown) & set(dilution.clean_rows.tolist())


@pytest.mark.parametrize("stratified", [False, True])
def test_validation_noise_is_independent_of_training_noise(make_data: MakeData, stratified: bool) -> None:
    data = make_data(400, classes=4)
    parts = Dilution(data, 100, stratified=stratified).hold_out(200)
    noise = [part.labels(torch.arange(200, len(part))) for part in parts]
    pairs = torch.bincount(noise[0] * 4 + noise[1], minlength=16).reshape(4, 4)
    assert chi2_contingency(pairs.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("count", [0, 30, 31, -1, 2.5, "5", float("nan"), True])
def test_validation_that_leaves_a_split_empty_is_refused(make_data: MakeData, count: Any) -> None:
    with pytest.raises(InputError, match=f"n_val is {count!r}; it must be a whole number from 1 to .* 29"):
        Dilution(make_data(30), 1).hold_out(count)


# Refusals


@pytest.mark.parametrize("alpha", [-1, -1e-9, float("nan"), float("inf"), "20", True, 1j, [1]])
def test_an_alpha_that_is_no_noise_level_is_refused_with_its_value(make_data: MakeData, alpha: Any) -> None:
    with pytest.raises(InputError) as refused:
        Dilution(make_data(30), alpha)
    assert f"alpha is {alpha!r}; it must be" in str(refused.value)


@pytest.mark.parametrize("eta", [-0.1, 0.9, 1.5, float("nan"), "0.4", True])
def test_an_eta_that_no_alpha_reaches_is_refused_with_its_value(make_data: MakeData, eta: Any) -> None:
    with pytest.raises(InputError, match=f"eta is {eta!r}; "):
        Dilution(make_data(30), eta=eta)


@pytest.mark.parametrize("n", [0, -5, 31, 5.0, 2.5, "5", float("nan"), True, np.True_])
def test_an_n_out_of_range_is_refused_with_its_value(make_data: MakeData, n: Any) -> None:
    with pytest.raises(InputError) as refused:
        Dilution(make_data(30), 1, n=n)
    assert str(refused.value).startswith(f"n is {n!r}; it must be a whole number from 1 to 30")


def test_noise_of_another_number_of_classes_is_refused(make_data: MakeData) -> None:
    with pytest.raises(InputError, match="the noise matrix has 3 rows; the data have 10 classes"):
        Dilution(make_data(30), 1, noise=matrix(np.eye(3)))
    with pytest.raises(InputError, match=r"confusability has shape \(3, 3\); the data have 10 classes"):
        Dilution(make_data(30), 1, noise=structured(1, "confusing", np.ones((3, 3))))
    with pytest.raises(InputError, match="the data have 1 class"):
        Dilution(make_data(30, classes=1), 1)


def test_validation_data_are_drawn_from_all_classes_of_sorted_data() -> None:
    data = Arrays(torch.zeros(1000, 1, 2, 2, dtype=torch.uint8), torch.arange(10).repeat_interleave(100))
    training, validation = Dilution(data, 1.0).hold_out(100)
    assert len(validation.labels(torch.arange(100)).unique()) == 10
    assert len(training.labels(torch.arange(900)).unique()) == 10
    other = Dilution(data, 1.0, seed=1).hold_out(100)[1]
    assert not torch.equal(validation.clean_rows, other.clean_rows)


def test_a_custom_noise_model_must_give_a_transition_matrix() -> None:
    data = Arrays(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))

    class Wrong(LabelNoise):
        name = "wrong"

        def __init__(self, table: list[list[float]]) -> None:
            self.table = table

        def added(self, classes: int, alpha: float, seed: int) -> Any:
            return np.array(self.table)

    for table, rule in [
        ([[0.5, 0.6], [0.5, 0.5]], "sums to 1.1"),
        ([[1.5, -0.5], [0.5, 0.5]], "has -0.5"),
        ([[1.0]], "1 rows; the data have 2"),
        (np.eye(3).tolist(), "3 rows; the data have 2"),
    ]:
        with pytest.raises(InputError, match=rule):
            Dilution(data, 1.0, noise=Wrong(table))
    with pytest.raises(InputError, match=r"noise is 0\.5; it must be a noise model"):
        Dilution(data, eta=0.2, noise=0.5)  # type: ignore[arg-type]


def test_eta_is_refused_where_it_does_not_determine_alpha(make_data: MakeData) -> None:
    class Growing(LabelNoise):
        name = "growing"

        def added(self, classes: int, alpha: float, seed: int) -> Any:
            wrong = alpha / (1 + alpha)
            return (1 - wrong) * np.eye(classes) + wrong / classes

    with pytest.raises(InputError, match=r"eta is 0\.3; with noise 'growing'.*Give alpha instead"):
        Dilution(make_data(30), eta=0.3, noise=Growing())
    assert Dilution(make_data(30), alpha=2, noise=Growing()).alpha == 2


@pytest.mark.parametrize("alpha", [1.1e9, 1e17, 1e308])
def test_an_alpha_too_large_to_number_the_examples_is_refused(make_data: MakeData, alpha: float) -> None:
    with pytest.raises(InputError, match=r"alpha is 1\.?1?e\+[0-9]+; it must be at most 1e\+09"):
        Dilution(make_data(30), alpha)


@pytest.mark.parametrize("outside", [-1, 20])
@pytest.mark.parametrize("images", ["same", "white_noise"])
def test_whole_index_tensors_are_checked_too(make_data: MakeData, images: str, outside: int) -> None:
    dilution = Dilution(make_data(10), 1, image_source=images)
    for method in (dilution.labels, dilution.source, dilution.images, dilution.true_labels):
        with pytest.raises(IndexError, match="are not all in a dilution of 20 examples"):
            method(torch.tensor([0, outside]))


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True])
def test_a_seed_is_a_whole_number(make_data: MakeData, seed: Any) -> None:
    with pytest.raises(InputError, match=f"seed is {seed!r}; it must be a whole number"):
        Dilution(make_data(10), 1, seed=seed)


def test_arguments_of_a_wrong_type_are_refused_with_a_remedy(make_data: MakeData) -> None:
    data = make_data(10)
    with pytest.raises(InputError, match=r"data is a DataSet; it must be Arrays.*train split"):
        Dilution(DataSet("d", data, data), 1)  # type: ignore[arg-type]
    for index in ([1, 2], torch.tensor([0.5])):
        with pytest.raises(InputError, match="it must be a tensor of int64"):
            Dilution(data, 1).labels(index)  # type: ignore[arg-type]
    for stratified in ("no", 1, None):
        with pytest.raises(InputError, match=f"^stratified is {stratified!r}; it must be True or False"):
            Dilution(data, 1, stratified=stratified)  # type: ignore[arg-type]
    assert Dilution(data, 1, stratified=np.True_).stratified is True  # type: ignore[arg-type]


@pytest.mark.parametrize("images", ["same", "white_noise"])
def test_a_mask_is_no_index_and_every_integer_type_is_one(make_data: MakeData, images: str) -> None:
    dilution = Dilution(make_data(200), 1, image_source=images)
    methods = [dilution.labels, dilution.source, dilution.true_labels, dilution.images]
    methods += [dilution.histogram] if images == "same" else []
    index = torch.arange(100, 128)
    mask = torch.zeros(400, dtype=torch.bool)
    mask[index] = True
    for method in methods:
        with pytest.raises(InputError, match=r"index is torch\.bool, a mask; it must be a tensor of int64"):
            method(mask)
        for bits in (8, 16, 32, 64):  # index − n overflows int8 and wraps in uint8
            for sign in ("", "u"):
                narrow = index.to(getattr(torch, f"{sign}int{bits}"))
                assert torch.equal(method(narrow), method(index))


def test_empirical_noise_can_be_computed_from_counts(make_data: MakeData) -> None:
    dilution = Dilution(make_data(100), 3.3)
    counts = torch.zeros(10, 10, dtype=torch.int64)
    counts.index_add_(0, dilution.true_labels(torch.arange(100)), dilution.histogram(torch.arange(100)))
    from_counts, counted = dilution.noise_summary(counts), dilution.noise_summary()
    for field in fields(NoiseSummary):
        np.testing.assert_array_equal(getattr(from_counts, field.name), getattr(counted, field.name))


def test_the_reprs_of_a_set_and_of_its_noise_are_short(make_data: MakeData) -> None:
    dilution = Dilution(make_data(30), 2.5, n=20)
    assert repr(dilution) == "Dilution(n=20, alpha=2.5, noise=uniform(), seed=0, examples=70)"
    assert repr(dilution.expected_noise_summary()) == (
        "NoiseSummary(alpha_expected=2.5, alpha_empirical=2.5, noise_rate_expected=0.6429, "
        "noise_rate_empirical=0.6429, classes=10)"
    )
    other = Dilution(make_data(30), 1, n=20, image_source="fresh", stratified=True, seed=3)
    assert "image_source='fresh', stratified=True, seed=3" in repr(other)
    assert "label_mode='replaced'" in repr(Dilution(make_data(30), 1, label_mode="replaced"))


def sparse_data(make_data: MakeData, present: list[int], classes: int) -> Arrays:
    """Data whose labels name only some of their classes."""
    data = make_data(60, classes=len(present))
    return Arrays(data.images, torch.tensor(present)[data.labels], tuple(map(str, range(classes))))


PRESENT = [1, 3, 4, 7]


@pytest.mark.parametrize("label_mode", ["added", "replaced"])
@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("order", [None, "random", "confusing", "reverse"])
def test_noise_never_names_a_class_without_examples(
    make_data: MakeData, order: Any, stratified: bool, label_mode: Any
) -> None:
    data = sparse_data(make_data, PRESENT, 9)
    dense = Arrays(data.images, torch.searchsorted(torch.tensor(PRESENT), data.labels))
    table = np.random.default_rng(0).random((9, 9))
    tables = None, table, table[np.ix_(PRESENT, PRESENT)]
    sets = []
    for arrays, confusability in ((data, tables[1]), (dense, tables[2])):
        noise = uniform() if order is None else structured(0.7, order, confusability)
        options = {"label_mode": label_mode, "stratified": stratified, "seed": 3}
        sets.append(Dilution(arrays, eta=0.5, noise=noise, **options))
    sparse_set, dense_set = sets
    every = torch.arange(len(sparse_set))
    assert set(sparse_set.labels(every).tolist()) == set(PRESENT)
    # It is the noise of the same data without these classes, and without stratification to the bit.
    assert sparse_set.alpha == dense_set.alpha
    if not stratified:
        assert torch.equal(sparse_set.labels(every), torch.tensor(PRESENT)[dense_set.labels(every)])
    training, validation = sparse_set.hold_out(10)
    for part in (training, validation):
        assert set(part.labels(torch.arange(len(part))).tolist()) <= set(PRESENT)
    summary = sparse_set.noise_summary()
    assert summary.noise_rate_expected == pytest.approx(0.5)
    absent = [number for number in range(9) if number not in PRESENT]
    assert not summary.transition_expected[np.ix_(PRESENT, absent)].any()


def test_a_class_that_only_observed_labels_name_is_one(make_data: MakeData) -> None:
    data = sparse_data(make_data, [0, 1], 3)
    observed = data.labels.clone()
    observed[:5] = 2
    noisy = Dilution(replace(data, observed=observed), alpha=20)
    assert set(noisy.labels(torch.arange(len(noisy))).tolist()) == {0, 1, 2}


def test_a_given_matrix_names_the_classes_that_it_is_given(make_data: MakeData) -> None:
    data = sparse_data(make_data, [0, 2], 3)
    for named, T in (
        ({0, 2}, [[0.5, 0, 0.5], [0, 1, 0], [0.2, 0, 0.8]]),
        ({0, 1, 2}, np.full((3, 3), 1 / 3)),
    ):
        noisy = Dilution(data, alpha=20, noise=matrix(T))
        assert set(noisy.labels(torch.arange(len(noisy))).tolist()) == named
