"""Files of version 0.1 open under today's names, with every value; see tests/fixtures/v0_1/README.md."""

import hashlib
import json
import shutil
import sqlite3
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
from commands import dilution as command
from commands import succeeded
from stores import change, query

import dilution
from dilution.data.registry import _source
from dilution.errors import StoreError
from dilution.figures import judge_claims
from dilution.study import Execution, Run, Study
from dilution.study.importing import import_table
from dilution.study.measures import MEASURES
from dilution.study.prepare import prepare
from dilution.study.results import table
from dilution.study.store import Store
from dilution.training.recipes import read_recipe
from dilution.utils import migration
from dilution.utils.migration import OldNamesWarning

FIXTURES = Path(__file__).parent / "fixtures" / "v0_1"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
COLUMNS = EXPECTED["columns"]
MATRICES = ("transition_expected", "transition_empirical")
INLINE = Execution(executor="inline", progress=False)
NEW_NAMES = migration.SETTINGS | migration.MEASURES


@pytest.fixture(autouse=True)
def _custom_modules(monkeypatch):
    """The data and models that own.toml names can be imported."""
    monkeypatch.syspath_prepend(FIXTURES)
    yield
    for name in ("own_data", "own_net"):
        sys.modules.pop(name, None)


def convert(folder, name):
    """Copy a store of 0.1 into a folder, open it, and return its path."""
    path = folder / name
    shutil.copy(FIXTURES / name, path)  # SQLite writes beside a store that it opens
    with pytest.warns(OldNamesWarning, match=rf"the store .*{name} uses names of version 0\.1") as record:
        Store(path).close()
    assert len(record) == 1
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return convert(tmp_path_factory.mktemp("migration"), "store.db")


@pytest.fixture(scope="module")
def rows(path):
    """The rows of the converted store by the key that 0.1 gave them."""
    with Store(path) as store:
        return {migration.old_key(run_of(row).model_dump(mode="json")): row for row in store.rows()}


def run_of(row):
    return Run.of(**row["spec"])


def expected_settings(key):
    """Return the settings that 0.1 kept, under today's names; it did not have some of today's."""
    values = EXPECTED["runs"][key]["settings"]
    settings = {
        NEW_NAMES.get(old, old): value for old, value in zip(COLUMNS["settings"], values, strict=True)
    }
    if settings["targets"] == "examples":
        settings["targets"] = "sampled"
    added = {"loss": "cross_entropy", "mixup": 0.0, "labels": "", "strategy": "plain"}
    added |= {"early_stopping": "none", "test_part": None}
    return settings | {"compare_gradients": False} | added


def expected_result(key):
    """Return the measures that 0.1 kept, under today's names; it did not have all of today's."""
    values = EXPECTED["runs"][key]["result"]
    added = dict.fromkeys(
        [
            *("test_acc_at_half_steps", "val_loss_noisy", "gradient_ratio", "gradient_cosine"),
            *("memorised_last", "recovered_last", "stopped_at"),
            *("test_acc_at_best_noisy_acc", "step_at_best_noisy_acc", "val_acc_noisy"),
        ]
    )
    return added | {NEW_NAMES.get(old, old): v for old, v in zip(COLUMNS["result"], values, strict=True)}


def digest(matrix):
    """Return what expected.json has of a matrix."""
    return hashlib.sha256(json.dumps(matrix).encode()).hexdigest()[:16]


def assert_equals_expected(row, key):
    """Check every value of a run against what 0.1 kept of it."""
    expected = EXPECTED["runs"][key]
    assert row["state"] == expected["state"]
    assert run_of(row).model_dump(mode="json") == expected_settings(key)
    assert row["key"] == run_of(row).key
    result = {name: row["result"].get(name) for name in MEASURES}
    result |= {name: digest(row["result"][name]) if name in row["result"] else None for name in MATRICES}
    assert result == expected_result(key)
    assert set(row["result"]) <= {*MEASURES, *MATRICES}
    assert [row[name] or None for name in COLUMNS["circumstances"]] == [
        value or None for value in expected["circumstances"]
    ]
    if key in EXPECTED["histories"]:
        new = {"step": "step", "train_loss": "train_loss"} | migration.HISTORY
        assert row["history"] == [
            {new[name]: value for name, value in line.items()} for line in EXPECTED["histories"][key]
        ]
    elif row["state"] == "done":
        assert set(row["history"][0]) >= {"step", "train_loss", "val_acc_clean", "val_loss_noisy", "test_acc"}


def test_every_run_of_a_store_has_its_state_settings_results_and_history(rows):
    assert list(rows) == list(EXPECTED["runs"])
    for key, row in rows.items():
        assert_equals_expected(row, key)


def test_a_store_keeps_its_studies_in_their_order_its_crashes_and_its_artifacts(path, rows):
    with Store(path) as store:
        assert store.counts() == EXPECTED["counts"]
        for study, keys in EXPECTED["members"].items():
            assert [row["key"] for row in store.rows(study)] == [rows[key]["key"] for key in keys]
        assert store.crashes() == {rows[key]["key"]: count for key, count in EXPECTED["crashes"].items()}
        assert dict(store.artifacts()) == EXPECTED["artifacts"]


def test_a_store_that_was_converted_opens_without_a_warning(path):
    Store(path).close()  # warnings are errors


def test_the_store_of_schema_version_1_opens_with_every_run(tmp_path):
    path = convert(tmp_path, "store-v1.db")
    with Store(path) as store:
        rows = list(store.rows("first"))
        assert len(rows) == 5
        for row in rows:
            assert_equals_expected(row, migration.old_key(run_of(row).model_dump(mode="json")))
        assert dict(store.artifacts()).items() <= EXPECTED["artifacts"].items()
        assert len(dict(store.artifacts())) == 1


def test_the_view_has_todays_columns(path):
    row = query(path, "SELECT lr, hflip, label_mode, test_acc_last FROM results WHERE targets = 'sampled'")[0]
    assert row[0] == 0.5


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [
        ("result", "0.6", "0.7"),
        ("spec", '"rate":0.5', '"rate":0.6'),
        ("spec", "{", "["),
        ("state", "done", "dune"),
    ],
)
def test_a_damaged_run_of_an_old_store_stays_damaged(tmp_path, column, old, new):
    path = tmp_path / "store.db"
    shutil.copy(FIXTURES / "store.db", path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    where = f"rowid = (SELECT min(rowid) FROM runs WHERE state = 'done' AND instr({column}, '{old}'))"
    changed = connection.execute(
        f"UPDATE runs SET {column} = replace({column}, '{old}', '{new}') WHERE {where}"
    )
    assert changed.rowcount == 1
    connection.commit()
    connection.close()
    with pytest.warns(OldNamesWarning):
        Store(path).close()
    assert query(path, "SELECT count(*) FROM runs WHERE checksum = 'damaged'") == [(1,)]
    with Store(path) as store, pytest.raises(StoreError, match=r"run \w+ in .* was damaged or changed"):
        list(store.rows())


def test_a_damaged_artifact_of_an_old_store_stays_damaged(tmp_path):
    path = tmp_path / "store.db"
    shutil.copy(FIXTURES / "store.db", path)
    change(path, "UPDATE artifacts SET value = replace(value, '0.80', '0.81') WHERE name LIKE 'confus%'")
    with pytest.warns(OldNamesWarning):
        Store(path).close()
    with Store(path) as store, pytest.raises(StoreError, match=r"confusability/2/digits/ in .* was damaged"):
        store.artifact("confusability/2/digits/")


@pytest.fixture
def rules_of_0_1(monkeypatch):
    """Identify files of users by their content alone, as 0.1 did.

    They are read by other rules today, so that runs on them are trained again. Everything else is as it was.
    """
    monkeypatch.setattr(
        "dilution.study.prepare.fingerprint", lambda data, root: _source(data, root).fingerprint()
    )


@pytest.mark.usefixtures("rules_of_0_1")
@pytest.mark.parametrize("name", EXPECTED["keys_of_toml"])
def test_a_study_in_toml_gives_the_same_runs(name):
    with pytest.warns(
        OldNamesWarning, match=r"the study .* network is now model, .*rate is now lr"
    ) as record:
        study = Study.from_toml(FIXTURES / name)
    assert len(record) == 1
    keys = [migration.old_key(run.model_dump(mode="json")) for run in prepare(study.runs, None)]
    assert keys == EXPECTED["keys_of_toml"][name]


def test_a_recipe_has_its_settings():
    with pytest.warns(OldNamesWarning, match=r"the recipe .* averaging is now ema_decay.* rate is now lr"):
        recipe = read_recipe(FIXTURES / "recipe.toml")
    assert recipe == {
        "targets": "pooled",
        "optimizer": "sgd",
        "lr": 0.0014,
        "momentum": 0.9,
        "weight_decay": 0.0001,
        "schedule": "linear",
        "batch_size": 128,
        "ema_decay": 0.9615,
        "hflip": True,
        "translate": 2,
    }


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_an_exported_table_is_imported_with_every_value(tmp_path, rows, ending):
    with Store(tmp_path / "new.sqlite") as store:
        with pytest.warns(OldNamesWarning, match=rf"the table .*runs\.{ending} uses names") as record:
            added = import_table(FIXTURES / f"runs.{ending}", store)
        assert len(record) == 1
        finished = {key: row for key, row in rows.items() if row["state"] in ("done", "diverged")}
        assert added == len(finished)
        imported = {row["key"]: row for row in store.rows()}
    assert set(imported) == {row["key"] for row in finished.values()}
    for row in finished.values():
        again = imported[row["key"]]
        assert again["spec"] == row["spec"]
        for name in MEASURES:
            assert again["result"].get(name) == row["result"].get(name), name
        for name in ("state", "host", "versions", "started", "finished"):
            assert again[name] == row[name]


@pytest.mark.trains
@pytest.mark.usefixtures("rules_of_0_1", "svg_alone")
def test_no_finished_run_is_trained_again(path, tmp_path, monkeypatch):
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)

    def refuse(*arguments):
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr("dilution.study.runner.train_together", refuse)
    with Store(copy) as store:
        before = table(store).drop(columns="versions")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OldNamesWarning)
        for name in EXPECTED["keys_of_toml"]:
            rows = dilution.run(FIXTURES / name, store=copy, execution=INLINE)
            assert len(rows) == len(EXPECTED["keys_of_toml"][name])
    for figures, settings in {
        ("fig11", "fig4"): {"dataset": "own_data:bars"},
        ("fig3",): {"dataset": "digits", "recipe": "advised"},
    }.items():
        dilution.reproduce(figures, store=copy, out=tmp_path / "out", seeds=1, execution=INLINE, **settings)
    with Store(copy) as store:
        pd.testing.assert_frame_equal(table(store).drop(columns="versions"), before)


def test_the_claims_have_the_same_runs_and_the_verdicts_of_todays_rules(path):
    claims = judge_claims(path)
    assert len(claims) == len(EXPECTED["claims"])
    for claim, expected in zip(claims.itertuples(), EXPECTED["claims"], strict=True):
        assert claim.study == expected["study"]
        assert (claim.runs, claim.finished) == (expected["runs"], expected["finished"])
        if claim.figure == "fig11":  # its choice of a learning rate is now drawn over seeds; there is one
            assert claim.verdict == "not testable"
            assert "the same seeds, 2 or more" in claim.numbers
        else:
            assert claim.verdict.split()[:2] == expected["verdict"].split()[:2]


def test_the_command_line_prints_one_note_per_converted_file(tmp_path):
    shutil.copy(FIXTURES / "store.db", tmp_path)
    first = command("status", "--store", "store.db", cwd=tmp_path)
    assert "fig3/digits/demo: 2 done" in succeeded(first)
    note = "note: the store store.db uses names of version 0.1 and was read under today's names.\n"
    assert first.stderr.startswith(note)
    assert first.stderr.count("note: ") == 1
    assert "note: the store" not in command("status", "--store", "store.db", cwd=tmp_path).stderr


def test_a_key_of_version_0_1_is_that_of_a_run_of_today():
    run = Run.of(dataset="mnist", n=60_000, alpha=20, model="conv4", seed=1)
    assert migration.old_key(run.model_dump(mode="json")) == "f2daccba09bd97ab"
