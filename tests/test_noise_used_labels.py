"""The labels that a training uses, and files of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dilution
from dilution.data import read_label_file, with_label_file
from dilution.errors import DataError, InputError
from dilution.noise import PerExampleNoise, used_labels

DATA = dilution.load("digits").train
SETS = {
    "replaced": {"eta": 0.3, "label_mode": "replaced"},
    "stratified": {"eta": 0.3, "label_mode": "replaced", "stratified": True},
    "by name": {"noise": dilution.pair_flip(0.3)},
    "per example": {"noise": dilution.locally_concentrated(0.3)},
}


class DarkIsZero(PerExampleNoise):
    """Dark images have the class 0."""

    name = "dark_is_zero"

    def labels(self, data, seed):
        return torch.where(data.images.float().mean(dim=(1, 2, 3)) < 60 + seed, 0, data.labels)


@pytest.mark.parametrize("suffix", [".npy", ".pt", ".csv"])
@pytest.mark.parametrize("kind", SETS)
def test_a_set_with_the_saved_labels_has_the_same_labels_on_the_same_rows(kind, suffix, tmp_path):
    noisy = dilution.Dilution(DATA, **SETS[kind], n=300, seed=2)
    path = used_labels(noisy, 40).save(tmp_path / f"labels{suffix}")
    again = dilution.Dilution(with_label_file(DATA, path), noise=dilution.observed(), n=300, seed=2)
    for first, second in zip(noisy.hold_out(40), again.hold_out(40), strict=True):
        assert torch.equal(first.clean_rows, second.clean_rows)
        assert torch.equal(first.own_labels, second.own_labels)
        index = torch.arange(len(first))
        assert torch.equal(first.histogram(index), second.histogram(index))


def test_labels_of_images_that_are_not_used_are_those_of_a_larger_set():
    small, whole = (dilution.Dilution(DATA, eta=0.5, label_mode="replaced", n=n, seed=1) for n in (100, None))
    used = used_labels(small, 10)
    unused = used.used_for == 0
    assert unused.sum() == len(DATA) - 100
    everywhere = np.empty(len(DATA), dtype=np.int64)
    everywhere[whole.clean_rows.numpy()] = whole.own_labels.numpy()
    trained = used.used_for != 2  # validation labels have a random stream of their own
    np.testing.assert_array_equal(used.single[trained], everywhere[trained])
    assert used.undrawn == 0


def test_stratified_labels_of_images_that_are_not_used_are_counted():
    noisy = dilution.Dilution(DATA, eta=0.5, label_mode="replaced", stratified=True, n=100)
    used = used_labels(noisy, 10)
    assert used.undrawn == len(DATA) - 100
    np.testing.assert_array_equal(
        used.single[used.used_for == 0], DATA.labels[torch.from_numpy(used.used_for == 0)]
    )


@settings(max_examples=20, deadline=None)
@given(
    st.floats(0, 3), st.integers(0, 30), st.sampled_from(["same", "fresh", "white_noise"]), st.integers(0, 9)
)
def test_counts_of_added_labels_are_those_of_the_divided_set(alpha, n_val, image_source, seed):
    noisy = dilution.Dilution(DATA, alpha=alpha, image_source=image_source, n=60, seed=seed)
    used = used_labels(noisy, n_val)
    training = noisy if n_val == 0 else noisy.hold_out(n_val)[0]
    rows = used.table[used.table["used_for"] == "training"]
    assert rows["count"].sum() == len(training)
    index = torch.arange(len(training))
    examples = pd.DataFrame(
        {
            "row": training.source(index).numpy(),
            "label": training.true_labels(index).numpy(),
            "noisy_label": training.labels(index).numpy(),
        }
    )
    counted = examples.value_counts(["row", "label", "noisy_label"]).sort_index()
    totals = rows.groupby(["row", "label", "noisy_label"])["count"].sum()
    assert counted.to_dict() == totals.to_dict()
    assert used.noise_rate == pytest.approx(training.noise_summary().noise_rate_empirical)
    assert used.single is None


def test_files_of_several_labels_per_image_have_rows_labels_and_counts(tmp_path):
    used = used_labels(dilution.Dilution(DATA, alpha=4, n=50), 10)
    with np.load(used.save(tmp_path / "a.npz"), allow_pickle=False) as arrays:
        assert set(arrays) == {"row", "images", "used_for", "label", "noisy_label", "count", "classes"}
        np.testing.assert_array_equal(arrays["count"], used.table["count"])
        assert arrays["label"].dtype == np.int64
    frame = pd.read_csv(used.save(tmp_path / "a.csv"))
    assert list(frame) == ["row", "images", "used_for", "label", "noisy_label", "count"]
    assert frame["count"].sum() == 250
    with pytest.raises(DataError, match="images have several labels, and this setting takes one per image"):
        read_label_file(tmp_path / "a.csv", DATA)
    with pytest.raises(InputError, match="images of this run have several"):
        used.save(tmp_path / "a.npy")


def test_a_file_that_exists_or_has_another_ending_is_refused(tmp_path):
    used = used_labels(dilution.Dilution(DATA, eta=0.1, label_mode="replaced", n=50), 5)
    for name in ("a.npz", "a.npy"):
        used.save(tmp_path / name)
        with pytest.raises(InputError, match="exists; labels are not overwritten"):
            used.save(tmp_path / name)
    with pytest.raises(InputError, match=r"does not end in \.npy, \.csv, \.pt"):
        used.save(tmp_path / "a.txt")


def test_noise_of_ones_own_gives_every_image_its_label(tmp_path):
    noisy = dilution.Dilution(DATA, noise=DarkIsZero(), n=200, seed=3)
    used = used_labels(noisy, 20)
    np.testing.assert_array_equal(used.single, DarkIsZero().labels(DATA, 3))
    frame = pd.read_csv(used.save(tmp_path / "a.csv"))
    assert frame["used_for"].value_counts().to_dict() == {
        "not used": len(DATA) - 200,
        "training": 180,
        "validation": 20,
    }
    assert "180 training labels" in repr(used)


@pytest.mark.parametrize("n_val", [-1, 100, 2.5])
def test_a_number_of_validation_examples_that_no_set_has_is_refused(n_val):
    with pytest.raises(InputError, match="it must be a whole number from 1 to n − 1"):
        used_labels(dilution.Dilution(DATA, alpha=1, n=100), n_val)
