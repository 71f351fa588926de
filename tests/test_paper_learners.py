"""The figure of networks beside other learners: its runs, its page and each of its verdicts."""

import itertools

import pandas as pd
import pytest

from dilution.figures import FIGURES, reproduce
from dilution.figures.base import PRESETS, Figure, Material
from dilution.figures.baselines import ESTIMATORS, FIGURE, LABELS, MODELS, points
from dilution.figures.claims import judge_all
from dilution.study.progress import Progress
from dilution.study.runner import dilute

YES, NO, OPEN = "reproduced", "not reproduced", "not testable at this scale"
ALPHAS = (0.0, 5.0, 10.0, 20.0)


def rows(accuracy, networks=tuple(LABELS), alphas=ALPHAS, seeds=3):
    """One row for each network, alpha and seed; `accuracy` is a function of network and alpha."""
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
        for place, (model, alpha) in enumerate(itertools.product(networks, alphas))
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
        (line(0.7, 0.005), [YES, NO]),  # less accurate, yet noise takes less from it
        (line(1.2, 0.02), [NO, YES]),  # more accurate, yet noise takes more from it
    ],
)
def test_the_convnet_is_judged_by_accuracy_and_by_what_noise_takes(other, expected):
    assert verdicts(rows(lambda model, alpha: others(other, model, alpha))) == expected


@pytest.mark.parametrize("ahead", [*ESTIMATORS, "mlp2", "perceptron"])
@pytest.mark.parametrize("alpha", [10.0, 20.0])
def test_one_learner_ahead_at_one_noise_level_decides(ahead, alpha):
    table = rows(lambda model, a: 0.97 if (model, a) == (ahead, alpha) else 0.9 - 0.1 * (model != "conv4"))
    judged = judge_all(FIGURE.claims, table)
    assert judged["verdict"].tolist() == [NO, NO]
    assert f"α = {alpha:g}: Conv-4 90." in judged["numbers"][0]
    assert LABELS[ahead] in judged["numbers"][0]


def test_below_the_noise_levels_of_the_claims_nobody_need_be_ahead():
    table = rows(lambda model, a: 0.9 - 0.1 * (model != "conv4") * (a >= 10) - 0.2 * (a == 5))
    assert verdicts(table) == [YES, YES]


@pytest.mark.parametrize(
    "changes",
    [{"alphas": (0.0, 5.0)}, {"seeds": 1}, {"networks": ESTIMATORS}, {"networks": ("conv4", "sklearn:knn")}],
    ids=str,
)
def test_too_little_decides_nothing(changes):
    assert verdicts(rows(lambda *_: 0.9, **changes)) == [OPEN, OPEN]


def test_it_is_beyond_the_paper():
    assert "learners" not in FIGURES
    assert len(FIGURES) == 11


@pytest.mark.parametrize("scale", PRESETS)
@pytest.mark.parametrize("material", [Material("digits", 1_437), Material("mnist", 60_000)])
def test_networks_and_learners_get_the_same_dilutions(scale, material):
    runs = FIGURE.plan(material, scale)
    assert len({run.key for run in runs}) == len(runs)
    assert {run.model for run in runs} == {*MODELS, *ESTIMATORS}
    seen = {
        name: {(run.n, run.n_val, run.alpha, run.image_source, run.seed) for run in runs if run.model == name}
        for name in LABELS
    }
    assert len(set(map(frozenset, seen.values()))) == 1
    assert max(run.alpha for run in runs) >= 20


@pytest.mark.parametrize("scale", PRESETS)
def test_the_largest_table_of_a_learner_is_one_that_it_takes(scale):
    for run in FIGURE.plan(Material("mnist", 60_000), scale):
        assert run.n * (1 + run.alpha) * 28 * 28 < 1 << 29


def test_reproduce_draws_and_judges_it(tmp_path, monkeypatch):
    full = Figure.plan

    def plan(self, material, scale, seeds=None):
        few = {"epochs": None, "steps": 3, "n": 100, "n_evals": 1, "n_val": 10}
        runs = full(self, material, scale, seeds)
        return [run.model_copy(update=few) for run in runs if run.alpha in (0, 10)]

    monkeypatch.setattr(Figure, "plan", plan)
    made = reproduce(
        "learners",
        store=tmp_path / "s.sqlite",
        out=tmp_path,
        workers=0,
        seeds=2,
        progress=Progress(quiet=True),
    )
    assert (made.runs["state"] == "done").all()
    assert len(made.runs) == 7 * 2 * 2
    assert set(made.claims["verdict"]) <= {YES, NO}
    assert (tmp_path / "learners.png").exists()
    assert "Random forest" in made.page.read_text("utf-8")
    drawn = pd.read_csv(tmp_path / "learners.csv")
    pd.testing.assert_frame_equal(drawn, points(made.runs), check_dtype=False)


def test_what_the_learners_see_is_what_the_networks_see():
    runs = FIGURE.plan(Material("digits", 1_437), "demo")
    model = next(run for run in runs if run.model == "conv4" and run.alpha == 5)
    estimator = next(run for run in runs if run.model == "sklearn:knn" and run.alpha == 5)
    (_, first), (_, second) = (dilute(run, None, {}) for run in (model, estimator))
    assert (first.noise_summary().transition_empirical == second.noise_summary().transition_empirical).all()
