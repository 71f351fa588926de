"""What is wrong with an artifact of a store: its checksum fits whatever somebody wrote there."""

from typing import Any

from dilution.study.row_faults import MAX_DEPTH, is_deeper
from dilution.utils.finite_numbers import is_finite_number


def find_artifact_fault(name: str, value: Any) -> str | None:
    """Return the rule that an artifact breaks, or None.

    Parameters
    ----------
    name
        Its name; the first part says what it is: ``notes``, ``recipe``, ``plan`` or ``confusability``.
    value
        Its value, parsed.
    """
    if is_deeper(value, MAX_DEPTH):
        return f"more than {MAX_DEPTH} lists or objects lie in one another"
    if value is None:
        return None
    kind = name.partition("/")[0]
    if kind == "notes" and not _is_list_of(value, str):
        return "it must be a list of texts"
    if kind == "recipe" and not isinstance(value, str):
        return "it must be text"
    if kind == "plan" and not _is_list_of(value, dict):
        return "it must be a list of settings"
    if kind == "confusability" and not _is_square(value):
        return "it must be a square matrix of numbers"
    return None


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(part, kind) for part in value)


def _is_square(value: Any) -> bool:
    return _is_list_of(value, list) and all(
        len(row) == len(value) and all(map(is_finite_number, row)) for row in value
    )
