"""Losses that are not finite: the run has diverged, its step is recorded, and the others go on."""

import pytest
from command import done

from dilution.study.results import histories, table
from dilution.study.store import Store

STUDY = """
name = "diverging"

[base]
dataset = "digits"
n = 200
alpha = 1.0
steps = 12
n_evals = 6
batch_size = 16
optimizer = "sgd"

[[grids]]
model = ["mlp1"]
lr = [0.1, 1e30]
seed = [0, 1]

[[grids]]
model = ["{spoiled}"]
lr = [0.1]
seed = [0]
"""
SPOILED = """
import torch


class Spoiled(torch.nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layer = torch.nn.Linear(64, classes)
        self.steps = 0

    def forward(self, images):
        if self.training:
            self.steps += 1
        spoil = {value} if self.steps > 5 else 1.0
        return self.layer(images.flatten(1)) * spoil


def make(shape, classes):
    return Spoiled(shape, classes)
"""


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')"])
def test_a_loss_that_is_not_finite_is_a_divergence_with_its_step(tmp_path, value):
    (tmp_path / "spoiling.py").write_text(SPOILED.format(value=value))
    (tmp_path / "study.toml").write_text(STUDY.format(spoiled="spoiling:make"))
    printed = done(tmp_path, "run", "study.toml", "--store", "s.sqlite", "--workers", "2")
    assert printed.count("diverged") == 3
    with Store(tmp_path / "s.sqlite") as store:
        rows, evaluations = table(store, "diverging"), histories(store, "diverging")
    assert rows["state"].tolist() == ["done", "done", "diverged", "diverged", "diverged"]
    assert rows["lr"].tolist() == [0.1, 0.1, 1e30, 1e30, 0.1]
    diverged = rows[rows["state"] == "diverged"]
    assert diverged["diverged_at"].between(1, 12).all()
    assert diverged["test_acc_at_best_clean_val"].isna().all()
    assert rows["diverged_at"].iloc[-1] == 6
    before = evaluations[evaluations["key"] == rows["key"].iloc[-1]]
    assert before["step"].max() <= 6
