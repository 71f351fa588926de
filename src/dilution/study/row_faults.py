"""What is wrong with a row of a store: a stranger's store may hold anything under a checksum that fits."""

import math
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from dilution.errors import InputError, short_repr
from dilution.study.measures import MEASURES, broken_rule
from dilution.study.recorded_run import stored_run
from dilution.study.run_spec import Run, is_key
from dilution.utils.finite_numbers import is_finite_number
from dilution.utils.printable import one_line

MAX_DEPTH = 8
"""Most lists and objects in one another; a transition matrix has two."""

_MAX_NAME = 200  # characters of a column of a history
_MAX_THREADS = 4096  # with which a run is trained again
_TEXTS = ("host", "error")
_TIME = re.compile(r"(19|20|21)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00", re.ASCII)


_SEED = re.compile(r'(?<=[{,])"seed":(?:0|[1-9]\d{0,17})(?=[,}])', re.ASCII)
_MAX_SOUND = 10_000
_sound_settings: set[tuple[str, ...]] = set()
"""Canonical settings that this process has checked, without the seed: no other rule depends on it."""


def find_fault(row: Mapping[str, Any], spec: str) -> str | None:
    """Return the first rule that a row breaks, with the value, or None.

    The rules are those of an import: settings make a run and give its key, measures lie in their ranges, a
    history is a list of evaluations, times are in UTC.

    Parameters
    ----------
    row
        Columns of a run, with JSON parsed; empty mappings where a column is NULL.
    spec
        The column of that name as it is stored.
    """
    return (
        _fault_of_settings(row, spec)
        or _fault_of_result(row)
        or fault_of_history(row["history"])
        or fault_of_versions(row["versions"])
        or _fault_of_texts(row)
    )


def fault_of_versions(versions: Any) -> str | None:
    """Return what is wrong with the versions that trained a run, or None."""
    if not isinstance(versions, dict) or not all(isinstance(text, str) for text in versions.values()):
        return f"its versions are {short_repr(versions)}; they must be names with versions"
    threads = versions.get("threads", "1")
    if not (
        threads.isascii() and threads.isdigit() and len(threads) <= 4 and 0 < int(threads) <= _MAX_THREADS
    ):
        return f"its number of threads is {short_repr(threads)}; it must be an integer, 1 to {_MAX_THREADS:,}"
    return None


def is_deeper(value: Any, depth: int) -> bool:
    """Return whether more than `depth` lists and objects lie in one another."""
    level = [value] if isinstance(value, list | dict) and value else []
    for _ in range(depth):
        if not level:
            return False
        parts = [part for outer in level for part in (outer.values() if type(outer) is dict else outer)]
        level = [part for part in parts if type(part) in (list, dict) and part]  # types of JSON: no others
    return bool(level)


def _fault_of_settings(row: Mapping[str, Any], spec: str) -> str | None:
    without_seed = tuple(_SEED.split(spec)) if isinstance(spec, str) else ()
    # Of a study most runs differ in the seed alone. What follows is what the rules below come to for these.
    if without_seed in _sound_settings and is_key(row["key"], spec):
        return None
    if not isinstance(row["spec"], dict):
        return f"its settings are {short_repr(row['spec'])}; they must be an object of JSON"
    try:
        run = stored_run(row["spec"])
    except InputError as error:
        return f"its settings: {str(error).rstrip('.')}"
    if not run.has_key(row["key"]) and not is_key(row["key"], spec):  # of a text before it was canonical
        return f"its settings are those of another run, whose key is {run.key}"
    if isinstance(run, Run) and len(without_seed) == 2 and run.spec == spec:
        if len(_sound_settings) >= _MAX_SOUND:
            _sound_settings.clear()
        _sound_settings.add(without_seed)
    return None


def _fault_of_result(row: Mapping[str, Any]) -> str | None:
    result = row["result"]
    if not isinstance(result, dict):
        return f"its result is {short_repr(result)}; it must be an object of JSON"
    for name in MEASURES:
        value = result.get(name)
        if value is not None and (rule := broken_rule(name, value)) is not None:
            return f"{name} is {short_repr(value)}; it must be {rule}"
    for name, value in result.items():
        if isinstance(value, list | dict) and is_deeper(value, MAX_DEPTH):
            return f"more than {MAX_DEPTH} lists or objects lie in one another in {short_repr(name)}"
    return None


def fault_of_history(history: Any) -> str | None:
    """Return what is wrong with a history of evaluations, or None."""
    evaluations = history or []
    if not isinstance(evaluations, list) or not all(isinstance(one, dict) for one in evaluations):
        return "its history is no list of evaluations"
    for evaluation in evaluations:
        if _are_finite(evaluation.values()):  # nearly all: without a call per number
            continue
        for name, value in evaluation.items():
            if not is_finite_number(value):
                return f"{one_line(name)} in its history is {short_repr(value)}; it must be a number"
    for name in set().union(*evaluations):
        if not name.isidentifier() or len(name) > _MAX_NAME:
            return f"its history has a column {short_repr(name)}; it must be the name of a measure"
    return None


def _are_finite(values: Collection[Any]) -> bool:
    try:
        return set(map(type, values)) <= {int, float} and all(map(math.isfinite, values))
    except OverflowError:  # a whole number that no float holds
        return False


def _fault_of_texts(row: Mapping[str, Any]) -> str | None:
    for name in _TEXTS:
        if not isinstance(row[name], str | None):
            return f"{name} is {short_repr(row[name])}; it must be text"
    for name in ("started", "finished"):
        if row[name] is not None and not is_time(row[name]):
            return (
                f"{name} is {short_repr(row[name])}; it must be a time such as 2026-11-23T08:23:14.627+00:00"
            )
    if row["state"] == "failed" and not (row["error"] or "").strip():
        return "it failed without an error"
    return None


def is_time(value: Any) -> bool:
    """Return whether a value is a time as the scheduler writes it: in UTC, from 1900 to 2199."""
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
