"""The layout of a store: seals against damage, the view for readers, the way from older versions."""

import json
import random
import sqlite3

import pytest
from stores import DONE, KEYS, RUNS, change, plain

from dilution.errors import StoreError
from dilution.study.lock import writing
from dilution.study.results import COLUMNS
from dilution.study.schema import SCHEMA_VERSION
from dilution.study.store import Store


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
def test_a_run_that_is_not_as_it_was_written_is_named_and_not_read(path, column, old, new):
    with Store(path) as store:
        store.add("s", RUNS[:2])
        store.finish({KEYS[0]: DONE}, at="now")
    value = "'a reason'" if old is None else f"replace({column}, '{old}', '{new}')"
    change(path, f"UPDATE runs SET {column} = {value} WHERE key = '{KEYS[0]}'")
    with Store(path) as store, pytest.raises(StoreError, match=f"run {KEYS[0]} in .* was damaged or changed"):
        list(store.rows())


def test_an_artifact_that_is_not_as_it_was_written_is_named_and_not_read(path):
    with Store(path) as store:
        store.keep("table", [0.25])
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


def test_an_empty_file_in_the_place_of_a_store_is_refused_by_whoever_only_reads(path):
    path.write_bytes(b"")
    with pytest.raises(StoreError, match=r"is empty: .* what it held is lost"):
        Store(path, create=False)
    Store(path).close()
    Store(path, create=False).close()


def test_a_flipped_byte_is_never_a_wrong_number(path):
    with Store(path) as store:
        store.add("s", RUNS)
        store.finish(dict.fromkeys(KEYS, DONE), at="now")
        sound = list(store.rows("s"))
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    draw = random.Random(0)
    found = {"read": 0, "refused": 0}
    for _ in range(300):
        place = draw.randrange(100, len(content))
        altered = bytearray(content)
        altered[place] ^= 1 << draw.randrange(8)
        path.write_bytes(altered)
        for each in path.parent.glob("*-*"):
            each.unlink()
        try:
            with Store(path) as store:
                rows = list(store.rows("s"))
        except StoreError:
            found["refused"] += 1
            continue
        found["read"] += 1
        kept = {row["key"]: row for row in rows}
        for row in sound:  # a run that is lost is trained again
            if row["key"] in kept:
                assert {**kept[row["key"]], **NOT_NUMBERS} == {**row, **NOT_NUMBERS}
    assert found["refused"] > 20
    assert found["read"] > 20


NOT_NUMBERS = dict.fromkeys(("host", "versions", "started", "finished"))


def test_the_view_has_one_row_a_run_and_a_column_for_each_setting_and_measure(store, path):
    store.add("s", RUNS)
    store.add("t", RUNS[:2])
    store.finish({KEYS[1]: DONE}, at="now")
    found = plain(path, 'SELECT key, alpha, seed, "targets", precision, flips, test_acc_last FROM results')
    assert len(found) == len(RUNS)
    assert found[1] == (KEYS[1], 0, 1, "sampled", "float32", 0, 0.5)
    names = [row[1] for row in plain(path, "PRAGMA table_info(results)")]
    assert set(names) == {*COLUMNS, "crashes", "cut_off"}


def test_a_view_of_an_older_version_is_renewed(path):
    Store(path).close()
    change(path, "DROP VIEW results", "CREATE VIEW results AS SELECT key FROM runs")
    Store(path).close()
    assert plain(path, "SELECT count(test_acc_at_best_clean_val) FROM results") == [(0,)]


OLDER = """
CREATE TABLE runs (
    key TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'diverged')),
    host TEXT, versions TEXT, started TEXT, finished TEXT,
    result TEXT, history TEXT, error TEXT
) STRICT;
CREATE INDEX runs_by_state ON runs (state);
CREATE INDEX states_of_runs ON runs (key, state);
CREATE TABLE studies (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE members (
    study TEXT NOT NULL REFERENCES studies (name),
    key TEXT NOT NULL REFERENCES runs (key),
    position INTEGER NOT NULL,
    PRIMARY KEY (study, key)
) STRICT;
CREATE TABLE artifacts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
PRAGMA user_version = 1;
"""


def older(path):
    """Make a store as version 1 did."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(OLDER)
    run = "INSERT INTO runs (key, spec, state, result, history, error) VALUES (?, ?, ?, ?, ?, ?)"
    done = (json.dumps(DONE["result"]), json.dumps(DONE["history"]), None)
    connection.execute(run, (KEYS[0], RUNS[0].spec, "done", *done))
    connection.execute(run, (KEYS[1], RUNS[1].spec, "failed", None, None, None))
    connection.execute(run, (KEYS[2], RUNS[2].spec, "running", None, None, None))
    connection.execute("INSERT INTO studies VALUES ('s')")
    connection.executemany(
        "INSERT INTO members VALUES ('s', ?, ?)", [(KEYS[position], position) for position in (2, 0, 1)]
    )
    connection.execute("INSERT INTO artifacts VALUES ('table', '[0.5]')")
    connection.commit()
    connection.close()


def test_a_store_of_version_1_is_brought_up_to_date(path):
    older(path)
    with Store(path) as store:
        assert [row["state"] for row in store.rows("s")] == ["done", "failed", "running"]
        assert next(store.rows("s"))["result"] == DONE["result"]
        assert store.artifact("table") == [0.5]
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            store._write("INSERT INTO members VALUES ('s', 'nobody', 0)")
        with store.writer():
            assert store.states(KEYS)[KEYS[2]] == "queued"
    assert plain(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert plain(path, "PRAGMA foreign_key_check") == []
    new = path.with_name("new.sqlite")
    Store(new).close()
    layout = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    assert plain(path, layout) == plain(new, layout)


def test_a_store_of_version_1_that_cannot_be_brought_up_to_date_is_left_as_it_was(path):
    older(path)
    change(path, f"UPDATE runs SET result = 'NaN' WHERE key = '{KEYS[0]}'")
    with pytest.raises(StoreError, match="CHECK constraint"):
        Store(path)
    assert plain(path, "PRAGMA user_version") == [(1,)]
    assert plain(path, "SELECT count(*) FROM runs") == [(3,)]


def test_a_store_of_version_1_that_is_being_written_is_not_changed(path):
    older(path)
    with writing(path), pytest.raises(StoreError, match="another process is writing"):
        Store(path)
    assert plain(path, "PRAGMA user_version") == [(1,)]
