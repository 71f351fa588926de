"""The layout of a store: its tables, the view for readers, and the way there from older versions.

Tables
------
runs
    One row a run: ``key`` (content hash), ``spec`` (JSON of every setting), ``state``, ``host``,
    ``versions`` (JSON), ``started`` and ``finished`` (UTC, ISO 8601), ``result`` (JSON of the measures),
    ``history`` (JSON, one object an evaluation), ``error``, ``crashes`` (how often what trained it died while
    it trained alone), ``cut_off`` (how often the driver died while it trained beside others) and ``seal`` (a
    checksum, see :func:`seal`).
studies
    The name of each study; that of a figure without runs is here alone.
members
    Which study a run belongs to, and its position there; a run may belong to several.
artifacts
    What runs share and is measured once, by name (JSON), with a seal too.

The view ``results`` has one row a run and a column for each setting and measure. It is for readers:
``SELECT alpha, test_clean FROM results WHERE state = 'done'``.
"""

import hashlib
import sqlite3

from dilution.study.run_spec import LATER, Run

SCHEMA_VERSION = 2
STATES = ("queued", "running", "done", "failed", "diverged")
TABLES = {"runs", "studies", "members", "artifacts"}

MEASURES = (
    "alpha_used",
    "alpha_delivered",
    "rate_requested",
    "rate_delivered",
    "test_last",
    "test_clean",
    "test_top5",
    "test_noisy",
    "test_oracle",
    "validation_clean",
    "step_clean",
    "step_noisy",
    "steps_done",
    "n_available",
    "n_test",
    "majority",
    "seconds",
    "together",
    "device",
    "diverged_at",
    "image_note",
)
"""What a run that ended has measured, in the order of the table of results."""

SEALED = ("key", "spec", "state", "result", "history", "error")
"""What the seal of a run covers."""

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
    seal TEXT NOT NULL,
    CHECK (state <> 'failed' OR error IS NOT NULL),
    CHECK (state NOT IN ('done', 'diverged') OR result IS NOT NULL)
) STRICT;
CREATE INDEX runs_by_state ON runs (state);
CREATE INDEX states_of_runs ON runs (key, state); -- counting them then reads no results
CREATE INDEX suspects ON runs (key) WHERE crashes > 0 OR cut_off > 0;
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
CREATE TABLE artifacts (name TEXT PRIMARY KEY, value TEXT NOT NULL, seal TEXT NOT NULL) STRICT;
"""

_FROM_1 = f"""
ALTER TABLE runs RENAME TO older_runs;
DROP INDEX runs_by_state;
DROP INDEX states_of_runs;
{_RUNS}
UPDATE older_runs SET error = 'no reason was kept' WHERE state = 'failed' AND error IS NULL;
INSERT INTO runs SELECT key, spec, state, host, versions, started, finished, result, history, error, 0, 0,
    seal(key, spec, state, result, history, error) FROM older_runs ORDER BY rowid;
DROP TABLE older_runs;
ALTER TABLE artifacts RENAME TO older_artifacts;
{_ARTIFACTS}
INSERT INTO artifacts SELECT name, value, seal(name, value) FROM older_artifacts;
DROP TABLE older_artifacts;
"""


def seal(*parts: str | None) -> str:
    """Return a checksum: of a run's key, spec, state, result, history and error, or of an artifact.

    A file system may hand back other bytes than were written, and SQLite does not see that. What has a
    broken seal is not read.
    """
    text = "\x1f".join("\x00" if part is None else part for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def reseal(where: str) -> str:
    """Return the statement that seals the runs that a condition selects."""
    return f"UPDATE runs SET seal = seal({', '.join(SEALED)}) WHERE {where}"


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of a new store."""
    connection.executescript(f"BEGIN IMMEDIATE; {_RUNS} {_OTHERS} {_ARTIFACTS} {_VIEW} {_number()} COMMIT;")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a store of an older version to this one, all of it or nothing."""
    steps = {1: _FROM_1}
    connection.execute("PRAGMA foreign_keys = OFF")  # or dropping the older table would empty `members`
    connection.execute("PRAGMA legacy_alter_table = ON")  # the tables that refer to it keep its name
    script = "".join(steps[each] for each in range(version, SCHEMA_VERSION))
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {script} {_VIEW} {_number()} COMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA legacy_alter_table = OFF")


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
