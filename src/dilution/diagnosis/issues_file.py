"""The file of label issues, which replaces an edited one only if it includes the work of the reviewer."""

import shlex
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dilution.diagnosis.label_issues import COLUMNS, VERDICT
from dilution.diagnosis.result import Diagnosis
from dilution.errors import InputError
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.output_folder import claim, file_digest, is_own_output, replace_work, write_output

NAME = "label_issues.csv"
_COMMAND = "diagnose"
_BEFORE = "label_issues.before.csv"
"""The file that a reviewer edited, as it was when new label issues took its place."""

_CHANGED_MEANWHILE = "label_issues.new.csv"
_ESTIMATED = ("suggested_label", "p_wrong", "p_suggested", "is_issue", "weight")


def claim_folder(
    folder: Path, names: Iterable[str], verified: str | Path | None, *, overwrite: bool = False
) -> None:
    """Create the folder of a diagnosis once its files may be written.

    Label issues that somebody has edited are replaced only if they are read as verified labels: the new file
    then has all that a person wrote into the old one.

    Parameters
    ----------
    folder
        The folder.
    names
        Names of the files that will be written.
    verified
        File of verified labels.
    overwrite
        Whether files of others may be replaced.

    Raises
    ------
    InputError
        If the folder has a file of such a name that may not be replaced.
    DilutionError
        If the folder cannot be written to.
    """
    path, rest = folder / NAME, [name for name in names if name != NAME]
    claim(folder, rest, overwrite=overwrite, command=_COMMAND)
    if is_own_output(path) or (_is_same(path, verified) and not path.is_symlink()):
        return
    if not overwrite and path.is_file():
        raise InputError(
            f"{path} was edited or has verified labels, and new label issues would replace it. Add "
            f"--verified {shlex.quote(str(path))}: its verified labels count, and its columns are carried "
            "over. Or choose another --out, or --overwrite to lose them."
        )
    claim(folder, [NAME], overwrite=overwrite, command=_COMMAND)


def write_issues(diagnosis: Diagnosis, issues: pd.DataFrame, folder: Path) -> Path:
    """Write the file of label issues and return its path.

    Parameters
    ----------
    diagnosis
        The diagnosis.
    issues
        Its label issues with further columns, as :func:`issue_rows` returns them.
    folder
        Folder of the diagnosis.

    Raises
    ------
    InputError
        If the file is a person's work that the label issues do not include. It stays as it is.
    DilutionError
        If the file cannot be written.
    """
    path, content, reviewed = folder / NAME, csv_bytes(issues), diagnosis.reviewer_columns
    if is_own_output(path) or reviewed is None or not _is_same(path, reviewed.path):
        return write_output(path, content)
    if reviewed.unknown_ids or file_digest(path) != reviewed.digest:
        other = write_output(folder / _CHANGED_MEANWHILE, content)
        reason = (
            f"has the id {reviewed.unknown_ids[0]!r}, which no example has, with further columns"
            if reviewed.unknown_ids
            else "was changed while the labels were diagnosed"
        )
        raise InputError(f"{path} {reason}. It stays as it is; the new label issues are in {other}.")
    write_output(folder / _BEFORE, path.read_bytes())
    return replace_work(path, content, reviewed.digest)


def issue_rows(diagnosis: Diagnosis, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return label issues with columns of the table.

    If nothing was learned, only labels that somebody has looked up or commented on are left.

    Parameters
    ----------
    diagnosis
        The diagnosis.
    columns
        Names of columns of the table, ``("all",)`` for all. A column that has the name of one of the label
        issues has `` (data)`` behind its name.

    Raises
    ------
    InputError
        If a column does not exist, or the data are no table.
    """
    issues = diagnosis.label_issues
    own = [name for name in COLUMNS if name in issues]
    reviewer = issues[[name for name in issues.columns if name not in own]]
    table = pd.DataFrame(index=issues.index)
    if columns and diagnosis.origin is not None:
        names = diagnosis.origin.check_columns(columns)
        text = diagnosis.origin.read_text(names).iloc[issues["index"].to_numpy(dtype=np.int64)]
        free = [_free_name(name, (*COLUMNS, VERDICT), "data") for name in names]
        table = text.set_axis(free, axis=1).set_axis(issues.index)
    reviewer = _not_repeated(reviewer, table)
    result = pd.concat([issues[own], table, reviewer], axis=1)
    if diagnosis.learned:
        return result
    is_work = (issues["state"] != "") | (reviewer != "").any(axis=1)
    unknown = is_work & (issues["state"] == "")
    result = result.astype(dict.fromkeys(_ESTIMATED, object))
    result.loc[unknown, list(_ESTIMATED)] = ""
    return result[is_work]


def _not_repeated(reviewer: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the reviewer's columns without copies of those of the table; edited copies get another name."""
    same = [name for name in reviewer.columns if name in table and reviewer[name].equals(table[name])]
    kept = reviewer.drop(columns=same)
    return kept.rename(
        columns={name: _free_name(name, [*table, *reviewer], "edited") for name in kept if name in table}
    )


def _free_name(name: str, taken: Collection[str], word: str) -> str:
    while name in taken:
        name = f"{name} ({word})"
    return name


def _is_same(path: Path, verified: str | Path | None) -> bool:
    """Return whether a file is that of the verified labels, whose options may follow a ``#``."""
    if verified is None:
        return False
    other = Path(verified)
    if not other.exists() and "#" in other.name:
        other = other.with_name(other.name.rpartition("#")[0])
    return path.resolve() == other.resolve()
