"""The layout of a store: its tables, the view for readers, and the conversion of older versions.

Tables
------
runs
    One row per run: ``key`` (content hash), ``spec`` (JSON of every setting), ``state``, ``host``,
    ``versions`` (JSON), ``started`` and ``finished`` (UTC, ISO 8601), ``result`` (JSON of the
    measures), ``history`` (JSON, one object per evaluation), ``error``, ``crashes`` (deaths of the
    process that trained it alone), ``shared_crashes`` (deaths of the process that wrote the store
    while several runs were running) and ``checksum`` (see :func:`checksum`).
studies
    The name of each study. A figure without runs has a row here and none in members.
members
    The runs of each study with their position; a run may belong to several studies.
artifacts
    Values that runs share and that are measured once: name, value (JSON) and checksum.

The view ``results`` has one row per run and one column per setting and measure. It is for readers:
``SELECT alpha, test_acc_at_best_clean_val FROM results WHERE state = 'done'``.
"""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing

from dilution.study.measures import MEASURES
from dilution.study.run_spec import ADDED_SETTINGS, Run
from dilution.utils import migration
from dilution.utils.strict_json import parse_json

SCHEMA_VERSION = 3
STATES = ("queued", "running", "done", "failed", "diverged")
TABLES = {"runs", "studies", "members", "artifacts"}

CHECKSUM_COLUMNS = ("key", "spec", "state", "result", "history", "error")
"""Columns that the checksum of a run covers."""

_DAMAGED = "damaged"  # a checksum that no row has

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
    shared_crashes INTEGER NOT NULL DEFAULT 0,
    checksum TEXT NOT NULL,
    CHECK (state <> 'failed' OR error IS NOT NULL),
    CHECK (state NOT IN ('done', 'diverged') OR result IS NOT NULL)
) STRICT;
CREATE INDEX runs_by_state ON runs (state);
CREATE INDEX states_of_runs ON runs (key, state); -- counting them then reads no results
CREATE INDEX crashed_runs ON runs (key) WHERE crashes > 0 OR shared_crashes > 0;
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
    """Return the checksum of texts: the columns :data:`CHECKSUM_COLUMNS` of a run, or an artifact.

    A file system may return other bytes than were written, which SQLite does not notice. A row with
    a wrong checksum is reported and not read.
    """
    # a damaged file may have a number in a column of texts
    text = "\x1f".join("\x00" if part is None else str(part) for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def renew_checksums(where: str) -> str:
    """Return the SQL statement that renews the checksums of the runs that a condition selects."""
    return f"UPDATE runs SET checksum = checksum({', '.join(CHECKSUM_COLUMNS)}) WHERE {where}"


def create(connection: sqlite3.Connection) -> None:
    """Create the tables of a new store."""
    connection.executescript(
        f"BEGIN IMMEDIATE; {_RUNS} {_OTHERS} {_ARTIFACTS} {_VIEW} {_set_version()} COMMIT;"
    )


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Convert a store of an older version to this one, either completely or not at all.

    Names of version 0.1 become those of today, and with them the keys of runs. A row whose checksum
    was wrong keeps a wrong one, so that it is reported when it is read.
    """
    connection.execute("PRAGMA foreign_keys = OFF")  # tables that refer to each other are renamed
    connection.execute("PRAGMA legacy_alter_table = ON")  # references keep the old name of a table
    rename = "".join(f"ALTER TABLE {name} RENAME TO older_{name};" for name in sorted(TABLES))
    drop = "".join(f"DROP TABLE older_{name};" for name in sorted(TABLES))
    indexes = "".join(f"DROP INDEX IF EXISTS {name};" for name in migration.INDEXES)
    try:
        connection.execute("BEGIN IMMEDIATE")
        _execute(connection, f"DROP VIEW IF EXISTS results; {indexes} {rename}")
        _execute(connection, f"{_RUNS} {_OTHERS} {_ARTIFACTS}")
        keys = _convert_runs(connection, version)
        _convert_studies(connection, keys)
        _convert_artifacts(connection, version)
        _execute(connection, f"{drop} {_VIEW} {_set_version()} COMMIT;")
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


def _convert_runs(connection: sqlite3.Connection, version: int) -> dict[str, str]:
    """Copy the older runs under today's names and return old key → key."""
    older = migration.RUN_COUNTERS if version >= 2 else "0, 0, NULL"  # version 1 had none of these
    columns = "key, spec, state, result, history, error, host, versions, started, finished"
    keys: dict[str, str] = {}
    rows = connection.execute(f"SELECT {columns}, {older} FROM older_runs ORDER BY rowid").fetchall()
    for *cells, crashes, shared_crashes, old_checksum in rows:
        covered, circumstances = cells[:6], cells[6:]
        new_checksum = _DAMAGED
        try:
            converted = _convert_run(*covered)
            if old_checksum is None or old_checksum == checksum(*covered):
                new_checksum = checksum(*converted)
        except (ValueError, TypeError, AttributeError):  # damaged JSON or settings: reported when it is read
            converted = _placeholder(*covered)
        keys[covered[0]] = converted[0]
        connection.execute(
            f"INSERT INTO runs ({columns}, crashes, shared_crashes, checksum) VALUES ({', '.join('?' * 13)})",
            (*converted, *circumstances, crashes, shared_crashes, new_checksum),
        )
    return keys


_Covered = tuple[str, str, str, str | None, str | None, str | None]
"""The columns that a checksum covers."""


def _convert_run(
    key: str, spec: str, state: str, result: str | None, history: str | None, error: str | None
) -> _Covered:
    """Return the columns of a run of version 0.1 under today's names."""
    del key
    run = Run.of(**migration.new_settings(parse_json(spec)))
    if state not in STATES:
        raise ValueError(f"{state} is not a state")
    if state == "failed" and not (error or "").strip():  # version 1 allowed it
        error = "no reason was kept"
    if result is not None:
        result = json.dumps(migration.new_result(parse_json(result)), allow_nan=False)
    if history is not None:
        history = json.dumps(migration.new_history(parse_json(history)), allow_nan=False)
    return run.key, run.spec, state, result, history, error


def _placeholder(
    key: str, spec: str, state: str, result: str | None, history: str | None, error: str | None
) -> _Covered:
    """Return columns that the tables accept for a damaged run, which is never read."""
    del spec, result, history
    return key, "{}", state if state in STATES else "queued", "{}", "[]", (error or "").strip() or "damaged"


def _convert_studies(connection: sqlite3.Connection, keys: Mapping[str, str]) -> None:
    """Copy the older studies and their members under today's names."""
    for (study,) in connection.execute("SELECT name FROM older_studies ORDER BY rowid").fetchall():
        connection.execute("INSERT INTO studies VALUES (?)", (migration.new_study(study),))
    rows = connection.execute("SELECT study, key, position FROM older_members").fetchall()
    for study, key, position in rows:
        row = (migration.new_study(study), keys.get(key, key), position)
        connection.execute("INSERT INTO members VALUES (?, ?, ?)", row)


def _convert_artifacts(connection: sqlite3.Connection, version: int) -> None:
    """Copy the older artifacts under today's names."""
    older = migration.CHECKSUM_COLUMN if version >= 2 else "NULL"
    rows = connection.execute(f"SELECT name, value, {older} FROM older_artifacts ORDER BY rowid").fetchall()
    for name, value, old_checksum in rows:
        is_intact = old_checksum is None or old_checksum == checksum(name, value)
        new_name = migration.new_artifact(name)
        row = (new_name, value, checksum(new_name, value) if is_intact else _DAMAGED)
        connection.execute("INSERT INTO artifacts VALUES (?, ?, ?)", row)


def foreign_objects(connection: sqlite3.Connection, version: int) -> list[str]:
    """Return what a file has that a store of this version has not, or has differently.

    A trigger would rewrite results as they are stored, and a view may never end, so they are compared before
    the first query. A store of today's version must have today's SQL, word for word; of a store of an older
    version, whose tables are read once and dropped, the names are compared. The view of results is left
    out: it is made anew unless it is today's.

    Returns
    -------
    list of str
        Kind and name of each object, such as ``"trigger t"``.
    """
    objects = _objects(connection)
    if version == SCHEMA_VERSION:
        with closing(sqlite3.connect(":memory:")) as empty:
            create(empty)
            expected = _objects(empty)
        different = {name for name, sql in (objects.items() ^ expected.items())}
    else:
        allowed = {("table", name) for name in TABLES} | {("index", name) for name in migration.INDEXES}
        different = set(objects) - allowed
    return [f"{kind} {name}" for kind, name in sorted(different)]


def _objects(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Return the SQL of all objects apart from the view of results and SQLite's statistics."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    left_out = {("view", "results"), ("table", "sqlite_stat1"), ("table", "sqlite_stat4")}
    return {(kind, name): sql for kind, name, sql in rows if (kind, name) not in left_out}


def view_is_current(connection: sqlite3.Connection) -> bool:
    """Return whether the view has the columns of this version: new settings do not change the tables."""
    row = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'results'").fetchone()
    return row is not None and row[0] == _VIEW_AS


def renew_view(connection: sqlite3.Connection) -> None:
    """Give the view the columns of this version."""
    connection.executescript(f"BEGIN IMMEDIATE; {_VIEW} COMMIT;")


def _set_version() -> str:
    return f"PRAGMA user_version = {SCHEMA_VERSION};"


def _columns() -> str:
    """Return the columns of the view, as SQL."""
    is_own = "json_extract(spec, '$.trained_by') IS NULL"  # a recorded run has the settings that it states
    settings = [
        f"iif({is_own}, coalesce(json_extract(spec, '$.{name}'), {_literal(ADDED_SETTINGS[name])}), "
        f"json_extract(spec, '$.{name}')) AS \"{name}\""
        if name in ADDED_SETTINGS
        else f"json_extract(spec, '$.{name}') AS \"{name}\""
        for name in Run.model_fields
    ]
    measures = [f"json_extract(result, '$.{name}') AS {name}" for name in MEASURES]
    circumstances = ["error", "crashes", "shared_crashes", "host", "versions", "started", "finished"]
    trained_by = "coalesce(json_extract(spec, '$.trained_by'), '') AS trained_by"
    return ", ".join(["key", "state", trained_by, *settings, *measures, *circumstances])


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return f"'{value}'" if isinstance(value, str) else str(int(value))  # type: ignore[call-overload]


_VIEW_AS = f"CREATE VIEW results AS SELECT {_columns()} FROM runs"
_VIEW = f"DROP VIEW IF EXISTS results; {_VIEW_AS};"
