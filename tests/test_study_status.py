"""The status of a store vouches for what it counts: a row that reading its results refuses is refused."""

import sqlite3
from contextlib import closing

import pytest
from stores import DONE, KEYS, NOW, RUNS
from typer.testing import CliRunner

from dilution.cli import app
from dilution.errors import StoreError
from dilution.study import schema
from dilution.study.status import read_status
from dilution.study.store import Store


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.add("s", RUNS[:4])
        store.add("t", RUNS[2:])
        store.finish(dict.fromkeys(KEYS[:3], DONE), at=NOW)
    return path


def forge(path, key, statement, *, fits=True):
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("checksum", -1, schema.checksum)
        connection.execute(f"UPDATE runs SET {statement} WHERE key = ?", (key,))
        if fits:
            connection.execute(schema.renew_checksums("key = ?"), (key,))
        connection.commit()


def status(path):
    return CliRunner().invoke(app, ["status", "--store", str(path)])


def test_runs_are_counted_per_study_and_state(path):
    assert status(path).output.splitlines()[:2] == ["s: 1 queued, 3 done", "t: 3 queued, 1 done"]


FORGERIES = {
    "settings of another run": ("spec = json_set(spec, '$.n', 1000)", "settings are those of another run"),
    "impossible measure": ("""result = '{"test_acc_last": 7}'""", r"must be a number in [0, 1]"),
    "history": ("""history = '[{"step": "x"}]'""", "in its history is 'x'; it must be a number"),
    "versions": ("versions = '[]'", "its versions are []"),
    "time": ("started = 'yesterday'", "started is 'yesterday'"),
}


@pytest.mark.parametrize(("statement", "message"), FORGERIES.values(), ids=FORGERIES)
def test_a_forged_row_is_reported_as_reading_reports_it(path, statement, message):
    forge(path, KEYS[2], statement)
    with Store(path, create=False) as store, pytest.raises(StoreError) as refused:
        list(store.rows())
    result = status(path)
    assert (result.exit_code, result.output) == (2, f"error: {refused.value}\n")
    assert message in result.output


def test_a_row_without_its_checksum_is_reported(path):
    forge(path, KEYS[1], "error = 'x'", fits=False)
    result = status(path)
    assert result.exit_code == 2
    assert result.output.startswith(f"error: run {KEYS[1]} in ")


@pytest.mark.parametrize("key", KEYS[:3])
def test_each_row_is_checked(path, key):
    forge(path, key, "spec = json_set(spec, '$.n', 1000)")
    with Store(path, create=False) as store, pytest.raises(StoreError, match=key):
        read_status(store)
