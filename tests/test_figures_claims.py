"""The claims of Figures 1 and 5 reach each of their verdicts on invented tables of results."""

import itertools

import pandas as pd
import pytest

from dilution.figures import FIGURES
from dilution.figures.claims import (
    count_interval,
    difference_interval,
    judge_all,
    percent_interval,
)
from dilution.figures.comparisons import accuracy_drops
from dilution.figures.fig1 import MODELS
from dilution.study.statistics import best_lr

RANK = {"conv4": 0, "mlp4": 1, "mlp2": 1, "mlp1": 1, "perceptron": 2}


def fig1_table(drop=0.1, jitter=0.001, dataset="mnist", n=60_000, alphas=(0.0, 10.0, 100.0), seeds=3):
    """Return accuracies that drop by `drop` for each rank of the model, and more at a larger alpha."""
    rows = []
    for model, alpha, seed in itertools.product(MODELS, alphas, range(seeds)):
        lost = {0.0: 0.0}.get(alpha, 0.03 + drop * RANK[model] * (1 + alpha / 100))
        rows.append(
            {
                "state": "done",
                "dataset": dataset,
                "targets": "pooled",
                "n": n,
                "model": model,
                "alpha": alpha,
                "majority_share": 0.1135,
                "lr": 0.001,
                "seed": seed,
                "val_acc_clean": 0.9,
                "test_acc_at_best_clean_val": 0.98 - lost + jitter * (seed - 1),
            }
        )
    return pd.DataFrame(rows)


def fig5_table(small=0.01, late=0.5, better=0.01, jitter=0.001, deltas=(0.25, 0.5, 1.0), seeds=3):
    """Return accuracies that fall by `small` up to δ = 0.5 and by `late` at δ = 1; less if confusing."""
    rows = []
    orders = ("confusing", "reverse", "random")
    for delta, order, seed in itertools.product((0.0, *deltas), orders, range(seeds)):
        lost = {0.0: 0.0, 0.25: 0.0, 0.5: small, 1.0: late}[delta]
        gain = better if delta == 1 and order == "confusing" else 0.0
        # errors of each setting, beside the effect of the seed that all settings share
        own = jitter * ((3 * seed + orders.index(order) + round(4 * delta)) % 3 - 1)
        rows.append(
            {
                "state": "done",
                "dataset": "mnist",
                "noise": "uniform" if delta == 0 else "structured",
                "noise_order": None if delta == 0 else order,
                "delta": None if delta == 0 else delta,
                "lr": 0.001,
                "seed": seed,
                "majority_share": 0.1135,
                "val_acc_clean": 0.9,
                "test_acc_at_best_clean_val": 0.9 - lost + gain + 0.02 * seed + own * (delta > 0),
            }
        )
    table = pd.DataFrame(rows)
    return table[(table["delta"].notna()) | ~table.duplicated(["noise", "seed"])].astype({"delta": float})


def verdicts(name, table):
    return judge_all(FIGURES[name].claims, table)["verdict"].tolist()


def test_fig1_claims_are_reproduced_where_the_rules_hold():
    assert verdicts("fig1", fig1_table()) == ["reproduced"] * 4


def test_fig1_headline_fails_below_ninety_percent():
    table = fig1_table()
    table.loc[table["model"] == "conv4", "test_acc_at_best_clean_val"] -= 0.06
    assert verdicts("fig1", table)[1] == "not reproduced"


def test_fig1_headline_fails_when_only_the_lower_bound_is_below_ninety_percent():
    table = fig1_table(jitter=0.03)
    mean = table.query("model == 'conv4' and alpha == 100")["test_acc_at_best_clean_val"].mean()
    assert mean > 0.9
    assert verdicts("fig1", table)[1] == "not reproduced"


@pytest.mark.parametrize("change", [{"dataset": "digits"}, {"n": 1437}, {"alphas": (0.0, 10.0, 20.0)}])
def test_fig1_headline_is_not_testable_on_less(change):
    assert verdicts("fig1", fig1_table(**change))[1] == "not testable"


def test_fig1_models_must_learn_more_than_guessing():
    table = fig1_table()
    table.loc[(table["model"] == "perceptron") & (table["alpha"] == 100), "test_acc_at_best_clean_val"] = [
        0.09,
        0.1,
        0.11,
    ]
    assert verdicts("fig1", table)[0] == "not reproduced"


def test_fig1_order_of_models_fails_if_two_change_places():
    table = fig1_table()
    table["model"] = table["model"].replace({"conv4": "perceptron", "perceptron": "conv4"})
    assert verdicts("fig1", table)[2] == "not reproduced"


def test_fig1_order_of_models_fails_without_a_difference():
    assert verdicts("fig1", fig1_table(drop=0.0))[2] == "not reproduced"


@pytest.mark.parametrize("change", [{"seeds": 1}, {"alphas": (0.0, 5.0)}])
def test_fig1_order_of_models_requires_two_seeds_and_much_noise(change):
    assert verdicts("fig1", fig1_table(**change))[2] == "not testable"


def test_drops_are_paired_by_seed():
    drops = accuracy_drops(fig1_table(jitter=0.02), by=["model"])
    conv = drops.query("model == 'conv4' and alpha == 10")["drop"]
    assert conv.to_numpy() == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("lost", "alphas", "verdict"),
    [
        (0.35, (0.0, 100.0), "reproduced"),
        (0.55, (0.0, 100.0), "not reproduced"),
        (0.35, (0.0, 50.0), "not testable"),
    ],
)
def test_fig1_perceptron_keeps_half_of_its_lead_over_chance(lost, alphas, verdict):
    table = fig1_table(alphas=alphas)
    noisiest = (table["model"] == "perceptron") & (table["alpha"] > 0)
    table.loc[noisiest, "test_acc_at_best_clean_val"] = 0.98 - lost + 0.001 * table["seed"]
    assert verdicts("fig1", table)[3] == verdict


def test_fig1_perceptron_fails_if_half_of_its_lead_lies_within_the_interval():
    table = fig1_table()
    noisiest = (table["model"] == "perceptron") & (table["alpha"] == 100)
    table.loc[noisiest, "test_acc_at_best_clean_val"] = 0.6 + 0.1 * (table["seed"] - 1)  # half is at 0.55
    assert verdicts("fig1", table)[3] == "not reproduced"


def test_fig5_claims_are_reproduced_where_the_rules_hold():
    assert verdicts("fig5", fig5_table()) == ["reproduced"] * 3


def test_fig5_falls_are_paired_by_seed():
    # seeds differ by 2 points: unpaired intervals over three seeds are ± 5 points, beyond any margin
    table = fig5_table()
    shuffled = table.sample(frac=1, random_state=1)
    assert verdicts("fig5", shuffled) == ["reproduced"] * 3
    alone = table.assign(seed=range(len(table)))  # without pairs nothing can be said
    assert "reproduced" not in verdicts("fig5", alone)


@pytest.mark.parametrize(("small", "verdict"), [(0.02, "reproduced"), (0.029, "not reproduced")])
def test_fig5_margin_must_hold_with_the_upper_bound(small, verdict):
    assert verdicts("fig5", fig5_table(small=small))[0] == verdict


@pytest.mark.parametrize("late", [0.02, 0.031])
def test_fig5_fall_at_the_largest_skew_must_exceed_the_margin_with_its_lower_bound(late):
    assert verdicts("fig5", fig5_table(late=late))[0] == "not reproduced"


@pytest.mark.parametrize(
    ("better", "expected"),
    [
        (0.01, ["reproduced", "reproduced"]),
        (0.0, ["reproduced", "not reproduced"]),
        (-0.01, ["reproduced", "not reproduced"]),
        (0.05, ["not reproduced", "reproduced"]),
        (0.029, ["not reproduced", "reproduced"]),
    ],
)
def test_fig5_orders_must_lie_within_the_margin_and_confusing_above_the_others(better, expected):
    assert verdicts("fig5", fig5_table(better=better))[1:] == expected


def test_fig5_differences_that_scatter_decide_nothing():
    assert verdicts("fig5", fig5_table(jitter=0.03)) == ["not reproduced"] * 3


def test_fig5_tells_where_the_margin_is_left():
    numbers = judge_all(FIGURES["fig5"].claims, fig5_table())["numbers"]
    assert "within the margin up to δ = 0.5, beyond it from δ = 1" in numbers[0]
    assert "18 differences" not in numbers[1]
    assert "9 of 9 differences lie within the margin" in numbers[1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"deltas": (0.25, 0.5)}, ["not testable"] * 3),
        ({"deltas": (0.25, 1.0)}, ["not testable", "reproduced", "reproduced"]),
        ({"seeds": 1}, ["not testable"] * 3),
    ],
)
def test_fig5_needs_the_skews_of_its_rules_and_two_seeds(change, expected):
    assert verdicts("fig5", fig5_table(**change)) == expected


@pytest.mark.parametrize("state", ["failed", "queued", "running"])
def test_no_claim_is_decided_while_a_run_is_missing(state):
    table = fig1_table()
    table.loc[0, "state"] = state
    assert verdicts("fig1", table) == ["not testable"] * 4


def test_the_learning_rate_is_chosen_by_validation_and_never_by_test_accuracy():
    table = pd.DataFrame(
        {
            "model": "conv4",
            "lr": [0.1, 0.1, 0.5, 0.5, 1.0],
            "val_acc_clean": [0.8, 0.9, 0.7, 0.8, None],
            "test_acc_at_best_clean_val": [0.1, 0.1, 0.9, 0.9, 1.0],
        }
    )
    assert best_lr(table, by=["model"])["lr"].tolist() == [0.1, 0.1]


def diverge(table, where):
    table = table.copy()
    table.loc[where, "state"] = "diverged"
    table.loc[where, ["val_acc_clean", "test_acc_at_best_clean_val"]] = None
    return table


def test_no_claim_is_reproduced_by_runs_that_diverged():
    table = fig5_table()
    lost = diverge(table, (table["noise_order"] == "reverse") & (table["delta"] == 0.5))
    assert verdicts("fig5", lost)[:2] == ["not reproduced"] * 2
    table = fig1_table()
    noisiest = (table["model"] == "conv4") & (table["alpha"] == 100)
    lost = diverge(table, noisiest & (table["seed"] == 1))
    assert verdicts("fig1", lost)[:3] == ["not reproduced"] * 3


def test_diverged_runs_are_counted_in_the_numbers_of_every_claim():
    table = fig5_table()
    lost = diverge(table, (table["noise_order"] == "reverse") & (table["delta"] == 0.5) & (table["seed"] < 2))
    numbers = judge_all(FIGURES["fig5"].claims, lost)["numbers"]
    assert numbers.str.endswith("; 2 of 30 runs diverged and count as accuracy at chance").all()
    assert not judge_all(FIGURES["fig5"].claims, table)["numbers"].str.contains("diverged").any()
    other = pd.concat([table, diverge(table.assign(lr=0.5), table["delta"] == 1)], ignore_index=True)
    numbers = judge_all(FIGURES["fig5"].claims, other)["numbers"]
    assert numbers.str.endswith(
        "9 of 60 runs diverged and count as accuracy at chance, 0 of them at the best learning rate"
    ).all()


def test_without_the_share_of_the_commonest_class_chance_is_unknown_and_nothing_is_decided():
    table = diverge(fig5_table(), [True] + [False] * 29).drop(columns="majority_share")
    judged = judge_all(FIGURES["fig5"].claims, table)
    assert set(judged["verdict"]) == {"not testable"}
    assert judged["numbers"].str.contains("what counts as chance is unknown").all()


def test_a_diverged_learning_rate_that_is_not_the_best_decides_nothing():
    table = fig1_table()
    larger = table.assign(lr=0.5, key="larger")
    both = pd.concat([table, diverge(larger, larger["alpha"] > 0)], ignore_index=True)
    assert verdicts("fig1", both) == verdicts("fig1", table)


def test_numbers_have_an_interval_if_there_is_one():
    nan = float("nan")
    assert percent_interval(0.5, 0.4, 0.6) == "50.0 % [40.0, 60.0]"
    assert percent_interval(0.5, nan, nan) == "50.0 %"
    assert difference_interval(0.1, -0.2, 0.4) == "10.0 points [−20.0, 40.0]"
    assert difference_interval(0.1, nan, nan) == "10.0 points"
    assert count_interval(1234.5, 0, float("inf")) == "1,234 [0, ∞]"
    assert count_interval(1234.5, nan, nan) == "1,234"
