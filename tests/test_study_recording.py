"""Runs of another training loop: recorded, checked, and shown beside those of Dilution."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution as command
from commands import refused, succeeded
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.errors import DilutionError, InputError
from dilution.figures import report
from dilution.study import Run
from dilution.study.exporting import export_table
from dilution.study.importing import import_table
from dilution.study.merging import merge
from dilution.study.recorded_run import RecordedRun, stored_run
from dilution.study.results import histories, table
from dilution.study.status import read_status
from dilution.study.store import Store

NOW = "2026-01-01T00:00:00.000+00:00"
SETTINGS = {"dataset": "digits", "model": "mlp2", "n": 400, "loss": "mine(tau=0.5)", "alpha": 2}
OWN = [Run.of(dataset="digits", model="mlp2", n=400, alpha=2, loss="gce", seed=seed) for seed in range(3)]
HISTORY = [{"step": 5, "test_acc": 0.4}, {"step": 10, "test_acc": 0.5}]


def record(store, *, seed=0, accuracy=0.5, **changes):
    arguments = {
        "settings": SETTINGS,
        "measures": {"test_acc_last": accuracy, "n_test": 360},
        "trained_by": "my loop",
        "history": HISTORY,
    }
    return dilution.record(store, "mixed", **arguments | changes, seed=seed)


@pytest.fixture
def store(tmp_path):
    """A store with a study of three runs of Dilution, and three that were recorded."""
    path = tmp_path / "results.sqlite"
    with Store(path) as opened, opened.writer():
        opened.add("mixed", OWN)
        opened.start([run.key for run in OWN], host="h", versions={"torch": "2"}, at=NOW)
        for run in OWN:
            accuracy = 0.6 + 0.1 * run.seed
            measures = {"test_acc_last": accuracy, "test_acc_at_best_clean_val": accuracy, "image_note": ""}
            opened.finish({run.key: {"state": "done", "result": measures}}, at=NOW)
    for seed in range(3):
        record(path, seed=seed, accuracy=0.5 + 0.1 * seed + 0.01 * (seed == 1))
    return path


def runs_of(path, study="mixed"):
    with Store(path) as opened:
        return table(opened, study)


def test_a_recorded_run_is_marked_and_has_only_what_was_stated(store):
    runs = runs_of(store)
    assert runs["trained_by"].tolist() == [""] * 3 + ["my loop"] * 3
    recorded = runs.iloc[3]
    assert recorded["state"] == "done"
    assert recorded["loss"] == "mine(tau=0.5)"
    assert recorded["test_acc_last"] == 0.5
    assert pd.isna(recorded[["optimizer", "lr", "batch_size", "epochs", "n_val", "mixup"]]).all()
    with Store(store) as opened:
        evaluations = histories(opened, "mixed", [recorded["key"]])
        assert evaluations[["step", "test_acc"]].to_dict("records") == HISTORY
    assert runs.attrs["notes"] == [
        "3 of 6 runs were trained by 'my loop' and recorded, not trained by Dilution"
    ]


@given(st.sampled_from(OWN), st.text("abc ()=.", min_size=1, max_size=9).map(lambda s: f"x{s}x"))
def test_no_recorded_run_has_the_key_of_a_run_of_dilution(run, trained_by):
    settings = run.model_dump(mode="json", exclude_none=True)
    recorded = RecordedRun.of(**settings, trained_by=trained_by)
    assert recorded.key != run.key
    assert not run.has_key(recorded.key)
    again = stored_run({**settings, "trained_by": trained_by})
    assert (again.key, again.spec) == (recorded.key, recorded.spec)


def test_recording_the_same_again_changes_nothing_and_other_results_are_refused(store):
    before = runs_of(store)
    assert record(store) == before["key"].iloc[3]
    pd.testing.assert_frame_equal(runs_of(store), before)
    with pytest.raises(InputError, match=r"is recorded already, with test_acc_last 0\.5 and not 0\.75"):
        record(store, accuracy=0.75)
    with pytest.raises(InputError, match="with another history and not this one"):
        record(store, history=HISTORY[:1])
    pd.testing.assert_frame_equal(runs_of(store), before)


def test_the_study_keeps_its_recorded_runs_when_it_is_run_again(store):
    with Store(store) as opened, opened.writer():
        opened.add("mixed", OWN[:2])
        assert len(opened.members()["mixed"]) == 5
        opened.add("mixed", OWN)
    assert runs_of(store)["trained_by"].tolist() == [""] * 3 + ["my loop"] * 3


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_exported_runs_are_imported_with_their_mark(store, tmp_path, ending):
    for seed, accuracy in ((3, 0.1 + 0.2), (4, 1 / 3)):  # 17 digits each
        record(store, seed=seed, accuracy=accuracy)
    exported = runs_of(store)
    file = export_table(exported, tmp_path / f"runs.{ending}")
    with Store(tmp_path / "second.sqlite") as second:
        assert import_table(file, second) == 8
        imported = table(second)
        with Store(store) as first:
            assert merge(second, first) == 0
    pd.testing.assert_frame_equal(imported, exported, check_dtype=False, check_exact=True)


def test_runs_of_another_loop_are_imported_into_no_figure(store, tmp_path):
    file = export_table(runs_of(store), tmp_path / "runs.csv")
    with Store(tmp_path / "second.sqlite") as second:
        with pytest.raises(InputError, match="judge runs of Dilution alone"):
            import_table(file, second, study="fig1/digits/demo")
        assert table(second).empty
        assert import_table(file, second, study="mixed") == 6


def test_a_changed_export_adds_nothing(store, tmp_path):
    file = export_table(runs_of(store).assign(trained_by="somebody"), tmp_path / "runs.csv")
    with Store(tmp_path / "second.sqlite") as second:
        with pytest.raises(DilutionError, match="Nothing was added"):
            import_table(file, second)
        assert len(table(second)) == 0


def test_a_merged_store_has_the_recorded_runs(store, tmp_path):
    with Store(store) as other, Store(tmp_path / "into.sqlite") as into:
        assert merge(into, other) == 6
        assert merge(into, other) == 0
        assert table(into, "mixed")["trained_by"].tolist() == [""] * 3 + ["my loop"] * 3


def test_status_and_show_run_say_who_trained(store, tmp_path):
    with Store(store) as opened:
        assert read_status(opened).recorded == {"mixed": {"my loop": 3}}
        assert all("1 of" not in note for note in opened.other_code_notes())  # no version of Dilution
    printed = succeeded(command("status", "--store", store))
    assert "mixed: 6 done, 3 of them trained by my loop and recorded" in printed
    key = runs_of(store)["key"].iloc[3]
    printed = succeeded(command("show", "run", key, "--store", store))
    assert "test accuracy 50.00% after the last step" in printed
    assert "trained by my loop, not by Dilution" in printed
    assert "Python lines" not in printed
    retrained = command("show", "run", key, "--store", store, "--retrain")
    refused(retrained, f"run {key} was trained by 'my loop' and recorded", "cannot train it again")
    labels = command("show", "run", key, "--store", store, "--labels", tmp_path / "a.npy")
    refused(labels, "only that training loop knows its labels")


def test_a_comparison_names_who_trained_on_both_sides(store):
    runs = runs_of(store)
    with pytest.raises(
        InputError, match="compared with those of Dilution only if both sides name trained_by"
    ):
        dilution.compare(runs, {"loss": "mine(tau=0.5)"}, {"loss": "gce"})
    mine, gce = {"loss": "mine(tau=0.5)", "trained_by": "my loop"}, {"loss": "gce", "trained_by": ""}
    compared = dilution.compare(runs, mine, gce)
    assert compared.difference.value == pytest.approx(-0.1 + 0.01 / 3)
    assert (
        "loss mine(tau=0.5), trained_by my loop − loss gce, trained_by Dilution is −9.67" in compared.answer
    )
    differences = dilution.differences(runs)
    assert differences["loss"].tolist() == ["mine(tau=0.5) (my loop)"]
    assert differences["mean"].tolist() == pytest.approx([-0.1 + 0.01 / 3])


def test_settings_that_one_side_does_not_state_are_named(store):
    runs = runs_of(store)
    more = runs[runs["trained_by"] == ""].assign(lr=0.5, key="x")
    runs = pd.concat([runs, more], ignore_index=True)
    runs = runs[~((runs["trained_by"] == "") & (runs["lr"] == 0.5) & (runs["seed"] > 5))]
    sides = {"loss": "mine(tau=0.5)", "trained_by": "my loop"}, {"trained_by": "", "lr": 0.5}
    assert dilution.compare(runs, *sides).unstated == ()
    varied = runs.assign(momentum=[0.9, 0.9, 0.9, None, None, None, 0.5, 0.5, 0.5])
    compared = dilution.compare(varied, *sides)
    assert compared.unstated == ("momentum",)
    assert compared.answer.endswith("One side does not state momentum.")


def partly_stated(path, *names):
    """Record two losses with two seeds each, once with settings and once without them."""
    for loss, seed, stated in itertools.product(("gce", "mae"), range(2), (False, True)):
        settings = SETTINGS | {"loss": loss}
        values = {"lr": 0.1, "momentum": 0.9, "n_val": 40}
        settings |= {name: values[name] for name in names} if stated else {}
        record(path, settings=settings, seed=seed, accuracy=0.5 + 0.1 * seed + 0.2 * stated)


@pytest.mark.parametrize("names", [("lr",), ("momentum",), ("n_val",), ("lr", "n_val")])
def test_runs_that_state_a_setting_and_runs_that_do_not_are_points_of_their_own(tmp_path, names):
    partly_stated(tmp_path / "r.sqlite", *names)
    report(tmp_path / "r.sqlite", out=tmp_path / "out", latex=True)
    points = pd.read_csv(tmp_path / "out" / "mixed.csv")
    assert points[["loss", "mean", "seeds"]].round(6).to_numpy().tolist() == [
        ["gce", 0.75, 2],
        ["gce", 0.55, 2],
        ["mae", 0.75, 2],
        ["mae", 0.55, 2],
    ]
    text = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "Finished runs: 8 of 8.\n" in text  # all of them drawn
    differences = pd.read_csv(tmp_path / "out" / "mixed-differences.csv")
    assert differences["seeds"].tolist() == [2, 2]


def test_a_table_says_which_runs_lack_its_measure(tmp_path):
    record(tmp_path / "r.sqlite")
    record(tmp_path / "r.sqlite", seed=1, measures={"test_acc_at_best_clean_val": 0.5})
    record(tmp_path / "r.sqlite", seed=2)
    runs = runs_of(tmp_path / "r.sqlite")
    assert "% 1 of 3 runs have no test_acc_last and are in no cell\n" in dilution.latex_table(runs)
    assert "are in no cell" not in dilution.latex_table(runs[runs["seed"] != 1])


@pytest.mark.trains
def test_the_report_shows_them_by_an_accuracy_that_all_runs_have(store, tmp_path):
    page = report(store, out=tmp_path / "out")
    text = page.page.read_text("utf-8")
    assert "after the last step. Finished runs: 6 of 6." in text
    assert "3 of 6 runs were trained by &#39;my loop&#39; and recorded" in text
    assert "mine(tau=0.5)" in (tmp_path / "out" / "mixed.csv").read_text("utf-8")
    assert page.notes == ("3 of 6 runs were trained by 'my loop' and recorded, not trained by Dilution",)


def test_a_diverged_run_counts_as_chance(tmp_path):
    path = tmp_path / "r.sqlite"
    record(path, measures={"diverged_at": 7, "majority_share": 0.1}, history=())
    runs = runs_of(path)
    assert runs["state"].tolist() == ["diverged"]
    assert runs["diverged_at"].tolist() == [7]


def test_numbers_of_numpy_and_torch_are_numbers(tmp_path):
    measures = {"test_acc_last": torch.tensor(0.5), "n_test": np.int64(360), "seconds": np.float32(2.0)}
    history = [{"step": np.int64(3), "test_acc": torch.tensor(0.25)}]
    record(
        tmp_path / "r.sqlite", measures=measures, history=history, settings=SETTINGS | {"n": np.int64(400)}
    )
    runs = runs_of(tmp_path / "r.sqlite")
    assert runs[["n", "test_acc_last", "n_test", "seconds"]].iloc[0].tolist() == [400, 0.5, 360, 2.0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": SETTINGS | {"nval": 3}}, "'nval' is not a setting. Did you mean 'n_val'"),
        ({"settings": SETTINGS | {"seed": 3}}, "settings has seed; it is an argument of its own"),
        ({"settings": SETTINGS | {"n": "many"}}, "n is 'many'; it must be a number"),
        ({"settings": SETTINGS | {"n": 0}}, "n is 0; it must be greater than or equal to 1"),
        ({"settings": SETTINGS | {"alpha": -1}}, "alpha is -1.0; it must be 0 or more"),
        ({"settings": SETTINGS | {"alpha": math.nan}}, "alpha is nan"),
        ({"settings": SETTINGS | {"eta": 0.5}}, "alpha is 2.0 and eta is 0.5; give one of them"),
        ({"settings": SETTINGS | {"noise": "symetric(rate=0.4)"}}, "Did you mean 'symmetric'"),
        ({"settings": SETTINGS | {"model": "a\nb"}}, "it must be a text on one line"),
        ({"settings": {"model": "mine", "n": 3}}, "dataset is missing"),
        ({"settings": [1]}, "settings is a list; it must map names to values"),
        ({"measures": {"test_acc": 0.5}}, "'test_acc' is not a measure. Did you mean 'test_acc"),
        ({"measures": {"test_acc_last": 93.1}}, r"test_acc_last is 93.1; it must be a number in \[0, 1\]"),
        ({"measures": {"test_acc_last": math.nan}}, "test_acc_last is nan"),
        ({"measures": {"seconds": 3}}, "it must have a test accuracy"),
        ({"measures": {}}, "measures has nothing; it must have a test accuracy"),
        (
            {"measures": {"diverged_at": 7, "test_acc_last": 0.5}},
            "diverged_at 7 and no majority_share; .* State majority_share too",
        ),
        ({"trained_by": ""}, "trained_by is ''; it must name who or what trained the run"),
        ({"trained_by": "x" * 101}, "at most 100 characters"),
        ({"seed": -1}, "seed is -1; it must be greater than or equal to 0"),
        ({"history": [{"test_acc": 0.5}]}, r"history\[0\] is .*'step' among them"),
        ({"history": {"step": 1}}, "history is a dict; it must be a list of evaluations"),
        ({"history": [{"step": 1, "loss": "low"}]}, "loss in its history is 'low'; it must be a number"),
        (
            {"history": [{"step": 1, "test_acc": 50}]},
            r"test_acc in history is 50; it must be a number in \[0",
        ),
        ({"history": [{"step": 1, "a": 1}, {"step": 2}]}, "evaluations of history have different names"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_nothing_is_stored(changes, words, tmp_path):
    with pytest.raises(InputError, match=words):
        record(tmp_path / "r.sqlite", **changes)
    assert not (tmp_path / "r.sqlite").exists()


@pytest.mark.parametrize(
    ("study", "words"), [("fig1/digits/demo", "Use study='fig1 digits demo'"), ("", "a name")]
)
def test_a_study_of_a_figure_takes_no_recorded_runs(study, words, tmp_path):
    with pytest.raises(InputError, match=words):
        dilution.record(
            tmp_path / "r.sqlite", study, settings=SETTINGS, measures={"test_acc_last": 0.5}, trained_by="me"
        )
