"""The store: one SQLite file with every run, its state and its result; schema.py has its tables.

The file is in WAL mode: anyone may read while a study runs. One process writes; it holds the lock file
beside the store as long as it runs (utils/file_lock.py).
"""

import json
import shlex
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from dilution.errors import InputError, StoreError
from dilution.study.other_code import describe_other_code
from dilution.study.recorded_run import RecordedRun
from dilution.study.run_spec import Run
from dilution.study.schema import renew_checksums
from dilution.study.store_errors import explained
from dilution.study.store_file import open_store_file
from dilution.study.stored_row import COLUMNS, DAMAGED, code_of, parse_artifact, parse_row, printable_key
from dilution.utils.file_lock import is_written, writing

State = Literal["queued", "running", "done", "failed", "diverged"]
MAX_CRASHES = 3
"""Deaths of the process that trains a run alone after which the run has failed."""
_MAX_KEYS = 5  # in an error message

_DIED_ALONE = (
    f"the process that trained this run alone died {MAX_CRASHES} times, perhaps for lack of memory. Try a "
    "smaller batch_size or model, or a machine with more memory, with --retry-failed."
)


class Store:
    """A store of results, opened for reading and writing; use it as a context manager.

    Parameters
    ----------
    path
        The SQLite file.
    create
        Create the file (and its folder) if it does not exist. Otherwise a store that may not be written is
        opened for reading.

    Raises
    ------
    StoreError
        If the file does not exist and `create` is False, is not a store, is of a newer version, or
        cannot be written.
    """

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = Path(path)
        with explained(self.path):
            self._connection = open_store_file(self.path, create=create)

    def __repr__(self) -> str:
        """Return the path, as the call that opens the store."""
        return f"Store({str(self.path)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def writer(self, *, atomic: bool = False) -> Iterator[None]:
        """Hold the store as its one writer.

        Runs that a dead writer left running are queued again. If a single run was running, the
        writer is assumed to have died of it: that is counted, and the run has failed after
        :data:`MAX_CRASHES` times. If several were running, that is counted separately and fails
        none of them.

        Parameters
        ----------
        atomic
            Keep either everything that is written or nothing.

        Raises
        ------
        StoreError
            If another process is writing.
        """
        with ExitStack() as stack:
            with explained(self.path):
                stack.enter_context(writing(self.path))
            self._requeue_running(writer_died=True)
            try:
                with self._transaction() if atomic else nullcontext():
                    yield
            except BaseException:  # this process lives: running runs are not the cause
                with suppress(StoreError):  # the disk may be full; the first error is the one to report
                    self._requeue_running(writer_died=False)
                raise

    def is_written(self) -> bool:
        """Return whether a process is writing; without one, running runs were interrupted."""
        return is_written(self.path)

    def _requeue_running(self, *, writer_died: bool) -> None:
        """Queue running runs again; `writer_died` says whether the process that started them is dead."""
        with self._transaction():
            keys = self._connection.execute("SELECT key FROM runs WHERE state = 'running'").fetchall()
            if writer_died and keys:
                column = "crashes" if len(keys) == 1 else "shared_crashes"
                self._connection.execute(f"UPDATE runs SET {column} = {column} + 1 WHERE state = 'running'")
            self._connection.execute(
                "UPDATE runs SET state = 'failed', error = ?, finished = started "
                "WHERE state = 'running' AND crashes >= ?",
                (_DIED_ALONE, MAX_CRASHES),
            )
            self._connection.execute(
                "UPDATE runs SET state = 'queued', started = NULL, error = NULL WHERE state = 'running'"
            )
            self._connection.executemany(renew_checksums("key = ?"), keys)

    def requeue(self, keys: Iterable[str]) -> None:
        """Queue running runs again, without counting a crash."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE runs SET state = 'queued', started = NULL, "
                "checksum = checksum(key, spec, 'queued', result, history, error) WHERE key = ?",
                ((key,) for key in keys),
            )

    def record_crash(self, key: str, error: str, *, at: str) -> State:
        """Record that the process that trained a run alone died; return the new state of the run."""
        with self._transaction():
            (crashes,) = self._connection.execute(
                "UPDATE runs SET crashes = crashes + 1 WHERE key = ? RETURNING crashes", (key,)
            ).fetchone()
            state: State = "failed" if crashes >= MAX_CRASHES else "queued"
            if state == "failed":
                error = f"{error} That happened {crashes} times."
            self._connection.execute(
                "UPDATE runs SET state = :state, error = :error, "
                "started = iif(:state = 'failed', started, NULL), "
                "finished = iif(:state = 'failed', :at, NULL) WHERE key = :key",
                {"state": state, "error": error, "at": at, "key": key},
            )
            self._connection.execute(renew_checksums("key = ?"), (key,))
        return state

    def add(self, study: str, runs: Sequence[Run | RecordedRun]) -> None:
        """Add runs as queued, unless the store has them, and make them the runs of a study.

        Runs that were recorded in the study stay in it, behind these.
        """
        with self._transaction():
            recorded = self._recorded(study)
            self._insert_runs(runs)
            self._set_members(study, [*(run.key for run in runs), *recorded])

    def append(self, study: str, runs: Sequence[Run | RecordedRun]) -> None:
        """Add runs as queued, unless the store has them, and make them runs of a study, behind its others."""
        with self._transaction():
            members = self._read("SELECT key FROM members WHERE study = ? ORDER BY position", (study,))
            keys = [key for (key,) in members]
            self._insert_runs(runs)
            self._set_members(study, [*keys, *(run.key for run in runs)])

    def _recorded(self, study: str) -> list[str]:
        """Return the keys of the runs of a study that another training loop trained."""
        query = (
            "SELECT key FROM members JOIN runs USING (key) WHERE study = ? "
            "AND json_extract(spec, '$.trained_by') IS NOT NULL ORDER BY position"
        )
        return [key for (key,) in self._read(query, (study,))]

    def _set_members(self, study: str, keys: Iterable[str]) -> None:
        """Make runs of the store the runs of a study, each once."""
        self._connection.execute("INSERT INTO studies VALUES (?) ON CONFLICT DO NOTHING", (study,))
        self._connection.execute("DELETE FROM members WHERE study = ?", (study,))
        self._connection.executemany(
            "INSERT INTO members (study, key, position) VALUES (?, ?, ?)",
            ((study, key, position) for position, key in enumerate(dict.fromkeys(keys))),
        )

    def add_runs(self, runs: Sequence[Run | RecordedRun]) -> None:
        """Add runs of no study as queued, unless the store has them."""
        with self._transaction():
            self._insert_runs(runs)

    def _insert_runs(self, runs: Sequence[Run | RecordedRun]) -> None:
        specs = [{"key": run.key, "spec": run.spec} for run in runs]
        self._connection.executemany(
            "INSERT INTO runs (key, spec, state, checksum) "
            "VALUES (:key, :spec, 'queued', checksum(:key, :spec, 'queued', NULL, NULL, NULL)) "
            "ON CONFLICT DO NOTHING",
            specs,
        )
        for run in specs:  # a run of other settings under this key would count as finished
            query = "SELECT 1 FROM runs WHERE key = :key AND spec <> :spec"
            if self._connection.execute(query, run).fetchone():
                raise StoreError(DAMAGED.format(f"run {run['key']}", self.path))

    def states(self, keys: Iterable[str]) -> dict[str, State]:
        """Return the states of those of these runs that the store has, in the order of `keys`."""
        states: dict[str, State] = dict(self._read("SELECT key, state FROM runs"))
        return {key: states[key] for key in keys if key in states}

    def crashes(self) -> dict[str, int]:
        """Return the number of deaths of the process that trained a run alone, for runs that have any."""
        return dict(self._read("SELECT key, crashes FROM runs WHERE crashes > 0"))

    def runs_that_crashed(self) -> set[str]:
        """Return the keys of runs that a process may have died of; the scheduler trains them alone."""
        keys = self._read("SELECT key FROM runs WHERE crashes > 0 OR shared_crashes >= 2")
        return {key for (key,) in keys}

    def other_code_notes(self, keys: Iterable[str] | None = None) -> list[str]:
        """Return one line per version of the code that trained finished runs and is not running now.

        Parameters
        ----------
        keys
            Consider only these runs. Default: all.
        """
        query = (
            "SELECT key, versions FROM runs WHERE state IN ('done', 'diverged') "
            "AND json_extract(spec, '$.trained_by') IS NULL"
        )
        finished = dict(self._read(query))
        selected = list(finished) if keys is None else [key for key in keys if key in finished]
        with_text = {finished[key]: key for key in selected}
        codes = {text: code_of(key, text, self.path) for text, key in with_text.items()}
        return describe_other_code(codes[finished[key]] for key in selected)

    def requeue_failed(self, keys: Iterable[str]) -> None:
        """Queue those of these runs that failed again."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE runs SET state = 'queued', error = NULL, crashes = 0, shared_crashes = 0, "
                "finished = NULL, checksum = checksum(key, spec, 'queued', result, history, NULL) "
                "WHERE state = 'failed' AND key = ?",
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
        """Record how runs ended, either all or none.

        Parameters
        ----------
        outcomes
            Per key of a run: ``state``, and if there are any ``result``, ``history`` and
            ``error``; ``host`` if it was not known at the start.
        at
            Time of the end: UTC, ISO 8601.
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
        query = f"SELECT {', '.join(COLUMNS)}, checksum FROM runs"
        self._check_members()
        if study is None:
            cursor = self._read(f"{query} ORDER BY runs.rowid")
        else:
            members = "JOIN members USING (key) WHERE study = ? ORDER BY position"
            cursor = self._read(f"{query} {members}", (study,))
        with explained(self.path), closing(cursor):
            for values in cursor:
                yield parse_row(values, self.path)

    def members(self) -> dict[str, list[str]]:
        """Return the keys of the runs of each study."""
        names = self._read("SELECT name FROM studies ORDER BY rowid")
        members: dict[str, list[str]] = {name: [] for (name,) in names}
        for study, key in self._read("SELECT study, key FROM members ORDER BY position"):
            if study not in members:
                raise StoreError(DAMAGED.format("the list of runs of a study", self.path))
            members[study].append(key)
        return members

    def row(self, prefix: str) -> dict[str, Any]:
        """Return the run whose key starts with these characters, as :meth:`rows` yields it.

        Raises
        ------
        InputError
            If there is no such run, or several.
        """
        keys = [key for (key,) in self._read("SELECT key FROM runs") if key.startswith(prefix.lower())]
        if not keys:
            raise InputError(
                f"no run in {self.path} has a key that starts with {prefix!r}. "
                f"`dilution export runs.csv --store {shlex.quote(str(self.path))}` lists them."
            )
        if len(keys) > 1:
            first_keys = ", ".join(map(printable_key, keys[:_MAX_KEYS])) + (
                ", …" if len(keys) > _MAX_KEYS else ""
            )
            raise InputError(
                f"{len(keys)} keys in {self.path} start with {prefix!r}: {first_keys}. Give more "
                "characters of the key."
            )
        query = f"SELECT {', '.join(COLUMNS)}, checksum FROM runs WHERE key = ?"
        with explained(self.path):
            return parse_row(next(self._read(query, (keys[0],))), self.path)

    def _check_members(self) -> None:
        """Check that no study has lost a run: members have no checksum, but refer to runs and studies."""
        orphan = next(self._read("PRAGMA foreign_key_check(members)"), None)
        gap = "SELECT 1 FROM members GROUP BY study HAVING min(position) <> 0 OR max(position) >= count(*)"
        if orphan is not None or next(self._read(gap), None) is not None:
            raise StoreError(DAMAGED.format("the list of runs of a study", self.path))

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of runs per study and state."""
        cursor = self._read(
            "SELECT study, state, count(*) FROM members JOIN runs USING (key) GROUP BY study, state"
        )
        names = self._read("SELECT name FROM studies ORDER BY rowid")
        counts: dict[str, dict[str, int]] = {name: {} for (name,) in names}
        for study, state, count in cursor:
            if study not in counts:
                raise StoreError(DAMAGED.format("the list of runs of a study", self.path))
            counts[study][state] = count
        return counts

    def failures(self) -> list[tuple[str, str]]:
        """Return key and error text of each failed run."""
        return list(self._read("SELECT key, error FROM runs WHERE state = 'failed'"))

    def artifact(self, name: str) -> Any:
        """Return the artifact of this name, or None."""
        row = next(self._read("SELECT value, checksum FROM artifacts WHERE name = ?", (name,)), None)
        if row is None:
            return None
        value, checksum = row
        return parse_artifact(name, value, checksum, self.path)

    def artifacts(self) -> Iterator[tuple[str, Any]]:
        """Yield name and value of each artifact."""
        for (name,) in list(self._read("SELECT name FROM artifacts ORDER BY rowid")):
            yield name, self.artifact(name)

    def keep_artifact(self, name: str, value: Any) -> None:
        """Keep an artifact: a value that JSON can hold, under a name. An older value is replaced."""
        self._write(
            "INSERT OR REPLACE INTO artifacts VALUES (:name, :value, checksum(:name, :value))",
            {"name": name, "value": json.dumps(value)},
        )

    def _read(self, query: str, values: tuple[Any, ...] = ()) -> Generator[Any, None, None]:
        with explained(self.path):
            # not `yield from`: it would close the cursor, which is an error once the store is closed
            for row in self._connection.execute(query, values):  # noqa: UP028
                yield row

    def _write(self, statement: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> None:
        with explained(self.path):
            self._connection.execute(statement, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self.path):
            if self._connection.in_transaction:  # a nested transaction is a part of the outer one
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
