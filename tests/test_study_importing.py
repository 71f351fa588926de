"""The import of exported tables: every run comes back, and a damaged file adds nothing."""

import json
from pathlib import Path

import commands
import pandas as pd
import pytest

import dilution
from dilution.errors import DataError, InputError, StoreError
from dilution.study import Execution
from dilution.study.exporting import export_table
from dilution.study.importing import import_table
from dilution.study.merging import merge
from dilution.study.results import table
from dilution.study.store import Store

FOLDER = Path(__file__).parents[1] / "docs" / "results"
RESULTS = sorted([*FOLDER.glob("*/*-runs.csv"), *FOLDER.glob("benchmark-*/runs.csv")])
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


pytestmark = pytest.mark.trains
INLINE = Execution(executor="inline", progress=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study in a TOML file, and beside it the store with its six finished runs."""
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(GRID)
    dilution.run(path, store=path.with_name("first.sqlite"), execution=INLINE)
    return path


@pytest.fixture(scope="module")
def exported(study):
    """The table of the finished runs."""
    with Store(study.with_name("first.sqlite")) as store:
        return table(store)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_imported_runs_are_not_trained_again(tmp_path, study, exported, ending):
    file = export_table(exported, tmp_path / f"runs.{ending}")
    with Store(tmp_path / "second.sqlite") as second:
        assert import_table(file, second) == len(exported) == 6
        assert import_table(file, second) == 0
        with Store(study.with_name("first.sqlite")) as first:
            assert merge(second, first) == 0  # which would refuse results that differ in the last digit
    again = dilution.run(study, store=tmp_path / "second.sqlite", execution=INLINE)
    pd.testing.assert_frame_equal(again, exported, check_dtype=False, check_exact=True)


def test_a_finished_run_is_not_overwritten(tmp_path, study, exported):
    changed = export_table(exported.assign(test_acc_at_best_clean_val=0.0), tmp_path / "changed.csv")
    with Store(study.with_name("first.sqlite")) as first:
        assert import_table(changed, first) == 0
        pd.testing.assert_frame_equal(table(first), exported)


def test_settings_that_were_changed_are_refused_and_nothing_is_added(tmp_path, exported):
    file = export_table(exported.assign(lr=0.7), tmp_path / "changed.csv")
    with Store(tmp_path / "second.sqlite") as second:
        with pytest.raises(InputError, match="give the key"):
            import_table(file, second)
        assert table(second).empty


def test_a_file_that_is_not_a_table_of_runs_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "runs.xls").write_text("")
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(DataError, match="not a table of runs"):
            import_table(tmp_path / "other.csv", store)
        with pytest.raises(DataError, match="cannot be read"):
            import_table(tmp_path / "missing.csv", store)
        with pytest.raises(InputError, match="format to import from"):
            import_table(tmp_path / "runs.xls", store)


SECOND_ROW = r"table\.\w+, row 2 \(run [0-9a-f]{16}\): "


@pytest.fixture
def altered(tmp_path, exported):
    """Return a function that exports the runs with other cells in the second row."""

    def altered(ending="csv", **cells):
        rows = exported.astype(object)
        for name, value in cells.items():
            rows.loc[1, name] = value
        return export_table(rows, tmp_path / f"table.{ending}")

    return altered


def assert_refused(file, message, error=DataError):
    """Check that a file is refused, and that the store stays empty."""
    with Store(file.with_name("second.sqlite")) as store:
        with pytest.raises(error, match=message) as caught:
            import_table(file, store)
        assert table(store).empty
    assert "Nothing was added" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("state", "finished", "is 'finished'; it must be one of queued, running, done"),
        ("state", "", "is empty; it must be one of"),
        ("versions", "", "is empty; it must be names with versions"),
        ("versions", "torch", "is 'torch'; it must be names with versions"),
        ("started", "", "is empty; it must be a time with its zone"),
        ("started", "yesterday", "is 'yesterday'; it must be a time"),
        ("finished", "2026-11-23T08:23:14", "is '2026-11-23T08:23:14'; it must be a time with its zone"),
        ("finished", "0001-01-01T00:00:00+23:00", "is '0001-01-01T00:00:00.23:00'; it must be a time"),
        ("n", "many", "is 'many'; it must be an integer"),
        ("n", "120.5", "is 120.5; it must be an integer"),
        ("n", "inf", "is inf; it must be an integer"),
        ("seed", "True", "is True; it must be an integer"),
        ("lr", "fast", "is 'fast'; it must be a number"),
        ("lr", "-1", "is -1"),
        ("matrix", "((1,", r"is '\(\(1,'; it must be a matrix"),
        ("matrix", "T1", "is 'T1'; it must be a matrix"),
        ("matrix", "(" * 500, r"is '\(+…; it must be a matrix"),
        ("test_acc_at_best_clean_val", "0.99x", r"is '0.99x'; it must be a number in \[0, 1\]"),
        ("test_acc_at_best_clean_val", "7", r"is 7.0; it must be a number in \[0, 1\]"),
        ("test_acc_at_best_clean_val", "-0.1", r"is -0.1; it must be a number in \[0, 1\]"),
        ("test_acc_at_best_clean_val", "nan", "is empty; it must be a number .* where the state is done"),
        ("test_acc_at_best_clean_val", "", "is empty; it must be a number .* where the state is done"),
        ("noise_rate_empirical", "True", r"is True; it must be a number in \[0, 1\]"),
        ("majority_share", "1.01", r"is 1.01; it must be a number in \[0, 1\]"),
        ("alpha_expected", "-1", "is -1.0; it must be a number, 0 or more"),
        ("seconds", "inf", "is inf; it must be a number, 0 or more"),
        ("step_at_best_clean_val", "1.5", "is 1.5; it must be an integer, 0 or more"),
        ("n_test", "1e300", r"is 1e\+300; it must be an integer, 0 or more"),
    ],
)
def test_a_value_that_breaks_its_rule_is_named_and_nothing_is_added(altered, name, value, message):
    assert_refused(altered(**{name: value}), f"{SECOND_ROW}{name} {message}")


def test_a_setting_that_is_missing_is_named_and_nothing_is_added(altered):
    assert_refused(altered(n=""), f"{SECOND_ROW}n is missing")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_every_format_is_checked(altered, ending):
    file = altered(ending, test_acc_at_best_clean_val=7.0)
    assert_refused(file, f"{SECOND_ROW}test_acc_at_best_clean_val is 7")


@pytest.mark.parametrize(
    ("name", "value"), [("host", 5), ("device", []), ("started", 5), ("state", ["done"]), ("key", None)]
)
def test_json_values_of_another_type_are_refused(altered, name, value):
    file = altered("jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[1][name] = value
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert_refused(file, r"row 2 \(run", (DataError, InputError))


def test_json_without_rows_is_refused(tmp_path):
    (tmp_path / "other.jsonl").write_text('{"key": "k"}\n5\n')
    with Store(tmp_path / "s.sqlite") as store, pytest.raises(DataError, match="cannot be read: not every"):
        import_table(tmp_path / "other.jsonl", store)


@pytest.mark.parametrize("name", ["started", "versions", "n", "test_acc_at_best_clean_val"])
def test_a_column_that_is_missing_is_named(altered, name):
    file = altered()
    pd.read_csv(file, dtype=str, keep_default_na=False).drop(columns=name).to_csv(file, index=False)
    assert_refused(file, f"lacks the columns {name};")


def test_unfinished_runs_are_not_imported(tmp_path, altered):
    file = altered(state="failed", test_acc_at_best_clean_val="", started="", versions="")
    with Store(tmp_path / "second.sqlite") as store:
        assert import_table(file, store) == 5
        assert set(table(store)["state"]) == {"done"}


def test_a_diverged_run_needs_no_accuracy(tmp_path, altered):
    file = altered(state="diverged", test_acc_at_best_clean_val="", diverged_at="2")
    with Store(tmp_path / "second.sqlite") as store:
        assert import_table(file, store) == 6
        assert table(store)["diverged_at"].dropna().to_list() == [2]


def test_a_run_in_two_rows_is_added_once(tmp_path, altered):
    file = altered()
    runs = pd.read_csv(file, dtype=str, keep_default_na=False)
    pd.concat([runs, runs.assign(test_acc_at_best_clean_val="0.0")]).to_csv(file, index=False)
    with Store(tmp_path / "second.sqlite") as store:
        assert import_table(file, store) == 6
        expected = runs["test_acc_at_best_clean_val"].astype(float)
        assert (table(store)["test_acc_at_best_clean_val"] == expected).all()


def test_times_are_converted_to_those_of_the_scheduler(tmp_path, altered):
    file = altered(started="2026-11-23T10:00:00+02:00", versions="torch 2.13.0, threads 1")
    with Store(tmp_path / "second.sqlite") as store:
        import_table(file, store)
        row = table(store).iloc[1]
    assert row["started"] == "2026-11-23T08:00:00.000+00:00"
    assert row["versions"] == "torch 2.13.0, threads 1"


def test_an_import_that_fails_half_way_adds_nothing(tmp_path, altered, monkeypatch):
    file = altered()
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
        assert import_table(path, store) == pd.read_csv(path)["key"].nunique() == len(table(store))


def test_the_command_line_shows_the_error_without_a_traceback(tmp_path, altered):
    file = altered(test_acc_at_best_clean_val="0.99x")
    result = commands.dilution("import", file, "--store", tmp_path / "second.sqlite")
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    message = "test_acc_at_best_clean_val is '0.99x'; it must be a number in [0, 1]."
    assert message in " ".join(result.stderr.split())
