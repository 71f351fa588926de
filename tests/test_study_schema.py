"""The layout of a store: checksums against damage, the view for readers, older versions."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from stores import DONE, KEYS, NOW, RUNS, change, query

from dilution.errors import StoreError
from dilution.study import schema
from dilution.study.results import COLUMNS
from dilution.study.schema import SCHEMA_VERSION
from dilution.study.store import Store
from dilution.utils.file_lock import writing
from dilution.utils.migration import OldNamesWarning

FIXTURES = Path(__file__).parent / "fixtures" / "v0_1"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite"


@pytest.fixture
def store(path):
    with Store(path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [
        ("result", "0.5", "0.9"),
        ("history", '"test_acc": 0.5', '"test_acc": 0.8'),
        ("spec", '"n":100', '"n":900'),
        ("state", "done", "diverged"),
        ("error", None, "a reason"),
    ],
)
def test_a_damaged_run_is_reported_and_not_read(path, column, old, new):
    with Store(path) as store:
        store.add("s", RUNS[:2])
        store.finish({KEYS[0]: DONE}, at=NOW)
    value = "'a reason'" if old is None else f"replace({column}, '{old}', '{new}')"
    change(path, f"UPDATE runs SET {column} = {value} WHERE key = '{KEYS[0]}'")
    with Store(path) as store, pytest.raises(StoreError, match=f"run {KEYS[0]} in .* was damaged or changed"):
        list(store.rows())


def test_a_damaged_artifact_is_reported_and_not_read(path):
    with Store(path) as store:
        store.keep_artifact("table", [0.25])
    change(path, "UPDATE artifacts SET value = replace(value, '25', '26')")
    with Store(path) as store, pytest.raises(StoreError, match=r"table in .* was damaged or changed"):
        store.artifact("table")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE members SET study = 'another' WHERE position = 5",
        "UPDATE members SET key = 'nobody' WHERE position = 5",
        "DELETE FROM members WHERE position = 2",
        "UPDATE members SET position = 9 WHERE position = 5",
        "UPDATE studies SET name = 'another'",
        f"DELETE FROM runs WHERE key = '{KEYS[5]}'",
    ],
)
def test_a_study_that_has_lost_a_run_is_not_read(path, damage):
    with Store(path) as store:
        store.add("s", RUNS)
        assert len(list(store.rows("s"))) == 6
    change(path, damage)
    with (
        Store(path) as store,
        pytest.raises(StoreError, match=r"the list of runs of a study in .* was damaged"),
    ):
        list(store.rows("s"))


def test_an_empty_file_is_no_store_to_read_from(path):
    path.write_bytes(b"")
    with pytest.raises(StoreError, match=r"is empty: .* its content is lost"):
        Store(path, create=False)
    Store(path).close()
    Store(path, create=False).close()


def test_a_flipped_byte_is_never_a_wrong_number(path):
    with Store(path) as store:
        store.add("s", RUNS)
        store.finish(dict.fromkeys(KEYS, DONE), at=NOW)
        intact = list(store.rows("s"))
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    draw = random.Random(0)
    counts = {"read": 0, "refused": 0}
    for _ in range(300):
        position = draw.randrange(100, len(content))
        altered = bytearray(content)
        altered[position] ^= 1 << draw.randrange(8)
        path.write_bytes(altered)
        for write_ahead_log in path.parent.glob("*-*"):
            write_ahead_log.unlink()
        try:
            with Store(path) as store:
                rows = {row["key"]: row for row in store.rows("s")}
        except StoreError:
            counts["refused"] += 1
            continue
        counts["read"] += 1
        for row in intact:  # a run that is lost is trained again
            if row["key"] in rows:
                assert {**rows[row["key"]], **NOT_COVERED} == {**row, **NOT_COVERED}
    assert counts["refused"] > 20
    assert counts["read"] > 20


NOT_COVERED = dict.fromkeys(("host", "versions", "started", "finished"))


def test_the_view_has_one_row_per_run_and_one_column_per_setting_and_measure(store, path):
    store.add("s", RUNS)
    store.add("t", RUNS[:2])
    store.finish({KEYS[1]: DONE}, at=NOW)
    rows = query(path, "SELECT key, alpha, seed, targets, precision, hflip, test_acc_last FROM results")
    assert len(rows) == len(RUNS)
    assert rows[1] == (KEYS[1], 0, 1, "sampled", "float32", 0, 0.5)
    names = [row[1] for row in query(path, "PRAGMA table_info(results)")]
    assert set(names) == {*COLUMNS, "crashes", "shared_crashes"}


def test_a_view_of_an_older_version_is_renewed(path):
    Store(path).close()
    change(path, "DROP VIEW results", "CREATE VIEW results AS SELECT key FROM runs")
    Store(path).close()
    assert query(path, "SELECT count(test_acc_at_best_clean_val) FROM results") == [(0,)]


@pytest.fixture
def older_path(path):
    """A store of version 1, as 0.1 wrote it; see tests/fixtures/v0_1."""
    shutil.copy(FIXTURES / "store-v1.db", path)
    return path


def test_a_converted_store_has_the_layout_of_a_new_one(older_path):
    with pytest.warns(OldNamesWarning):
        Store(older_path).close()
    with Store(older_path) as store:
        assert len(list(store.rows("first"))) == 5
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            store._write("INSERT INTO members VALUES ('first', 'nobody', 0)")
    assert query(older_path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(older_path, "PRAGMA foreign_key_check") == []
    new = older_path.with_name("new.sqlite")
    Store(new).close()
    layout = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    assert query(older_path, layout) == query(new, layout)


def test_a_store_that_cannot_be_converted_is_left_as_it_was(older_path, monkeypatch):
    def fail(*arguments):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(schema, "_convert_artifacts", fail)
    before = query(older_path, "SELECT * FROM runs")
    with pytest.raises(StoreError, match="disk is full"):
        Store(older_path)
    assert query(older_path, "PRAGMA user_version") == [(1,)]
    assert query(older_path, "SELECT * FROM runs") == before


@pytest.mark.parametrize("column", ["spec", "result", "history", "state"])
@pytest.mark.parametrize("damage", ["NaN", "[1", "5", '{"rate": NaN}'])
def test_a_damaged_run_of_an_older_store_is_reported_and_the_others_are_converted(older_path, column, damage):
    if column == "state":
        change(
            older_path,
            "PRAGMA ignore_check_constraints = ON",
            f"UPDATE runs SET state = '{damage}' WHERE key = 'a395ceef7a2325c1'",
        )
    else:
        change(older_path, f"UPDATE runs SET {column} = '{damage}' WHERE key = 'a395ceef7a2325c1'")
    with pytest.warns(OldNamesWarning):
        Store(older_path).close()
    with Store(older_path) as store:
        with pytest.raises(StoreError, match="was damaged or changed"):
            list(store.rows())
        keys = [key for (key,) in query(older_path, "SELECT key FROM runs WHERE checksum <> 'damaged'")]
        assert len(keys) == 4
        assert all(store.row(key)["key"] == key for key in keys)


def test_a_store_that_another_process_writes_to_is_not_converted(older_path, monkeypatch):
    monkeypatch.setattr("dilution.study.store_file._OPEN_TIMEOUT", 0.1)
    with writing(older_path), pytest.raises(StoreError, match="another process is writing"):
        Store(older_path)
    assert query(older_path, "PRAGMA user_version") == [(1,)]
