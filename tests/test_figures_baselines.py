"""The figure of models and scikit-learn estimators: its runs, its page and each of its verdicts."""

import itertools

import pandas as pd
import pytest

from dilution.figures import FIGURES, PAPER_FIGURES, reproduce
from dilution.figures.base import PRESETS, Figure, FigureInputs
from dilution.figures.baselines import ESTIMATORS, FIGURE, LABELS, MODELS, aggregate
from dilution.figures.claims import judge_all
from dilution.study.datasets import dilute
from dilution.study.execution import Execution

YES, NO, OPEN = "reproduced", "not reproduced", "not testable"
ALPHAS = (0.0, 5.0, 10.0, 20.0)


def rows(accuracy, models=tuple(LABELS), alphas=ALPHAS, seeds=3):
    """Return one row per model, alpha and seed; `accuracy` is a function of model and alpha."""
    return pd.DataFrame(
        {
            "state": "done",
            "dataset": "mnist",
            "n": 1_000,
            "model": model,
            "alpha": alpha,
            "lr": 0.1,
            "seed": seed,
            "n_test": 10_000,
            "val_acc_clean": 0.9,
            "test_acc_at_best_clean_val": accuracy(model, alpha)
            + 0.001 * seed
            + 0.0005 * ((place + seed) % 2),
        }
        for place, (model, alpha) in enumerate(itertools.product(models, alphas))
        for seed in range(seeds)
    )


def verdicts(table):
    return judge_all(FIGURE.claims, table)["verdict"].tolist()


def line(start, slope):
    return lambda alpha: start - slope * alpha


def others(other, model, alpha):
    return line(0.95, 0.01)(alpha) if model == "conv4" else other(alpha)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (line(0.9, 0.02), [YES, YES]),
        (line(0.9, 0.005), [NO, NO]),
        (line(0.7, 0.005), [YES, NO]),  # less accurate, but noise lowers its accuracy less
        (line(1.2, 0.02), [NO, YES]),  # more accurate, but noise lowers its accuracy more
    ],
)
def test_the_convnet_is_judged_by_its_accuracy_and_by_its_drop(other, expected):
    assert verdicts(rows(lambda model, alpha: others(other, model, alpha))) == expected


@pytest.mark.parametrize("ahead", [*ESTIMATORS, "mlp2", "perceptron"])
@pytest.mark.parametrize("alpha", [10.0, 20.0])
def test_one_model_ahead_at_one_noise_level_decides(ahead, alpha):
    table = rows(lambda model, a: 0.97 if (model, a) == (ahead, alpha) else 0.9 - 0.1 * (model != "conv4"))
    judged = judge_all(FIGURE.claims, table)
    assert judged["verdict"].tolist() == [NO, NO]
    assert f"α = {alpha:g}: Conv-4 90." in judged["numbers"][0]
    assert LABELS[ahead] in judged["numbers"][0]


def test_at_smaller_noise_levels_the_convnet_need_not_be_ahead():
    table = rows(lambda model, a: 0.9 - 0.1 * (model != "conv4") * (a >= 10) - 0.2 * (a == 5))
    assert verdicts(table) == [YES, YES]


@pytest.mark.parametrize(
    "changes",
    [{"alphas": (0.0, 5.0)}, {"seeds": 1}, {"models": ESTIMATORS}, {"models": ("conv4", "sklearn:knn")}],
    ids=str,
)
def test_too_little_decides_nothing(changes):
    assert verdicts(rows(lambda *_: 0.9, **changes)) == [OPEN, OPEN]


def test_it_is_beyond_the_paper():
    assert "baselines" in FIGURES
    assert "baselines" not in PAPER_FIGURES
    assert len(PAPER_FIGURES) == 11


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("inputs", [FigureInputs("digits", 1_437), FigureInputs("mnist", 60_000)])
def test_models_and_estimators_get_the_same_noisy_sets(preset, inputs):
    runs = FIGURE.plan(inputs, preset)
    assert len({run.key for run in runs}) == len(runs)
    assert {run.model for run in runs} == {*MODELS, *ESTIMATORS}
    noisy_sets = {
        name: {(run.n, run.n_val, run.alpha, run.image_source, run.seed) for run in runs if run.model == name}
        for name in LABELS
    }
    assert len(set(map(frozenset, noisy_sets.values()))) == 1
    assert max(run.alpha for run in runs) >= 20


@pytest.mark.parametrize("preset", PRESETS)
def test_estimators_accept_their_largest_table(preset):
    for run in FIGURE.plan(FigureInputs("mnist", 60_000), preset):
        assert run.n * (1 + run.alpha) * 28 * 28 < 1 << 29


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_reproduce_draws_and_judges_it(tmp_path, monkeypatch):
    full_plan = Figure.plan

    def short_plan(self, inputs, preset, seeds=None):
        short = {"epochs": None, "steps": 3, "n": 60, "n_evals": 1, "n_val": 10}
        runs = full_plan(self, inputs, preset, seeds)
        fast = {"conv4", "mlp2", "sklearn:knn", "sklearn:logistic"}
        return [run.model_copy(update=short) for run in runs if run.alpha in (0, 10) and run.model in fast]

    monkeypatch.setattr(Figure, "plan", short_plan)
    result = reproduce(
        "baselines",
        store=tmp_path / "s.sqlite",
        out=tmp_path,
        seeds=2,
        execution=Execution(workers=0, progress=False),
    )
    assert (result.runs["state"] == "done").all()
    assert len(result.runs) == 4 * 2 * 2
    assert set(result.claims["verdict"]) <= {YES, NO}
    assert (tmp_path / "baselines.svg").stat().st_size
    assert "Logistic regression" in result.page.read_text("utf-8")
    drawn = pd.read_csv(tmp_path / "baselines.csv")
    pd.testing.assert_frame_equal(drawn, aggregate(result.runs), check_dtype=False)


def test_estimators_get_the_same_labels_as_models():
    runs = FIGURE.plan(FigureInputs("digits", 1_437), "demo")
    model = next(run for run in runs if run.model == "conv4" and run.alpha == 5)
    estimator = next(run for run in runs if run.model == "sklearn:knn" and run.alpha == 5)
    (_, first), (_, second) = (dilute(run, None, {}) for run in (model, estimator))
    assert (first.noise_summary().transition_empirical == second.noise_summary().transition_empirical).all()
