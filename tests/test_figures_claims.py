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


def fig5_table(small=0.02, late=0.5, spread=0.05, deltas=(0.4, 1.0)):
    rows = []
    for delta, order, seed in itertools.product((0.0, *deltas), ("confusing", "reverse", "random"), range(3)):
        lost = {0.0: 0.0, 0.4: small, 1.0: late}[delta]
        offset = 0.0 if delta == 0 else {"confusing": spread, "reverse": 0.0, "random": 0.0}[order]
        rows.append(
            {
                "state": "done",
                "dataset": "mnist",
                "noise": "uniform" if delta == 0 else "structured",
                "noise_order": None if delta == 0 else order,
                "delta": None if delta == 0 else delta,
                "lr": 0.001,
                "seed": seed,
                "val_acc_clean": 0.9,
                "test_acc_at_best_clean_val": 0.95 - lost + offset + 0.001 * seed,
            }
        )
    table = pd.DataFrame(rows)
    return table[(table["delta"].notna()) | ~table.duplicated(["noise", "seed"])].astype({"delta": float})


def verdicts(name, table):
    return judge_all(FIGURES[name].claims, table)["verdict"].tolist()


def test_fig1_claims_are_reproduced_where_the_rules_hold():
    assert verdicts("fig1", fig1_table()) == ["reproduced"] * 3


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


def test_fig5_claims_are_reproduced_where_the_rules_hold():
    assert verdicts("fig5", fig5_table()) == ["reproduced"] * 2


def test_fig5_drop_must_be_late():
    assert verdicts("fig5", fig5_table(small=0.3))[0] == "not reproduced"


def test_fig5_orders_must_differ_less_than_the_drop():
    assert verdicts("fig5", fig5_table(small=0.0, late=0.05, spread=0.3))[1] == "not reproduced"


def test_fig5_without_the_largest_skew_is_not_testable():
    assert verdicts("fig5", fig5_table(deltas=(0.4,))) == ["not testable"] * 2


@pytest.mark.parametrize("state", ["failed", "queued", "running"])
def test_no_claim_is_decided_while_a_run_is_missing(state):
    table = fig1_table()
    table.loc[0, "state"] = state
    assert verdicts("fig1", table) == ["not testable"] * 3


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
    lost = diverge(table, (table["noise_order"] == "reverse") & (table["delta"] == 0.4))
    assert set(verdicts("fig5", lost)) == {"not reproduced"}
    table = fig1_table()
    noisiest = (table["model"] == "conv4") & (table["alpha"] == 100)
    assert set(verdicts("fig1", diverge(table, noisiest & (table["seed"] == 1)))) == {"not reproduced"}


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
