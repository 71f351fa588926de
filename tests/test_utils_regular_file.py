"""Pipes and devices in place of files are refused at once, wherever a file is read."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dilution.data import load
from dilution.data.formats.table_files import open_table
from dilution.data.label_files import read_label_file
from dilution.diagnosis.json_schema import read_diagnosis_file
from dilution.diagnosis.label_studio import read_label_studio
from dilution.errors import DilutionError, InputError
from dilution.fitting import load_model
from dilution.study.grid import Study
from dilution.study.importing import import_table
from dilution.study.store import Store
from dilution.training import Checkpoint
from dilution.training.losses import LossContext, resolve_loss
from dilution.training.recipes import read_recipe
from dilution.utils.regular_file import check_regular, file_size


@pytest.fixture(params=["pipe", "link to a device"])
def special(request: pytest.FixtureRequest, tmp_path: Path):
    """A function of a file name that makes a pipe or a link to a device of that name."""

    def make(name: str) -> Path:
        path = tmp_path / name
        if request.param == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        return path

    return make


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".npz", ".pack"])
def test_no_data_are_read_from_it(special, suffix):
    with pytest.raises(InputError, match="is a pipe, a socket or a device"):
        load(str(special(f"data{suffix}")))


def test_nor_a_table_of_ids_runs_or_settings_nor_a_store(special, tmp_path):
    with pytest.raises(InputError, match="must be a file"):
        open_table(special("verified.csv"), "")
    with pytest.raises(InputError, match="must be a file"):
        Study.from_toml(special("study.toml"))
    with pytest.raises(InputError, match="must be a file"):
        Store(special("store.sqlite"))
    with Store(tmp_path / "s.sqlite") as store, pytest.raises(InputError, match="must be a file"):
        import_table(special("runs.csv"), store)


CONTEXT = LossContext(("a", "b"), 10, np.eye(2), takes_weights=False, device=torch.device("cpu"))
READERS = {
    "labels.npy": lambda path: read_label_file(path, load("digits").train),
    "matrix.csv": lambda path: resolve_loss(f"forward(T={str(path)!r})").check(CONTEXT),
    "recipe.toml": read_recipe,
    "model.dilution": load_model,
    "answers.json": read_label_studio,
    "diagnosis.json": read_diagnosis_file,
    "checkpoint.pt": lambda path: Checkpoint(path, "x").load(),
}


@pytest.mark.parametrize("name", READERS)
def test_nor_labels_a_matrix_a_recipe_a_model_answers_a_diagnosis_or_a_checkpoint(special, name):
    with pytest.raises(DilutionError, match="is a pipe, a socket or a device"):
        READERS[name](special(name))


def test_files_folders_and_links_to_them_and_nothing_are_accepted(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link", "nothing", "."):
        check_regular(tmp_path / name)


def test_the_size_of_what_cannot_be_there_is_zero(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "circle").symlink_to("circle")
    assert [file_size(tmp_path / name) for name in ("file", "nothing", "file/below", "circle")] == [
        3,
        0,
        0,
        0,
    ]
