"""Thresholds by number of classes: quantities, predictions, verdicts on simulated studies, plot and runs."""

import itertools
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

from dilution.data.first_classes import name_with_classes, split_classes
from dilution.errors import InputError
from dilution.figures import FIGURES, PAPER_FIGURES, class_counts, reproduce
from dilution.figures.base import PRESETS, Figure, FigureInputs, Preset
from dilution.figures.claims import judge_all
from dilution.figures.class_counts_runs import class_counts as counts_of
from dilution.figures.class_counts_runs import examples_per_class
from dilution.figures.noise_explanations import EXPLANATIONS, draw_errors, label_shares, leave_one_out
from dilution.figures.noise_thresholds import half_lead_alpha, noise_thresholds, runs_by_cell
from dilution.noise import structured
from dilution.report.marks import visible_marks
from dilution.report.style import as_plot
from dilution.study.execution import Execution

YES, NO, OPEN = "reproduced", "not reproduced", "not testable"
FIGURE = class_counts.FIGURE
CELLS = list(itertools.product((3, 5, 10), (0.0, 0.5, 0.8)))
ALPHAS = [0.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]
INPUTS = {
    "digits": FigureInputs("digits", 1_437, shape=(1, 8, 8)),
    "tiny": FigureInputs("tiny.pack", 50_000, shape=(3, 32, 32), class_sizes=(250,) * 200),
}


def thresholds_at(truth, alpha, cells=CELLS, reference=4):
    """Return the α of each cell at which a quantity is what it is at `alpha` in the cell `reference`."""
    x = np.linspace(0, np.log1p(1e5), 50_000)
    value = EXPLANATIONS[truth].at(np.array([alpha]), *cells[reference])[0]
    logs = []
    for cell in cells:
        reached = EXPLANATIONS[truth].at(np.expm1(x), *cell)
        sign = np.sign(reached[-1] - reached[0])
        logs.append(np.interp(sign * value, sign * reached, x))
    return np.expm1(logs)


def runs(thresholds, cells=CELLS, seeds=3, scatter=0.0, start=0, alphas=ALPHAS):
    """Return runs whose accuracy falls from 95 % to chance, by a half at the thresholds of the cells."""
    random = np.random.default_rng(start)
    shared = {"state": "done", "n": 1_000, "lr": 0.1, "n_test": 10_000, "val_acc_clean": 0.9}
    table = []
    for (classes, delta), threshold in zip(cells, thresholds, strict=True):
        cell = np.log1p(threshold) + scatter * random.standard_normal()
        for seed in range(seeds):
            middle = cell + scatter * random.standard_normal()
            for alpha in alphas:
                if alpha == 0 and delta:
                    continue  # the run of uniform noise
                lead = 0.95 - 1 / classes
                left = 1.0 if alpha == 0 else 1 / (1 + math.exp(1.5 * (math.log1p(alpha) - middle)))
                accuracy = 1 / classes + lead * left
                noise = {"noise": "structured", "delta": delta} if delta else {"noise": "uniform"}
                row = {"dataset": f"digits#classes={classes}", "alpha": alpha, "seed": seed}
                table.append(
                    {**shared, "delta": math.nan, **noise, **row, "test_acc_at_best_clean_val": accuracy}
                )
    return pd.DataFrame(table)


def verdicts(table):
    return dict(zip(EXPLANATIONS, judge_all(FIGURE.claims, table)["verdict"], strict=True))


def test_the_figure_is_beyond_the_paper():
    assert "class_counts" in set(FIGURES) - set(PAPER_FIGURES)


@pytest.mark.parametrize("delta", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("classes", [2, 3, 10, 200])
@pytest.mark.parametrize("alpha", [0.3, 1.0, 7.0, 300.0])
def test_label_shares_are_those_of_the_noise(classes, delta, alpha):
    row = structured(delta).overall(classes, alpha, 0)[0]
    right, wrong = label_shares(np.array([alpha]), classes, delta)
    assert right[0] == pytest.approx(row[0])
    assert wrong[0] == pytest.approx(row[1:].max())


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_every_quantity_rises_or_falls_with_the_noise_level(name):
    alphas = np.geomspace(0.01, 1e3, 500)
    for cell in CELLS:
        steps = np.diff(EXPLANATIONS[name].at(alphas, *cell))
        assert (steps > 0).all() or (steps < 0).all()


def test_the_threshold_is_where_half_of_the_lead_is_left():
    assert half_lead_alpha([0, 10, 20], [0.9, 0.5, 0.2], 0.1) == pytest.approx(10)
    between = half_lead_alpha([0, 3, 15], [0.9, 0.6, 0.4], 0.1)
    assert math.log1p(between) == pytest.approx((math.log1p(3) + math.log1p(15)) / 2)
    assert half_lead_alpha([0, 10, 20], [0.9, 0.8, 0.5], 0.1) == math.inf
    assert half_lead_alpha([0, 1, 2, 3], [0.9, 0.4, 0.6, 0.4], 0.1) == pytest.approx(2.4, abs=0.1)
    assert math.isnan(half_lead_alpha([0, 10], [0.14, 0.1], 0.1))


def test_thresholds_of_a_table_are_by_seed_and_cell():
    expected = thresholds_at("margin", 20.0)
    found = noise_thresholds(runs_by_cell(runs(expected)))
    assert found.columns.tolist() == CELLS
    assert found.index.tolist() == [0, 1, 2]
    # a curve that is coarse in α, and whose lead at α = 0 is not that of its formula
    assert np.log1p(found.iloc[0].to_numpy()) == pytest.approx(np.log1p(expected), abs=0.15)


@pytest.mark.parametrize("name", EXPLANATIONS)
def test_cells_predict_each_other_through_the_quantity_that_they_follow(name):
    logs = np.log1p(np.minimum(thresholds_at(name, 20.0), 200))
    curves = EXPLANATIONS[name].curves(CELLS, 200)
    assert leave_one_out(logs[None], curves)[0] == pytest.approx(logs, abs=0.05)


def test_errors_vary_over_seeds_as_the_mean_of_all_seeds_does():
    random = np.random.default_rng(0)
    x = random.normal(3.0, 0.2, size=(3, 1))
    # one cell and a curve that predicts 0: the error is the mean of the drawn seeds
    errors = draw_errors(x, {"zero": np.zeros((1, 1))}, draws=20_000)["zero"]
    assert errors.mean() == pytest.approx(x.mean(), abs=0.01)
    assert errors.std() == pytest.approx(x.std(ddof=1) / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize("truth", EXPLANATIONS)
def test_the_quantity_that_thresholds_follow_is_recognised_and_no_other_one_is(truth):
    """Five simulated studies with a scatter of 15 %: at least four are decided, none for another one."""
    found = []
    for start in range(5):
        table = runs(thresholds_at(truth, 20.0), scatter=0.15, start=start)
        found.append(verdicts(table))
    assert sum(of_study[truth] == YES for of_study in found) >= 4
    assert not any(of_study[other] == YES for of_study in found for other in EXPLANATIONS if other != truth)


def test_thresholds_that_follow_no_quantity_confirm_none():
    scattered = [5.0, 80.0, 20.0, 100.0, 4.0, 30.0, 60.0, 8.0, 90.0]
    assert YES not in verdicts(runs(scattered)).values()


def test_two_quantities_that_predict_alike_are_not_decided():
    cells = list(itertools.product((100, 200), (0.0, 0.5)))
    alphas = [0.0, 0.5, 1.0, 2.0, 5.0, 10.0]
    table = runs([3.0] * 4, cells, scatter=0.1, alphas=alphas)
    judged = verdicts(table)
    assert judged["alpha"] == judged["noise_rate"] == OPEN
    assert YES not in judged.values()


@pytest.mark.parametrize(
    "table",
    [
        runs([20.0] * 9, seeds=2),
        runs([20.0] * 3, CELLS[:3]),
        runs([20.0] * 3, CELLS[::3]),
        runs([1e4] * 9),
        runs([20.0] * 9).assign(test_acc_at_best_clean_val=0.34),
    ],
    ids=["seeds", "one number of classes", "one noise", "beyond the largest α", "nothing learned"],
)
def test_too_little_decides_nothing(table):
    assert set(verdicts(table).values()) == {OPEN}


def test_points_hold_thresholds_predictions_and_censored_seeds():
    expected = thresholds_at("margin", 60.0)
    points = class_counts.aggregate(runs(expected, scatter=0.02))
    assert len(points) == len(CELLS) * len(EXPLANATIONS)
    assert set(points["dataset"]) == {"digits"}
    of_margin = points[points["explanation"] == "margin"].set_index(["classes", "delta"])
    assert of_margin.loc[(5, 0.5), "mean"] == pytest.approx(60, rel=0.2)
    assert of_margin.loc[(5, 0.5), "low"] < of_margin.loc[(5, 0.5), "mean"] < of_margin.loc[(5, 0.5), "high"]
    assert of_margin.loc[(5, 0.5), "value"] == pytest.approx(0.5 / 61, rel=0.2)
    factors = {name: class_counts.typical_factor(part) for name, part in points.groupby("explanation")}
    assert min(factors, key=factors.get) == "margin"
    assert factors["margin"] < 1.2
    beyond = class_counts.aggregate(runs([1e4, *expected[1:]]))
    assert (beyond.loc[beyond["delta"].eq(0) & beyond["classes"].eq(3), "censored"] == 3).all()
    assert "at least 200" in class_counts.summary(beyond)
    assert "1 of 9 thresholds lie beyond" in class_counts.summary(beyond)


def test_the_summary_leads_with_the_thresholds_and_orders_the_quantities():
    text = class_counts.summary(class_counts.aggregate(runs(thresholds_at("ratio", 30.0), scatter=0.02)))
    assert text.startswith("Half of the lead over chance is lost at α = ")
    assert text.index("ratio") < text.index("margin")
    lost = runs([20.0] * 9).assign(test_acc_at_best_clean_val=0.34)
    assert "no lead over chance" in class_counts.summary(class_counts.aggregate(lost))


def test_the_plot_has_a_mark_per_cell_and_quantity():
    points = class_counts.aggregate(runs(thresholds_at("margin", 20.0), scatter=0.05))
    figure = class_counts.draw(points)
    as_plot(figure)
    assert len(visible_marks(figure)) == len(points)
    alone = class_counts.aggregate(runs(thresholds_at("margin", 20.0), seeds=1))
    as_plot(class_counts.draw(alone))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS)
def test_all_numbers_of_classes_have_the_same_noise_and_examples_per_class(inputs, preset):
    planned = FIGURE.plan(inputs, preset)
    assert len({run.key for run in planned}) == len(planned)
    levels = {}
    for run in planned:
        name, classes = split_classes(run.dataset)
        assert name == inputs.dataset
        levels.setdefault(classes, set()).add((run.n / classes, run.delta, run.alpha, run.seed))
    assert sorted(levels) == counts_of(inputs)
    first, *others = levels.values()
    assert all(other == first for other in others)


def test_the_numbers_of_classes_depend_on_the_data():
    assert counts_of(INPUTS["digits"]) == [3, 5, 10]
    assert counts_of(INPUTS["tiny"]) == [10, 50, 200]
    with pytest.raises(InputError, match=r"it takes at least 6\. Name a data set with more"):
        counts_of(FigureInputs("few.npz", 100, class_sizes=(20,) * 5))


def test_uneven_classes_leave_as_many_examples_per_class_as_each_number_of_classes_has():
    inputs = FigureInputs("own.npz", 1_000, class_sizes=(50, 100, 150, 200, 250, 250))
    assert counts_of(inputs) == [3, 4, 6]
    assert examples_per_class(inputs) == 100
    assert examples_per_class(inputs, 80) == 80


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_the_figure_is_reproduced_from_trainings(tmp_path, monkeypatch):
    base = {"model": "perceptron", "optimizer": "adam", "targets": "pooled", "lr": 0.01, "steps": 30}

    def grids(inputs):
        data = [{**base, "dataset": name_with_classes(inputs.dataset, k), "n": 40 * k} for k in (3, 5)]
        axes = {"alpha": [2.0, 200.0]}
        noisy = [({**settings, "noise": "structured", "delta": 0.5}, axes) for settings in data]
        return [*[(settings, {"alpha": [0.0, 2.0, 200.0]}) for settings in data], *noisy]

    small = Figure(**{**vars(FIGURE), "presets": dict.fromkeys(PRESETS, Preset(grids, "Small."))})
    monkeypatch.setitem(FIGURES, "class_counts", small)
    execute = partial(Execution, workers=0, progress=False)
    result = reproduce("class_counts", store=tmp_path / "s.sqlite", out=tmp_path / "out", execution=execute())
    points = pd.read_csv(tmp_path / "out" / "class_counts.csv")
    assert set(points["classes"]) == {3, 5}
    assert points["seeds"].eq(3).all()
    assert len(result.claims) == len(EXPLANATIONS)
    assert (tmp_path / "out" / "class_counts.svg").stat().st_size
