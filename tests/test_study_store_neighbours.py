"""Files beside a store: SQLite would obey a journal, follow a link, and wait for a pipe."""

import os
import shutil
import sqlite3
import struct
from contextlib import closing

import pytest
from stores import DONE, KEYS, NOW, RUNS
from typer.testing import CliRunner

from dilution.cli import app
from dilution.errors import StoreError
from dilution.study.store import Store

MAGIC = bytes.fromhex("d9d505f920a163d7")
SECTOR, PAGE = 512, 4096


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.add("s", RUNS[:2])
        store.finish({KEYS[0]: DONE}, at=NOW)
    return path


def beside(path, suffix):
    return path.with_name(path.name + suffix)


def hot_journal(store, named):
    """Return a journal of no pages that names a file as its super-journal, which SQLite deletes."""
    name = os.fsencode(named)
    numbers = (0, 0, store.stat().st_size // PAGE, SECTOR, PAGE)
    header = (MAGIC + struct.pack(">5I", *numbers)).ljust(SECTOR, b"\0")
    total = sum(struct.unpack(f"{len(name)}b", name)) & 0xFFFFFFFF
    lock_page = struct.pack(">I", 0x40000000 // PAGE + 1)
    return header + lock_page + name + struct.pack(">II", len(name), total) + MAGIC


@pytest.fixture
def precious(tmp_path):
    precious = tmp_path / "precious.txt"
    precious.write_text("my thesis")
    return precious


def test_the_journal_of_this_test_makes_sqlite_delete_a_file(path, precious):
    beside(path, "-journal").write_bytes(hot_journal(path, precious))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT count(*) FROM runs").fetchone()
    assert not precious.exists()


COMMANDS = {
    "status": ["status", "--store", "{store}"],
    "export": ["export", "{folder}/runs.csv", "--store", "{store}"],
    "import": ["import", "{folder}/table.csv", "--store", "{store}"],
    "merge into": ["merge", "{store}", "{other}"],
    "merge from": ["merge", "{other}", "{store}"],
    "show": ["show", "run", KEYS[0], "--store", "{store}"],
    "claims": ["claims", "{store}"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_no_command_obeys_a_journal_that_names_a_file_of_the_user(path, precious, words):
    other = path.with_name("other.sqlite")
    shutil.copy(path, other)
    with Store(other):
        pass
    beside(path, "-journal").write_bytes(hot_journal(path, precious))
    before = path.read_bytes()
    names = {"store": path, "folder": path.parent, "other": other}
    result = CliRunner().invoke(app, [word.format(**names) for word in words])
    assert result.exit_code == 2
    assert "results.sqlite-journal lies beside the store" in result.output
    assert precious.read_text() == "my thesis"
    assert path.read_bytes() == before


def test_a_link_to_a_store_is_refused_for_the_journal_beside_the_store(path, precious, tmp_path):
    beside(path, "-journal").write_bytes(hot_journal(path, precious))
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.sqlite"
    link.symlink_to(path)
    with pytest.raises(StoreError, match=r"results\.sqlite-journal lies beside"):
        Store(link)
    assert precious.exists()


KINDS = {
    "link": lambda path, precious: path.symlink_to(precious),
    "link to nothing": lambda path, precious: path.symlink_to(precious.with_name("nothing")),
    "second name": lambda path, precious: path.hardlink_to(precious),
    "folder": lambda path, _: path.mkdir(),
    "pipe": lambda path, _: os.mkfifo(path),
    "device": lambda path, _: path.symlink_to("/dev/zero"),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
def test_what_lies_beside_a_store_must_be_a_file_of_its_own(path, precious, suffix, kind, create):
    KINDS[kind](beside(path, suffix), precious)
    with pytest.raises(StoreError, match=rf"results\.sqlite{suffix} .*another --store"):
        Store(path, create=create)
    assert precious.read_text() == "my thesis"
    assert os.path.lexists(beside(path, suffix))


def test_the_log_of_a_store_that_is_gone_is_not_copied_into_a_new_one(path):
    with Store(path) as store:
        store.add("t", RUNS)
        log = beside(path, "-wal").read_bytes()
    path.unlink()
    beside(path, "-wal").write_bytes(log)
    with pytest.raises(StoreError, match="changes of a store that is not there any more"):
        Store(path)
    assert beside(path, "-wal").read_bytes() == log
    assert not path.exists()


def test_a_log_of_a_writer_that_died_is_read(path):
    with Store(path) as store:
        store.add("t", RUNS)
        for suffix in ("", "-wal"):
            shutil.copy(beside(path, suffix), path.with_name(f"copy.sqlite{suffix}"))
    with Store(path.with_name("copy.sqlite"), create=False) as copy:
        assert copy.counts()["t"] == {"queued": len(RUNS) - 1, "done": 1}


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_a_store_has_the_rights_of_the_users_umask(tmp_path, umask, mode):
    path = tmp_path / "results.sqlite"
    before = os.umask(umask)
    try:
        with Store(path) as store, store.writer():
            store.add("s", RUNS)
            names = sorted(path.parent.iterdir())
            assert [file.name for file in names] == [path.name + end for end in ("", "-shm", "-wal", ".lock")]
            assert [oct(file.stat().st_mode & 0o777) for file in names] == [oct(mode)] * 4
    finally:
        os.umask(before)


def test_no_journal_ever_lies_beside_a_store_even_if_its_mode_was_changed(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    with Store(path) as store, store.writer(atomic=True):
        store.add("t", RUNS)
        assert not beside(path, "-journal").exists()
        assert beside(path, "-wal").exists()


def test_a_store_named_as_memory_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store(":memory:") as store:
        store.add("s", RUNS)
    with Store(":memory:", create=False) as store:
        assert store.counts() == {"s": {"queued": len(RUNS)}}


def test_a_store_that_cannot_be_created_leaves_nothing(tmp_path, monkeypatch):
    def fail(connection):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("dilution.study.schema.create", fail)
    with pytest.raises(StoreError, match="disk is full"):
        Store(tmp_path / "results.sqlite")
    assert [file.name for file in tmp_path.iterdir()] == ["results.sqlite.lock"]
