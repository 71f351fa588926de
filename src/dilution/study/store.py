"""The store: one SQLite file that holds every run, its state and its result; schema.py has its tables.

The file is in WAL mode: anyone may read while a study runs. One process writes; it holds the lock file
beside the store for as long as it runs.
"""

import json
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from dilution.errors import StoreError
from dilution.study import schema
from dilution.study.lock import is_written, writing
from dilution.study.run_spec import Run
from dilution.study.schema import SCHEMA_VERSION, renew_checksums
from dilution.utils import migration

State = Literal["queued", "running", "done", "failed", "diverged"]
CRASHES = 3
"""How often what trains a run alone may die before the run is marked as failed."""
_PATIENCE = 30.0  # seconds that another process may take to make a store, or to bring it up to date

_DAMAGED = (
    "{} in {} is not as it was written: the file was damaged or changed. Restore a copy, or choose another "
    "--store."
)
_COLUMNS = ("key", "spec", "state", "host", "versions", "started", "finished", "result", "history", "error")


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
        if not create and self.path.is_file() and not self.path.stat().st_size:
            raise StoreError(
                f"{self.path} is empty: it is no store yet, or what it held is lost. Wait, restore a copy, "
                "or name another --store."
            )
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
        if names and (version == 0 or not names >= schema.TABLES):
            raise StoreError(f"{self.path} is an SQLite file of something else; choose another --store.")
        self._connection.create_function("checksum", -1, schema.checksum, deterministic=True)
        if not names:
            self._connection.execute("PRAGMA journal_mode = WAL")
        if not names or version < SCHEMA_VERSION:
            with writing(self.path, patience=_PATIENCE):
                version = self._connection.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:  # nobody else has made it meanwhile
                    schema.create(self._connection)
                elif version < SCHEMA_VERSION:
                    schema.migrate(self._connection, version)
                    migration.warn(f"the store {self.path}", ())
                    self._connection.execute("PRAGMA foreign_keys = ON")
        elif not schema.view_is_current(self._connection):
            schema.renew_view(self._connection)

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

        Runs that a dead writer left running are queued again. One that was alone is taken to be what the
        writer died of: that is counted, and after three times it has failed. Where several were running that
        is counted apart, and fails none of them.

        Raises
        ------
        StoreError
            If another process is writing.
        """
        with ExitStack() as held:
            with self._explained():
                held.enter_context(writing(self.path))
            self._requeue_running(died=True)
            try:
                with self._transaction() if whole else nullcontext():
                    yield
            except BaseException:  # this process lives: what was running is not to blame
                with suppress(StoreError):  # the disk may be full; the first error is the one to tell
                    self._requeue_running(died=False)
                raise

    def is_written(self) -> bool:
        """Return whether a process is writing; without one, runs that are running have been cut off."""
        return is_written(self.path)

    def _requeue_running(self, *, died: bool) -> None:
        """Queue what is running again; `died` says whether the process that had it trained is dead."""
        with self._transaction():
            keys = self._connection.execute("SELECT key FROM runs WHERE state = 'running'").fetchall()
            if died and keys:
                column = "crashes" if len(keys) == 1 else "cut_off"
                self._connection.execute(f"UPDATE runs SET {column} = {column} + 1 WHERE state = 'running'")
            self._connection.execute(
                "UPDATE runs SET state = 'failed', error = ?, finished = started "
                "WHERE state = 'running' AND crashes >= ?",
                (_CUT_OFF, CRASHES),
            )
            self._connection.execute(
                "UPDATE runs SET state = 'queued', started = NULL, error = NULL WHERE state = 'running'"
            )
            self._connection.executemany(renew_checksums("key = ?"), keys)

    def requeue(self, keys: Iterable[str]) -> None:
        """Queue running runs again, of which nothing is to be held against any."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE runs SET state = 'queued', started = NULL, "
                "checksum = checksum(key, spec, 'queued', result, history, error) WHERE key = ?",
                ((key,) for key in keys),
            )

    def crashed(self, key: str, error: str, *, at: str) -> State:
        """Record that what trained a run died, and return whether it is queued again or has failed."""
        with self._transaction():
            (crashes,) = self._connection.execute(
                "UPDATE runs SET crashes = crashes + 1 WHERE key = ? RETURNING crashes", (key,)
            ).fetchone()
            state: State = "failed" if crashes >= CRASHES else "queued"
            said = f"{error} That happened {crashes} times." if state == "failed" else error
            self._connection.execute(
                "UPDATE runs SET state = :state, error = :error, "
                "started = iif(:state = 'failed', started, NULL), "
                "finished = iif(:state = 'failed', :at, NULL) WHERE key = :key",
                {"state": state, "error": said, "at": at, "key": key},
            )
            self._connection.execute(renew_checksums("key = ?"), (key,))
        return state

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
            "INSERT INTO runs (key, spec, state, checksum) "
            "VALUES (:key, :spec, 'queued', checksum(:key, :spec, 'queued', NULL, NULL, NULL)) "
            "ON CONFLICT DO NOTHING",
            ({"key": run.key, "spec": run.spec} for run in runs),
        )

    def states(self, keys: Iterable[str]) -> dict[str, State]:
        """Return the state of each of these runs that the store holds, in the order of ``keys``."""
        states: dict[str, State] = dict(self._read("SELECT key, state FROM runs"))
        return {key: states[key] for key in keys if key in states}

    def crashes(self) -> dict[str, int]:
        """Return how often what trained a run alone has died, for each run of which that is known."""
        return dict(self._read("SELECT key, crashes FROM runs WHERE crashes > 0"))

    def suspects(self) -> set[str]:
        """Return the runs that something may have died of: they are best trained alone."""
        found = self._read("SELECT key FROM runs WHERE crashes > 0 OR cut_off >= 2")
        return {key for (key,) in found}

    def requeue_failed(self, keys: Iterable[str]) -> None:
        """Queue again those of these runs that failed."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE runs SET state = 'queued', error = NULL, crashes = 0, cut_off = 0, finished = NULL, "
                "checksum = checksum(key, spec, 'queued', result, history, NULL) WHERE state = 'failed' AND key = ?",
                ((key,) for key in keys),
            )

    def start(self, keys: Iterable[str], *, host: str, versions: dict[str, str], at: str) -> None:
        """Record that runs have started."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE runs SET state = 'running', host = ?, versions = ?, started = ?, "
                "checksum = checksum(key, spec, 'running', result, history, error) WHERE key = ?",
                ((host, json.dumps(versions), at, key) for key in keys),
            )

    def finish(self, outcomes: Mapping[str, Mapping[str, Any]], *, at: str) -> None:
        """Record how runs ended, all or none: ``state``, ``result``, ``history`` and ``error`` by key.

        An outcome may also hold the ``host`` where it trained, if that was not known when it started.
        """
        rows = (
            {
                "state": outcome["state"],
                "result": json.dumps(outcome.get("result", {}), allow_nan=False),
                "history": json.dumps(outcome.get("history", []), allow_nan=False),
                "error": outcome.get("error"),
                "at": at,
                "host": outcome.get("host"),
                "key": key,
            }
            for key, outcome in outcomes.items()
        )
        with self._transaction():
            self._connection.executemany(
                "UPDATE runs SET state = :state, result = :result, history = :history, error = :error, "
                "finished = :at, host = coalesce(:host, host), "
                "checksum = checksum(key, spec, :state, :result, :history, :error) WHERE key = :key",
                rows,
            )

    def rows(self, study: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the runs of a study in its order (or all runs) with JSON columns parsed."""
        query = f"SELECT {', '.join(_COLUMNS)}, checksum FROM runs"
        self._check_members()
        if study is None:
            found = self._read(f"{query} ORDER BY runs.rowid")
        else:
            members = "JOIN members USING (key) WHERE study = ? ORDER BY position"
            found = self._read(f"{query} {members}", (study,))
        with self._explained(), closing(found):
            for *values, checksum in found:
                row = dict(zip(_COLUMNS, values, strict=True))
                self._check_checksum(f"run {row['key']}", [row[name] for name in schema.CHECKED], checksum)
                for name in ("spec", "versions", "result", "history"):
                    row[name] = json.loads(row[name]) if row[name] else {}
                yield row

    def _check_members(self) -> None:
        """Check that no study has lost a run: members have no checksum, but name runs and studies that exist."""
        lost = next(self._read("PRAGMA foreign_key_check(members)"), None)
        gap = "SELECT 1 FROM members GROUP BY study HAVING min(position) <> 0 OR max(position) >= count(*)"
        if lost is not None or next(self._read(gap), None) is not None:
            raise StoreError(_DAMAGED.format("the list of runs of a study", self.path))

    def _check_checksum(self, what: str, parts: Iterable[str | None], checksum: str) -> None:
        if schema.checksum(*parts) != checksum:
            raise StoreError(_DAMAGED.format(what, self.path))

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
        found = next(self._read("SELECT value, checksum FROM artifacts WHERE name = ?", (name,)), None)
        if found is None:
            return None
        self._check_checksum(name, (name, found[0]), found[1])
        return json.loads(found[0])

    def artifacts(self) -> Iterator[tuple[str, Any]]:
        """Yield the name of each artifact, and what was kept under it."""
        for (name,) in list(self._read("SELECT name FROM artifacts ORDER BY rowid")):
            yield name, self.artifact(name)

    def keep(self, name: str, value: Any) -> None:
        """Keep a value that JSON can hold under a name."""
        self._write(
            "INSERT OR REPLACE INTO artifacts VALUES (:name, :value, checksum(:name, :value))",
            {"name": name, "value": json.dumps(value)},
        )

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> Generator[Any, None, None]:
        with self._explained():
            yield from self._connection.execute(query, values)

    def _write(self, statement: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> None:
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
        except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise StoreError(
                f"{self.path} is not a sound store: {error}. Restore a copy or choose another --store."
            ) from None
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror}. Choose another --store."
            ) from None


_CUT_OFF = (
    f"the process that had it trained died {CRASHES} times while it trained alone, perhaps for lack of "
    "memory. Try a smaller batch or network, or a machine with more memory, with --retry-failed."
)
