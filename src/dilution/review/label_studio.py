"""Label issues as tasks of Label Studio, with the suggested labels as predictions.

Labels that people give there come back by :func:`dilution.diagnosis.label_studio.read_label_studio`.
"""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from dilution.diagnosis.label_studio import EXAMPLE_ID
from dilution.report.json_file import json_text
from dilution.review.items import ReviewItems, collect_items
from dilution.review.page import check_free
from dilution.utils.atomic import write_atomic
from dilution.utils.printable import printable

_CHOICES, _OBJECT = "label", "example"  # names of the tags in the labelling configuration


def write_label_studio(
    label_issues: pd.DataFrame,
    data: Any,
    path: str | Path,
    *,
    label: str | None = None,
    ids: Any = None,
    n: int | None = None,
    n_random: int = 0,
    cells: pd.DataFrame | None = None,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Write label issues as tasks for Label Studio, and the labelling configuration beside them.

    Parameters
    ----------
    label_issues, data, label, ids, n, n_random, cells
        As of :func:`dilution.review.write_review`.
    path
        JSON file to write, for the import into a project. The configuration has its name with the
        suffix ``.xml``.
    overwrite
        Whether existing files are replaced.

    Returns
    -------
    tuple
        The two paths.

    Raises
    ------
    InputError
        If the data are not those of the label issues, or a file exists.
    DataError
        If the data cannot be read.
    DilutionError
        If a file cannot be written.
    """
    items, _ = collect_items(label_issues, data, label=label, ids=ids, n=n, n_random=n_random, cells=cells)
    return write_tasks(items, Path(path), overwrite=overwrite)


def write_tasks(items: ReviewItems, path: Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write the tasks and the labelling configuration of a review; return both paths."""
    configuration = path.with_suffix(".xml")
    for file in (path, configuration):
        check_free(file, overwrite=overwrite)
    tasks = [_task(items, item) for item in range(len(items))]
    write_atomic(path, f"{json_text(tasks, indent=1)}\n".encode())
    write_atomic(configuration, _configuration(items))
    return path, configuration


def _task(items: ReviewItems, item: int) -> dict[str, Any]:
    """Return a task: the example, its labels, and the suggested label as a prediction."""
    contents = items.contents
    value: Any = contents.images[item] if contents.images else _row(items, item)
    return {
        "data": {
            EXAMPLE_ID: items.ids[item],
            _OBJECT: value,
            "given_label": items.classes[items.given[item]],
            "p_wrong": items.p_wrong[item],
        },
        "predictions": [
            {
                "model_version": "dilution",
                "score": items.p_suggested[item],
                "result": [
                    {
                        "from_name": _CHOICES,
                        "to_name": _OBJECT,
                        "type": "choices",
                        "value": {"choices": [items.classes[items.suggested[item]]]},
                    }
                ],
            }
        ],
    }


def _row(items: ReviewItems, item: int) -> dict[str, str]:
    return dict(zip(items.contents.columns, items.contents.cells[item], strict=True))


def _configuration(items: ReviewItems) -> bytes:
    """Return the labelling configuration: the example, and one choice per class."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", value="Given label: $given_label")
    kind = "Image" if items.contents.images else "Table"
    ElementTree.SubElement(view, kind, name=_OBJECT, value=f"${_OBJECT}")
    choices = ElementTree.SubElement(view, "Choices", name=_CHOICES, toName=_OBJECT, choice="single-radio")
    for name in items.classes:
        ElementTree.SubElement(choices, "Choice", value=printable(name))
    ElementTree.indent(view)
    text: str = ElementTree.tostring(view, "unicode")
    return f"{text}\n".encode()
