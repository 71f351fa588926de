"""One name for data of any kind: what a name means, and what it is refused for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilution.data import DATASETS, load_unsplit, load, is_dataset_name
from dilution.errors import DilutionError, InputError


@pytest.mark.parametrize("name", ["digits", "a.npz", "b/a.PACK", "a.csv#x", "a.parquet", "my.module:make"])
def test_names_of_data_are_told_from_other_names(name: str) -> None:
    assert is_dataset_name(name)


@pytest.mark.parametrize(
    "name", ["white_noise", "a.xlsx", "folder/none", "a:b:c", "a b:c", "", "#", "#3", "~nobody/x"]
)
def test_other_names_are_no_data_and_loading_them_says_what_is(name: str) -> None:
    assert not is_dataset_name(name)
    with pytest.raises(
        InputError, match=r"is not a data set.*Or name data of your own: a file that ends in \.npz"
    ):
        load(name)


@given(st.text(st.characters(exclude_characters="/.~"), max_size=300))  # no folder that exists
def test_no_name_raises_anything_but_our_own_errors(name: str) -> None:
    if name not in DATASETS:
        with pytest.raises(DilutionError):
            load(name)


def test_a_file_of_another_kind_is_refused_with_what_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    (tmp_path / "bare").write_bytes(b"")
    for name, ending in (("a.xlsx", "'.xlsx'"), ("bare", "''")):
        with pytest.raises(
            InputError, match=rf"ends in {ending}; data must be a file that ends in \.npz, .*\.csv"
        ):
            load(tmp_path / name)


def test_nothing_may_follow_the_number_sign_of_arrays_and_packs(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 2, 2), dtype=np.uint8), labels=[0, 1, 0, 1])
    for name in ("a.npz#labels", "b.pack#3"):
        with pytest.raises(InputError, match="takes nothing there"):
            load(f"{tmp_path}/{name}")


def test_of_named_data_the_training_half_is_labelled() -> None:
    found, digits = load_unsplit("digits"), load("digits")
    assert found.names is None
    assert found.arrays is digits.train


def test_arrays_without_a_test_half_are_labelled_whole_and_in_order(tmp_path: Path) -> None:
    images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(10) % 2)
    found = load_unsplit(tmp_path / "a.npz")
    assert torch.equal(found.arrays.images[:, 0], torch.from_numpy(images))
    np.savez(
        tmp_path / "b.npz",
        images=images,
        labels=np.arange(10) % 2,
        test_images=images[:2],
        test_labels=[0, 1],
    )
    assert len(load_unsplit(tmp_path / "b.npz").arrays) == 10
