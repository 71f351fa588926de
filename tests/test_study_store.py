"""The store: one SQLite file, states, one writer, clear refusals."""

import json
import os
import sqlite3
from pathlib import Path

import pytest
from stores import DONE, KEYS, NOW, RUNS, change, query

from dilution.errors import StoreError
from dilution.study import Grid
from dilution.study.schema import SCHEMA_VERSION, STATES
from dilution.study.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite"


@pytest.fixture
def store(path):
    with Store(path) as opened:
        yield opened


def test_runs_are_added_once_as_queued_and_keep_their_order(store):
    store.add("first", RUNS[:4])
    store.finish({KEYS[1]: DONE}, at=NOW)
    store.add("second", [RUNS[5], RUNS[1], RUNS[0]])
    assert store.states(KEYS) == dict.fromkeys([*KEYS[:4], KEYS[5]], "queued") | {KEYS[1]: "done"}
    assert [row["key"] for row in store.rows("second")] == [KEYS[5], KEYS[1], KEYS[0]]
    assert [row["key"] for row in store.rows()] == [*KEYS[:4], KEYS[5]]
    assert store.counts() == {"first": {"queued": 3, "done": 1}, "second": {"queued": 2, "done": 1}}


def test_a_study_added_again_has_its_new_runs_only(store):
    store.add("s", RUNS)
    store.add("s", RUNS[2:4])
    assert [row["key"] for row in store.rows("s")] == KEYS[2:4]
    assert len(list(store.rows())) == len(RUNS)


def test_runs_are_added_all_or_not_at_all(store):
    with pytest.raises(AttributeError):
        store.add("s", [*RUNS, None])
    assert store.states(KEYS) == {}
    store.add("s", RUNS)
    with pytest.raises(AttributeError):
        store.add("s", [RUNS[0], None])
    assert store.counts() == {"s": {"queued": len(RUNS)}}


def test_a_run_passes_through_its_states_and_its_record_comes_back(store):
    store.add("s", RUNS[:1])
    store.start([KEYS[0]], host="here", versions={"torch": "2"}, at=NOW)
    assert store.states(KEYS) == {KEYS[0]: "running"}
    store.finish({KEYS[0]: DONE}, at="2026-01-01T00:00:01.000+00:00")
    row = next(store.rows("s"))
    assert row["spec"] == json.loads(RUNS[0].spec)
    assert row["versions"] == {"torch": "2"}
    assert (row["state"], row["host"]) == ("done", "here")
    assert (row["started"], row["finished"]) == (NOW, "2026-01-01T00:00:01.000+00:00")
    assert (row["result"], row["history"], row["error"]) == (DONE["result"], DONE["history"], None)


def test_every_state_is_kept_and_any_other_is_refused(store, path):
    store.add("s", RUNS)
    for key, state in zip(KEYS, STATES, strict=False):
        error = "a reason" if state == "failed" else None
        store.finish({key: {"state": state, "error": error}}, at=NOW)
    assert list(store.states(KEYS).values()) == [*STATES, "queued"]
    with pytest.raises(StoreError, match="CHECK constraint"):
        store.finish({KEYS[0]: {"state": "finished"}}, at=NOW)
    with pytest.raises(sqlite3.IntegrityError):
        change(path, "UPDATE runs SET state = 'finished'")
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store._write("INSERT INTO members VALUES ('s', 'nobody', 0)")


def test_failed_runs_are_listed_and_only_requested_ones_are_queued_again(store):
    store.add("s", RUNS[:3])
    for key in KEYS[:2]:
        store.finish({key: {"state": "failed", "error": "out of luck"}}, at=NOW)
    store.finish({KEYS[2]: DONE}, at=NOW)
    assert store.failures() == [(KEYS[0], "out of luck"), (KEYS[1], "out of luck")]
    store.requeue_failed([KEYS[1], KEYS[2], "nobody"])
    assert store.states(KEYS) == {KEYS[0]: "failed", KEYS[1]: "queued", KEYS[2]: "done"}
    assert store.failures() == [(KEYS[0], "out of luck")]


def test_artifacts_are_kept_and_replaced(store):
    assert store.artifact("table") is None
    store.keep_artifact("table", [[0.1, 0.9]])
    store.keep_artifact("table", [[0.25, 0.75]])
    assert store.artifact("table") == [[0.25, 0.75]]


def test_a_store_that_is_opened_again_has_its_runs(path):
    with Store(path) as store:
        store.add("s", RUNS)
        store.finish({KEYS[0]: DONE}, at=NOW)
    with Store(path, create=False) as again:
        assert again.states(KEYS)[KEYS[0]] == "done"
    names = [path.name, f"{path.name}.lock"]  # one file, and the lock under which it was created
    assert sorted(file.name for file in path.parent.iterdir()) == names


def test_runs_left_running_are_queued_again_at_the_next_start(path):
    with Store(path) as store:
        store.add("s", RUNS[:2])
        store.start([KEYS[0]], host="h", versions={}, at=NOW)
    with Store(path) as again:
        assert again.states(KEYS)[KEYS[0]] == "running"  # a reader changes nothing
        with again.writer():
            assert again.states(KEYS)[KEYS[0]] == "queued"
            assert next(again.rows())["started"] is None


def test_a_second_writer_is_refused_until_the_first_ends(path):
    with Store(path) as first, Store(path) as second:
        with (
            first.writer(),
            pytest.raises(StoreError, match=r"another process is writing to .*wait until it ends"),
            second.writer(),
        ):
            pass
        with second.writer():
            second.add("s", RUNS)


def start_and_press_ctrl_c(store):
    store.start(KEYS[:2], host="here", versions={}, at=NOW)
    assert store.counts()["s"] == {"queued": len(RUNS) - 2, "running": 2}
    raise KeyboardInterrupt


def test_others_see_whether_a_process_writes(path):
    with Store(path) as first, Store(path) as second:
        assert not second.is_written()
        with first.writer():
            assert second.is_written()
        assert not second.is_written()
        with second.writer():  # looking did not keep the lock
            pass


def test_running_runs_are_queued_again_at_once_after_an_interruption(path):
    with Store(path) as store:
        store.add("s", RUNS)
        with pytest.raises(KeyboardInterrupt), store.writer():
            start_and_press_ctrl_c(store)
        assert set(store.states(KEYS).values()) == {"queued"}


def test_a_store_that_another_process_uses_survives_an_error(path):
    with Store(path) as other, other.writer():
        with pytest.raises(ZeroDivisionError), Store(path):
            raise ZeroDivisionError
        other.add_runs(RUNS)
        other.finish({KEYS[0]: DONE}, at=NOW)
    with Store(path, create=False) as store:
        assert store.states(KEYS)[KEYS[0]] == "done"


def test_a_writer_that_fails_releases_the_store(path):
    with Store(path) as store:
        with pytest.raises(ZeroDivisionError), store.writer():
            raise ZeroDivisionError
        with store.writer():
            store.add("s", RUNS[:1])


def test_anyone_may_read_with_plain_sqlite_while_it_is_written(store, path):
    with store.writer(), store._transaction():
        store.keep_artifact("number", 1)
        assert query(path, "SELECT name, value FROM artifacts") == []  # a consistent state, without waiting
    assert query(path, "SELECT name, value FROM artifacts") == [("number", "1")]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    store.add("s", RUNS)
    rows = query(path, "SELECT json_extract(spec, '$.alpha') FROM runs")
    assert sorted(alpha for (alpha,) in rows) == [0, 0, 0, 1, 1, 1]


def test_a_missing_file_is_created_only_on_request(path):
    with pytest.raises(StoreError, match=r"there is no store at .*Name an existing file"):
        Store(path, create=False)
    assert not path.exists()
    deep = path.parent / "new" / "folder" / "s.sqlite"
    Store(deep).close()
    assert deep.exists()


def test_a_store_of_a_newer_version_is_refused_and_left_alone(path):
    Store(path).close()
    change(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"version {SCHEMA_VERSION + 1}; .*up to version .*Update with"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("table", ["notes", "runs"])
def test_an_sqlite_file_of_another_program_is_refused_and_left_alone(path, version, table):
    change(path, f"CREATE TABLE {table} (x)", f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="SQLite file of another program; choose another"):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"hi", b"alpha,accuracy\n" * 400, bytes(4096)])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"results\.sqlite.*another --store"):
        Store(path)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_created_or_is_at_the_path_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"the folder .*cannot be created: Not a directory"):
        Store(tmp_path / "file" / "deeper" / "s.sqlite")
    with pytest.raises(StoreError, match="is a folder; --store names a file"):
        Store(tmp_path)


def test_a_damaged_store_is_a_store_error_wherever_it_is_read(path):
    with Store(path) as store:
        store.add("s", RUNS)
        store.keep_artifact("big", "x" * 40_000)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    for read in (
        lambda store: list(store.rows()),
        lambda store: list(store.rows("s")),
        lambda store: store.states(KEYS),
        lambda store: store.counts(),
        lambda store: store.failures(),
        lambda store: store.artifact("big"),
        lambda store: store.add("t", RUNS),
    ):
        with pytest.raises(StoreError, match=r"not a valid store.*Restore a copy"), Store(path) as store:
            read(store)


def test_a_full_disk_is_a_store_error_and_the_file_stays_valid(store, path):
    store.add("s", RUNS)
    store.finish({KEYS[0]: DONE}, at=NOW)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    long = {"state": "done", "history": [{"step": step} for step in range(20_000)]}
    with pytest.raises(StoreError, match=r"database or disk is full.*Free some space"):
        store.finish({KEYS[1]: long}, at=NOW)
    with pytest.raises(StoreError, match="full"):
        store.keep_artifact("big", "x" * 10**6)
    many = list(Grid({"dataset": "digits", "n": 100, "model": "mlp1", "alpha": 3}, {"seed": range(900)}))
    with pytest.raises(StoreError, match="full"):
        store.add("many", many)
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert store.counts() == {"s": {"done": 1, "queued": 5}}  # `add` is atomic
    store._connection.execute("PRAGMA max_page_count = 100000")  # space was freed
    store.finish({KEYS[1]: long}, at=NOW)
    assert store.states(KEYS)[KEYS[1]] == "done"


def test_an_unwritable_lock_file_is_a_store_error(store, path):
    path.with_name(path.name + ".lock").unlink()
    path.with_name(path.name + ".lock").mkdir()
    with pytest.raises(StoreError, match="cannot be written: Is a directory"), store.writer():
        pass


def test_a_link_to_a_store_has_the_same_lock(tmp_path):
    with Store(tmp_path / "s.sqlite") as store, store.writer():
        (tmp_path / "link.sqlite").symlink_to(tmp_path / "s.sqlite")
        with (
            Store(tmp_path / "link.sqlite") as linked,
            pytest.raises(StoreError, match="another process is writing"),
            linked.writer(),
        ):
            pass


def test_a_run_whose_worker_died_three_times_has_failed_with_the_last_error(store):
    store.add("s", RUNS[:1])
    assert store.record_crash(KEYS[0], "once.", at="2026-01-01T00:00:01.000+00:00") == "queued"
    assert store.record_crash(KEYS[0], "twice.", at="2026-01-01T00:00:02.000+00:00") == "queued"
    assert store.crashes() == {KEYS[0]: 2}
    assert store.record_crash(KEYS[0], "thrice.", at="2026-01-01T00:00:03.000+00:00") == "failed"
    assert store.failures() == [(KEYS[0], "thrice. That happened 3 times.")]
    assert next(store.rows())["finished"] == "2026-01-01T00:00:03.000+00:00"
    store.requeue_failed(KEYS[:1])
    assert store.crashes() == {}
    assert next(store.rows())["state"] == "queued"


def fork(function):
    """Call a function in a child process and return the id of the process; no store may be open here."""
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os._exit(1)
    return child


def die(path, *keys):
    """Start runs in another process, which dies."""

    def start_and_die():
        with Store(path) as store, store.writer():
            store.start(keys, host="h", versions={}, at=NOW)
            os._exit(3)

    assert os.waitpid(fork(start_and_die), 0)[1] >> 8 == 3


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # torch has threads, SQLite has none


@needs_fork
@forks
def test_a_run_that_was_running_alone_when_the_writer_died_three_times_has_failed(path):
    with Store(path) as store:
        store.add("s", RUNS[:3])
    for _ in range(3):
        die(path, KEYS[0])
    with Store(path) as store, store.writer():
        assert store.states(KEYS[:2]) == {KEYS[0]: "failed", KEYS[1]: "queued"}
        assert "the process that trained this run alone died 3 times" in store.failures()[0][1]
        assert store.runs_that_crashed() == {KEYS[0]}
        assert next(store.rows())["finished"] is not None


@needs_fork
@forks
def test_runs_that_were_running_together_when_the_writer_died_do_not_fail_but_train_alone_later(path):
    with Store(path) as store:
        store.add("s", RUNS)
    for times in range(1, 6):
        die(path, *KEYS[:2])
        with Store(path) as store, store.writer():
            assert store.states(KEYS)[KEYS[0]] == "queued"
            assert store.crashes() == {}
            assert store.runs_that_crashed() == (set(KEYS[:2]) if times >= 2 else set())


def test_a_writer_that_ends_with_an_error_counts_no_crash(path):
    with Store(path) as store:
        store.add("s", RUNS[:1])
        for error in (SystemExit, KeyboardInterrupt, ZeroDivisionError):
            with pytest.raises(error), store.writer():
                start_and_raise(store, error)
            assert store.states(KEYS[:1]) == {KEYS[0]: "queued"}
        assert store.crashes() == {}
        assert store.runs_that_crashed() == set()


def start_and_raise(store, error):
    store.start(KEYS[:1], host="h", versions={}, at=NOW)
    raise error


def test_a_log_that_another_process_deletes_at_this_moment_is_no_error(path, monkeypatch):
    Store(path).close()
    log = path.with_name(f"{path.name}-wal")
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: self.name == log.name or exists(self))
    Store(path, create=False).close()


@needs_fork
@forks
def test_several_processes_may_create_one_store_at_once(path):
    def create():
        Store(path).close()
        os._exit(0)

    children = [fork(create) for _ in range(8)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    Store(path, create=False).close()


def test_the_lock_file_is_neither_truncated_nor_followed_if_it_is_a_link(store, path, tmp_path):
    lock = path.with_name(f"{path.name}.lock")
    lock.write_text("notes of somebody")
    with store.writer():
        pass
    assert lock.read_text() == "notes of somebody"
    lock.unlink()
    (tmp_path / "precious").write_text("data")
    lock.symlink_to(tmp_path / "precious")
    with pytest.raises(StoreError, match="cannot be written"), store.writer():
        pass
    assert (tmp_path / "precious").read_text() == "data"


def test_a_store_has_a_short_repr(store, path):
    assert repr(store) == f"Store({str(path)!r})"


@pytest.fixture
def read_only_disk(monkeypatch):
    """Make every file and folder read-only for this process, also for root, who may write anywhere."""
    monkeypatch.setattr("dilution.study.store_file.os.access", lambda _, mode: mode != os.W_OK)


def test_a_store_on_a_read_only_disk_is_read_and_nothing_is_written_beside_it(path, request):
    with Store(path) as store:
        store.add("s", RUNS)
        store.finish({KEYS[0]: DONE}, at=NOW)
    request.getfixturevalue("read_only_disk")
    before = {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}
    with Store(path, create=False) as store:
        assert store.counts() == {"s": {"done": 1, "queued": len(RUNS) - 1}}
        assert len(list(store.rows("s"))) == len(RUNS)
        with pytest.raises(StoreError, match="cannot be used"):
            store.add("t", RUNS)
    assert {entry.name: entry.read_bytes() for entry in path.parent.iterdir()} == before


def test_a_store_with_a_log_on_a_read_only_disk_says_what_to_copy(path, read_only_disk):
    with Store(path) as store:
        store.add("s", RUNS)
        with pytest.raises(StoreError, match=r"results\.sqlite-wal.*Copy both files"):
            Store(path, create=False)


def test_an_older_store_on_a_read_only_disk_must_be_copied(path, read_only_disk):
    with Store(path):
        pass
    change(path, "PRAGMA user_version = 2", "PRAGMA journal_mode = DELETE")
    with pytest.raises(StoreError, match=r"version 2.*Copy it to another folder"):
        Store(path, create=False)
