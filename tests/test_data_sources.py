"""Names of data of a user: which source a name stands for, and which names are refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.data import DATASETS, fingerprint, is_dataset_name, load, load_unsplit, write_pack
from dilution.errors import DilutionError, InputError


@pytest.mark.parametrize("name", ["digits", "a.npz", "b/a.PACK", "a.csv#x", "a.parquet", "my.module:make"])
def test_names_of_data_are_recognised(name: str) -> None:
    assert is_dataset_name(name)


@pytest.mark.parametrize(
    "name", ["white_noise", "a.xlsx", "folder/none", "a:b:c", "a b:c", "", "#", "#3", "~nobody/x"]
)
def test_other_names_are_refused_with_what_can_be_named(name: str) -> None:
    assert not is_dataset_name(name)
    with pytest.raises(
        InputError, match=r"is not a data set.*Or name your own data: a file that ends in \.npz"
    ):
        load(name)


@given(st.text(st.characters(exclude_characters="/.~"), max_size=300))  # no folder that exists
def test_every_name_ends_in_data_or_in_a_dilution_error(name: str) -> None:
    if name not in DATASETS:
        with pytest.raises(DilutionError):
            load(name)


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    (tmp_path / "bare").write_bytes(b"")
    for name, suffix in (("a.xlsx", "'.xlsx'"), ("bare", "''")):
        with pytest.raises(
            InputError, match=rf"ends in {suffix}; data must be a file that ends in \.npz, .*\.csv"
        ):
            load(tmp_path / name)


def test_npz_files_and_packs_take_no_options(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 2, 2), dtype=np.uint8), labels=[0, 1, 0, 1])
    for name in ("a.npz#labels", "b.pack#3"):
        with pytest.raises(InputError, match="takes no options"):
            load(f"{tmp_path}/{name}")


def test_unsplit_built_in_data_are_the_train_split() -> None:
    unsplit, digits = load_unsplit("digits"), load("digits")
    assert unsplit.names is None
    assert unsplit.arrays is digits.train


def test_unsplit_images_keep_the_order_of_the_file(tmp_path: Path) -> None:
    images, labels = np.arange(40, dtype=np.uint8).reshape(10, 2, 2), np.arange(10) % 2
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    assert torch.equal(load_unsplit(tmp_path / "a.npz").arrays.images[:, 0], torch.from_numpy(images))
    np.savez(tmp_path / "b.npz", images=images, labels=labels, test_images=images[:2], test_labels=[0, 1])
    assert len(load_unsplit(tmp_path / "b.npz").arrays) == 10


@pytest.mark.trains
def test_a_study_in_a_worker_process_reads_the_same_data_as_one_in_this_process(
    tmp_path: Path, module: Callable[[str], str]
) -> None:
    digits = load("digits")
    pack = write_pack(tmp_path / "mine.pack", [digits.train], [digits.test])
    function = module("""
        import numpy as np

        def rows():
            return np.arange(60, dtype=np.float32).reshape(20, 3), np.arange(20) % 2
    """)
    settings = {"model": "perceptron", "alpha": 1, "n": 12, "epochs": 1, "batch_size": 4, "n_evals": 1}
    names = ["digits", str(pack), f"{function}:rows"]
    study = dilution.Study.of("s", [dilution.Run.of(dataset=name, **settings) for name in names])
    tables = []
    for workers in (0, 1):
        execution = dilution.Execution(workers=workers, progress=False)
        tables.append(dilution.run(study, store=tmp_path / f"{workers}.sqlite", execution=execution))
    for table in tables:
        assert table["state"].tolist() == ["done"] * 3
        assert table["fingerprint"].fillna("").tolist() == [fingerprint(name) for name in names]
        accuracies = table["test_acc_last"].tolist()
        assert accuracies[0] == accuracies[1]  # the pack holds the digits
    assert tables[0]["test_acc_last"].tolist() == tables[1]["test_acc_last"].tolist()
