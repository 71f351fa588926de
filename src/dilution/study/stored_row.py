"""Rows of a store as they are read: checked by checksum and by the rules of their values, JSON parsed."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dilution.errors import StoreError, short_repr
from dilution.study import schema
from dilution.study.artifact_faults import find_artifact_fault
from dilution.study.row_faults import fault_of_versions, find_fault
from dilution.utils.printable import one_line
from dilution.utils.strict_json import parse_json

COLUMNS = ("key", "spec", "state", "host", "versions", "started", "finished", "result", "history", "error")
"""Columns of a run that :func:`parse_row` takes."""

DAMAGED = "{} in {} was damaged or changed since it was written. Restore a copy, or choose another --store."
_CHANGED = "{} in {}: {}. It was damaged or changed. Restore a copy, or choose another --store."
_KEY = re.compile("[0-9a-f]{16}")

_MAX_SOUND = 100_000
_sound: set[int] = set()  # hashes of rows that this process has checked; a table is read more than once


def parse_row(values: tuple[Any, ...], path: Path) -> dict[str, Any]:
    """Return a run with its JSON columns parsed, empty mappings where they are NULL.

    Parameters
    ----------
    values
        Values of :data:`COLUMNS`, and the checksum.
    path
        The store, for messages.

    Raises
    ------
    StoreError
        If the checksum is wrong, or a value breaks its rule.
    """
    row = dict(zip(COLUMNS, values, strict=False))
    run = f"run {printable_key(row['key'])}"
    spec = row["spec"]
    check_checksum(run, [row[name] for name in schema.CHECKSUM_COLUMNS], values[-1], path)
    for name in ("spec", "versions", "result", "history"):
        row[name] = _parse_cell(f"{name} of {run}", row[name], path) if row[name] else {}
    if (content := hash(values)) not in _sound:
        if (fault := find_fault(row, spec)) is not None:
            raise StoreError(_CHANGED.format(run, path, fault))
        if len(_sound) >= _MAX_SOUND:
            _sound.clear()
        _sound.add(content)
    return row


def parse_artifact(name: str, value: str, checksum: str, path: Path) -> Any:
    """Return the value of an artifact.

    Raises
    ------
    StoreError
        If the checksum is wrong, or the value breaks the rule of its kind.
    """
    check_checksum(one_line(name), (name, value), checksum, path)
    parsed = _parse_cell(one_line(name), value, path)
    if (fault := find_artifact_fault(name, parsed)) is not None:
        raise StoreError(_CHANGED.format(one_line(name), path, fault))
    return parsed


def code_of(key: str, versions: str | None, path: Path) -> str | None:
    """Return the version of this program among the versions that trained a run; None if it is not known.

    Raises
    ------
    StoreError
        If the versions break their rule.
    """
    if versions is None:
        return None
    run = f"run {printable_key(key)}"
    parsed = _parse_cell(f"versions of {run}", versions, path)
    if (fault := fault_of_versions(parsed)) is not None:
        raise StoreError(_CHANGED.format(run, path, fault))
    code: str | None = parsed.get("dilution")
    return code


def check_checksum(name: str, parts: Iterable[str | None], checksum: str, path: Path) -> None:
    """Check that a row is as it was written.

    Raises
    ------
    StoreError
        If it is not; the error names it as `name`.
    """
    if schema.checksum(*parts) != checksum:
        raise StoreError(DAMAGED.format(name, path))


def printable_key(key: object) -> str:
    """Return a key for a message; what cannot be a key is quoted."""
    return key if isinstance(key, str) and _KEY.fullmatch(key) else short_repr(key)


def _parse_cell(name: str, text: Any, path: Path) -> Any:
    """Return the value of a cell in JSON."""
    try:
        return parse_json(text)
    except (ValueError, TypeError) as error:  # TypeError: a changed file may hold a number there
        raise StoreError(_CHANGED.format(name, path, error)) from None
