"""Comparisons at the whole budget, and the checkpoint to keep."""

import math

import pandas as pd
import pytest
from simulated_runs import BASE, simulated_training

from dilution.advice.ablation import choose_checkpoint, compare_settings
from dilution.errors import InputError

PROPOSED = BASE.model_copy(update={"ema_decay": 0.9, "schedule": "linear"})
ALTERNATIVES = {"schedule": "cosine", "ema_decay": 0.0}


def test_a_proposal_that_diverges_is_replaced_by_an_alternative_that_does_not():
    train, _ = simulated_training(lambda run: math.inf if (run.schedule, run.seed) == ("linear", 1) else 1.0)
    run, comparisons, _ = compare_settings(PROPOSED, {"schedule": "cosine"}, train)
    assert run.schedule == "cosine"
    assert (comparisons[0].chosen, comparisons[0].other) == ("cosine", "linear")
    worse, _ = simulated_training(lambda run: math.inf if run.schedule == "cosine" else 1.0)
    assert compare_settings(PROPOSED, {"schedule": "cosine"}, worse)[0].schedule == "linear"
    none, _ = simulated_training(lambda _: math.inf)
    with pytest.raises(InputError, match="diverged at learning rate"):
        compare_settings(PROPOSED, {"schedule": "cosine"}, none)


def test_two_changes_that_do_not_go_together_are_not_both_advised():
    def loss(run):
        changed = (run.schedule == "cosine", run.ema_decay == 0)
        return {(False, False): 1.0, (True, False): 0.5, (False, True): 0.6, (True, True): 5.0}[changed]

    train, _ = simulated_training(loss)
    run, comparisons, table = compare_settings(PROPOSED, ALTERNATIVES, train)
    assert (run.schedule, run.ema_decay) == ("cosine", 0.9)
    assert [comparison.setting for comparison in comparisons] == ["schedule"]
    assert set(table["loss"]) == {0.5}


def test_a_proposed_value_is_kept_unless_the_alternative_is_significantly_better():
    def loss(run):
        better = {"cosine": -0.1}.get(run.schedule, 0.0)
        return 1.0 + better + 0.01 * run.seed + (0.001 if run.ema_decay == 0 else 0.0)

    train, calls = simulated_training(loss)
    run, comparisons, table = compare_settings(PROPOSED, ALTERNATIVES, train)
    assert (run.schedule, run.ema_decay) == ("cosine", 0.9)
    assert [(comparison.setting, comparison.chosen) for comparison in comparisons] == [
        ("schedule", "cosine"),
        ("ema_decay", 0.9),
    ]
    assert len(calls) == 1  # all that is advised has been trained already
    assert len(table) == 3


def test_two_changes_are_trained_together_before_they_are_advised():
    train, calls = simulated_training(lambda run: 1.0 - (run.schedule == "cosine") - (run.ema_decay == 0))
    run, _, table = compare_settings(PROPOSED, ALTERNATIVES, train)
    assert (run.schedule, run.ema_decay) == ("cosine", 0.0)
    assert {run.key for run in calls[1][1]} == set(table["key"])


def histories(accuracies):
    """Return three evaluations per run; the second has the lowest noisy loss."""
    rows = [
        {"key": str(number), "step": step, "val_loss_noisy": loss, "val_acc_noisy": accuracy}
        for number, of_run in enumerate(accuracies)
        for step, loss, accuracy in zip((10, 20, 30), (2.0, 1.0, 1.5), of_run, strict=True)
    ]
    return pd.DataFrame(rows)


def test_the_last_step_is_kept_unless_the_other_one_is_significantly_more_accurate():
    better = choose_checkpoint(histories([(0.1, 0.5, 0.4), (0.1, 0.5, 0.41), (0.1, 0.5, 0.39)]))
    assert better.step == "at_best_noisy_val"
    assert better.gain == pytest.approx(-0.1)
    assert better.error == pytest.approx(0.01 / math.sqrt(3))
    # an earlier step with a higher loss is no candidate, however accurate
    worse = choose_checkpoint(histories([(0.9, 0.4, 0.5)] * 3))
    assert (worse.step, worse.error) == ("last", 0.0)
    unclear = choose_checkpoint(histories([(0.1, 0.5, 0.4), (0.1, 0.5, 0.6), (0.1, 0.5, 0.47)]))
    assert unclear.step == "last"
