"""A table that was exported comes back as the runs it holds."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import dilution
from dilution.errors import DataError, InputError, StoreError
from dilution.study.exporting import export_table
from dilution.study.importing import import_table
from dilution.study.progress import Progress
from dilution.study.results import table
from dilution.study.store import Store

RESULTS = sorted((Path(__file__).parents[1] / "docs" / "results").glob("*/*-runs.csv"))
GRID = """
[base]
dataset = "digits"
n = 120
steps = 3
n_evals = 1
model = "perceptron"
[[grids]]
alpha = [0, 2]
seed = [0, 1]
[[grids]]
eta = [0.3]
noise = ["structured"]
delta = [0.5]
[[grids]]
alpha = [1]
noise = ["matrix"]
matrix = [[[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
[0, 0, 1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
[0, 0, 0, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
[0, 0, 0, 0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]]
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(GRID)
    dilution.run(path, store=tmp_path / "first.sqlite", workers=0, progress=Progress(quiet=True))
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_what_was_exported_is_not_trained_again(tmp_path, study, ending):
    with Store(tmp_path / "first.sqlite") as first:
        before = table(first)
    file = export_table(before, tmp_path / f"runs.{ending}")
    with Store(tmp_path / "second.sqlite") as second:
        assert import_table(file, second) == len(before) == 6
        assert import_table(file, second) == 0
    again = dilution.run(study, store=tmp_path / "second.sqlite", workers=0, progress=Progress(quiet=True))
    pd.testing.assert_frame_equal(again, before, check_dtype=False)


def test_a_result_that_is_there_is_not_overwritten(tmp_path, study):
    with Store(tmp_path / "first.sqlite") as first:
        before = table(first)
        changed = before.assign(test_acc_at_best_clean_val=0.0)
        assert import_table(export_table(changed, tmp_path / "changed.csv"), first) == 0
        pd.testing.assert_frame_equal(table(first), before)


def test_settings_that_were_changed_are_refused_and_nothing_is_entered(tmp_path, study):
    with Store(tmp_path / "first.sqlite") as first:
        changed = table(first).assign(lr=0.7)
    file = export_table(changed, tmp_path / "changed.csv")
    with Store(tmp_path / "second.sqlite") as second:
        with pytest.raises(InputError, match="give the key"):
            import_table(file, second)
        assert table(second).empty


def test_what_is_no_table_of_runs_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "runs.xls").write_text("")
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(DataError, match="no table of runs"):
            import_table(tmp_path / "other.csv", store)
        with pytest.raises(DataError, match="cannot be read"):
            import_table(tmp_path / "missing.csv", store)
        with pytest.raises(InputError, match="format to import from"):
            import_table(tmp_path / "runs.xls", store)


SECOND_ROW = r"table\.\w+, row 2 \(run [0-9a-f]{16}\): "


def altered(tmp_path, ending="csv", **cells):
    """Export the runs with other cells in the second row."""
    with Store(tmp_path / "first.sqlite") as first:
        found = table(first).astype(object)
    for name, value in cells.items():
        found.loc[1, name] = value
    return export_table(found, tmp_path / f"table.{ending}")


def refused(tmp_path, file, match, kind=DataError):
    """Check that a file is refused, and that the store is as it was."""
    with Store(tmp_path / "second.sqlite") as store:
        with pytest.raises(kind, match=match) as caught:
            import_table(file, store)
        assert table(store).empty
    assert "Nothing was entered" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("state", "finished", "is 'finished'; it must be one of queued, running, done"),
        ("state", "", "is empty; it must be one of"),
        ("versions", "", "is empty; it must be names with versions"),
        ("versions", "torch", "is 'torch'; it must be names with versions"),
        ("started", "", "is empty; it must be a time with its zone"),
        ("started", "yesterday", "is 'yesterday'; it must be a time"),
        ("finished", "2026-11-23T08:23:14", "is '2026-11-23T08:23:14'; it must be a time with its zone"),
        ("finished", "0001-01-01T00:00:00+23:00", "is '0001-01-01T00:00:00.23:00'; it must be a time"),
        ("n", "many", "is 'many'; it must be a whole number"),
        ("n", "120.5", "is 120.5; it must be a whole number"),
        ("n", "inf", "is inf; it must be a whole number"),
        ("seed", "True", "is True; it must be a whole number"),
        ("lr", "fast", "is 'fast'; it must be a number"),
        ("lr", "-1", "is -1"),
        ("matrix", "((1,", r"is '\(\(1,'; it must be a matrix"),
        ("matrix", "T1", "is 'T1'; it must be a matrix"),
        ("matrix", "(" * 500, r"is '\({59}…; it must be a matrix"),
        ("test_acc_at_best_clean_val", "0.99x", r"is '0.99x'; it must be a number in \[0, 1\]"),
        ("test_acc_at_best_clean_val", "7", r"is 7.0; it must be a number in \[0, 1\]"),
        ("test_acc_at_best_clean_val", "-0.1", r"is -0.1; it must be a number in \[0, 1\]"),
        ("test_acc_at_best_clean_val", "nan", "is empty; it must be a number .* where the state is done"),
        ("test_acc_at_best_clean_val", "", "is empty; it must be a number .* where the state is done"),
        ("noise_rate_empirical", "True", r"is True; it must be a number in \[0, 1\]"),
        ("majority_share", "1.01", r"is 1.01; it must be a number in \[0, 1\]"),
        ("alpha_expected", "-1", "is -1.0; it must be a number, 0 or more"),
        ("seconds", "inf", "is inf; it must be a number, 0 or more"),
        ("step_at_best_clean_val", "1.5", "is 1.5; it must be a whole number, 0 or more"),
        ("n_test", "1e300", r"is 1e\+300; it must be a whole number, 0 or more"),
    ],
)
def test_a_value_that_breaks_its_rule_is_named_and_nothing_is_entered(tmp_path, study, name, value, says):
    file = altered(tmp_path, **{name: value})
    refused(tmp_path, file, f"{SECOND_ROW}{name} {says}")


def test_a_setting_that_is_missing_is_named_and_nothing_is_entered(tmp_path, study):
    refused(tmp_path, altered(tmp_path, n=""), f"{SECOND_ROW}n is missing")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_every_format_is_checked(tmp_path, study, ending):
    refused(
        tmp_path,
        altered(tmp_path, ending, test_acc_at_best_clean_val=7.0),
        f"{SECOND_ROW}test_acc_at_best_clean_val is 7",
    )


@pytest.mark.parametrize(
    ("name", "value"), [("host", 5), ("device", []), ("started", 5), ("state", ["done"]), ("key", None)]
)
def test_json_of_another_kind_is_refused(tmp_path, study, name, value):
    file = altered(tmp_path, "jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[1][name] = value
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    refused(tmp_path, file, r"row 2 \(run", (DataError, InputError))


def test_json_that_holds_no_rows_is_refused(tmp_path):
    (tmp_path / "other.jsonl").write_text('{"key": "k"}\n5\n')
    with Store(tmp_path / "s.sqlite") as store, pytest.raises(DataError, match="cannot be read: not every"):
        import_table(tmp_path / "other.jsonl", store)


@pytest.mark.parametrize("name", ["started", "versions", "n", "test_acc_at_best_clean_val"])
def test_a_column_that_is_missing_is_named(tmp_path, study, name):
    file = altered(tmp_path)
    pd.read_csv(file, dtype=str, keep_default_na=False).drop(columns=name).to_csv(file, index=False)
    refused(tmp_path, file, f"lacks the columns {name};")


def test_rows_that_have_not_ended_are_passed_over(tmp_path, study):
    file = altered(tmp_path, state="failed", test_acc_at_best_clean_val="", started="", versions="")
    with Store(tmp_path / "second.sqlite") as store:
        assert import_table(file, store) == 5
        assert set(table(store)["state"]) == {"done"}


def test_a_run_that_diverged_needs_no_accuracy(tmp_path, study):
    file = altered(tmp_path, state="diverged", test_acc_at_best_clean_val="", diverged_at="2")
    with Store(tmp_path / "second.sqlite") as store:
        assert import_table(file, store) == 6
        assert table(store)["diverged_at"].dropna().to_list() == [2]


def test_a_run_that_is_there_twice_is_entered_once(tmp_path, study):
    file = altered(tmp_path)
    runs = pd.read_csv(file, dtype=str, keep_default_na=False)
    pd.concat([runs, runs.assign(test_acc_at_best_clean_val="0.0")]).to_csv(file, index=False)
    with Store(tmp_path / "second.sqlite") as store:
        assert import_table(file, store) == 6
        assert (
            table(store)["test_acc_at_best_clean_val"] == runs["test_acc_at_best_clean_val"].astype(float)
        ).all()


def test_times_come_in_as_the_engine_writes_them(tmp_path, study):
    file = altered(tmp_path, started="2026-11-23T10:00:00+02:00", versions="torch 2.13.0, threads 1")
    with Store(tmp_path / "second.sqlite") as store:
        import_table(file, store)
        row = table(store).iloc[1]
    assert row["started"] == "2026-11-23T08:00:00.000+00:00"
    assert row["versions"] == "torch 2.13.0, threads 1"


def test_a_store_that_fails_half_way_has_nothing_entered(tmp_path, study, monkeypatch):
    file = altered(tmp_path)
    finish, calls = Store.finish, []

    def failing(self, outcomes, *, at):
        calls.append(at)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        finish(self, outcomes, at=at)

    monkeypatch.setattr(Store, "finish", failing)
    with Store(tmp_path / "second.sqlite") as store:
        with pytest.raises(StoreError, match="No space left"):
            import_table(file, store)
        assert table(store).empty
        monkeypatch.undo()
        assert import_table(file, store) == 6


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_published_runs_can_be_imported(tmp_path, path):
    with Store(tmp_path / "s.sqlite") as store:
        assert import_table(path, store) == len(pd.read_csv(path)) == len(table(store))


def test_the_command_line_says_what_is_wrong_without_a_traceback(tmp_path, study):
    command = [
        sys.executable,
        "-m",
        "dilution",
        "import",
        str(altered(tmp_path, test_acc_at_best_clean_val="0.99x")),
    ]
    ended = subprocess.run(
        [*command, "--store", str(tmp_path / "second.sqlite")], capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "test_acc_at_best_clean_val is '0.99x'; it must be a number in [0, 1]." in " ".join(
        ended.stderr.split()
    )
