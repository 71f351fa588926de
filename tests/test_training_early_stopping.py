"""Early stopping: when a training stops, that each replica stops on its own, and that checkpoints know it."""

import sys
from dataclasses import replace

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
from dilution.training import Checkpoint, TrainConfig, TrainTask, list_early_stopping, train_together
from dilution.training.distributed import WHOLE_BATCH, Shard
from dilution.training.early_stopping import EARLY_STOPPING, NONE, resolve_early_stopping
from dilution.training.trainer import check_shardable
from dilution.utils.references import source_digest

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = {"steps": 240, "n_evals": 24, "optimizer": "adam", "lr": 0.01, "batch_size": 32}


def tasks(seeds=(0, 1, 2), model="mlp1", **settings):
    digits = load("digits")
    config = TrainConfig(**SETTINGS | settings)
    return [
        TrainTask(model, Dilution(digits.train, 4, n=100, seed=seed), digits.test, seed, 20, config)
        for seed in seeds
    ]


def stops_at(rule, column, values):
    """Return the number of evaluations after which a rule stops; None if it never does."""
    stops = resolve_early_stopping(rule).of_training()
    rows = [{"step": number, column: value} for number, value in enumerate(values)]
    return next((count for count in range(1, len(rows) + 1) if stops(rows[:count])), None)


@pytest.mark.parametrize(
    ("rule", "column", "values", "count"),
    [
        ("noisy_val(patience=2)", "val_loss_noisy", [3, 2, 2.5, 2.4], 4),
        ("noisy_val(patience=2)", "val_loss_noisy", [3, 2, 2.5, 1.9, 2, 2], 6),
        ("noisy_val(patience=1)", "val_loss_noisy", [3, 2, 2], 3),  # equal is not lower
        ("noisy_val(patience=3)", "val_loss_noisy", [3, 2, 1], None),
        ("noisy_val_acc(patience=2)", "val_acc_noisy", [0.3, 0.5, 0.4, 0.5], 4),
        ("clean_val(patience=2)", "val_acc_clean", [0.3, 0.5, 0.4, 0.5], 4),
        ("none", "val_loss_noisy", [1, 2, 3, 4, 5, 6, 7, 8], None),
    ],
)
def test_a_rule_stops_where_it_is_computed_by_hand(rule, column, values, count):
    assert stops_at(rule, column, values) == count


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.integers(1, 6))
def test_patience_stops_at_the_first_evaluation_that_is_so_far_after_the_best_one(losses, patience):
    expected = None
    for count in range(1, len(losses) + 1):
        best = losses.index(min(losses[:count]))
        if count - 1 - best >= patience:
            expected = count
            break
    assert stops_at(f"noisy_val(patience={patience})", "val_loss_noisy", losses) == expected


@pytest.mark.trains
@pytest.mark.parametrize("model", ["mlp1", "conv2"])
def test_replicas_stop_each_on_its_own_with_the_results_of_training_alone(model):
    if model == "conv2":
        pair = tasks((0, 1), model, steps=60, n_evals=15, early_stopping="noisy_val(patience=1)")
    else:
        pair = tasks(early_stopping="noisy_val(patience=3)")
    together = train_together(pair)
    alone = [train_together([task])[0] for task in pair]
    assert len({result.stopped_at for result in together}) > 1
    for result, other in zip(together, alone, strict=True):
        assert result.stopped_at == other.stopped_at
        pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)
        for name, weight in result.model.state_dict().items():
            assert torch.equal(weight, other.model.state_dict()[name]), name


@pytest.mark.trains
def test_a_stopped_training_is_the_beginning_of_the_whole_one_and_says_where_it_stopped():
    (stopped,) = train_together(tasks((0,), early_stopping="noisy_val(patience=3)"))
    (whole,) = train_together(tasks((0,)))
    count = len(stopped.history)
    assert count < len(whole.history)
    pd.testing.assert_frame_equal(stopped.history, whole.history[:count], check_exact=True)
    assert stopped.stopped_at == stopped.summary()["stopped_at"] == stopped.summary()["steps_done"]
    assert stopped.history["val_loss_noisy"].idxmin() == count - 1 - 3
    assert f"stopped_at={stopped.stopped_at}" in repr(stopped)
    assert stopped.state == whole.state == "done"
    assert whole.stopped_at is None
    assert "stopped_at" not in whole.summary()
    digits = load("digits")
    accuracy = (stopped.predict(digits.test).argmax(dim=1) == digits.test.labels).double().mean()
    assert float(accuracy) == stopped.test_acc == stopped.summary()["test_acc_last"]


@pytest.mark.trains
def test_a_replica_that_had_stopped_stays_stopped_after_an_interruption(tmp_path):
    class Interrupting(Checkpoint):
        saves = 0

        def save(self, state):
            super().save(state)
            Interrupting.saves += 1
            stopped = [replica["stopped_at"] is not None for replica in state["replicas"]]
            if any(stopped) and not all(stopped):
                raise KeyboardInterrupt

    def group():
        return [replace(task, keep="best_noisy_val") for task in tasks(early_stopping="noisy_val")]

    whole = train_together(group())
    with pytest.raises(KeyboardInterrupt):
        train_together(group(), checkpoint=Interrupting(tmp_path / "a.pt", "x", interval=0.0))
    again = train_together(group(), checkpoint=Checkpoint(tmp_path / "a.pt", "x"))
    for result, other in zip(again, whole, strict=True):
        assert result.stopped_at == other.stopped_at
        pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)
        for name, weight in result.model.state_dict().items():
            assert torch.equal(weight, other.model.state_dict()[name]), name


@pytest.mark.trains
def test_a_rule_of_ones_own_sees_the_history_without_the_test_set(module):
    name = module("""
        columns = []

        def rule(history, count=5):
            columns.append(list(history))
            return bool(len(history) >= count and history["train_loss"].iloc[-1] < 10)
    """)
    (result,) = train_together(tasks((0,), early_stopping=f"{name}:rule(count=7)"))
    (seen,) = set(map(tuple, sys.modules[name].columns))
    assert seen == ("step", "train_loss", "val_acc_clean", "val_loss_noisy", "val_acc_noisy")
    assert result.stopped_at == result.history["step"].iloc[-1] == 70


def test_the_module_of_a_rule_belongs_to_the_identity_of_a_run(module):
    name = module("def rule(history):\n    return False\n")
    run = Run.of(dataset="digits", n=50, alpha=1, model="mlp1", early_stopping=f"{name}:rule")
    (prepared,) = prepare([run], None)
    assert prepared.fingerprint == source_digest(f"{name}:rule", "early_stopping")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1", "returned 1. Rule: .*returns True or False"),
        ("None", "returned None"),
        ("history['test_acc'] > 0", "raised KeyError: 'test_acc'. Rule: .*val_loss_noisy"),
    ],
)
def test_a_rule_that_breaks_a_rule_is_refused_before_the_first_step(module, source, message):
    name = module(f"def rule(history):\n    return {source}\n")
    with pytest.raises(InputError, match=message):
        prepare([Run.of(dataset="digits", n=50, alpha=1, model="mlp1", early_stopping=f"{name}:rule")], None)


def test_a_numpy_truth_value_is_one(module):
    name = module("import numpy as np\n\ndef rule(history):\n    return np.bool_(len(history) > 2)\n")
    stops = resolve_early_stopping(f"{name}:rule").of_training()
    columns = ("step", "train_loss", "val_acc_clean", "val_loss_noisy", "val_acc_noisy")
    rows = [dict.fromkeys(columns, np.float64(0.5)) for _ in range(3)]
    assert [stops(rows[:count]) for count in (1, 2, 3)] == [False, False, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"early_stopping": "noisy"}, "'noisy' is not a rule of early stopping. Did you mean 'noisy_val'"),
        ({"early_stopping": "noisy_val(patience=0)"}, "patience is 0.*at least 1"),
        ({"early_stopping": "noisy_val(patience=1.5)"}, "patience is 1.5.*integer"),
        ({"early_stopping": True}, "early_stopping is True; it must be a name, such as 'noisy_val'"),
        (
            {"early_stopping": "noisy_val", "model": "sklearn:logistic"},
            "an estimator, which takes no steps. Leave early_stopping out",
        ),
    ],
)
def test_a_bad_rule_gives_value_rule_and_remedy(settings, message):
    with pytest.raises(InputError, match=message):
        Run.of(**{"dataset": "digits", "n": 50, "alpha": 1, "model": "mlp1"} | settings)


@pytest.mark.parametrize(
    ("rule", "steps", "n_evals", "remedy"),
    [
        ("noisy_val", 240, 7, ""),
        ("noisy_val", 240, 6, "Give n_evals=7 or more, or noisy_val(patience=4)"),
        ("clean_val(patience=1)", 240, 2, "Give n_evals=3 or more"),
        (
            "noisy_val_acc(patience=300)",
            240,
            24,
            "Give more than 301 steps, and as many n_evals, or noisy_val_a",
        ),
        ("own:rule", 240, 1, "Give n_evals=2 or more"),
        ("own:rule", 240, 2, ""),
        ("none", 240, 1, ""),
    ],
)
def test_a_rule_that_stops_no_training_is_told_from_one_that_may(rule, steps, n_evals, remedy):
    note = resolve_early_stopping(rule).never_stops(steps, n_evals)
    assert note.startswith(f"early_stopping is '{rule}', and no training stops early" if remedy else "")
    assert remedy in note
    assert bool(note) == bool(remedy)


@given(st.integers(1, 12), st.integers(1, 15), st.integers(1, 6))
def test_a_patience_stops_no_training_exactly_where_losses_that_rise_from_the_start_do_not(
    steps, n_evals, patience
):
    rule = f"noisy_val(patience={patience})"
    evaluations = {round((number + 1) * steps / n_evals) for number in range(n_evals)} | {steps}
    count = len(evaluations - {0})
    stopped = stops_at(rule, "val_loss_noisy", range(count))
    never = stopped is None or stopped == count  # the last evaluation stops nothing
    assert bool(resolve_early_stopping(rule).never_stops(steps, n_evals)) == never


@pytest.mark.trains
def test_a_patience_that_stops_no_training_is_said_once(tmp_path, caplog, capsys):
    base = {"dataset": "digits", "n": 60, "n_val": 20, "alpha": 1, "model": "mlp1", "steps": 4, "n_evals": 2}
    grid = dilution.Grid(base | {"early_stopping": "noisy_val"}, {"seed": [0, 1]})
    dilution.run(Study.of("s", grid), store=tmp_path / "s.sqlite", execution=Execution(workers=0))
    assert capsys.readouterr().err.count("no training stops early") == 1
    digits = load("digits")
    noisy = Dilution(digits.train, 1, n=60)
    dilution.train("mlp1", noisy, test=digits.test, steps=4, n_evals=2, early_stopping="noisy_val")
    (message,) = caplog.messages
    assert message.startswith("early_stopping is 'noisy_val', and no training stops early")
    dilution.train("mlp1", noisy, test=digits.test, steps=4, n_evals=2)
    assert len(caplog.messages) == 1


def test_processes_that_share_batches_do_not_stop_early():
    check_shardable(TrainConfig(early_stopping="noisy_val"), WHOLE_BATCH)
    check_shardable(TrainConfig(), Shard(0, 2))
    with pytest.raises(
        InputError, match=r"early_stopping is 'noisy_val' and parallel is True.*Leave parallel"
    ):
        check_shardable(TrainConfig(early_stopping="noisy_val"), Shard(0, 2))


def test_names_are_listed_and_the_default_is_none():
    assert set(list_early_stopping()) == set(EARLY_STOPPING)
    assert TrainConfig().early_stopping == NONE
    assert TrainConfig(early_stopping="noisy_val(patience=5)").early_stopping == "noisy_val"


def test_without_validation_examples_nothing_can_stop():
    (task,) = tasks((0,), early_stopping="noisy_val", targets="pooled")
    weights = torch.full((len(task.noisy.data), 10), 0.1)
    with pytest.raises(InputError, match=r"no validation examples are held out.*early_stopping='none'"):
        train_together([replace(task, label_weights=weights)])


@pytest.mark.trains
def test_the_table_has_the_step_at_which_a_run_stopped_and_patience_can_be_an_axis(tmp_path):
    base = {"dataset": "digits", "n": 100, "n_val": 20, "alpha": 4, "model": "mlp1"} | SETTINGS
    rules = ["none", "noisy_val(patience=2)", "noisy_val(patience=4)"]
    study = Study.of("stopping", dilution.Grid(base, {"early_stopping": rules}))
    execution = Execution(workers=0, progress=False)
    table = dilution.run(study, store=tmp_path / "s.sqlite", execution=execution).set_index("early_stopping")
    assert np.isnan(table.loc["none", "stopped_at"])
    assert table.loc["none", "steps_done"] == 240
    early, late = (table.loc[rule, "stopped_at"] for rule in rules[1:])
    assert 0 < early <= late < 240
    assert table.loc[rules[1], "steps_done"] == early
    again = dilution.run(study, store=tmp_path / "s.sqlite", execution=execution)
    assert again["stopped_at"].tolist()[1:] == [early, late]
