"""The runs of a pilot."""

import pandas as pd
import pytest
from pilots import simulated_pilot

from dilution.planning.accuracy_law import fit_accuracy_law
from dilution.planning.pilot import PilotScope, first_runs, next_runs


@pytest.fixture(scope="module")
def law():
    return fit_accuracy_law(*simulated_pilot(), n_test=10_000)


def test_a_pilot_starts_within_its_scope_and_continues_where_runs_inform_most(law):
    scope = PilotScope("digits", "mlp2", 1000, (0.0, 5.0))
    first = first_runs(scope)
    assert {run.alpha for run in first} == {0.0, 5.0}
    assert max(run.n for run in first) == 1000
    done = pd.DataFrame({"n": [1000], "alpha": [0.0], "seed": [1]})
    further = next_runs(scope, law, done, [(0.9, 20.0)])
    assert len({run.key for run in [*first, *further]}) == len(first) + len(further)
    assert all(run.seed >= 2 for run in further)
    assert any(run.alpha == 5.0 for run in further)


def test_with_one_label_per_image_a_run_uses_more_images():
    scope = PilotScope("digits", "mlp2", 1000, (0.0, 4.0), label_mode="replaced")
    noisy = [run for run in first_runs(scope) if run.alpha == 4.0]
    assert noisy
    assert max(run.n for run in noisy) <= 1000
    assert all(run.label_mode == "replaced" for run in noisy)
