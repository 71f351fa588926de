"""Two stores become one: a study that was divided over machines that share nothing."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dilution.errors import InputError, StoreError
from dilution.study.run_spec import Run
from dilution.study.schema import MEASURES
from dilution.study.store import Store

_ENDED = ("done", "diverged")
_CIRCUMSTANCES = {"seconds", "group_size", "device", "image_note"}
"""Measures that say how a run went, not what came of it: these may differ between machines."""
_SHOWN = 3


def merge(into: Store, other: Store, *, keep_first: bool = False) -> int:
    """Enter what another store holds, and return how many runs ended only there.

    A run that ended in both must have the same results in both: then nothing is entered for it. One that
    ended in the other alone is taken over with its results; one that ended in neither is queued. A study of
    the same name has the runs of both, in the order of the first. All of it is entered or nothing.

    Parameters
    ----------
    into
        The store that gets it all.
    other
        The store that is read, and left as it is.
    keep_first
        Where two results contradict each other, keep those of `into`.

    Raises
    ------
    InputError
        If both are one file.
    StoreError
        If they contradict each other, or one of them cannot be used.
    """
    if into.path.resolve() == other.path.resolve():
        raise InputError(f"both stores are {into.path}; name two that differ.")
    with into.writer(whole=True):
        ours = {row["key"]: row for row in into.rows()}
        against = [] if keep_first else list(_contradictions(into, other, ours))
        if against:
            more = f", and {len(against) - _SHOWN} more" if len(against) > _SHOWN else ""
            raise StoreError(
                f"{into.path} and {other.path} contradict each other: {'; '.join(against[:_SHOWN])}{more}. "
                "Results of one run differ between kinds of processors, or one store was trained by other "
                "code. Nothing was entered; --keep-first keeps those of the first."
            )
        new = 0
        for row in other.rows():
            known = ours.get(row["key"])
            if known is None:
                into.add_runs([_run(row, other.path)])
            if row["state"] in ("failed", *_ENDED) and (
                known is None or _is_less(known["state"], row["state"])
            ):
                _take(into, row)
                new += row["state"] in _ENDED
        for name in other.counts():
            runs = {row["key"]: _run(row, into.path) for row in into.rows(name)}
            runs |= {row["key"]: _run(row, other.path) for row in other.rows(name) if row["key"] not in runs}
            into.add(name, list(runs.values()))
        for name, value in other.artifacts():
            if into.artifact(name) is None:
                into.keep(name, value)
    return new


def _contradictions(into: Store, other: Store, ours: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words what cannot be true in both stores."""
    for row in other.rows():
        known = ours.get(row["key"])
        if known is None or known["state"] not in _ENDED or row["state"] not in _ENDED:
            continue
        if known["state"] != row["state"]:
            yield f"run {row['key']} is {known['state']} and {row['state']}"
            continue
        for name in MEASURES:
            first, second = known["result"].get(name), row["result"].get(name)
            if name not in _CIRCUMSTANCES and first != second and None not in (first, second):
                yield f"run {row['key']} has {name} {first} and {second}"
                break
    for name, value in other.artifacts():
        known = into.artifact(name)
        if known is not None and known != json.loads(json.dumps(value)):
            yield f"{name} was measured twice, with different results"


def _is_less(known: str, found: str) -> bool:
    """Return whether a run that ended in state `found` tells more than one in state `known`."""
    return known not in _ENDED and (found in _ENDED or known != "failed")


def _run(row: Mapping[str, Any], path: Path) -> Run:
    """Return the run of a row, whose settings must give its key."""
    run = Run.of(**row["spec"])
    if run.key != row["key"]:
        raise StoreError(
            f"run {row['key']} in {path} was written by a version of dilution that trained otherwise. "
            "Nothing was entered; run its study again."
        )
    return run


def _take(into: Store, row: Mapping[str, Any]) -> None:
    """Enter how a run ended."""
    into.start(
        [row["key"]], host=row["host"] or "", versions=row["versions"], at=row["started"] or row["finished"]
    )
    outcome = {name: row[name] for name in ("state", "result", "history", "error")}
    into.finish({row["key"]: outcome}, at=row["finished"])
