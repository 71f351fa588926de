"""Held-out predictions: folds, budgets, worker processes."""

import numpy as np
import pytest
from noisy_digits import noisy_digits

import dilution
from dilution import Execution
from dilution.diagnosis import cross_validation
from dilution.diagnosis.cross_validation import BUDGETS, cross_validate

INLINE = Execution(workers=0)
SHORT = dilution.TrainConfig(targets="expected", optimizer="adam", lr=1e-2, batch_size=16, steps=3, n_evals=1)


@pytest.mark.trains
def test_worker_processes_predict_the_same_and_leave_the_data_alone(monkeypatch):
    # Commands start two or none; one does the same, and starting it takes seconds of the processor.
    monkeypatch.setattr(cross_validation, "count_workers", lambda _, execution: execution.workers)
    noisy, _ = noisy_digits(n=120, classes=3)
    labels = noisy.labels.numpy()  # a view, which would dangle if torch moved the memory
    before = labels.copy()
    inline, processes = (
        cross_validate(
            noisy, model="perceptron", folds=2, repeats=1, config=SHORT, execution=Execution(workers=workers)
        )
        for workers in (0, 1)
    )
    np.testing.assert_allclose(inline.pred_probs, processes.pred_probs, atol=1e-5)
    np.testing.assert_array_equal(labels, before)
    np.testing.assert_array_equal(noisy.labels.numpy(), before)


@pytest.mark.trains
def test_held_out_predictions_do_not_depend_on_the_held_out_labels():
    noisy, _ = noisy_digits(n=200, noise_rate=0.0)
    changed = dilution.Arrays(noisy.images, noisy.labels.clone(), noisy.classes)

    def predict(data):
        return cross_validate(
            data, model="perceptron", folds=10, repeats=1, config=SHORT, execution=INLINE
        ).pred_probs

    first = predict(noisy)
    np.testing.assert_array_equal(first, predict(changed))
    row = int(np.flatnonzero(first.argmax(axis=1) == noisy.labels.numpy())[0])
    changed.labels[row] = (changed.labels[row] + 1) % 10
    after = predict(changed)
    np.testing.assert_array_equal(first[row], after[row])
    assert not np.array_equal(first, after)


@pytest.mark.parametrize("config", [SHORT, None], ids=["given", "selected"])
def test_repeats_are_averaged_over_other_folds_and_other_weights(monkeypatch, config):
    noisy, _ = noisy_digits(n=120, classes=2)
    probs = {0: (0.9, 0.1), 1: (0.6, 0.4)}  # by the seed of a training
    trained = []

    class Trainer:
        workers = 1

        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def predict(self, folds):
            trained.extend(folds)
            return [np.tile(probs[fold.seed], (len(fold.held_out_rows), 1)) for fold in folds]

    monkeypatch.setattr("dilution.diagnosis.cross_validation.FoldTrainer", Trainer)
    result = cross_validate(noisy, model="mlp1", folds=3, repeats=2, config=config, execution=INLINE)
    mean = np.sqrt(np.prod(list(probs.values()), axis=0))
    np.testing.assert_allclose(result.pred_probs, np.tile(mean / mean.sum(), (120, 1)), atol=1e-6)
    first, second = (
        {tuple(sorted(fold.held_out_rows)) for fold in trained if fold.seed == seed} for seed in (0, 1)
    )
    for folds in (first, second):
        assert sorted(row for rows in folds for row in rows) == list(range(120))
    assert not first & second


@pytest.mark.parametrize("workers", [0, 2, 5])
def test_the_selected_budget_does_not_depend_on_the_number_of_workers(monkeypatch, workers):
    """Four epochs are no better than two, though eight would be."""
    noisy, _ = noisy_digits(n=120, classes=2)
    quality = dict(zip(BUDGETS, (0.7, 0.7, 0.9, 0.9, 0.9), strict=True))
    trained = []

    class Trainer:
        def __init__(self, data, model, device, count):
            self.workers = count

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def predict(self, folds):
            predictions = []
            for fold in folds:
                trained.append(fold.config.steps)
                budget = BUDGETS[int(np.argmin([abs(fold.config.steps - 30 * epochs) for epochs in BUDGETS]))]
                right = np.eye(2)[noisy.labels[fold.held_out_rows]]
                predictions.append(right * quality[budget] + (1 - right) * (1 - quality[budget]))
            return predictions

    module = "dilution.diagnosis.cross_validation"
    monkeypatch.setattr(f"{module}.FoldTrainer", Trainer)
    monkeypatch.setattr(f"{module}.count_workers", lambda _, execution: execution.workers)
    lines = []
    execution = Execution(workers=workers)
    cross_validate(noisy, model="perceptron", folds=2, repeats=1, execution=execution, log=lines.append)
    assert len(set(trained)) >= 2
    assert lines[0].startswith("selected 16 epochs; cross entropy of held-out labels: ")
    assert lines[0].count("after") == 2
