"""The layout of a store: its tables, the view for readers, and the way there from older versions.

Tables
------
runs
    One row a run: ``key`` (content hash), ``spec`` (JSON of every setting), ``state``, ``host``,
    ``versions`` (JSON), ``started`` and ``finished`` (UTC, ISO 8601), ``result`` (JSON of the measures),
    ``history`` (JSON, one object an evaluation), ``error``, ``crashes`` (how often what trained it died while
    it trained alone), ``cut_off`` (how often the driver died while it trained beside others) and ``checksum`` (see :func:`checksum`).
studies
    The name of each study; that of a figure without runs is here alone.
members
    Which study a run belongs to, and its position there; a run may belong to several.
artifacts
    What runs share and is measured once, by name (JSON), with a checksum too.

The view ``results`` has one row a run and a column for each setting and measure. It is for readers:
``SELECT alpha, test_acc_at_best_clean_val FROM results WHERE state = 'done'``.
"""

import hashlib
import json
import sqlite3

from dilution.study.run_spec import LATER, Run
from dilution.utils import migration

SCHEMA_VERSION = 3
STATES = ("queued", "running", "done", "failed", "diverged")
TABLES = {"runs", "studies", "members", "artifacts"}

MEASURES = (
    "alpha_expected",
    "alpha_empirical",
    "noise_rate_expected",
    "noise_rate_empirical",
    "test_acc_last",
    "test_acc_at_best_clean_val",
    "test_acc_top5",
    "test_acc_at_best_noisy_val",
    "test_acc_max",
    "val_acc_clean",
    "step_at_best_clean_val",
    "step_at_best_noisy_val",
    "steps_done",
    "n_available",
    "n_test",
    "majority_share",
    "seconds",
    "group_size",
    "device",
    "diverged_at",
    "image_note",
)
"""What a run that ended has measured, in the order of the table of results."""

CHECKED = ("key", "spec", "state", "result", "history", "error")
"""The columns that the checksum of a run covers."""

_RUNS = f"""
CREATE TABLE runs (
    key TEXT PRIMARY KEY,
    spec TEXT NOT NULL CHECK (json_valid(spec)),
    state TEXT NOT NULL CHECK (state IN {STATES}),
    host TEXT, versions TEXT, started TEXT, finished TEXT,
    result TEXT CHECK (result IS NULL OR json_valid(result)),
    history TEXT CHECK (history IS NULL OR json_valid(history)),
    error TEXT,
    crashes INTEGER NOT NULL DEFAULT 0,
    cut_off INTEGER NOT NULL DEFAULT 0,
    checksum TEXT NOT NULL,
    CHECK (state <> 'failed' OR error IS NOT NULL),
    CHECK (state NOT IN ('done', 'diverged') OR result IS NOT NULL)
) STRICT;
CREATE INDEX runs_by_state ON runs (state);
CREATE INDEX states_of_runs ON runs (key, state); -- counting them then reads no results
CREATE INDEX crashed_runs ON runs (key) WHERE crashes > 0 OR cut_off > 0;
"""

_OTHERS = """
CREATE TABLE studies (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE members (
    study TEXT NOT NULL REFERENCES studies (name),
    key TEXT NOT NULL REFERENCES runs (key),
    position INTEGER NOT NULL,
    PRIMARY KEY (study, key)
) STRICT;
"""
_ARTIFACTS = """
CREATE TABLE artifacts (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;
"""


def checksum(*parts: str | None) -> str:
    """Return the checksum of texts: of the columns :data:`CHECKED` of a run, or of an artifact.

    A file system may hand back other bytes than were written, which SQLite does not notice. A row with a
    wrong checksum is reported and not read.
    """
    text = "\x1f".join("\x00" if part is None else part for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def renew_checksums(where: str) -> str:
    """Return the statement that renews the checksums of the runs that a condition selects."""
    return f"UPDATE runs SET checksum = checksum({', '.join(CHECKED)}) WHERE {where}"


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of a new store."""
    connection.executescript(f"BEGIN IMMEDIATE; {_RUNS} {_OTHERS} {_ARTIFACTS} {_VIEW} {_number()} COMMIT;")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a store of an older version to this one, all of it or nothing.

    Names of version 0.1 become those of today, and with them the keys of runs. A row whose checksum was
    wrong keeps a wrong one, so that it is reported when it is read.
    """
    connection.execute("PRAGMA foreign_keys = OFF")  # tables that refer to each other are renamed
    connection.execute(
        "PRAGMA legacy_alter_table = ON"
    )  # a renamed table keeps the references to its old name
    tables = ("runs", "studies", "members", "artifacts")
    rename = "".join(f"ALTER TABLE {name} RENAME TO older_{name};" for name in tables)
    drop = "".join(f"DROP TABLE older_{name};" for name in tables)
    indexes = "".join(
        f"DROP INDEX IF EXISTS {name};" for name in ("runs_by_state", "states_of_runs", "suspects")
    )
    try:
        connection.execute("BEGIN IMMEDIATE")
        _execute(
            connection, f"DROP VIEW IF EXISTS results; {indexes} {rename} {_RUNS} {_OTHERS} {_ARTIFACTS}"
        )
        _convert_rows(connection, with_checksums=version >= 2)
        _execute(connection, f"{drop} {_VIEW} {_number()} COMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")


def _execute(connection: sqlite3.Connection, script: str) -> None:
    """Execute the statements of a script within the transaction; ``executescript`` would commit it first."""
    for statement in filter(str.strip, script.split(";")):
        connection.execute(statement)


def _convert_rows(connection: sqlite3.Connection, *, with_checksums: bool) -> None:
    """Copy every row of the older tables under today's names."""
    counters, checked = ("crashes, cut_off", "seal") if with_checksums else ("0, 0", "NULL")
    columns = "key, spec, state, result, history, error, host, versions, started, finished"
    keys: dict[str, str] = {}
    rows = connection.execute(f"SELECT {columns}, {counters}, {checked} FROM older_runs ORDER BY rowid")
    for *cells, crashes, cut_off, seal in rows.fetchall():
        intact = seal is None or seal == checksum(*cells[:6])
        old_key, spec, state, result, history, error, *rest = cells
        run = Run.of(**migration.new_settings(json.loads(spec)))
        keys[old_key] = run.key
        if state == "failed" and error is None:  # version 1 allowed it
            error = "no reason was kept"
        if result is not None:
            result = json.dumps(migration.new_result(json.loads(result)))
        if history is not None:
            history = json.dumps(migration.new_history(json.loads(history)))
        covered = (run.key, run.spec, state, result, history, error)
        connection.execute(
            f"INSERT INTO runs ({columns}, crashes, cut_off, checksum) VALUES ({', '.join('?' * 13)})",
            (*covered, *rest, crashes, cut_off, checksum(*covered) if intact else "damaged"),
        )
    for (study,) in connection.execute("SELECT name FROM older_studies ORDER BY rowid").fetchall():
        connection.execute("INSERT INTO studies VALUES (?)", (migration.new_study(study),))
    for study, key, position in connection.execute(
        "SELECT study, key, position FROM older_members"
    ).fetchall():
        row = (migration.new_study(study), keys.get(key, key), position)
        connection.execute("INSERT INTO members VALUES (?, ?, ?)", row)
    checked = "seal" if with_checksums else "NULL"
    for name, value, seal in connection.execute(
        f"SELECT name, value, {checked} FROM older_artifacts"
    ).fetchall():
        intact = seal is None or seal == checksum(name, value)
        name = migration.new_artifact(name)
        row = (name, value, checksum(name, value) if intact else "damaged")
        connection.execute("INSERT INTO artifacts VALUES (?, ?, ?)", row)


def view_is_current(connection: sqlite3.Connection) -> bool:
    """Return whether the view has the columns of this version: new settings do not change the tables."""
    found = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'results'").fetchone()
    return found is not None and found[0] == _VIEW_AS


def renew_view(connection: sqlite3.Connection) -> None:
    """Give the view the columns of this version."""
    connection.executescript(f"BEGIN IMMEDIATE; {_VIEW} COMMIT;")


def _number() -> str:
    return f"PRAGMA user_version = {SCHEMA_VERSION};"


def _columns() -> str:
    """Return the columns of the view, as SQL."""
    settings = [
        f"coalesce(json_extract(spec, '$.{name}'), {_literal(LATER[name])}) AS \"{name}\""
        if name in LATER
        else f"json_extract(spec, '$.{name}') AS \"{name}\""
        for name in Run.model_fields
    ]
    measures = [f"json_extract(result, '$.{name}') AS {name}" for name in MEASURES]
    ended = ["error", "crashes", "cut_off", "host", "versions", "started", "finished"]
    return ", ".join(["key", "state", *settings, *measures, *ended])


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(int(value))  # type: ignore[call-overload]


_VIEW_AS = f"CREATE VIEW results AS SELECT {_columns()} FROM runs"
_VIEW = f"DROP VIEW IF EXISTS results; {_VIEW_AS};"
