"""Whether a store can be used: asked before data are opened, which may take minutes."""

import os
from pathlib import Path

from dilution.errors import StoreError
from dilution.study.store import Store
from dilution.utils.regular_file import check_regular, file_size


def check_usable_store(path: str | Path) -> None:
    """Refuse a path at which no store can be written; nothing is created.

    Parameters
    ----------
    path
        An existing store, or a file to create.

    Raises
    ------
    StoreError
        If the file is no store, or a file cannot be created there.
    InputError
        If it is a pipe or a device.
    """
    path = Path(path)
    check_regular(path)
    if path.is_dir() or file_size(path):
        with Store(path, create=path.is_dir()):
            return
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        reason = "is no folder" if not folder.is_dir() else "cannot be written to"
        raise StoreError(f"no store can be created at {path}: {folder} {reason}. Choose another --store.")
