"""A store of somebody else is data: nothing in its schema runs, and no row is taken on trust."""

import json
import sqlite3
import threading
import time
from contextlib import closing

import pytest
from stores import DONE, KEYS, NOW, RUNS

from dilution.errors import StoreError
from dilution.study import schema
from dilution.study.measures import FRACTION_MEASURES, INTEGER_MEASURES, MEASURES, broken_rule
from dilution.study.store import Store


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "results.sqlite"
    with Store(path) as store:
        store.add("s", RUNS[:2])
        store.finish({KEYS[0]: DONE}, at=NOW)
    return path


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def forge(path, **columns):
    """Change columns of the first run and give it the checksum that fits."""
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("checksum", -1, schema.checksum)
        for name, value in columns.items():
            connection.execute(f"UPDATE runs SET {name} = ? WHERE key = ?", (value, KEYS[0]))
        connection.execute(schema.renew_checksums("key = ?"), (KEYS[0],))
        connection.commit()


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
FOREIGN = {
    "trigger": "CREATE TRIGGER t AFTER UPDATE ON runs BEGIN UPDATE runs SET error = 'x'; END",
    "view": f"CREATE VIEW v AS {ENDLESS}",
    "table": "CREATE TABLE notes (text)",
    "index": "CREATE INDEX i ON runs (error)",
    "virtual table": "CREATE VIRTUAL TABLE f USING fts5(text)",
}


@pytest.mark.parametrize("statement", FOREIGN.values(), ids=FOREIGN)
def test_what_a_store_does_not_have_is_refused_by_name(path, statement):
    execute(path, statement)
    name = statement.split()[2] if "VIRTUAL" not in statement else "f"
    with pytest.raises(StoreError, match=rf"not as this program makes a store.*\b{name}\b"):
        Store(path)


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP INDEX runs_by_state"],
        ["DROP INDEX runs_by_state", "CREATE INDEX runs_by_state ON runs (error)"],
        ["ALTER TABLE studies ADD COLUMN more TEXT"],
    ],
)
def test_a_schema_that_was_changed_is_refused(path, statements):
    execute(path, *statements)
    with pytest.raises(StoreError, match=r"(runs_by_state|studies).* added, missing or changed"):
        Store(path)


def test_a_view_of_results_that_never_ends_is_made_anew(path):
    execute(path, "DROP VIEW results", f"CREATE VIEW results AS {ENDLESS}")
    with Store(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM results").fetchone() == (2,)


def test_statistics_of_sqlite_are_no_fault(path):
    execute(path, "ANALYZE")
    with Store(path) as store:
        assert len(list(store.rows())) == 2


FORGED = {
    "accuracy": ({"result": json.dumps(DONE["result"] | {"test_acc_last": 7})}, "test_acc_last is 7; .*0, 1"),
    "text": ({"result": json.dumps(DONE["result"] | {"seconds": "1; DROP"})}, "seconds is '1; DROP'"),
    "no object": ({"result": "[1]"}, "its result is"),
    "settings": ({"spec": '{"dataset": "digits", "n": -3, "model": "mlp1"}'}, "its settings: n"),
    "no settings": ({"spec": "3"}, "its settings are 3"),
    "history": ({"history": '[{"step": "x"}]'}, "step in its history is 'x'"),
    "history of numbers": ({"history": "[1, 2]"}, "no list of evaluations"),
    "versions": ({"versions": '{"torch": [1]}'}, "its versions are"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "message"), FORGED.values(), ids=FORGED)
def test_a_forged_row_is_refused_though_its_checksum_fits(path, columns, message):
    forge(path, **columns)
    with Store(path) as store, pytest.raises(StoreError, match=message):
        list(store.rows())


def test_a_cell_of_unreasonable_size_is_not_read(path, monkeypatch):
    forge(path, error="x" * 100_000)
    monkeypatch.setattr("dilution.study.store_file._MAX_CELL", 50_000)
    with Store(path) as store, pytest.raises(StoreError, match="too big"):
        list(store.rows())


def test_ctrl_c_ends_a_long_query(path):
    def press():
        time.sleep(0.2)
        store._connection.interrupt()

    with Store(path) as store:
        threading.Thread(target=press).start()
        with pytest.raises(KeyboardInterrupt):
            list(store._read(f"{ENDLESS} LIMIT 1000000000"))


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_has_a_rule_that_refuses_something(name):
    assert broken_rule(name, None) is None
    assert broken_rule(name, []) is not None
    assert broken_rule(name, -2) is not None
    if name in FRACTION_MEASURES:
        assert broken_rule(name, 1) is None
        assert broken_rule(name, 1.001) is not None
    if name in INTEGER_MEASURES:
        assert broken_rule(name, 3) is None
        assert broken_rule(name, 3.5) is not None
