"""The store: one SQLite file that holds every run, its state and its result.

Tables
------
runs
    One row a run: ``key`` (content hash), ``spec`` (JSON of every setting), ``state``, ``host``,
    ``versions`` (JSON), ``started`` and ``finished`` (UTC, ISO 8601), ``result`` (JSON of the measures),
    ``history`` (JSON, one object an evaluation), ``error``.
studies
    The name of each study; that of a figure without runs is here alone.
members
    Which study a run belongs to, and its position there; a run may belong to several.
artifacts
    What runs share and is measured once, by name (JSON).

The file is in WAL mode: anyone may read while a study runs. One process writes; it holds the lock file
beside the store for as long as it runs.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from dilution.errors import StoreError
from dilution.study.lock import is_written, writing
from dilution.study.spec import Run

SCHEMA_VERSION = 1
State = Literal["queued", "running", "done", "failed", "diverged"]
_TABLES = {"runs", "studies", "members", "artifacts"}
STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "diverged")

_COLUMNS = ("key", "spec", "state", "host", "versions", "started", "finished", "result", "history", "error")

_SCHEMA = f"""
CREATE TABLE runs (
    key TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN {STATES}),
    host TEXT, versions TEXT, started TEXT, finished TEXT,
    result TEXT, history TEXT, error TEXT
) STRICT;
CREATE INDEX runs_by_state ON runs (state);
CREATE INDEX states_of_runs ON runs (key, state); -- counting them then reads no results
CREATE TABLE studies (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE members (
    study TEXT NOT NULL REFERENCES studies (name),
    key TEXT NOT NULL REFERENCES runs (key),
    position INTEGER NOT NULL,
    PRIMARY KEY (study, key)
) STRICT;
CREATE TABLE artifacts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
PRAGMA user_version = {SCHEMA_VERSION};
"""


class Store:
    """A result store, opened for reading and writing; use it as a context manager.

    Parameters
    ----------
    path
        The SQLite file.
    create
        Make the file (and its folder) if it is missing.

    Raises
    ------
    StoreError
        If the file is missing and not to be made, is no store, is of a newer version, or cannot be
        written.
    """

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = Path(path)
        if not create and not self.path.exists():
            raise StoreError(
                f"there is no store at {self.path}; `dilution run` and `dilution reproduce` make one. "
                "Name an existing file with --store."
            )
        if self.path.is_dir():
            raise StoreError(f"{self.path} is a folder; --store names a file, such as results.sqlite.")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the folder {self.path.parent} cannot be made: {error.strerror}. Choose another --store."
            ) from None
        with self._explained():
            self._connection = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            try:
                self._open()
            except BaseException:
                self._connection.close()
                raise

    def _open(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} is a store of version {version}; this Dilution reads up to version "
                f"{SCHEMA_VERSION}. Update with: pip install --upgrade dilution."
            )
        self._connection.execute("PRAGMA foreign_keys = ON")
        names = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
        # Others number their schemas too: the version alone does not tell our files.
        if names and (version == 0 or not names >= _TABLES):
            raise StoreError(f"{self.path} is an SQLite file of something else; choose another --store.")
        if not names:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def writer(self, *, whole: bool = False) -> Iterator[None]:
        """Hold the store as its one writer; if `whole`, all that it writes is kept or nothing.

        Runs that a dead writer left running are queued again.

        Raises
        ------
        StoreError
            If another process is writing.
        """
        with ExitStack() as held:
            with self._explained():
                held.enter_context(writing(self.path))
            self._requeue_running()
            try:
                with self._transaction() if whole else nullcontext():
                    yield
            except KeyboardInterrupt:
                self._requeue_running()
                raise

    def is_written(self) -> bool:
        """Return whether a process is writing; without one, runs that are running have been cut off."""
        return is_written(self.path)

    def _requeue_running(self) -> None:
        self._write("UPDATE runs SET state = 'queued', started = NULL WHERE state = 'running'")

    def add(self, study: str, runs: Sequence[Run]) -> None:
        """Enter runs as queued, unless they are there already, and as members of a study."""
        with self._transaction():
            self._enter(runs)
            self._connection.execute("INSERT INTO studies VALUES (?) ON CONFLICT DO NOTHING", (study,))
            self._connection.execute("DELETE FROM members WHERE study = ?", (study,))
            self._connection.executemany(
                "INSERT INTO members (study, key, position) VALUES (?, ?, ?)",
                ((study, run.key, position) for position, run in enumerate(runs)),
            )

    def add_runs(self, runs: Sequence[Run]) -> None:
        """Enter runs as queued, unless they are there already, as members of no study."""
        with self._transaction():
            self._enter(runs)

    def _enter(self, runs: Sequence[Run]) -> None:
        self._connection.executemany(
            "INSERT INTO runs (key, spec, state) VALUES (?, ?, 'queued') ON CONFLICT DO NOTHING",
            ((run.key, run.spec) for run in runs),
        )

    def states(self, keys: Iterable[str]) -> dict[str, State]:
        """Return the state of each of these runs that the store holds, in the order of ``keys``."""
        states: dict[str, State] = dict(self._read("SELECT key, state FROM runs"))
        return {key: states[key] for key in keys if key in states}

    def requeue_failed(self, keys: Iterable[str]) -> None:
        """Queue again those of these runs that failed."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE runs SET state = 'queued', error = NULL WHERE state = 'failed' AND key = ?",
                ((key,) for key in keys),
            )

    def start(self, keys: Iterable[str], *, host: str, versions: dict[str, str], at: str) -> None:
        """Record that runs have started."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE runs SET state = 'running', host = ?, versions = ?, started = ? WHERE key = ?",
                ((host, json.dumps(versions), at, key) for key in keys),
            )

    def finish(self, outcomes: Mapping[str, Mapping[str, Any]], *, at: str) -> None:
        """Record how runs ended, all or none: ``state``, ``result``, ``history`` and ``error`` by key."""
        rows = (
            (
                outcome["state"],
                json.dumps(outcome.get("result", {})),
                json.dumps(outcome.get("history", [])),
                outcome.get("error"),
                at,
                key,
            )
            for key, outcome in outcomes.items()
        )
        with self._transaction():
            self._connection.executemany(
                "UPDATE runs SET state = ?, result = ?, history = ?, error = ?, finished = ? WHERE key = ?",
                rows,
            )

    def rows(self, study: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the runs of a study in its order (or all runs) with JSON columns parsed."""
        query = f"SELECT {', '.join(_COLUMNS)} FROM runs"
        if study is None:
            found = self._read(f"{query} ORDER BY runs.rowid")
        else:
            members = "JOIN members USING (key) WHERE study = ? ORDER BY position"
            found = self._read(f"{query} {members}", (study,))
        for values in found:
            row = dict(zip(_COLUMNS, values, strict=True))
            for name in ("spec", "versions", "result", "history"):
                row[name] = json.loads(row[name]) if row[name] else {}
            yield row

    def counts(self) -> dict[str, dict[str, int]]:
        """Return for each study how many of its runs are in each state."""
        cursor = self._read(
            "SELECT study, state, count(*) FROM members JOIN runs USING (key) GROUP BY study, state"
        )
        names = self._read("SELECT name FROM studies ORDER BY rowid")
        table: dict[str, dict[str, int]] = {name: {} for (name,) in names}
        for study, state, count in cursor:
            table[study][state] = count
        return table

    def failures(self) -> list[tuple[str, str]]:
        """Return key and error text of each failed run."""
        return list(self._read("SELECT key, error FROM runs WHERE state = 'failed'"))

    def artifact(self, name: str) -> Any:
        """Return what was kept under a name, or None."""
        found = next(self._read("SELECT value FROM artifacts WHERE name = ?", (name,)), None)
        return None if found is None else json.loads(found[0])

    def keep(self, name: str, value: Any) -> None:
        """Keep a value that JSON can hold under a name."""
        self._write("INSERT OR REPLACE INTO artifacts VALUES (?, ?)", (name, json.dumps(value)))

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        with self._explained():
            yield from self._connection.execute(query, values)

    def _write(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        with self._explained():
            self._connection.execute(statement, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            if self._connection.in_transaction:  # one within another is a part of it
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of SQLite and of the file system into one line for the user."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(
                f"the store {self.path} cannot be used: {error}. Free some space or choose another "
                "--store; finished runs are kept."
            ) from None
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{self.path} is not a sound store: {error}. Restore a copy or choose another --store."
            ) from None
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror}. Choose another --store."
            ) from None
