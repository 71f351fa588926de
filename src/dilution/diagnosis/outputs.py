"""Which files a diagnosis writes besides the usual ones: checked before anything trains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilution.data.registry import own_source
from dilution.diagnosis.clean_labels import CleanLabels, Policy, check_policy
from dilution.diagnosis.file_names import CHANGES_FILE, FILES
from dilution.diagnosis.open_origin import open_origin
from dilution.diagnosis.origin import ExamplesOrigin, Origin
from dilution.diagnosis.result import Diagnosis
from dilution.errors import InputError


@dataclass(frozen=True)
class Outputs:
    """Which files a diagnosis writes besides the usual ones.

    Parameters
    ----------
    columns
        Columns of the table that the label issues have too.
    policy, confidence
        As of :meth:`dilution.diagnosis.Diagnosis.clean`; None: no clean data are written.
    cleaned_name
        Name of the file of the clean data.
    data
        What is diagnosed.
    """

    columns: tuple[str, ...]
    policy: Policy | None
    confidence: float | None
    cleaned_name: str
    data: Any

    @classmethod
    def parse(cls, data: Any, columns: str | None, policy: str | None, confidence: float | None) -> Outputs:
        """Return the outputs that options of the command line ask for.

        Parameters
        ----------
        data
            Name or path of the data, with the options behind its ``#``.
        columns
            Names of columns, separated by commas, or ``"all"``.
        policy, confidence
            As of :meth:`dilution.diagnosis.Diagnosis.clean`.

        Raises
        ------
        DataError
            If a file cannot be read.
        InputError
            If a column or policy does not exist, or the data cannot be written with clean labels.
        """
        if policy is None and confidence is not None:
            raise InputError(f"confidence is {confidence}, and nothing is to be cleaned. Add --clean drop.")
        checked = None if policy is None else check_policy(policy, confidence)
        if columns is None and checked is None:
            return cls((), None, None, "", data)
        origin = open_origin(data)
        names = () if columns is None else origin.check_columns(_split(columns, origin))
        if checked is not None:
            origin.check_cleaning(has_weights=checked[0] == "weight")
        chosen, above = (None, None) if checked is None else checked
        return cls(names, chosen, above, origin.cleaned_name, data)

    def clean(self, diagnosis: Diagnosis) -> CleanLabels | None:
        """Return the clean labels of a diagnosis; None if none are asked for.

        Raises
        ------
        DataError
            If the data have changed.
        """
        return None if self.policy is None else diagnosis.clean(self.policy, self.confidence)

    def names(self, folder: Path) -> tuple[str, ...]:
        """Return the names of all files that are written into a folder.

        Raises
        ------
        InputError
            If one of them is the file of the data.
        """
        if self.policy is None:
            return FILES
        source = own_source(self.data)
        path = getattr(source, "path", None)
        if path is not None and (folder / self.cleaned_name).resolve() == Path(path):
            raise InputError(
                f"{folder / self.cleaned_name} has the data, and the clean data would replace it. Choose "
                "another --out."
            )
        return (*FILES, self.cleaned_name, CHANGES_FILE)


def _split(columns: str, origin: Origin) -> tuple[str, ...]:
    """Return names of columns that are separated by commas; a name that has a comma may stand alone."""
    if not isinstance(origin, ExamplesOrigin) and columns in origin.check_columns(("all",)):
        return (columns,)
    return tuple(name.strip() for name in columns.split(","))
