"""Six runs to put into a store, and access to its file by plain SQLite."""

import sqlite3

from dilution.study import Grid

RUNS = list(Grid({"dataset": "digits", "n": 100, "model": "mlp1"}, {"alpha": [0, 1], "seed": [0, 1, 2]}))
KEYS = [run.key for run in RUNS]
NOW = "2026-01-01T00:00:00.000+00:00"
DONE = {"state": "done", "result": {"test_acc_last": 0.5}, "history": [{"step": 1, "test_acc": 0.5}]}


def query(path, statement):
    """Return the rows of a query with plain SQLite, as any program with the file could."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def change(path, *statements):
    """Execute statements with plain SQLite."""
    connection = sqlite3.connect(path)
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()
