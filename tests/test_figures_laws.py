"""Public thresholds and their law, from a table of runs."""

import math

import numpy as np
import pandas as pd
import pytest

import dilution
from dilution.errors import InputError
from dilution.figures.threshold_law import ThresholdLaw, Thresholds
from dilution.figures.thresholds import crossing

ALPHAS = [0.0, 5.0, 10.0, 20.0, 50.0]


def runs(threshold=lambda alpha: 100 * (1 + 0.5 * alpha), measure="test_acc_at_best_clean_val", noise=0.05):
    """Return runs whose logit of accuracy rises with log n, and is that of 90 % at a threshold."""
    rng = np.random.default_rng(0)
    rows = []
    for alpha in ALPHAS:
        for n in threshold(alpha) * np.array([0.5, 0.75, 1.0, 1.5, 2.0]):
            for seed in range(3):
                z = math.log(9) + 1.5 * math.log(n / threshold(alpha)) + rng.normal(0, noise)
                rows.append((alpha, round(n), seed, 1 / (1 + math.exp(-z)), "done"))
    return pd.DataFrame(rows, columns=["alpha", "n", "seed", measure, "state"])


def test_a_threshold_is_the_crossing_of_its_noise_level():
    table = runs()
    points = dilution.thresholds(table, 0.9)
    assert points["alpha"].tolist() == ALPHAS
    assert points["crossing"].tolist() == ["reached"] * 5
    for row in points.to_dict("records"):
        at_level = crossing(table[table["alpha"] == row["alpha"]], 0.9)
        assert (row["n"], row["low"], row["high"], row["runs"]) == (
            at_level.n,
            at_level.low,
            at_level.high,
            at_level.runs,
        )
        assert row["low"] < 100 * (1 + 0.5 * row["alpha"]) < row["high"]


def test_the_law_of_thresholds_on_a_line_is_straight():
    points = dilution.thresholds(runs(noise=0.01), 0.9)
    law = dilution.threshold_law(points)
    assert law.exponent.low < 1 < law.exponent.high
    assert law.is_straight
    assert "straight line" in law.answer
    renamed = points.rename(columns={"n": "mean", "runs": "seeds"})
    assert law.exponent == ThresholdLaw(Thresholds.of(renamed)).exponent


def test_thresholds_that_are_not_reached_say_why_and_are_left_out_by_the_law():
    table = pd.concat(
        [
            runs(),
            runs()
            .assign(alpha=lambda frame: 100 + frame["alpha"])
            .query("alpha == 100")
            .assign(test_acc_at_best_clean_val=0.5),
            runs().query("alpha == 0").assign(alpha=200.0, test_acc_at_best_clean_val=0.95),
        ]
    )
    points = dilution.thresholds(table)
    assert points["crossing"].tolist()[-2:] == ["not reached", "reached at every n"]
    assert points["n"].isna().tolist() == [False] * 5 + [True] * 2
    law = dilution.threshold_law(points)
    assert law.left_out == (100.0, 200.0)
    assert "α = 100, 200" in law.answer


def test_other_settings_and_measures_give_points_of_their_own():
    table = pd.concat([runs(measure="test_acc_last").assign(loss=loss) for loss in ("gce", "mae")])
    points = dilution.thresholds(table, measure="test_acc_last")
    assert list(points.columns[:3]) == ["alpha", "loss", "level"]
    assert len(points) == 10
    with pytest.raises(InputError, match="two thresholds have alpha 0; a law is of one accuracy"):
        dilution.threshold_law(points)
    with pytest.raises(InputError, match="has 4 runs of seed 0; a seed counts once"):
        dilution.thresholds(pd.concat([table, table]), measure="test_acc_last", by=["alpha"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"level": 90}, "level is 90; it must be an accuracy between 0 and 1"),
        ({"level": "high"}, "level is 'high'"),
        ({"measure": "test_acc"}, "'test_acc' is not an accuracy"),
        ({"measure": "test_acc_last"}, "'test_acc_last' is not a column of this table"),
        ({"by": "alfa"}, "'alfa' is not a column of this table. Did you mean 'alpha'"),
    ],
)
def test_what_breaks_a_rule_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        dilution.thresholds(runs(), **arguments)


def test_a_law_needs_three_bounded_thresholds():
    points = dilution.thresholds(runs())
    with pytest.raises(InputError, match="2 of 2 thresholds have a bounded interval; a law needs at least 3"):
        dilution.threshold_law(points[:2])
    with pytest.raises(InputError, match="the thresholds have no column 'runs'"):
        dilution.threshold_law(points.drop(columns="runs"))
