"""Checkpoints: the state of a long training in a file, from which it resumes exactly where it was."""

import hashlib
import io
import logging
import math
import pickle
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dilution.errors import DataError, DilutionError
from dilution.utils.atomic import write_atomic
from dilution.utils.regular_file import check_regular
from dilution.utils.zip_directory import check_stored, open_zip

DEFAULT_INTERVAL = 600.0
"""Default of the least time between two checkpoints, in seconds."""

_DIGEST_SIZE = hashlib.sha256().digest_size
_MAX_DIRECTORY = 1 << 24  # bytes of the list of tensors in a file: two hundred thousand


class TrainingStopped(Exception):  # noqa: N818, nothing is wrong
    """A training stopped at its time limit.

    Parameters
    ----------
    step
        Optimizer steps that its checkpoint has; 0 if there is no checkpoint.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}")
        self.step = step


@dataclass
class Checkpoint:
    """The file that keeps the state of one training; it is removed when the training has ended.

    The file starts with the SHA-256 of the rest, and is read without executing anything. Its tensors are on
    the CPU, whatever device the training is on: the next one may have fewer devices.

    Parameters
    ----------
    path
        The file. Its folder is created.
    name
        Name of the training; the file of a training with another name is refused.
    interval
        Least time between two checkpoints, in seconds. They are written after evaluations.
    stop_at
        Time, as of :func:`time.time`, at which the training saves a checkpoint and stops, at any step.
    """

    path: Path
    name: str
    interval: float = DEFAULT_INTERVAL
    stop_at: float = math.inf
    _last: float = field(default_factory=time.monotonic, repr=False)

    def __post_init__(self) -> None:
        self.path = Path(self.path)

    def due(self) -> bool:
        """Return whether the next checkpoint is due."""
        return time.monotonic() - self._last >= self.interval

    @property
    def must_stop(self) -> bool:
        """Whether the training must stop now."""
        return time.time() >= self.stop_at

    def save(self, state: dict[str, Any]) -> None:
        """Write a state of tensors, numbers, text and containers of these, whole or not at all.

        Raises
        ------
        DataError
            If the file cannot be written.
        """
        buffer = io.BytesIO()
        torch.save({"name": self.name, "state": _on_cpu(state)}, buffer)
        content = buffer.getvalue()
        try:
            write_atomic(self.path, hashlib.sha256(content).digest() + content)
        except DilutionError as error:
            raise DataError(f"the checkpoint {error}") from error
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; None if there is no file.

        Raises
        ------
        DataError
            If the file cannot be read, is corrupted, or belongs to another training.
        InputError
            If a pipe or a device has its name.
        """
        check_regular(self.path)
        try:
            content = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DataError(f"the checkpoint {self.path} cannot be read: {error.strerror}.") from None
        if hashlib.sha256(content[_DIGEST_SIZE:]).digest() != content[:_DIGEST_SIZE]:
            raise DataError(
                f"the checkpoint {self.path} is corrupted: its checksum is wrong. Restore a copy, or delete "
                "it to train from the start."
            )
        try:
            saved = _read_state(content[_DIGEST_SIZE:])
        except (pickle.UnpicklingError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise DataError(
                f"the checkpoint {self.path} does not contain a saved training: {reason}. Delete it to train "
                "from the start."
            ) from None
        if saved["name"] != self.name:
            raise DataError(
                f"the checkpoint {self.path} belongs to the training {saved['name']!r}, not to "
                f"{self.name!r}. Name another file, or delete it."
            )
        state: dict[str, Any] = saved["state"]
        return state

    def training_ended(self) -> None:
        """Remove the file; if that fails a warning says so: the caller gets the results of the training."""
        try:
            self.remove()
        except NotADirectoryError:  # it was never written
            pass
        except OSError as error:
            logging.getLogger("dilution").warning(
                "The checkpoint %s cannot be removed (%s). Its training has ended: delete it.",
                *(self.path, error.strerror),
            )

    def remove(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)


def _read_state(content: bytes) -> dict[str, Any]:
    """Return name and state of a file without its checksum, which anybody can compute."""
    with open_zip(io.BytesIO(content), _MAX_DIRECTORY) as archive:
        check_stored(archive, len(content))
    saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(saved, dict) or not isinstance(saved.get("name"), str):
        raise ValueError("it names no training")
    if not isinstance(saved.get("state"), dict):
        raise ValueError("it holds no state")
    return saved


def _on_cpu(state: Any) -> Any:
    """Return a state with the same values, all tensors on the CPU."""
    if isinstance(state, torch.Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {name: _on_cpu(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(_on_cpu, state))
    return state
