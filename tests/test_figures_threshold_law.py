"""The exponent of thresholds in the noise level: its interval, the rule of Figure 9, and the rule's power."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

from dilution.figures import threshold_law
from dilution.figures.threshold_claims import MissingThreshold
from dilution.figures.threshold_law import (
    LINE,
    PARABOLA,
    SQUARE_ROOT,
    ThresholdLaw,
    Thresholds,
    slope_difference,
    slope_estimate,
)
from dilution.figures.thresholds import ALWAYS, NEVER

ALPHA = np.array([0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0])
FREEDOM = np.full(len(ALPHA), 6.0)


def drawn(exponent, kappa=0.4, error=0.1, n_clean=300.0, seed=0):
    """Return thresholds that follow a law up to their errors, which are estimates too."""
    random = np.random.default_rng(seed)
    log_n = np.log(n_clean) + exponent * np.log1p(kappa * ALPHA) + error * random.standard_normal(len(ALPHA))
    return ThresholdLaw(
        Thresholds(ALPHA, log_n, error * np.sqrt(random.chisquare(FREEDOM) / FREEDOM), FREEDOM)
    )


@pytest.mark.parametrize("exponent", [SQUARE_ROOT, LINE, 1.3, PARABOLA])
def test_exact_thresholds_give_the_exponent_and_the_rule_holds_for_a_straight_line_alone(exponent):
    log_n = np.log(300) + exponent * np.log1p(0.4 * ALPHA)
    law = ThresholdLaw(Thresholds(ALPHA, log_n, np.full(len(ALPHA), 0.005), FREEDOM))
    assert law.exponent.value == pytest.approx(exponent, rel=0.01)
    assert law.exponent.low < exponent < law.exponent.high
    assert law.exponent.high - law.exponent.low < 0.2
    assert law.is_straight() == (exponent == LINE)
    if exponent == LINE:
        assert law.line == pytest.approx((300, 120), rel=1e-3)


@pytest.mark.trains
def test_the_interval_of_the_exponent_has_its_stated_coverage(monkeypatch):
    monkeypatch.setattr(threshold_law, "_CALIBRATIONS", 256)
    monkeypatch.setattr(threshold_law, "_MOST_CALIBRATIONS", 1)
    cases = [(SQUARE_ROOT, 1.0), (LINE, 0.4), (PARABOLA, 0.1)]
    covered, straight = dict.fromkeys(cases, 0), dict.fromkeys(cases, 0)
    for seed in range(12):
        for exponent, kappa in cases:
            law = drawn(exponent, kappa, seed=seed)
            covered[exponent, kappa] += law.exponent.low <= exponent <= law.exponent.high
            straight[exponent, kappa] += law.is_straight()
    assert sum(covered.values()) >= 31  # 34 expected of 36; 29 with intervals of 80 %
    assert list(straight.values()) == [0, straight[LINE, 0.4], 0]
    assert straight[LINE, 0.4] >= 8


def test_the_critical_value_does_not_depend_on_the_points_of_the_simulation():
    law = drawn(LINE)
    other = drawn(LINE)
    simulate = threshold_law._simulate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threshold_law, "_simulate", lambda *given: simulate(*given[:-1], given[-1] + 7))
        assert other.critical_value == pytest.approx(law.critical_value, rel=0.03)
    assert law.critical_value > 3.841  # that of known errors


def test_a_verdict_near_the_critical_value_does_not_depend_on_the_points_of_one_simulation(monkeypatch):
    # 80 % of Figure 9 on MNIST: the excess of ½ is 1.2 % above the critical value
    found = pd.DataFrame(
        [
            (0.0, 118.6805, 89.6618, 155.3463, 6),
            (5.0, 745.7766, 584.4240, 910.2117, 8),
            (10.0, 1134.5189, 809.0878, 1753.7720, 6),
            (20.0, 1595.8924, 1367.0032, 1886.5891, 6),
            (35.0, 3009.9898, 2131.2764, 4155.2654, 6),
            (50.0, 6201.5782, 3720.4330, 8453.3689, 7),
        ],
        columns=["alpha", "mean", "low", "high", "seeds"],
    )
    simulated = []
    simulate = threshold_law._simulate

    def shifted(given, law, count, seed):
        simulated.append(seed)
        return simulate(given, law, count, seed + 8)

    monkeypatch.setattr(threshold_law, "_simulate", shifted)
    law = ThresholdLaw(Thresholds.of(found))
    assert law._simulated_critical_value(0) > law._excess(SQUARE_ROOT)  # one simulation would turn it
    assert law.critical_value == pytest.approx(5.353, abs=0.025)
    assert law.exponent.low > SQUARE_ROOT
    assert 5 < len(simulated) < 40  # one has a standard deviation of 0.050, the excess is 0.063 away


def test_a_verdict_far_from_the_critical_value_needs_one_simulation(monkeypatch):
    seeds = []
    simulate = threshold_law._simulate
    monkeypatch.setattr(
        threshold_law, "_simulate", lambda *given: seeds.append(given[-1]) or simulate(*given)
    )
    assert drawn(PARABOLA, error=0.02).critical_value > 3.841
    assert seeds == [0]


def test_the_rule_that_explained_variance_could_not_tell_a_parabola_this_one_can():
    parabola = drawn(PARABOLA, kappa=0.05, error=0.05)
    n = np.exp(parabola.thresholds.log_n)
    fitted = np.polyval(np.polyfit(ALPHA, n, 1), ALPHA)
    assert 1 - ((n - fitted) ** 2).sum() / ((n - n.mean()) ** 2).sum() > 0.95
    assert not parabola.is_straight()


def test_power_is_simulated_and_falls_with_wider_intervals():
    sharp, blunt = drawn(LINE, error=0.08), drawn(LINE, error=0.5)
    assert sharp.chance_of_straight(LINE) > 0.8
    assert max(sharp.chance_of_straight(SQUARE_ROOT), sharp.chance_of_straight(PARABOLA)) < 0.1
    assert blunt.chance_of_straight(LINE) < 0.3
    assert not blunt.is_straight()
    assert blunt.exponent.high - blunt.exponent.low > 1


def test_each_threshold_counts_by_its_own_interval():
    # the last threshold is off by half, and known to be uncertain: the line stays where the others have it
    log_n = np.log(300 * (1 + 0.4 * ALPHA))
    log_n[-1] += math.log(1.5)
    error = np.full(len(ALPHA), 0.02)
    error[-1] = 0.5
    law = ThresholdLaw(Thresholds(ALPHA, log_n, error, FREEDOM))
    assert law.line == pytest.approx((300, 120), rel=0.03)
    assert law.is_straight()


def test_standard_errors_come_from_the_intervals_and_unbounded_ones_are_left_out():
    points = pd.DataFrame(
        {
            "alpha": [5.0, 0.0, 10.0, 20.0],
            "mean": [900.0, 300.0, 1_500.0, 2_700.0],
            "low": [900 / 1.2, 300 / 1.1, 0.0, 2_700.0],
            "high": [900 * 1.2, 300 * 1.1, math.inf, 2_700.0],
            "seeds": [6, 4, 5, 2],
        }
    )
    thresholds = Thresholds.of(points)
    assert thresholds.alpha.tolist() == [0.0, 5.0]
    assert thresholds.left_out == (10.0, 20.0)  # unbounded; without a degree of freedom
    expected = [math.log(1.1) / stdtrit(2, 0.975), math.log(1.2) / stdtrit(4, 0.975)]
    assert thresholds.error == pytest.approx(expected)


def test_slopes_are_compared_with_an_interval():
    lower, higher = drawn(LINE, n_clean=150, seed=1), drawn(LINE, n_clean=300, seed=2)
    gap = slope_difference(lower, higher)
    assert gap.value == pytest.approx(higher.line[1] - lower.line[1])
    assert 0 < gap.low < 60 < gap.high
    same = slope_difference(lower, drawn(LINE, n_clean=150, seed=3))
    assert same.low < 0 < same.high


def test_the_interval_of_a_slope_has_its_stated_coverage():
    estimates = [slope_estimate(drawn(LINE, seed=seed)) for seed in range(100)]
    covered = sum(estimate.low <= 120 <= estimate.high for estimate in estimates)
    assert 88 <= covered <= 99


@pytest.mark.parametrize("error", [0.06, 0.12, 0.2])  # intervals of ± 15, 33 and 56 %
def test_what_agrees_with_a_true_line_seldom_refutes_it(error):
    """At the noise levels without a threshold the n tried is the true one."""
    alpha = np.array([5.0, 10.0, 20.0, 35.0])
    reached, lost = MissingThreshold(0.9, 0.0, ALWAYS, 300), MissingThreshold(0.9, 100.0, NEVER, 10_300)
    refuted = {reached: 0, lost: 0}
    for seed in range(40):
        random = np.random.default_rng(seed)
        log_n = np.log(300 + 100 * alpha) + error * random.standard_normal(4)
        estimated = error * np.sqrt(random.chisquare(4, size=4) / 4)
        law = ThresholdLaw(Thresholds(alpha, log_n, estimated, np.full(4, 4.0)))
        for missing in refuted:
            refuted[missing] += missing.contradicts(law.n_on_line(missing.alpha))
    assert max(refuted.values()) <= 3
    assert MissingThreshold(0.9, 50.0, NEVER, 60_000).contradicts(law.n_on_line(50.0))
    assert MissingThreshold(0.9, 50.0, ALWAYS, 100).contradicts(law.n_on_line(50.0))
