"""One training over several processes: each takes its share of every batch, and gradients are added up."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from dilution.errors import InputError


@dataclass(frozen=True)
class Share:
    """The part of each batch that this process computes with; all of it, unless there are several.

    Parameters
    ----------
    rank, size
        Number of the process, from 0, and how many there are.
    """

    rank: int = 0
    size: int = 1

    def of(self, batch: int) -> slice:
        """Return which places of a batch are this process's; shares differ by one at most."""
        return slice(self.rank * batch // self.size, (self.rank + 1) * batch // self.size)

    def add_up(self, gradients: Sequence[Tensor], losses: Tensor, batch: int) -> Tensor:
        """Turn means over a share, gradients and losses, into those over the batch: in place, and returned.

        Parameters
        ----------
        gradients
            Of any shapes; changed in place.
        losses
            float32, shape (R,).
        batch
            Examples of the whole batch.
        """
        mine = self.of(batch)
        weight = (mine.stop - mine.start) / batch
        flat = torch.cat([losses, *(each.flatten() for each in gradients)]) * weight
        distributed.all_reduce(flat)
        added: Tensor
        added, *parts = flat.split([len(losses), *(each.numel() for each in gradients)])
        for each, part in zip(gradients, parts, strict=True):
            each.copy_(part.view_as(each))
        return added

    def agree(self, step: int) -> None:
        """Check that all processes go on from the same step.

        Raises
        ------
        InputError
            If they do not: their checkpoints are of different steps.
        """
        if self.size == 1:
            return
        steps = [0] * self.size
        distributed.all_gather_object(steps, step)
        if len(set(steps)) > 1:
            raise InputError(
                f"the checkpoints of the processes are of steps {', '.join(map(str, steps))}; all must go on "
                "from one. Give them one file on a disk that they share, or delete it."
            )


WHOLE = Share()


def join(device: str, batch: int) -> Share:
    """Return the share of this process among those that ``torchrun`` has started.

    Raises
    ------
    InputError
        If it was not started by ``torchrun``, and no process group has been made; or a batch has fewer
        examples than there are processes.
    """
    if not distributed.is_initialized():
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            raise InputError(
                "parallel is True, and this process has no others beside it. Start the script with torch's "
                "launcher: torchrun --nproc-per-node 2 SCRIPT."
            )
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    share = Share(distributed.get_rank(), distributed.get_world_size())
    if batch < share.size:
        raise InputError(
            f"batch_size is {batch}, and {share.size} processes share it; each needs an example at least. Start "
            "fewer processes, or take a larger batch."
        )
    return share
