"""Notes on runs that were trained, and whose gradients could not be compared."""

from collections.abc import Iterable, Mapping
from typing import Any

from dilution.utils.printable import last_line

NO_GRADIENTS = "the gradients were not compared"
"""Start of the ``error`` of such a run, whose training has ended well: it has all other measures."""


def gradient_notes(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one note on the runs whose gradients could not be compared, with the reason of the first.

    Parameters
    ----------
    rows
        Runs as rows of the store.
    """
    asked = [row for row in rows if row["spec"].get("compare_gradients")]
    lacking = [row for row in asked if (row["error"] or "").startswith(NO_GRADIENTS)]
    if not lacking:
        return []
    spec, error = lacking[0]["spec"], lacking[0]["error"]
    reason = last_line(error.removeprefix(f"{NO_GRADIENTS}: ")).rstrip(".")
    noise = "" if spec.get("alpha") is None else f"alpha {spec['alpha']:g}, "
    return [
        f"{len(lacking):,} of {len(asked):,} runs have no gradient_ratio and gradient_cosine, the first "
        f"{spec['model']}, {noise}seed {spec.get('seed', 0)}: {reason}"
    ]
