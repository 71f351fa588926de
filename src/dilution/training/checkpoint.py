"""Checkpoints: a long training written down now and then, so that it goes on exactly where it was cut off."""

import hashlib
import io
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dilution.errors import DataError
from dilution.utils.atomic import write_whole

EVERY = 600.0
"""Seconds between two checkpoints, unless told otherwise."""

_DIGEST = hashlib.sha256().digest_size


@dataclass
class Checkpoint:
    """Where a training is written down. It is removed when the training has ended.

    A file begins with the SHA-256 of what follows, and is read without executing anything.

    Parameters
    ----------
    path
        The file. Its folder is made.
    name
        What the training is; a file of another one is not resumed from.
    every
        Seconds between two of them at least. They are written after evaluations.
    """

    path: Path
    name: str
    every: float = EVERY
    _last: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Return whether it is time to write."""
        return time.monotonic() - self._last >= self.every

    def save(self, state: dict[str, Any]) -> None:
        """Write a state of tensors, numbers, text and containers of these, whole or not at all.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        buffer = io.BytesIO()
        torch.save({"name": self.name, "state": state}, buffer)
        content = buffer.getvalue()
        write_whole(self.path, hashlib.sha256(content).digest() + content)
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state that was written; None where there is no file.

        Raises
        ------
        DataError
            If the file cannot be read, is not as it was written, or belongs to another training.
        """
        try:
            content = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DataError(f"the checkpoint {self.path} cannot be read: {error.strerror}.") from None
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            raise DataError(
                f"the checkpoint {self.path} is damaged: it is not as it was written. Restore a copy, or "
                "delete it to train from the start."
            )
        try:
            found = torch.load(io.BytesIO(content[_DIGEST:]), weights_only=True)
        except (pickle.UnpicklingError, RuntimeError) as error:
            raise DataError(
                f"the checkpoint {self.path} holds what no training writes: {str(error).splitlines()[0]} "
                "Delete it to train from the start."
            ) from None
        if found["name"] != self.name:
            raise DataError(
                f"the checkpoint {self.path} belongs to the training {found['name']!r}, not to "
                f"{self.name!r}. Name another file, or delete it."
            )
        state: dict[str, Any] = found["state"]
        return state

    def remove(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)
