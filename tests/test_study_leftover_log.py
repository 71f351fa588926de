"""A log that no process writes: of a writer that died it is read, of a stranger it harms no store."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from stores import DONE, KEYS, NOW, RUNS

from dilution.errors import StoreError
from dilution.study import schema
from dilution.study.store import Store

BETTER = {**DONE, "result": {"test_acc_last": 0.99}}


def beside(path, suffix):
    return path.with_name(path.name + suffix)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.add("s", RUNS[:3])
        store.finish({KEYS[0]: DONE, KEYS[1]: DONE}, at=NOW)
    return path


def plant_log(path, *changes, base=None):
    """Put beside a store the log of a copy of it, or of `base`, that was changed by plain SQLite."""
    other = path.with_name("other.sqlite")
    shutil.copy(base or path, other)
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.create_function("checksum", -1, schema.checksum)
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN")
        for change in changes:
            connection.execute(change)
        connection.execute(schema.renew_checksums("1"))
        connection.execute("COMMIT")
        shutil.copy(beside(other, "-wal"), beside(path, "-wal"))
    for suffix in ("", "-wal", "-shm"):
        beside(other, suffix).unlink(missing_ok=True)
    assert beside(path, "-wal").stat().st_size > 0


def change_first(column, value):
    return f"UPDATE runs SET {column} = '{value}' WHERE key = '{KEYS[0]}'"


HARM = {
    "a finished run is removed": (
        [f"DELETE FROM members WHERE key = '{KEYS[0]}'", f"DELETE FROM runs WHERE key = '{KEYS[0]}'"],
        "remove or change finished runs",
    ),
    "a finished run is changed": (
        [change_first("result", '{"test_acc_last": 0.99}')],
        "remove or change finished runs",
    ),
    "a finished run is queued again": ([change_first("state", "queued")], "remove or change finished runs"),
    "a row breaks a rule": (
        [change_first("result", '{"test_acc_last": 7}')],
        r"must be a number in \[0, 1\]",
    ),
    "settings of another run": (
        ["UPDATE runs SET spec = json_set(spec, '$.n', 1000)"],
        "settings are those of another run",
    ),
    "a trigger": (
        ["CREATE TRIGGER t AFTER UPDATE ON runs BEGIN UPDATE runs SET error = 'x'; END"],
        "trigger t is added",
    ),
    "another version": (
        ["PRAGMA user_version = 2", "DROP INDEX crashed_runs", "DROP INDEX states_of_runs"],
        "older version",
    ),
    "no version": (["PRAGMA user_version = 0"], "another program"),
    "a later version": (["PRAGMA user_version = 9"], "store of version 9"),
    "all tables are removed": (
        ["DROP VIEW results", "DROP TABLE members", "DROP TABLE studies", "DROP TABLE artifacts"],
        "another program",
    ),
}


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(("changes", "message"), HARM.values(), ids=HARM)
def test_a_log_that_would_harm_a_store_is_refused_and_nothing_is_changed(path, changes, message, create):
    plant_log(path, *changes)
    before = [path.read_bytes(), beside(path, "-wal").read_bytes()]
    for _ in range(2):  # the first attempt did not let SQLite copy the log when it closed the store
        with pytest.raises(StoreError, match=message):
            Store(path, create=create)
        assert [path.read_bytes(), beside(path, "-wal").read_bytes()] == before
    beside(path, "-wal").unlink()
    with Store(path, create=False) as store:
        assert store.counts() == {"s": {"done": 2, "queued": 1}}


def test_a_log_of_another_sound_store_does_not_replace_finished_runs(path, tmp_path):
    base = tmp_path / "base.sqlite"
    with Store(base) as store:
        store.add("t", RUNS[3:])
        store.finish({KEYS[3]: BETTER}, at=NOW)
    plant_log(path, "UPDATE runs SET host = 'h'", "UPDATE studies SET name = 'u'", base=base)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="would"):
        Store(path)
    assert path.read_bytes() == before


def test_noise_as_a_log_is_no_log(path):
    beside(path, "-wal").write_bytes(b"\x37\x7f\x06\x82" + b"noise" * 10_000)
    with Store(path, create=False) as store:
        assert store.counts() == {"s": {"done": 2, "queued": 1}}


def test_a_log_that_adds_sound_runs_is_read(path):
    with Store(path) as store:  # as of a writer that was killed
        store.finish({KEYS[2]: BETTER}, at=NOW)
        store.add("t", RUNS)
        for suffix in ("", "-wal"):
            shutil.copy(beside(path, suffix), path.with_name(f"copy.sqlite{suffix}"))
    with Store(path.with_name("copy.sqlite"), create=False) as copy:
        assert copy.counts()["s"] == {"done": 3}
        assert len(list(copy.rows("t"))) == len(RUNS)


def test_a_log_may_change_an_unfinished_run(path):
    plant_log(path, f"UPDATE runs SET state = 'failed', error = 'x' WHERE key = '{KEYS[2]}'")
    with Store(path, create=False) as store:
        assert store.counts() == {"s": {"done": 2, "failed": 1}}


def test_a_page_that_breaks_a_rule_is_refused(path):
    plant_log(
        path,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'runs') "
        "WHERE name = 'runs_by_state'",
    )
    before = path.read_bytes()
    with pytest.raises(StoreError):
        Store(path, create=False)
    assert path.read_bytes() == before


def test_the_log_of_a_running_writer_is_left_to_it(path, monkeypatch):
    def fail(*_):
        raise AssertionError("a log that is written was checked")

    monkeypatch.setattr("dilution.study.leftover_log._read_alone", fail)
    with Store(path) as store, store.writer():
        store.add("t", RUNS)
        assert beside(path, "-wal").stat().st_size > 0
        with Store(path, create=False) as reader:
            assert reader.counts()["t"]["done"] == 2
    with Store(path):  # a store that was closed has no log
        pass


def test_a_store_whose_file_alone_is_unreadable_is_what_its_log_says(path):
    """A writer that is killed while SQLite copies the log leaves a file of old and new pages."""
    with Store(path) as store:
        store.add("t", RUNS)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.create_function("checksum", -1, schema.checksum)
            for table in ("studies", "members", "runs", "artifacts"):  # every page is in the log
                connection.execute(f"UPDATE {table} SET rowid = rowid")
            log = beside(path, "-wal").read_bytes()
    copy = path.with_name("copy.sqlite")
    page = 4096
    content = path.read_bytes()
    copy.write_bytes(content[:page] + b"\0" * page + content[2 * page :])
    beside(copy, "-wal").write_bytes(log)
    with Store(copy, create=False) as store:
        assert len(list(store.rows("t"))) == len(RUNS)
