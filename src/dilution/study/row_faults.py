"""What is wrong with a row of a store: a stranger's store may hold anything under a checksum that fits."""

from collections.abc import Mapping
from typing import Any

from dilution.errors import InputError, short_repr
from dilution.study.measures import MEASURES, broken_rule, is_number
from dilution.study.run_spec import Run

_TEXTS = ("host", "started", "finished", "error")


def find_fault(row: Mapping[str, Any]) -> str | None:
    """Return the first rule that a row breaks, with the value, or None.

    The rules are those of an import: settings make a run, measures lie in their ranges, a history is a list
    of evaluations.

    Parameters
    ----------
    row
        Columns of a run, with JSON parsed; empty mappings where a column is NULL.
    """
    if not isinstance(row["spec"], dict):
        return f"its settings are {short_repr(row['spec'])}; they must be an object of JSON"
    try:
        Run.of(**row["spec"])
    except InputError as error:
        return f"its settings: {str(error).rstrip('.')}"
    return _fault_of_result(row) or _fault_of_history(row["history"]) or _fault_of_texts(row)


def _fault_of_result(row: Mapping[str, Any]) -> str | None:
    result = row["result"]
    if not isinstance(result, dict):
        return f"its result is {short_repr(result)}; it must be an object of JSON"
    for name in MEASURES:
        if (rule := broken_rule(name, result.get(name))) is not None:
            return f"{name} is {short_repr(result[name])}; it must be {rule}"
    return None


def _fault_of_history(history: Any) -> str | None:
    evaluations = history or []
    if not isinstance(evaluations, list) or not all(isinstance(one, dict) for one in evaluations):
        return "its history is no list of evaluations"
    for evaluation in evaluations:
        for name, value in evaluation.items():
            if not is_number(value):
                return f"{name} in its history is {short_repr(value)}; it must be a number"
    return None


def _fault_of_texts(row: Mapping[str, Any]) -> str | None:
    versions = row["versions"]
    if not isinstance(versions, dict) or not all(isinstance(text, str) for text in versions.values()):
        return f"its versions are {short_repr(versions)}; they must be names with versions"
    for name in _TEXTS:
        if not isinstance(row[name], str | None):
            return f"{name} is {short_repr(row[name])}; it must be text"
    return None
