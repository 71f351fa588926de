"""Files cut off or with flipped bits: the damage is noticed and named, and never becomes a wrong number."""

import random
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from command import call

from dilution.data import load, write_pack
from dilution.errors import DataError, StoreError
from dilution.study import Execution, Grid, Study
from dilution.study.results import table
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training.checkpoint import Checkpoint

CUTS, FLIPS = 60, 300


def damaged(content, draw):
    """Yield copies of a file, cut off and with one flipped bit each."""
    for _ in range(CUTS):
        yield content[: draw.randrange(len(content))]
    for _ in range(FLIPS):
        altered = bytearray(content)
        altered[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        yield bytes(altered)


MEASURED = [
    "key",
    "state",
    "alpha",
    "seed",
    "n",
    "lr",
    "test_acc_at_best_clean_val",
    "test_acc_last",
    "val_acc_clean",
]


def test_a_damaged_store_is_refused_or_has_the_same_results(tmp_path):
    path = tmp_path / "s.sqlite"
    grid = Grid(
        {"dataset": "digits", "n": 100, "model": "mlp1", "steps": 4, "batch_size": 16},
        {"alpha": [0, 1], "seed": [0, 1, 2]},
    )
    with Store(path) as store:
        run_study(Study.of("s", list(grid)), store, Execution(executor="inline", progress=False))
        intact = table(store, "s")[MEASURED].set_index("key")
    content = path.read_bytes()
    refused, named = 0, set()
    for copy in damaged(content, random.Random(0)):
        path.write_bytes(copy)
        for write_ahead_log in tmp_path.glob("s.sqlite-*"):
            write_ahead_log.unlink()
        try:
            with Store(path, create=False) as store:
                rows = table(store, "s")[MEASURED].set_index("key")
        except StoreError as error:
            refused += 1
            named.add(str(path) in str(error))
            continue
        pd.testing.assert_frame_equal(rows, intact, check_exact=True)
    assert refused > CUTS  # other bits are of indices, free pages, hosts and times
    assert named == {True}


def test_a_damaged_pack_is_refused_or_holds_what_it_held(tmp_path):
    digits = load("digits")
    path = write_pack(tmp_path / "digits.pack", [digits.train], [digits.test])
    content = path.read_bytes()
    refused, named = 0, set()
    for damaged_content in damaged(content, random.Random(1)):
        path.write_bytes(damaged_content)
        try:
            data = load(path)
            splits = data.train, data.test
            images = [split.take(torch.arange(len(split))) for split in splits]
        except DataError as error:
            refused += 1
            named.add(str(path) in str(error))
            continue
        for split, taken, original in zip(splits, images, (digits.train, digits.test), strict=True):
            assert torch.equal(taken, original.images)
            assert torch.equal(split.labels, original.labels)
            assert split.classes == original.classes
    assert refused >= (CUTS + FLIPS) * 0.9  # what is left are gaps between the parts
    assert named == {True}


def test_a_study_on_a_damaged_pack_ends_with_its_name(tmp_path):
    digits = load("digits")
    path = write_pack(tmp_path / "digits.pack", [digits.train], [digits.test])
    with path.open("r+b") as file:
        file.seek(9000)
        file.write(bytes(4000))
    (tmp_path / "study.toml").write_text(
        'name = "s"\n[base]\ndataset = "digits.pack"\nn = 1437\nmodel = "mlp1"\n'
        "alpha = 1.0\nepochs = 2\nbatch_size = 16\n"
    )
    done = call(tmp_path, "run", "study.toml", "--store", "s.sqlite", "--workers", "1")
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    told = done.stderr + call(tmp_path, "status", "--store", "s.sqlite").stdout
    assert "digits.pack does not match its checksum" in told
    assert "Traceback" not in told
    assert call(tmp_path, "data", "check", "digits.pack").returncode == 1


def test_a_damaged_checkpoint_is_refused(tmp_path):
    draw = torch.Generator().manual_seed(0)
    state = {"step": 3, "weights": torch.randn(40, generator=draw), "history": [{"step": 1, "loss": 0.5}]}
    checkpoint = Checkpoint(tmp_path / "c.pt", "mine")
    checkpoint.save(state)
    content = checkpoint.path.read_bytes()
    found = checkpoint.load()
    assert found is not None
    assert torch.equal(found["weights"], state["weights"])
    for each in damaged(content, random.Random(2)):
        checkpoint.path.write_bytes(each)
        with pytest.raises(DataError, match=r"c\.pt is corrupted"):
            checkpoint.load()


def test_a_study_refuses_a_damaged_checkpoint_by_its_name(tmp_path):
    (tmp_path / "study.toml").write_text(
        'name = "s"\n[base]\ndataset = "digits"\nmodel = "mlp1"\nn = 200\nalpha = 1.0\n'
        "steps = 40\nbatch_size = 16\nn_evals = 4\n"
    )
    words = ["run", "study.toml", "--store", "s.sqlite", "--workers", "1", "--checkpoint-minutes", "0"]
    assert call(tmp_path, *words).returncode == 0
    with Store(tmp_path / "s.sqlite") as store:
        (key,) = table(store)["key"]
    folder = tmp_path / "new.sqlite.checkpoints"
    folder.mkdir()
    damaged_one = folder / f"{key}-1-cpu.pt"
    damaged_one.write_bytes(np.random.default_rng(0).bytes(5000))
    words[3] = "new.sqlite"
    done = call(tmp_path, *words)
    assert done.returncode == 1, done.stderr
    told = call(tmp_path, "status", "--store", "new.sqlite").stdout
    assert f"{damaged_one.name} is corrupted" in told
    assert "Traceback" not in told + done.stderr
    shutil.rmtree(folder)
    assert call(tmp_path, *words, "--retry-failed").returncode == 0
