"""The figure of label errors as people make them: its runs, its points and its page."""

import numpy as np
import pandas as pd
import pytest
import torch

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.figures import report, reproduce
from dilution.figures.base import PRESETS, Figure, Material
from dilution.figures.human_labels import (
    APART,
    CLEAN,
    CONDITIONAL,
    ERRORS,
    FIGURE,
    OBSERVED,
    UNIFORM,
    finding,
    points,
)
from dilution.figures.registry import FIGURES
from dilution.noise import Dilution, observed
from dilution.study.importing import import_table
from dilution.study.progress import Progress
from dilution.study.runner import dilute
from dilution.study.store import Store


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A file of the digits with observed labels: of the darker half of each class every label is wrong."""
    train = load("digits").train
    ink = train.images.flatten(1).sum(1)
    dark = torch.zeros(len(train), dtype=torch.bool)
    for digit in range(10):
        here = (train.labels == digit).nonzero()[:, 0]
        dark[here[ink[here].argsort(descending=True)[: len(here) // 3]]] = True
    noisy = torch.where(dark, (train.labels + 1 + ink % 3) % 10, train.labels)
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    np.savez(path, images=train.images.numpy(), labels=train.labels.numpy(), noisy_labels=noisy.numpy())
    return str(path)


@pytest.fixture
def material(mine):
    return Material.of(mine, load(mine).train, "photos", "float32")


def test_all_errors_but_none_have_one_rate_and_two_have_one_matrix(material):
    runs = FIGURE.plan(material, "demo", seeds=1)
    found = {}
    for run in runs:
        _, noisy = dilute(run, None, {})
        assert len(noisy) == noisy.n
        found[run.noise, run.alpha == 0] = noisy
    whole = Dilution(load(material.dataset).train, noise=observed()).noise_summary()
    rate, T = whole.noise_rate_empirical, whole.transition_empirical
    assert found["uniform", True].expected_noise_summary().noise_rate_expected == 0
    assert found["uniform", False].expected_noise_summary().noise_rate_expected == pytest.approx(rate)
    np.testing.assert_allclose(
        found["matrix", False].expected_noise_summary().transition_expected, T, atol=1e-12
    )
    np.testing.assert_allclose(
        found["observed", False].expected_noise_summary().transition_expected, T, atol=0.1
    )
    for noise in ("uniform", "matrix"):
        assert found[noise, False].noise_summary().noise_rate_empirical == pytest.approx(rate, abs=0.01)
    rows = [noisy.clean_rows.tolist() for noisy in found.values()]
    assert rows.count(rows[0]) == 4


@pytest.mark.parametrize("scale", PRESETS)
def test_there_are_four_kinds_of_errors_at_every_scale(material, scale):
    runs = FIGURE.plan(material, scale)
    assert len({run.key for run in runs}) == len(runs)
    seeds = {run.seed for run in runs}
    rates = {run.lr for run in runs}
    assert len(runs) == 4 * len(seeds) * len(rates)
    assert {run.label_mode for run in runs} == {"replaced"}


def test_data_without_observed_labels_are_refused_at_every_scale():
    plain = Material.of("digits", load("digits").train, "photos", "float32")
    for scale in PRESETS:
        with pytest.raises(InputError, match=r"'digits', which has no observed labels.*cifar10n/worse"):
            FIGURE.plan(plain, scale)
    assert "human" not in FIGURES


def test_rows_of_features_get_a_network_that_takes_them():
    data = Arrays(torch.rand(40, 3, 1, 1), torch.arange(40) % 2, observed=torch.arange(40) % 3 % 2)
    networks = {run.model for run in FIGURE.plan(Material.of("t.csv", data, "photos", "float32"), "demo")}
    assert networks == {"mlp2"}


def rows(accuracy, seeds=3):
    """Return a table of runs whose accuracy is a function of the kind of errors and the seed."""
    settings = {
        CLEAN: {"noise": "uniform", "alpha": 0.0},
        UNIFORM: {"noise": "uniform", "alpha": np.nan},
        CONDITIONAL: {"noise": "matrix", "alpha": 1.0},
        OBSERVED: {"noise": "observed", "alpha": np.nan},
    }
    return pd.DataFrame(
        {
            **settings[errors], "seed": seed, "lr": 0.1, "val_acc_clean": 0.5, "n_test": 10_000,
            "noise_rate_empirical": 0.0 if errors == CLEAN else 0.4,
            "test_acc_at_best_clean_val": accuracy(errors, seed), "test_acc_last": accuracy(errors, seed) - 0.1,
        }
        for errors in ERRORS
        for seed in range(seeds)
    )  # fmt: skip


def test_the_difference_is_paired_by_seed():
    # Seeds differ far more than kinds of errors do: only pairs can tell them apart.
    found = points(
        rows(lambda errors, seed: 0.5 + 0.1 * seed - 0.02 * (errors == OBSERVED) * (1 + 0.1 * seed))
    )
    apart = found[found["errors"] == APART].set_index("measure").loc["test_acc_at_best_clean_val"]
    assert apart["mean"] == pytest.approx(-0.022)
    assert apart["high"] < 0
    assert apart["p"] < 0.05
    assert apart["seeds"] == 3
    assert list(found["errors"]) == [*ERRORS, APART] * 2
    said = finding(found)
    assert "Observed errors cost more than class-conditional ones" in said
    assert "With 40.0 % of the labels wrong" in said


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (lambda errors, seed: 0.6 + 0.001 * seed + 0.05 * (errors == OBSERVED), "Observed errors cost less"),
        (lambda errors, seed: 0.6 + 0.05 * (errors == OBSERVED) * (seed - 1), "show no difference"),
    ],
)
def test_the_finding_says_what_was_found(accuracy, words):
    assert words in finding(points(rows(accuracy)))


def test_one_seed_shows_no_difference():
    assert "show no difference" in finding(
        points(rows(lambda errors, _: 0.5 * (errors == OBSERVED), seeds=1))
    )


def test_reproduce_draws_it_on_data_of_ones_own(tmp_path, monkeypatch, mine):
    full = Figure.plan

    def plan(self, material, scale, seeds=None):
        few = {"steps": 3, "n": 100, "n_evals": 1, "n_val": 10}
        return [run.model_copy(update=few) for run in full(self, material, scale, seeds)]

    monkeypatch.setattr(Figure, "plan", plan)
    made = reproduce(
        "human",
        dataset=mine,
        store=tmp_path / "s.sqlite",
        out=tmp_path,
        workers=0,
        seeds=2,
        progress=Progress(quiet=True),
    )
    assert (made.runs["state"] == "done").all()
    assert len(made.runs) == 8
    assert made.claims.empty
    assert "class-conditional" in made.page.read_text("utf-8")
    drawn = pd.read_csv(tmp_path / "human.csv", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(drawn, points(made.runs), check_dtype=False)
    again = report(tmp_path / "s.sqlite", out=tmp_path / "again")
    assert (tmp_path / "again" / "human.svg").read_text() == (tmp_path / "human.svg").read_text()
    assert len(again.runs) == 8
    with Store(tmp_path / "other.sqlite") as other:
        assert import_table(tmp_path / "human-runs.csv", other) == 8
