"""The result of a training: the accuracies that results report, and a short repr."""

import pandas as pd
import pytest

from dilution.training import TrainResult


def result_of(clean, noisy, test, state="done", agreeing=0.5):
    steps = range(10, 10 * len(test) + 1, 10)
    history = pd.DataFrame(
        {"step": steps, "val_acc_clean": clean, "val_loss_noisy": noisy, "test_acc": test, "train_loss": 1.0}
    ).assign(val_acc_noisy=agreeing)
    history["test_acc_top5"] = history["test_acc"] + 0.05
    rest = {"noise_summary": None, "n_train": 1, "n_val": 1, "n_test": 1, "seconds": 0.25}
    rest |= {"diverged_at": None, "model": None, "normalise": None}
    return TrainResult(state=state, history=history, **rest)


def test_the_step_is_chosen_on_validation_data_the_first_in_a_tie():
    agreeing = [0.5, 0.1, 0.3, 0.5]
    result = result_of([0.1, 0.8, 0.8, 0.7], [2.0, 1.9, 1.5, 1.5], [0.2, 0.3, 0.4, 0.9], agreeing=agreeing)
    assert result.summary() == {
        "test_acc_last": 0.9,
        "test_acc_at_best_clean_val": 0.3,
        "test_acc_top5": 0.35,
        "test_acc_at_best_noisy_val": 0.4,
        "test_acc_at_best_noisy_acc": 0.2,
        "test_acc_max": 0.9,
        "test_acc_at_half_steps": 0.3,
        "val_acc_clean": 0.8,
        "val_loss_noisy": 1.5,
        "val_acc_noisy": 0.5,
        "step_at_best_clean_val": 20,
        "step_at_best_noisy_val": 30,
        "step_at_best_noisy_acc": 10,
        "steps_done": 40,
    }


def test_the_accuracy_at_half_the_steps_uses_no_later_evaluation():
    result = result_of([0.6, 0.5, 0.7, 0.8], [1.0] * 4, [0.1, 0.2, 0.3, 0.4])
    assert result.summary()["test_acc_at_half_steps"] == 0.1
    assert result.summary()["test_acc_at_best_clean_val"] == 0.4
    assert result_of([0.6], [1.0], [0.1]).summary()["test_acc_at_half_steps"] is None


def test_a_diverged_training_reports_no_accuracy():
    summary = result_of([0.5], [1.0], [0.5], state="diverged").summary()
    assert summary == {}
    with pytest.raises(KeyError, match=r"no test_acc_last: the training diverged at step "):
        summary["test_acc_last"]


def test_the_repr_has_the_accuracies_that_results_report():
    result = result_of([0.1, 0.8], [2.0, 1.9], [0.2, 0.3])
    assert repr(result) == (
        "TrainResult(state='done', test_acc_last=0.3, test_acc_at_best_clean_val=0.3, steps_done=20, "
        "n_train=1, seconds=0.25)"
    )
