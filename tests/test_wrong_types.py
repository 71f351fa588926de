"""Values of a wrong type, as a script that reads them from a file passes on, are refused in words."""

import fractions
import math
import sys

import numpy as np
import pandas as pd
import pytest

import dilution
from dilution.diagnosis.clean_labels import check_policy
from dilution.errors import InputError
from dilution.study.grid import Grid, Study
from dilution.study.statistics import intervals
from dilution.utils.estimate import central_interval
from dilution.utils.finite_numbers import is_finite_number

RUNS = pd.DataFrame({"n": [100], "alpha": 1.0, "seed": 0, "test_acc_last": 0.9})


@pytest.mark.parametrize("value", [0, -3, 0.5, np.float32(2), np.int64(7), fractions.Fraction(1, 3), 10**308])
def test_numbers_of_any_kind_are_finite_numbers(value):
    assert is_finite_number(value)


@pytest.mark.parametrize(
    "value", [True, np.True_, "0.5", None, math.nan, math.inf, 10**309, 1j, np.nan, [0.5], np.zeros(1)]
)
def test_what_no_float_can_hold_is_no_finite_number(value):
    assert not is_finite_number(value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "0.9"}, "target is '0.9'; it must be an accuracy between 0 and 1"),
        ({"target": None}, "target is None"),
        ({"have": "1000"}, "have is '1000'; it must be a finite number, 0 or more"),
        ({"price": None}, "price is None"),
        ({"better_price": True}, "better_price is True"),
        ({"better_alpha": "1"}, "better_alpha is '1'"),
        ({"pilot_alphas": 2.0}, r"pilot_alphas is 2\.0; it must be a list .* pilot_alphas=\[2, 5\]"),
        ({"pilot_alphas": [0, "2"]}, "pilot_alphas is '2'"),
        ({"pilot_n": "4000"}, "pilot_n is '4000'; it must be a whole number"),
        ({"max_runs": 20.5}, r"max_runs is 20\.5; it must be a whole number"),
    ],
)
def test_a_plan_names_what_is_no_number(tmp_path, settings, message):
    with pytest.raises(InputError, match=f"^{message}"):
        dilution.plan("digits", **{"target": 0.9, "alpha": 1, "store": tmp_path / "p.sqlite"} | settings)
    assert not (tmp_path / "p.sqlite").exists()


@pytest.mark.parametrize("levels", [[2, 5], np.array([2.0, 5.0]), {5, 2}])
def test_levels_of_a_pilot_may_be_any_collection(tmp_path, monkeypatch, levels):
    scopes = []

    def stop(scope, *_):
        scopes.append(scope)
        raise KeyboardInterrupt  # before anything is trained

    monkeypatch.setattr(sys.modules["dilution.planning.plan"], "_train_pilot", stop)
    with pytest.raises(KeyboardInterrupt):
        dilution.plan("digits", target=0.9, alpha=1, pilot_alphas=levels, store=tmp_path / "p.sqlite")
    assert scopes[0].alphas == (0.0, 2.0, 5.0)


@pytest.mark.parametrize("epochs", ["10", None, math.nan, True])
def test_advice_names_epochs_that_are_no_number(tmp_path, epochs):
    with pytest.raises(InputError, match=r"^epochs is .*; it must be a number above 0"):
        dilution.advise("digits", epochs=epochs, store=tmp_path / "a.sqlite")


@pytest.mark.parametrize("confidence", ["0.9", math.nan, True])
def test_a_confidence_that_is_no_number_is_refused(confidence):
    with pytest.raises(InputError, match=r"^confidence is "):
        check_policy("drop", confidence)


@pytest.mark.parametrize("level", ["0.9", None, math.nan])
def test_a_level_that_is_no_number_is_refused(level):
    with pytest.raises(InputError, match=r"^level is "):
        intervals(RUNS, by=["n"], value="test_acc_last", level=level)
    with pytest.raises(InputError, match=r"^level is "):
        central_interval([0.1, 0.2], level)
    with pytest.raises(InputError, match=r"^level is "):
        dilution.thresholds(RUNS, level)


@pytest.mark.parametrize("seeds", ["3", 2.5, True, 0])
def test_a_number_of_seeds_that_is_no_count_is_refused(tmp_path, seeds):
    study = Study("own", [dilution.Run.of(dataset="digits", n=100, model="mlp1", alpha=1)])
    with pytest.raises(InputError, match=r"^seeds is .*; it must be a whole number from 1 to 10,000"):
        dilution.run(study, seeds=seeds, store=tmp_path / "s.sqlite")


@pytest.mark.parametrize(
    "call",
    [
        lambda path: dilution.thresholds(path),
        lambda path: dilution.latex_table(path),
        lambda path: dilution.compare(path, {"loss": "gce"}, {"loss": "mae"}),
        lambda path: intervals(path, by=["n"], value="test_acc_last"),
    ],
)
def test_the_path_of_a_table_is_no_table(call):
    with pytest.raises(
        InputError, match=r"^the table is 'runs.csv'; .* pandas.read_csv reads it from a file"
    ):
        call("runs.csv")


def test_a_comparison_names_sides_without_settings():
    with pytest.raises(InputError, match=r"^b is 'mae'; it must be settings .*\{'loss': 'gce'\}"):
        dilution.compare(RUNS, {"loss": "gce"}, "mae")


@pytest.mark.parametrize("values", [5, "gce", None, {"a": 1}, np.float64(1), np.array(2)])
def test_an_axis_of_a_grid_is_a_list(values):
    with pytest.raises(InputError, match=r"^grid loss is .*; it must be a list of values"):
        Grid({"dataset": "digits"}, {"loss": values})


@pytest.mark.parametrize("values", [[1, 2], (1, 2), {1, 2}, range(1, 3), np.array([1, 2]), iter([1, 2])])
def test_an_axis_of_a_grid_may_be_any_collection(values):
    grid = Grid({"dataset": "digits", "n": 100, "model": "mlp1"}, {"alpha": values})
    assert [run.alpha for run in grid] == [1.0, 2.0]


def test_an_axis_of_many_values_takes_no_memory():
    assert len(Grid({"dataset": "digits"}, {"seed": range(10**12)})) == 10**12


def test_the_list_that_a_message_shows_is_an_axis():
    with pytest.raises(InputError, match=r"such as \['gce'\]\.$"):
        Grid({"dataset": "digits"}, {"loss": "gce"})
    base = {"dataset": "digits", "n": 100, "model": "mlp1", "alpha": 1}
    assert [run.loss for run in Grid(base, {"loss": ["gce"]})] == ["gce"]


@pytest.mark.parametrize("of", [Study, Study.of])
def test_runs_of_a_study_are_a_list_of_runs(of):
    run = dilution.Run.of(dataset="digits", n=400, model="mlp1", alpha=1)
    for runs in (run, [run, "mlp1"], None):
        with pytest.raises(InputError, match=r"^runs is .*; it must be a list of runs"):
            of("own", runs)
    assert of("own", [run]).runs == (run,)


def test_a_training_refuses_settings_and_checkpoints_of_a_wrong_type():
    digits = dilution.load("digits")
    noisy = dilution.Dilution(digits.train, alpha=1, n=100)
    with pytest.raises(InputError, match=r"^config is \{'lr': 0.1\}; it must be a TrainConfig.*lr=0.01"):
        dilution.train("mlp1", noisy, test=digits.test, config={"lr": 0.1})
    with pytest.raises(InputError, match=r"^checkpoint is 'a.pt'; it must be a Checkpoint"):
        dilution.train("mlp1", noisy, test=digits.test, checkpoint="a.pt")


@pytest.mark.parametrize("average_epochs", [False, True])
def test_predictions_for_both_splits_at_once_are_refused(average_epochs):
    digits = dilution.load("digits")
    with pytest.raises(InputError, match=r"^data is a DataSet; it must be Arrays .*\.train"):
        dilution.predicted_probabilities(digits, average_epochs=average_epochs)
    with pytest.raises(InputError, match=r"^data is a DataSet"):
        dilution.confusability(digits)
