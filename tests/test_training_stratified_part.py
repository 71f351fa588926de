"""The part of the test split that evaluations measure: fixed, stratified, and the whole at the end."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.data import load
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.study import Execution, Run, Study
from dilution.study.prepare import prepare
from dilution.training import Checkpoint, TrainConfig, TrainTask, train, train_together
from dilution.training.stratified_part import stratified_part

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = {"steps": 120, "n_evals": 12, "optimizer": "adam", "lr": 0.01, "batch_size": 32}


def noisy(seed=0):
    return Dilution(load("digits").train, 4, n=100, seed=seed)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.data())
def test_each_class_has_its_share_exact_to_less_than_one_image(labels, data):
    size = data.draw(st.integers(1, len(labels)))
    rows = stratified_part(torch.tensor(labels), size)
    assert rows.dtype == torch.int64
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == size
    assert 0 <= int(rows.min()) <= int(rows.max()) < len(labels)
    counts = np.bincount(labels, minlength=5)
    chosen = np.bincount(np.array(labels)[rows.numpy()], minlength=5)
    assert (np.abs(chosen - counts * size / len(labels)) < 1).all()


def test_the_rows_of_a_class_are_drawn_at_random_by_a_seed_of_their_own():
    rows = stratified_part(torch.zeros(1000, dtype=torch.int64), 500)
    assert rows[:8].tolist() == [2, 3, 4, 5, 6, 10, 12, 13]
    assert 450 < float(rows.double().mean()) < 550


@pytest.mark.trains
def test_the_history_measures_the_part_and_the_summary_the_whole():
    test = load("digits").test
    settings = {**SETTINGS, "keep": "last"}
    whole = train("mlp1", noisy(), test=test, **settings)
    part = train("mlp1", noisy(), test=test, **settings, test_part=50)
    same = ["step", "train_loss", "val_acc_clean", "val_loss_noisy", "val_acc_noisy", "memorised"]
    pd.testing.assert_frame_equal(part.history[same], whole.history[same], check_exact=True)
    assert not part.history["test_acc"].equals(whole.history["test_acc"])
    right = part.history["test_acc"] * 50
    assert np.allclose(right.round(), right)
    on_part = {"test_acc_max", "test_acc_at_half_steps"}
    expected, summary = whole.summary(), part.summary()
    assert summary.keys() == expected.keys()
    for name in expected.keys() - on_part:
        assert summary[name] == expected[name], name
    assert summary["test_acc_max"] == part.history["test_acc"].max()
    assert part.n_test == len(test)
    assert len({*part.whole_test}) == len(
        {
            expected[name]
            for name in (
                "step_at_best_clean_val",
                "step_at_best_noisy_val",
                "step_at_best_noisy_acc",
                "steps_done",
            )
        }
    )


@pytest.mark.trains
@pytest.mark.parametrize("keep", ["last", "best_clean_val", "best_noisy_val", "best_noisy_acc"])
def test_the_returned_model_is_the_one_whose_accuracy_is_reported(keep):
    test = load("digits").test
    for settings in ({}, {"test_part": 60}, {"early_stopping": "noisy_val(patience=2)", "test_part": 60}):
        result = train("mlp1", noisy(), test=test, **SETTINGS, **settings, keep=keep)
        predicted = float((result.predict(test).argmax(dim=1) == test.labels).double().mean())
        name = "test_acc_last" if keep == "last" else f"test_acc_at_{keep}"
        assert predicted == result.test_acc == result.summary()[name]
        step = "steps_done" if keep == "last" else f"step_at_{keep}"
        assert result.model_step == result.summary()[step]
        assert not result.model.training
        assert f"test_acc={result.test_acc:.4g}, model_step={result.model_step}" in repr(result)


@pytest.mark.trains
def test_by_default_the_model_is_that_of_the_headline():
    test = load("digits").test
    result = train("mlp1", noisy(), test=test, **SETTINGS)
    assert result.test_acc == result.summary()["test_acc_at_best_clean_val"]
    assert result.model_step == result.summary()["step_at_best_clean_val"] < 120


@pytest.mark.trains
def test_a_diverged_training_has_no_accuracy_of_its_model():
    test = load("digits").test
    result = train("mlp1", noisy(), test=test, **{**SETTINGS, "optimizer": "sgd", "lr": 1e20}, keep="last")
    assert result.state == "diverged"
    assert result.test_acc is None
    assert result.model_step is None


@pytest.mark.trains
@pytest.mark.parametrize("model", ["mlp1", "conv2"])
def test_the_whole_is_measured_after_an_interruption_too_and_in_a_group(tmp_path, model):
    class Interrupting(Checkpoint):
        saves = 0

        def save(self, state):
            super().save(state)
            Interrupting.saves += 1
            if Interrupting.saves == 2:
                raise KeyboardInterrupt

    def group():
        config = TrainConfig(**SETTINGS | {"steps": 20, "n_evals": 4}, test_part=40)
        return [TrainTask(model, noisy(seed), load("digits").test, seed, 20, config) for seed in (0, 1)]

    whole = train_together(group())
    alone = [train_together([task])[0] for task in group()]
    with pytest.raises(KeyboardInterrupt):
        train_together(group(), checkpoint=Interrupting(tmp_path / "a.pt", "x", interval=0.0))
    again = train_together(group(), checkpoint=Checkpoint(tmp_path / "a.pt", "x"))
    for results in (alone, again):
        for result, other in zip(results, whole, strict=True):
            assert result.summary() == other.summary()
            assert result.whole_test == other.whole_test


def test_a_part_that_is_larger_than_the_test_split_is_refused():
    with pytest.raises(InputError, match=r"test_part is 361 and the test split has 360 images.*Leave it out"):
        prepare([Run.of(dataset="digits", n=50, alpha=1, model="mlp1", test_part=361)], None)
    prepare([Run.of(dataset="digits", n=50, alpha=1, model="mlp1", test_part=360)], None)
    for value, rule in ((0, "greater than or equal to 1"), ("50", "without quotes"), (2.5, "integer")):
        with pytest.raises(InputError, match=rule):
            TrainConfig(test_part=value)


@pytest.mark.trains
def test_a_study_reports_the_whole_and_estimators_measure_it(tmp_path):
    base = {"dataset": "digits", "n": 100, "n_val": 20, "alpha": 1, "steps": 12, "n_evals": 3}
    runs = [
        Run.of(**base, model=model, test_part=part)
        for model in ("mlp1", "sklearn:logistic")
        for part in (None, 60)
    ]
    execution = Execution(workers=0, progress=False)
    table = dilution.run(Study.of("part", runs), store=tmp_path / "s.sqlite", execution=execution)
    assert table["test_part"].fillna(0).tolist() == [0, 60, 0, 60]
    for measure in (
        *("test_acc_last", "test_acc_at_best_clean_val", "test_acc_at_best_noisy_val", "n_test"),
        "test_acc_at_best_noisy_acc",
    ):
        values = table[measure].tolist()
        assert values[0] == values[1], measure
        assert values[2] == values[3], measure
