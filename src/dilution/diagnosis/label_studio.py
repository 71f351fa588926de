"""Labels that people gave in Label Studio, read from its JSON export."""

from pathlib import Path
from typing import Any

from dilution.errors import DataError, InputError, short_repr
from dilution.utils.regular_file import check_regular
from dilution.utils.strict_json import parse_json

EXAMPLE_ID = "example_id"
"""Key of a task's data that has the id of the example, as ``dilution review --label-studio`` writes it."""


def read_label_studio(path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the labels of a JSON export of Label Studio, id of an example → label, and notes.

    Each annotation has one choice. Annotations that were skipped do not count, and an example whose
    annotations differ has no label.

    Parameters
    ----------
    path
        A file that Label Studio exported as JSON (not JSON-MIN), of tasks that
        :func:`dilution.review.write_label_studio` wrote.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If it is no such export, or an annotation has several choices.
    """
    check_regular(path)
    try:
        tasks = parse_json(path.read_bytes())
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as JSON: {reason}. Export the project again.") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(f"{path} is no list of tasks; export the project of Label Studio as JSON.")
    labels: dict[str, str] = {}
    disputed: list[str] = []
    for number, task in enumerate(tasks):
        name, choices = _read_task(task, f"task {number} of {path}")
        if len(choices) > 1:
            disputed.append(name)
        elif choices:
            labels[name] = choices.pop()
    if not disputed:
        return labels, ()
    subject = "1 example has" if len(disputed) == 1 else f"{len(disputed):,} examples have"
    return labels, (
        f"{subject} annotations of different classes and no verified label, the first is "
        f"{short_repr(disputed[0])}",
    )


def _read_task(task: dict[str, Any], place: str) -> tuple[str, set[str]]:
    """Return the id of the example of a task, and the different choices of its annotations."""
    data, annotations = task.get("data"), task.get("annotations")
    if not isinstance(data, dict) or EXAMPLE_ID not in data or not isinstance(annotations, list):
        raise InputError(
            f"{place} lacks data.{EXAMPLE_ID} or annotations; it must be a task of dilution review with its "
            "annotations. Export the project of Label Studio as JSON, not JSON-MIN."
        )
    choices: set[str] = set()
    for annotation in annotations:
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            choices |= _read_annotation(annotation, place)
    return str(data[EXAMPLE_ID]), choices


def _read_annotation(annotation: dict[str, Any], place: str) -> set[str]:
    """Return the choice of an annotation; empty if it has none."""
    results = annotation.get("result")
    values = [
        result.get("value", {}).get("choices")
        for result in (results if isinstance(results, list) else [])
        if isinstance(result, dict)
        and result.get("type") == "choices"
        and isinstance(result.get("value"), dict)
    ]
    choices = [choice for value in values if isinstance(value, list) for choice in value]
    if len(choices) > 1:
        raise InputError(
            f"{place} has an annotation with the choices {short_repr(choices)}; an example has one true "
            "label. Keep one of them."
        )
    return set(map(str, choices))
