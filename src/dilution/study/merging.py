"""Merging of two stores: a study that was divided over machines without a common file system."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dilution.errors import InputError, StoreError
from dilution.study.data_notes import NOTES_PREFIX
from dilution.study.measures import CIRCUMSTANCES, MEASURES
from dilution.study.recorded_run import RecordedRun, stored_run
from dilution.study.run_spec import Run
from dilution.study.store import Store

_FINISHED = ("done", "diverged")
_RECIPE = "recipe/"  # before the name of a figure's study: the artifact of its recipe, null without one
_MAX_SHOWN = 3  # contradictions in an error message


def merge(
    into: Store, other: Store, *, keep_first: bool = False, log: Callable[[str], None] = lambda _: None
) -> int:
    """Add the content of another store to a store, either completely or not at all.

    A run that is finished in both stores must have the same results in both; it stays as it is. A
    run that is finished in the other store alone is added with its results, an unfinished one is
    queued. A study in both stores gets the runs of both, in the order of the first. A figure that was trained
    with a recipe in one store and with another or none in the other is refused: no study has both.

    Parameters
    ----------
    into
        The store that is changed.
    other
        The store that is read.
    keep_first
        Keep the results of `into` where the two contradict each other.
    log
        Function that is called with one line per kind of runs that were not added.

    Returns
    -------
    int
        Number of runs that were finished in the other store alone.

    Raises
    ------
    InputError
        If both are one file.
    StoreError
        If they contradict each other, a figure has two recipes, or one of the stores cannot be used.
    """
    if into.path.resolve() == other.path.resolve():
        raise InputError(f"both stores are {into.path}; name two that differ.")
    with into.writer(atomic=True):
        _check_recipes(into, other, log)
        rows = {row["key"]: row for row in into.rows()}
        contradictions = list(_contradictions(into, other, rows))
        if contradictions and not keep_first:
            _refuse_contradictions(into, other, contradictions)
        if contradictions:
            log(
                f"note: {len(contradictions):,} contradicting results; those of {into.path} are kept, the "
                f"first: {contradictions[0]}"
            )
        ended = [row["key"] for row in other.rows() if row["state"] in _FINISHED]
        both = sum(key in rows and rows[key]["state"] in _FINISHED for key in ended)
        if both:
            log(f"note: {both:,} of {len(ended):,} finished runs are finished in {into.path} already")
        added = sum(_merge_run(into, rows.get(row["key"]), row, other.path) for row in other.rows())
        for name in other.counts():
            _merge_study(into, other, name)
        known = dict(into.artifacts())
        for name, value in other.artifacts():
            if name not in known:
                into.keep_artifact(name, value)
    return added


def _check_recipes(into: Store, other: Store, log: Callable[[str], None]) -> None:
    """Refuse to join the runs of a figure that have different recipes; say where one of them is unknown.

    The recipe of a figure is kept once all its runs have ended.
    """
    recipes = [dict(store.artifacts()) for store in (into, other)]
    members = [store.members() for store in (into, other)]
    for study in (study for study in members[0] if study in members[1]):
        first, second = (set(of_store[study]) for of_store in members)
        name = f"{_RECIPE}{study}"
        is_known = [name in of_store for of_store in recipes]
        if first <= second or second <= first or not any(is_known):
            continue
        texts = [
            _recipe_text(of_store, name, store.path)
            for of_store, store in zip(recipes, (into, other), strict=True)
        ]
        if not all(is_known):
            log(
                f"note: {study} gets the runs of both stores; it was trained {' and '.join(texts)}, so check "
                "that both are the same"
            )
        elif recipes[0][name] != recipes[1][name]:
            raise StoreError(
                f"{study} was trained {' and '.join(texts)}; a figure has the runs of one recipe. Nothing "
                "was added; keep the stores apart, or train the figure in one of them as in the other."
            )


def _recipe_text(recipes: Mapping[str, Any], name: str, path: Path) -> str:
    if name not in recipes:
        return f"with a recipe or without one, which is not known before its end, in {path}"
    return f"without a recipe in {path}" if recipes[name] is None else f"with {recipes[name]!r} in {path}"


def _refuse_contradictions(into: Store, other: Store, contradictions: Sequence[str]) -> None:
    rest = len(contradictions) - _MAX_SHOWN
    more = f", and {rest} more" if rest > 0 else ""
    raise StoreError(
        f"{into.path} and {other.path} contradict each other: {'; '.join(contradictions[:_MAX_SHOWN])}"
        f"{more}. Results of one run differ between kinds of processors, or other code trained the runs "
        "of one store. Nothing was added; --keep-first keeps the results of the first store."
    )


def _contradictions(into: Store, other: Store, rows: Mapping[str, Any]) -> Iterator[str]:
    """Yield a description of each contradiction; `rows` are those of `into` by key."""
    for other_row in other.rows():
        row = rows.get(other_row["key"])
        if row is None or row["state"] not in _FINISHED or other_row["state"] not in _FINISHED:
            continue
        if row["state"] != other_row["state"]:
            yield f"run {row['key']} is {row['state']} and {other_row['state']}"
            continue
        for name in MEASURES:
            first, second = row["result"].get(name), other_row["result"].get(name)
            if name not in CIRCUMSTANCES and first != second and None not in (first, second):
                yield f"run {row['key']} has {name} {first} and {second}"
                break
    for name, value in other.artifacts():
        if name.startswith(NOTES_PREFIX):  # words, which may differ between versions; no measurement
            continue
        artifact = into.artifact(name)
        if artifact is not None and artifact != json.loads(json.dumps(value)):
            yield f"{name} was measured twice, with different results"


def _merge_run(into: Store, row: Mapping[str, Any] | None, other_row: Mapping[str, Any], path: Path) -> bool:
    """Merge one run of the other store, at `path`; return whether it was finished there alone."""
    if row is None:
        into.add_runs([_run(other_row, path)])
    state = other_row["state"]
    if state not in ("failed", *_FINISHED):
        return False
    if row is not None and (row["state"] in _FINISHED or (row["state"] == "failed" and state == "failed")):
        return False
    started = other_row["started"] or other_row["finished"]
    host, versions = other_row["host"] or "", other_row["versions"]
    into.start([other_row["key"]], host=host, versions=versions, at=started)
    outcome = {name: other_row[name] for name in ("state", "result", "history", "error")}
    into.finish({other_row["key"]: outcome}, at=other_row["finished"])
    return state in _FINISHED


def _merge_study(into: Store, other: Store, name: str) -> None:
    """Give a study the runs of both stores, in the order of the first."""
    runs = {row["key"]: _run(row, into.path) for row in into.rows(name)}
    runs |= {row["key"]: _run(row, other.path) for row in other.rows(name) if row["key"] not in runs}
    into.add(name, list(runs.values()))


def _run(row: Mapping[str, Any], path: Path) -> Run | RecordedRun:
    """Return the run of a row; its settings must give its key."""
    run = stored_run(row["spec"])
    if run.key != row["key"]:
        raise StoreError(
            f"run {row['key']} in {path} was written by a version of dilution that trained in another way. "
            "Nothing was added; run its study again."
        )
    return run
