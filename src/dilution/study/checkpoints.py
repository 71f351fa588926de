"""The checkpoints of a study: one file per run group, and beside it the keys of the group's runs."""

import logging
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dilution.errors import DataError
from dilution.study.run_spec import Run
from dilution.training import Checkpoint
from dilution.utils.atomic import write_atomic
from dilution.utils.regular_file import check_regular

_KEYS = ".keys"  # suffix of the file with the keys


class GroupCheckpoint(Checkpoint):
    """The checkpoint of a run group. The file beside it tells the next start which runs train together.

    It stays when the training has ended, until the scheduler has the outcomes in the store.
    """

    def save(self, state: dict[str, Any]) -> None:
        """Write the keys of the runs, and a state as :class:`Checkpoint` does."""
        write_atomic(self.path.with_suffix(_KEYS), self.name.encode())
        super().save(state)

    def training_ended(self) -> None:
        """Keep the files: the outcomes are not in the store yet."""

    def remove(self) -> None:
        """Remove both files, if there are any."""
        super().remove()
        self.path.with_suffix(_KEYS).unlink(missing_ok=True)


@dataclass(frozen=True)
class CheckpointFolder:
    """The folder of checkpoints of a study.

    Parameters
    ----------
    path
        The folder; on a cluster one that all nodes share.
    interval
        Seconds between two checkpoints of a training.
    stop_at
        Time, as of :func:`time.time`, at which trainings save a checkpoint and stop.
    """

    path: Path
    interval: float
    stop_at: float = math.inf

    def checkpoint(self, runs: Sequence[Run], device: str = "cpu") -> Checkpoint:
        """Return the checkpoint of runs that train together on a kind of device."""
        keys = " ".join(run.key for run in runs)
        path = self.path / f"{runs[0].key}-{len(runs)}-{device}.pt"
        return GroupCheckpoint(path, keys, self.interval, self.stop_at)

    def groups(self, device: str) -> list[list[str]]:
        """Return the keys of the runs of each group that has a checkpoint of this kind of device.

        Raises
        ------
        DataError
            If a file of the folder cannot be read.
        InputError
            If a pipe or a device has its name.
        """
        groups = []
        for path in sorted(self.path.glob(f"*-{device}{_KEYS}")):
            if path.with_suffix(".pt").exists():
                check_regular(path)
                try:
                    groups.append(path.read_text("utf-8").split())
                except (OSError, UnicodeDecodeError) as error:
                    raise DataError(
                        f"{path} cannot be read ({error}). Delete it to train its runs from the start."
                    ) from None
        return groups

    def clear(self, keys: Iterable[str]) -> None:
        """Remove the checkpoints of runs that have ended, whatever group they started in."""
        ended = set(keys)
        for path in list(self.path.iterdir()) if self.path.is_dir() else ():
            if path.name.lstrip(".").partition("-")[0] in ended:  # .KEY-….part is partly written
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:  # the results are in the store: nothing depends on the file
                    logging.getLogger("dilution").warning(
                        "%s cannot be removed (%s). Its runs have ended: delete it.", path, error.strerror
                    )
        with suppress(OSError):  # it does not exist, or has checkpoints of other runs
            self.path.rmdir()
