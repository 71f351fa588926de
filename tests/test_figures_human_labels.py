"""The figure of human label errors: its runs, its points and its page."""

import numpy as np
import pandas as pd
import pytest
import torch

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.figures import report, reproduce
from dilution.figures.base import PRESETS, Figure, FigureInputs
from dilution.figures.human_labels import (
    CONDITIONAL,
    ERRORS,
    FIGURE,
    GAP,
    NO_ERRORS,
    OBSERVED,
    UNIFORM,
    aggregate,
    summary,
)
from dilution.figures.registry import FIGURES, PAPER_FIGURES
from dilution.noise import Dilution, observed
from dilution.study.datasets import dilute
from dilution.study.execution import Execution
from dilution.study.importing import import_table
from dilution.study.store import Store


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    """Return a file of digits with observed labels: those of the darkest third of each class are wrong."""
    train = load("digits").train
    ink = train.images.flatten(1).sum(1)
    dark = torch.zeros(len(train), dtype=torch.bool)
    for digit in range(10):
        rows = (train.labels == digit).nonzero()[:, 0]
        dark[rows[ink[rows].argsort(descending=True)[: len(rows) // 3]]] = True
    noisy = torch.where(dark, (train.labels + 1 + ink % 3) % 10, train.labels)
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, images=train.images.numpy(), labels=train.labels.numpy(), noisy_labels=noisy.numpy())
    return str(path)


@pytest.fixture(scope="module")
def inputs(data_file):
    return FigureInputs.of(data_file, load(data_file).train, "photos", "float32")


def test_all_kinds_of_errors_have_one_noise_rate_and_two_have_one_matrix(inputs):
    runs = FIGURE.plan(inputs, "demo", seeds=1)
    noisy_sets = {}
    for run in runs:
        _, noisy = dilute(run, None, {})
        assert len(noisy) == noisy.n
        noisy_sets[run.noise, run.alpha == 0] = noisy
    whole = Dilution(load(inputs.dataset).train, noise=observed()).noise_summary()
    noise_rate, T = whole.noise_rate_empirical, whole.transition_empirical
    assert noisy_sets["uniform", True].expected_noise_summary().noise_rate_expected == 0
    assert noisy_sets["uniform", False].expected_noise_summary().noise_rate_expected == pytest.approx(
        noise_rate
    )
    np.testing.assert_allclose(
        noisy_sets["matrix", False].expected_noise_summary().transition_expected, T, atol=1e-12
    )
    np.testing.assert_allclose(
        noisy_sets["observed", False].expected_noise_summary().transition_expected, T, atol=0.1
    )
    for noise in ("uniform", "matrix"):
        assert noisy_sets[noise, False].noise_summary().noise_rate_empirical == pytest.approx(
            noise_rate, abs=0.01
        )
    rows = [noisy.clean_rows.tolist() for noisy in noisy_sets.values()]
    assert rows.count(rows[0]) == 4


@pytest.mark.parametrize("preset", PRESETS)
def test_there_are_four_kinds_of_errors_at_every_preset(inputs, preset):
    runs = FIGURE.plan(inputs, preset)
    assert len({run.key for run in runs}) == len(runs)
    seeds = {run.seed for run in runs}
    lrs = {run.lr for run in runs}
    assert len(runs) == 4 * len(seeds) * len(lrs)
    assert {run.label_mode for run in runs} == {"replaced"}


def test_data_without_observed_labels_are_refused_at_every_preset():
    plain = FigureInputs.of("digits", load("digits").train, "photos", "float32")
    for preset in PRESETS:
        with pytest.raises(InputError, match=r"'digits', which has no observed labels.*cifar10n/worse"):
            FIGURE.plan(plain, preset)
    assert "human_labels" in FIGURES
    assert "human_labels" not in PAPER_FIGURES


def test_rows_of_features_get_a_model_for_features():
    data = Arrays(torch.rand(40, 3, 1, 1), torch.arange(40) % 2, observed=torch.arange(40) % 3 % 2)
    models = {run.model for run in FIGURE.plan(FigureInputs.of("t.csv", data, "photos", "float32"), "demo")}
    assert models == {"mlp2"}


def rows(accuracy, seeds=3):
    """Return a table of runs whose accuracy is a function of the kind of errors and the seed."""
    settings = {
        NO_ERRORS: {"noise": "uniform", "alpha": 0.0},
        UNIFORM: {"noise": "uniform", "alpha": np.nan},
        CONDITIONAL: {"noise": "matrix", "alpha": 1.0},
        OBSERVED: {"noise": "observed", "alpha": np.nan},
    }
    return pd.DataFrame(
        {
            **settings[errors], "seed": seed, "lr": 0.1, "val_acc_clean": 0.5, "n_test": 10_000,
            "noise_rate_empirical": 0.0 if errors == NO_ERRORS else 0.4,
            "test_acc_at_best_clean_val": accuracy(errors, seed),
            "test_acc_last": accuracy(errors, seed) - 0.1,
        }
        for errors in ERRORS
        for seed in range(seeds)
    )  # fmt: skip


def test_the_difference_is_paired_by_seed():
    # accuracies differ more between seeds than between kinds of errors: only pairs show the difference
    points = aggregate(
        rows(lambda errors, seed: 0.5 + 0.1 * seed - 0.02 * (errors == OBSERVED) * (1 + 0.1 * seed))
    )
    gap = points[points["errors"] == GAP].set_index("measure").loc["test_acc_at_best_clean_val"]
    assert gap["mean"] == pytest.approx(-0.022)
    assert gap["high"] < 0
    assert gap["p"] < 0.05
    assert gap["seeds"] == 3
    assert list(points["errors"]) == [*ERRORS, GAP] * 2
    sentence = summary(points)
    assert "Observed errors cost more than class-conditional errors" in sentence
    assert "With 40.0 % wrong labels" in sentence


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (lambda errors, seed: 0.6 + 0.001 * seed + 0.05 * (errors == OBSERVED), "Observed errors cost less"),
        (lambda errors, seed: 0.6 + 0.05 * (errors == OBSERVED) * (seed - 1), "do not differ significantly"),
    ],
)
def test_the_summary_names_the_sign_of_the_difference(accuracy, words):
    assert words in summary(aggregate(rows(accuracy)))


def test_one_seed_gives_no_significant_difference():
    assert "do not differ significantly" in summary(
        aggregate(rows(lambda errors, _: 0.5 * (errors == OBSERVED), seeds=1))
    )


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_reproduce_draws_it_on_a_data_file(tmp_path, monkeypatch, data_file):
    full_plan = Figure.plan

    def short_plan(self, inputs, preset, seeds=None):
        short = {"steps": 3, "n": 100, "n_evals": 1, "n_val": 10}
        return [run.model_copy(update=short) for run in full_plan(self, inputs, preset, seeds)]

    monkeypatch.setattr(Figure, "plan", short_plan)
    result = reproduce(
        "human_labels",
        dataset=data_file,
        store=tmp_path / "s.sqlite",
        out=tmp_path,
        seeds=2,
        execution=Execution(workers=0, progress=False),
    )
    assert (result.runs["state"] == "done").all()
    assert len(result.runs) == 8
    assert result.claims.empty
    assert "class-conditional" in result.page.read_text("utf-8")
    drawn = pd.read_csv(tmp_path / "human_labels.csv", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(drawn, aggregate(result.runs), check_dtype=False)
    again = report(tmp_path / "s.sqlite", out=tmp_path / "again")
    svg = tmp_path / "human_labels.svg"
    assert (tmp_path / "again" / "human_labels.svg").read_text() == svg.read_text()
    assert len(again.runs) == 8
    with Store(tmp_path / "other.sqlite") as other:
        assert import_table(tmp_path / "human_labels-runs.csv", other) == 8
