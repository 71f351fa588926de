"""Losses compared with cross entropy: their runs, gains, worth in labels, verdicts and plots."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from dilution.figures import FIGURES, PAPER_FIGURES, method_price, methods, reproduce
from dilution.figures.base import PRESETS, Figure, FigureInputs
from dilution.figures.claims import judge_all
from dilution.figures.loss_variants import CROSS_ENTROPY, MIXUP, POOLED_VARIANTS, VARIANT, VARIANTS
from dilution.figures.thresholds import crossing, logit
from dilution.report.marks import visible_marks
from dilution.report.style import as_plot
from dilution.study.execution import Execution
from dilution.training.losses import LOSSES, resolve_loss

YES, NO, OPEN = "reproduced", "not reproduced", "not testable"
INPUTS = [FigureInputs("digits", 1_437, shape=(1, 8, 8)), FigureInputs("mnist", 60_000)]
FEW = (CROSS_ENTROPY, "gce", "mae", MIXUP)


def settings_of(name):
    return {"loss": CROSS_ENTROPY if name == MIXUP else name, "mixup": 0.2 if name == MIXUP else 0.0}


def rows(accuracy, variants=FEW, alphas=(0.0, 10.0, 50.0), seeds=3):
    """Return one row per variant, alpha and seed; `accuracy` is a function of variant and alpha."""
    shared = {"state": "done", "dataset": "mnist", "n": 1_000, "lr": 0.1, "n_test": 10_000}
    return pd.DataFrame(
        {**shared, **settings_of(name), "alpha": alpha, "seed": seed, "val_acc_clean": 0.9}
        | {"test_acc_at_best_clean_val": accuracy(name, alpha) + 0.01 * seed + 0.001 * ((place + seed) % 2)}
        for place, (name, alpha) in enumerate(itertools.product(variants, alphas))
        for seed in range(seeds)
    )


def searched(n_of, alphas=(10.0, 20.0), variants=FEW, scatter=0.05):
    """Return runs around known crossings; `n_of` is a function of variant and alpha; infinite: never."""
    random = np.random.default_rng(0)
    shared = {"state": "done", "dataset": "mnist", "lr": 1e-3, "n_test": 10_000, "n_available": 60_000}
    table = []
    for name, alpha in itertools.product(variants, alphas):
        centre = n_of(name, alpha)
        for seed, factor in enumerate((0.4, 0.6, 0.8, 1.2, 1.5, 2.0)):
            n = round(30_000 * factor if math.isinf(centre) else centre * factor)
            z = logit(np.array([0.9]))[0] + 1.2 * math.log(n / centre) if math.isfinite(centre) else -3.0
            p = 1 / (1 + math.exp(-z - scatter * random.standard_normal()))
            table.append(
                {**shared, **settings_of(name), "alpha": alpha, "n": n, "seed": seed, "val_acc_clean": p}
                | {"test_acc_at_best_clean_val": p}
            )
    return pd.DataFrame(table)


def verdict(figure, table):
    return judge_all(figure.claims, table)["verdict"].tolist()


def test_both_figures_are_beyond_the_paper():
    assert {"methods", "method_price"} <= set(FIGURES) - set(PAPER_FIGURES)


def test_every_loss_is_compared_and_every_variant_is_a_loss():
    assert set(VARIANTS) - {MIXUP} == set(LOSSES)
    assert {name for name in VARIANTS if name != MIXUP and resolve_loss(name).is_linear} == set(
        POOLED_VARIANTS
    ) - {MIXUP}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("inputs", INPUTS, ids=lambda inputs: inputs.dataset)
@pytest.mark.parametrize("figure", [methods.FIGURE, method_price.FIGURE], ids=lambda figure: figure.name)
def test_all_variants_train_at_equal_cost_on_the_same_noisy_sets(figure, inputs, preset):
    runs = figure.plan(inputs, preset)
    assert len({run.key for run in runs}) == len(runs)
    costs = {}
    for run in runs:
        name = MIXUP if run.mixup else run.loss
        cost = (run.n, run.alpha, run.seed, run.steps, run.batch_size, run.targets, run.lr)
        costs.setdefault(name, set()).add(cost)
    assert CROSS_ENTROPY in costs
    assert len(costs) >= 4
    assert all(cost == costs[CROSS_ENTROPY] for cost in costs.values())


@pytest.mark.parametrize(
    ("gain", "expected"), [(-0.1, YES), (0.0, YES), (0.015, YES), (0.03, NO)], ids=["a", "b", "c", "d"]
)
def test_a_gain_at_one_noise_level_decides(gain, expected):
    table = rows(lambda name, alpha: 0.7 + gain * ((name, alpha) == ("gce", 50.0)))
    assert verdict(methods.FIGURE, table) == [expected]


def test_a_gain_at_a_small_noise_level_decides_nothing():
    table = rows(lambda name, alpha: 0.7 + 0.1 * (name == "gce" and alpha == 0))
    assert verdict(methods.FIGURE, table) == [YES]


def test_gains_are_paired_by_seed():
    points = methods.aggregate(rows(lambda name, _: 0.7 + 0.05 * (name == "mae"))).set_index(
        [VARIANT, "alpha"]
    )
    gain = points.loc[("mae", 10.0)]
    assert gain["gain"] == pytest.approx(0.05, abs=0.002)
    assert gain["gain_high"] - gain["gain_low"] < 0.3 * (gain["high"] - gain["low"])
    assert math.isnan(points.loc[(CROSS_ENTROPY, 10.0), "gain"])


@pytest.mark.parametrize(
    "changes", [{"seeds": 2}, {"variants": (CROSS_ENTROPY, "gce")}, {"alphas": (0.0, 5.0)}], ids=str
)
def test_too_little_decides_nothing(changes):
    assert verdict(methods.FIGURE, rows(lambda *_: 0.7, **changes)) == [OPEN]


def test_each_loss_has_its_own_learning_rate_by_validation():
    low = rows(lambda *_: 0.7).assign(lr=0.01, val_acc_clean=0.95)
    both = pd.concat(
        [
            rows(lambda *_: 0.9),
            low[low["loss"] == "gce"],
            low[low["loss"] != "gce"].assign(val_acc_clean=0.5),
        ]
    )
    points = methods.aggregate(both).set_index([VARIANT, "alpha"])
    assert points.loc[("gce", 10.0), "lr"] == 0.01
    assert points.loc[("mae", 10.0), "lr"] == 0.1
    assert points.loc[("gce", 10.0), "mean"] < points.loc[("mae", 10.0), "mean"]


def test_the_verdict_says_where_the_learning_rate_is_at_an_edge_of_those_tried():
    one = rows(lambda *_: 0.7)
    assert "learning rate" not in methods.FIGURE.claims[0].judge(one).numbers
    low = one.assign(lr=0.01, val_acc_clean=np.where(one["loss"] == "gce", 0.95, 0.5))
    numbers = methods.FIGURE.claims[0].judge(pd.concat([one, low])).numbers
    assert "the smallest one tried at 2 of 8 points and the largest at 6" in numbers
    inside = pd.concat([one, low, one.assign(lr=1.0, val_acc_clean=0.1)])
    assert "at 2 of 8 points and the largest at 0" in methods.FIGURE.claims[0].judge(inside).numbers


@pytest.mark.parametrize(
    ("lrs", "best", "expected"),
    [
        ([1e-3, 4e-3, 1.6e-2], 4e-3, YES),
        ([1e-3, 4e-3], 1e-3, OPEN),
        ([1e-3, 4e-3], 4e-3, OPEN),
        ([4e-3, 1.6e-2], 1.6e-2, YES),  # the end of the range
        ([1e-3], 1e-3, YES),  # nothing was chosen
        ([1.6e-2, 6.4e-2], 1.6e-2, OPEN),
        ([4e-6, 1.56e-5], 1.56e-5, OPEN),
    ],
)
def test_a_learning_rate_at_an_edge_decides_nothing_before_the_end_of_the_range(lrs, best, expected):
    parts = [rows(lambda *_: 0.7).assign(lr=lr, val_acc_clean=0.9 if lr == best else 0.5) for lr in lrs]
    assert verdict(methods.FIGURE, pd.concat(parts)) == [expected]


@pytest.mark.parametrize("best", [1e-6, 6.25e-5, 5e-4, 1e-3, 4e-3, 1.0])
def test_learning_rates_go_on_until_none_is_at_an_edge(best):
    figure, (_, inputs) = methods.FIGURE, INPUTS
    planned = runs = figure.plan(inputs, "laptop", seeds=3)
    for _ in range(5):
        table = pd.DataFrame(run.model_dump() | {"state": "done", "n_test": 10_000} for run in runs)
        is_best = table["loss"].ne(CROSS_ENTROPY) | table["lr"].eq(1e-3)  # cross entropy has its best one
        distance = np.log10(table["lr"] / best).abs().where(is_best, 9)
        table = table.assign(val_acc_clean=1 - distance / 10, test_acc_at_best_clean_val=0.7)
        further = figure.search("laptop")(runs, table)
        if not further:
            break
        runs = [*runs, *further]
    else:
        pytest.fail("the search did not end")
    assert len({run.key for run in runs}) == len(runs)
    tried = {}
    for run in runs:
        tried.setdefault((run.loss, run.mixup, run.alpha), set()).add(run.lr)
    ends = {1e-6: {1.56e-5, 6.25e-5}, 6.25e-5: {6.25e-5, 1.56e-5}, 5e-4: {6.25e-5}, 4e-3: {4e-3, 1.6e-2}}
    more = {1e-3: {4e-3}, 1.0: {4e-3, 1.6e-2}} | ends
    of_gce = [lrs for (loss, _, _), lrs in tried.items() if loss == "gce"]
    assert of_gce == [{2.5e-4, 1e-3} | more[best]] * 3
    of_plain = [lrs for (loss, mixup, _), lrs in tried.items() if loss == CROSS_ENTROPY and not mixup]
    assert of_plain == [{2.5e-4, 1e-3, 4e-3}] * 3
    shared = {(run.seed, run.alpha, run.n, run.steps) for run in planned}
    assert {(run.seed, run.alpha, run.n, run.steps) for run in runs} == shared


def worth(name, alpha):
    return 3_000 * (1 + alpha / 10) / {"gce": 1.8, "mae": 0.5}.get(name, 1.0)


def test_the_worth_is_the_ratio_of_the_clean_examples():
    points = method_price.aggregate(searched(worth)).set_index([VARIANT, "alpha"])
    for alpha in (10.0, 20.0):
        for name, ratio in (("gce", 1.8), ("mae", 0.5), (MIXUP, 1.0)):
            row = points.loc[(name, alpha)]
            assert row["low"] < row["mean"] < row["high"]
            assert row["mean"] == pytest.approx(ratio, rel=0.1)
        assert points.loc[(CROSS_ENTROPY, alpha), "mean"] == 1


@pytest.mark.parametrize(("preset", "names"), [("laptop", POOLED_VARIANTS), ("paper", VARIANTS)])
def test_every_loss_that_targets_allow_has_a_price(preset, names):
    runs = method_price.FIGURE.plan(FigureInputs("mnist", 60_000), preset)
    assert {MIXUP if run.mixup else run.loss for run in runs} == set(names)


def test_the_findings_say_what_each_loss_is_worth_and_the_summary_which_is_worth_the_most():
    points = method_price.aggregate(searched(lambda n, alpha: math.inf if n == MIXUP else worth(n, alpha)))
    first, second = method_price.findings(points)
    assert first.startswith("At α = 10 cross entropy requires ")
    assert second.startswith("At α = 20 ")
    others = points[points[VARIANT] == "gce"]
    best = others.loc[others["mean"].idxmax()]
    assert method_price.summary(points).startswith(
        f"For 90 % test accuracy at α = {best['alpha']:g} GCE is worth {best['mean']:.2f} times ["
    )
    only = points[points[VARIANT] == CROSS_ENTROPY]
    assert method_price.summary(only).startswith("No other loss can be compared with cross entropy")
    assert (
        first.index("GCE 1.")
        < first.index("absolute error 0.")
        < first.index("Not reached with all images: mixup.")
    )


def test_the_findings_of_prices_divide_losses_by_their_intervals():
    first, _ = method_price.findings(method_price.aggregate(searched(worth)))
    assert ". Worth more labels: GCE 1." in first
    assert ". Worth fewer: mean absolute error 0." in first
    assert first.endswith(". Not told apart from it: mixup.")


def test_the_findings_name_the_losses_above_cross_entropy_at_each_noise_level():
    accuracies = {CROSS_ENTROPY: 0.8, "gce": 0.85, "mae": 0.7}
    points = methods.aggregate(rows(lambda name, _: accuracies[name], variants=tuple(accuracies)))
    lines = methods.findings(points)
    assert [line.partition(":")[0] for line in lines] == ["α = 0", "α = 10", "α = 50"]
    assert all("Above it beyond the 95 % interval: GCE 5.0 points [" in line for line in lines)
    assert all(line.endswith("; below it: 1 of 2.") for line in lines)
    assert methods.findings(points[points[VARIANT] == CROSS_ENTROPY]) == ()


def test_the_interval_of_the_worth_has_its_stated_coverage():
    random = np.random.default_rng(1)

    def measured(centre):
        n = centre * np.exp(random.uniform(-0.7, 0.7, size=8))
        z = logit(np.array([0.9]))[0] + 1.2 * np.log(n / centre) + 0.1 * random.standard_normal(8)
        return crossing(pd.DataFrame({"n": n, "test_acc_at_best_clean_val": 1 / (1 + np.exp(-z))}), 0.9)

    covered = total = 0
    for _ in range(200):
        first, second = measured(3_000), measured(2_000)
        if first is not None and second is not None:
            ratio = method_price.worth_in_labels(first, second)
            covered += ratio.low <= 1.5 <= ratio.high
            total += 1
    assert total > 180
    assert 0.91 <= covered / total <= 0.99


@pytest.mark.parametrize(("factor", "expected"), [(1.0, YES), (0.5, YES), (1.8, NO)])
def test_a_loss_that_saves_labels_decides(factor, expected):
    table = searched(lambda name, alpha: worth("", alpha) / (factor if name == "gce" else 1.0))
    assert verdict(method_price.FIGURE, table) == [expected]


def test_a_loss_that_never_reaches_the_accuracy_saves_nothing():
    table = searched(lambda name, alpha: math.inf if name == "mae" else worth("", alpha))
    judged = judge_all(method_price.FIGURE.claims, table)
    assert judged["verdict"].tolist() == [YES]
    assert "2 of them never reach" in judged["numbers"][0]
    assert method_price.aggregate(table).set_index([VARIANT, "alpha"]).loc[("mae", 10.0), "out_of_reach"]


def test_a_search_that_has_not_tried_all_images_decides_nothing():
    table = searched(lambda name, alpha: math.inf if name == "mae" else worth("", alpha))
    assert verdict(method_price.FIGURE, table[table["n"] < 60_000]) == [OPEN]


@pytest.mark.parametrize(("factor", "expected"), [(1.0, OPEN), (1.8, NO)])
def test_a_loss_that_saves_labels_decides_though_another_one_has_no_crossing(factor, expected):
    worths = {"gce": factor}
    table = searched(
        lambda name, alpha: math.inf if name == "mae" else worth("", alpha) / worths.get(name, 1.0)
    )
    judged = judge_all(method_price.FIGURE.claims, table[(table["loss"] != "mae") | (table["n"] < 60_000)])
    assert judged["verdict"].tolist() == [expected]
    assert (
        "no crossing found: mean absolute error at α = 10, mean absolute error at α = 20"
        in (judged["numbers"][0])
    )


def test_without_cross_entropy_nothing_is_decided():
    table = searched(lambda name, alpha: math.inf if name == CROSS_ENTROPY else worth("", alpha))
    assert verdict(method_price.FIGURE, table) == [OPEN]
    assert any("does not reach" in line for line in method_price.findings(method_price.aggregate(table)))


def test_a_noise_level_at_which_no_loss_reaches_the_accuracy_decides_nothing():
    table = searched(lambda _, alpha: math.inf if alpha == 20 else worth("", alpha))
    assert verdict(method_price.FIGURE, table) == [OPEN]


def test_every_search_goes_on_until_each_loss_has_its_crossing():
    figure, (inputs, _) = method_price.FIGURE, INPUTS
    runs = figure.plan(inputs, "demo", seeds=1)
    true = {"gce": 150.0, "mae": 900.0}
    for _ in range(60):
        frame = pd.DataFrame(run.model_dump() | {"n_available": 1_437, "state": "done"} for run in runs)
        centre = frame["loss"].map(true).fillna(400.0)
        z = logit(np.array([0.8]))[0] + 1.2 * np.log(frame["n"] / centre)
        accuracy = 1 / (1 + np.exp(-z))
        frame = frame.assign(test_acc_at_best_clean_val=accuracy, val_acc_clean=accuracy, n_test=360)
        requested = figure.search("demo")(runs, frame)
        if not requested:
            break
        runs += requested
    else:
        pytest.fail("the search did not end")
    assert len({run.key for run in runs}) == len(runs)
    points = method_price.aggregate(frame).set_index(VARIANT)
    for name in points.index:
        assert points.loc[name, "n"] == pytest.approx(true.get(name, 400.0), rel=0.05)


@pytest.mark.parametrize(
    ("figure", "table"),
    [
        (methods.FIGURE, rows(lambda *_: 0.7, variants=tuple(VARIANTS))),
        (method_price.FIGURE, searched(lambda n, alpha: math.inf if n == "mae" else worth(n, alpha))),
    ],
    ids=["methods", "method_price"],
)
def test_the_plot_has_a_row_per_variant_and_a_mark_per_point(figure, table):
    points = figure.aggregate(table)
    drawn = figure.draw(points)
    names = [text.get_text() for text in drawn.axes[0].get_yticklabels()]
    assert set(names) == {VARIANTS[name] for name in points[VARIANT]}
    plot = as_plot(drawn)
    assert len(plot.marks) == int(points["mean"].notna().sum())
    assert len(visible_marks(drawn)) == len(plot.marks)
    texts = [text.get_text() for axis in drawn.axes for text in axis.texts]
    missing = texts.count("not reached") + texts.count("no crossing")
    assert missing == (int(points["mean"].isna().sum()) if figure is method_price.FIGURE else 0)


def test_a_loss_far_below_cross_entropy_is_a_number_at_the_edge():
    accuracies = {CROSS_ENTROPY: 0.9, "gce": 0.93, "bootstrap_hard": 0.1}
    table = rows(lambda name, *_: accuracies[name], variants=tuple(accuracies))
    points = methods.aggregate(table).assign(high=1.1)
    drawn = methods.draw(points[(points[VARIANT] != "bootstrap_hard") | (points["alpha"] < 50)])
    assert len(drawn.axes[0].get_yticklabels()) == 3  # also of the loss that the last panel lacks
    axis = drawn.axes[0]
    assert [text.get_text() for text in axis.texts] == ["← 11 %"]
    assert axis.get_xlim() == pytest.approx((0.66, 1.01), abs=1e-3)


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_the_comparison_of_losses_is_made_by_one_command(tmp_path, monkeypatch):
    full_plan = Figure.plan

    def short_plan(self, inputs, preset, seeds=None):
        short = {"steps": 3, "n": 60, "n_evals": 1, "n_val": 10}
        runs = full_plan(self, inputs, preset, seeds)
        return [run.model_copy(update=short) for run in runs if run.alpha == 10 and run.lr == 1e-3]

    monkeypatch.setattr(Figure, "plan", short_plan)
    result = reproduce(
        "methods",
        store=tmp_path / "s.sqlite",
        out=tmp_path,
        seeds=3,
        execution=Execution(workers=0, progress=False),
    )
    assert (result.runs["state"] == "done").all()
    assert len(result.runs) == 3 * len(POOLED_VARIANTS)
    assert set(result.claims["verdict"]) <= {YES, NO}
    assert "GCE" in result.page.read_text("utf-8")
    drawn = pd.read_csv(tmp_path / "methods.csv")
    pd.testing.assert_frame_equal(drawn, methods.aggregate(result.runs), check_dtype=False)
