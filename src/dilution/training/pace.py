"""The pace of trainings on this machine, from a short measurement."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dilution.training.device import reproducible_convolutions, resolve_device
from dilution.training.distributed import WHOLE_BATCH
from dilution.training.task import TrainTask
from dilution.training.trainer import Trainer

_WARM_UP_STEPS = 8  # on a GPU these compile kernels and capture a graph
_STEPS_AT_ONCE = 4

IMAGES_PER_EXAMPLE = 3
"""Evaluated images that take as long as one training example, as :func:`measure_pace` says."""


@dataclass(frozen=True)
class Pace:
    """How long trainings of one kind take.

    Parameters
    ----------
    step
        Seconds of an optimizer step of all models of the group.
    evaluated_image
        Seconds in which one model evaluates one image.
    set_up
        Seconds in which data, noise and weights of one model are made ready.
    """

    step: float
    evaluated_image: float
    set_up: float

    def seconds(self, models: int, steps: int, evaluated_images: int) -> float:
        """Return the seconds of a training.

        Parameters
        ----------
        models
            Number of models that train together.
        steps
            Optimizer steps.
        evaluated_images
            Images that each model evaluates in all.
        """
        return models * (self.set_up + evaluated_images * self.evaluated_image) + steps * self.step


def measure_pace(tasks: Sequence[TrainTask], device: str, seconds: float) -> Pace:
    """Measure the pace of models that train together, by steps that are thrown away.

    The time of an evaluated image is a third of that of a training example: the forward pass takes
    about half as many operations as the backward pass.

    Parameters
    ----------
    tasks
        The trainings; they must have enough steps for the measurement.
    device
        As for :func:`dilution.train`.
    seconds
        Time of the measurement.
    """
    resolved = resolve_device(device)
    with reproducible_convolutions(resolved):
        start = time.perf_counter()
        steps = Trainer(tasks, resolved, None, WHOLE_BATCH).steps()
        set_up = time.perf_counter() - start
        _take(steps, _WARM_UP_STEPS if resolved.type == "cuda" else 1, resolved)
        count, begin = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - begin < seconds:
            taken = _take(steps, _STEPS_AT_ONCE, resolved)
            count += taken
            if taken < _STEPS_AT_ONCE:
                break
        step = (time.perf_counter() - begin) / max(count, 1)
    batch_size = tasks[0].config.batch_size
    evaluated_image = step / (IMAGES_PER_EXAMPLE * len(tasks) * batch_size)
    return Pace(step, evaluated_image, set_up / len(tasks))


def _take(steps: Iterator[Tensor], count: int, device: torch.device) -> int:
    """Take up to so many steps, wait until the device has computed them, and return how many there were."""
    taken = sum(1 for _ in itertools.islice(steps, count))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return taken
