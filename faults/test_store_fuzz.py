"""Stores of strangers: 300 changed schemas and rows end in a sentence, within limits set from outside."""

import json
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from dilution.study import Grid, schema
from dilution.study.store import Store

RUNS = list(Grid({"dataset": "digits", "n": 100, "model": "mlp1"}, {"alpha": [0, 1], "seed": [0, 1]}))
DONE = {"state": "done", "result": {"test_acc_last": 0.5, "test_acc_at_best_clean_val": 0.5}}
CASES, BATCH = 300, 30
MEMORY, SECONDS = 4 << 30, 120
DIGITS, DEEP = "9" * 5000, "[" * 100_000
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"

# Reads the stores it is given, as status, export and claims do; prints one word for each.
READ = """
import sys
from contextlib import suppress
from dilution import DilutionError
from dilution.figures.store_report import judge_claims
from dilution.report.provenance import made_by
from dilution.study.results import histories, table
from dilution.study.store import Store
for path in sys.argv[1:]:
    try:
        with Store(path, create=False) as store:
            frame = table(store)
            histories(store)
            store.counts(), store.failures(), list(store.artifacts()), store.other_code_notes()
            accuracy = frame["test_acc_last"].dropna()
            assert accuracy.between(0, 1).all(), accuracy
        with suppress(DilutionError):  # the study is no figure
            judge_claims(path)
        made_by("report", {"s": frame})
        print("read")
    except DilutionError as error:
        assert str(error).count("\\n") == 0 and len(str(error)) < 2000, error
        print("refused")
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "sound.sqlite"
    with Store(path) as store:
        store.add("s", RUNS)
        keys, at = [RUNS[0].key, RUNS[1].key], "2026-01-01T00:00:00.000+00:00"
        store.start(keys, host="h", versions={"dilution": "0.2", "torch": "2"}, at=at)
        store.finish(dict.fromkeys(keys, DONE), at=at)
        store.keep_artifact("a", [1, 2])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


def values(rng):
    """Return a value that a column or a measure may get."""
    return rng.choice([
        None, "", "x", "\x00", "\ud7ff", -1, 7, 2**62, 1e308, float("inf"), [], {}, [[1]], {"a": {}},
        "0.5", "1; DROP TABLE runs", "x" * 100_000, "digits", "deep", "\n\n", "a\nerror: forged\x1b[31m",
    ])  # fmt: skip


def change_schema(connection, rng):
    """Add, drop or change an object of the schema."""
    name = rng.choice(["t", "results2", "runs2", "sqlite", "x y", "checksum"])
    table = rng.choice(sorted(schema.TABLES))
    event = rng.choice(["INSERT", "UPDATE", "DELETE"])
    connection.execute(rng.choice([
        f'CREATE TRIGGER "{name}" {rng.choice(["BEFORE", "AFTER"])} {event} ON {table} '
        "BEGIN UPDATE runs SET error = 'forged'; END",
        f'CREATE VIEW "{name}" AS {ENDLESS}',
        f'CREATE TABLE "{name}" (x {rng.choice(["INTEGER", "TEXT", "BLOB"])} DEFAULT (random()))',
        f"CREATE INDEX more ON {table} ({'name' if table in ('studies', 'artifacts') else 'key'})",
        f"ALTER TABLE {table} ADD COLUMN extra TEXT",
        f"ALTER TABLE {table} RENAME TO older",
        "DROP INDEX runs_by_state",
        "DROP VIEW results",
        f"PRAGMA user_version = {rng.choice([0, 1, 2, 4, 99, -1])}",
    ]))  # fmt: skip
    if rng.random() < 0.3:
        connection.execute("DROP VIEW IF EXISTS results")
        connection.execute(f"CREATE VIEW results AS {ENDLESS}")


def change_row(connection, rng):
    """Change a cell of a run, or a value inside its JSON, under a checksum that fits."""
    connection.execute("PRAGMA ignore_check_constraints = ON")
    column = rng.choice(
        ["spec", "state", "result", "history", "error", "host", "versions", "started", "finished"]
    )
    value = values(rng)
    if column in ("spec", "result") and rng.random() < 0.7:
        (text,) = connection.execute(f"SELECT {column} FROM runs WHERE key = ?", (RUNS[0].key,)).fetchone()
        content = json.loads(text)
        content[rng.choice([*content, "more"])] = value
        value = content
    text = value if isinstance(value, str | None) else json.dumps(value)
    text = None if text is None else text.replace('"digits"', DIGITS).replace('"deep"', DEEP)
    connection.execute(f"UPDATE runs SET {column} = ? WHERE key = ?", (text, RUNS[0].key))
    connection.create_function("checksum", -1, schema.checksum)
    connection.execute(schema.renew_checksums("key = ?"), (RUNS[0].key,))


def change_bytes(path, rng):
    """Change some bytes of the file."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 50])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])


def changed(sound, folder, seed):
    """Return a copy of the sound store with one change."""
    rng = random.Random(seed)
    path = folder / f"{seed}.sqlite"
    shutil.copy(sound, path)
    if seed % 3 == 2:
        change_bytes(path, rng)
        return path
    with closing(sqlite3.connect(path)) as connection:
        try:
            (change_schema if seed % 3 else change_row)(connection, rng)
        except sqlite3.Error:  # SQLite itself refuses the change: the store stays as it was
            connection.rollback()
        connection.commit()
    return path


def limit():
    """Limit memory and processor time, as a container would."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


@pytest.mark.parametrize("first", range(0, CASES, BATCH))
def test_every_changed_store_is_read_or_refused_in_a_sentence(tmp_path, sound, first):
    paths = [changed(sound, tmp_path, seed) for seed in range(first, first + BATCH)]
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ, *map(str, paths)],
        capture_output=True, text=True, timeout=10 * SECONDS, preexec_fn=limit, check=False,
    )  # fmt: skip
    words = process.stdout.split()
    assert process.returncode == 0, f"store {first + len(words)}: {process.stderr[-2000:]}"
    assert len(words) == BATCH
    assert set(words) == {"read", "refused"}
