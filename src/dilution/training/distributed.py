"""Training on several processes: each computes a shard of every batch, and gradients are added up."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from dilution.errors import InputError


@dataclass(frozen=True)
class Shard:
    """The part of each batch that this process computes; the whole batch in a single process.

    Parameters
    ----------
    rank
        Number of this process, from 0.
    size
        Number of processes.
    """

    rank: int = 0
    size: int = 1

    def slice_of(self, batch_size: int) -> slice:
        """Return the positions of a batch that belong to this process; shards differ by at most one."""
        return slice(self.rank * batch_size // self.size, (self.rank + 1) * batch_size // self.size)

    def reduce(self, gradients: Sequence[Tensor], losses: Tensor, batch_size: int) -> Tensor:
        """Turn means over the shard into means over the whole batch.

        Parameters
        ----------
        gradients
            Gradients of any shapes; changed in place.
        losses
            Losses of the shard, float32, shape (R,).
        batch_size
            Examples of the whole batch.

        Returns
        -------
        Tensor
            Losses of the batch, float32, shape (R,).
        """
        part = self.slice_of(batch_size)
        weight = (part.stop - part.start) / batch_size
        flat = torch.cat([losses, *(gradient.flatten() for gradient in gradients)]) * weight
        distributed.all_reduce(flat)
        batch_losses: Tensor
        batch_losses, *sums = flat.split([len(losses), *(gradient.numel() for gradient in gradients)])
        for gradient, total in zip(gradients, sums, strict=True):
            gradient.copy_(total.view_as(gradient))
        return batch_losses

    def check_same_step(self, step: int) -> None:
        """Check that all processes resume from the same step.

        Raises
        ------
        InputError
            If their checkpoints are of different steps.
        """
        if self.size == 1:
            return
        steps = [0] * self.size
        distributed.all_gather_object(steps, step)
        if len(set(steps)) > 1:
            raise InputError(
                f"the checkpoints of the processes are of steps {', '.join(map(str, steps))}; all processes "
                "must resume from the same step. Give them one file on a shared disk, or delete it."
            )


WHOLE_BATCH = Shard()
"""The shard of a training in a single process."""


def join_processes(device: str, batch_size: int) -> Shard:
    """Return the shard of this process among those that ``torchrun`` has started.

    Raises
    ------
    InputError
        If the process was not started by ``torchrun`` and no process group was made; or a batch has
        fewer examples than there are processes.
    """
    if not distributed.is_initialized():
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            script = shlex.quote(getattr(sys.modules["__main__"], "__file__", None) or "train.py")
            raise InputError(
                "parallel is True, and this process was not started together with others. Start the script "
                f"with torch's launcher: `torchrun --nproc-per-node 2 {script}`."
            )
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    shard = Shard(distributed.get_rank(), distributed.get_world_size())
    if batch_size < shard.size:
        raise InputError(
            f"batch_size is {batch_size}, and {shard.size} processes divide it; each needs at least one "
            "example. Start fewer processes, or use a larger batch."
        )
    return shard
