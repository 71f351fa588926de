"""The runs of a pilot."""

import numpy as np
import pandas as pd
import pytest
from pilots import simulated_pilot

from dilution.planning.accuracy_law import AccuracyLaw, fit_accuracy_law
from dilution.planning.pilot import PilotScope, first_runs, next_runs


@pytest.fixture(scope="module")
def law():
    return fit_accuracy_law(*simulated_pilot(), n_test=10_000)


def test_a_pilot_starts_within_its_scope_and_continues_with_other_runs(law):
    scope = PilotScope("digits", "mlp2", 1000, (0.0, 5.0))
    first = first_runs(scope)
    assert {run.alpha for run in first} == {0.0, 5.0}
    assert max(run.n for run in first) == 1000
    done = pd.DataFrame({"n": [1000], "alpha": [0.0], "seed": [1]})
    further = next_runs(scope, law, done, [(0.9, 20.0)])
    assert len({run.key for run in [*first, *further]}) == len(first) + len(further)
    assert all(run.seed >= 2 for run in further)
    assert any(run.alpha == 5.0 for run in further)


def law_with_draws(kappa=1.0, slope=1.0):
    """Return a law whose draws differ in one number alone: logit A = slope (log n − log(1 + κ α) − 4)."""
    ones = np.ones(200)
    coefficients = np.c_[0 * ones, slope * ones, 0 * ones]
    return AccuracyLaw(kappa * ones, ones, coefficients, 4.0, 0.5 * ones, 9.0 * ones, 5.0)


def test_a_pilot_continues_at_the_noise_level_that_informs_most():
    """Without noise all draws predict the same accuracy, and with much noise they differ most."""
    scope = PilotScope("digits", "mlp2", 8000, (0.0, 2.0, 5.0))
    done = pd.DataFrame({"seed": [0]})
    further = next_runs(scope, law_with_draws(kappa=np.linspace(0.8, 1.2, 200)), done, [(0.9, 20.0)])
    assert {run.alpha for run in further} == {5.0}


def test_a_pilot_continues_with_the_sizes_that_inform_most_for_their_cost():
    """Large runs tell slopes apart best; from about 2,000 examples on, cost grows faster than information."""
    scope = PilotScope("digits", "mlp2", 8000, (0.0,))
    done = pd.DataFrame({"seed": [0]})
    further = next_runs(scope, law_with_draws(slope=np.linspace(0.8, 1.2, 200)), done, [(0.999, 0.0)])
    assert all(1000 < run.n < 3000 for run in further)


def test_with_one_label_per_image_a_run_uses_more_images():
    scope = PilotScope("digits", "mlp2", 1000, (0.0, 4.0), label_mode="replaced")
    noisy = [run for run in first_runs(scope) if run.alpha == 4.0]
    assert 800 < max(run.n for run in noisy) <= 1000
    assert scope.run(150, 4.0, 0).n == 750
    assert all(run.label_mode == "replaced" for run in noisy)
