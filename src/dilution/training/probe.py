"""How long a step takes on this machine, for the planner of packs."""

import itertools
import time

import torch

from dilution.models import build
from dilution.training.augment import Augmentation
from dilution.training.batches import Batch
from dilution.training.config import TrainSettings
from dilution.training.device import computing_on, device_of, step_of
from dilution.training.ensemble_step import Program
from dilution.utils.references import is_reference
from dilution.utils.rng_state import Draws

_WARM_UP = 5  # on a GPU the fourth step is captured
_STEPS = 3
_SECONDS = 0.1


def seconds_per_step(
    network: str,
    picture: tuple[int, int, int],
    classes: int,
    settings: TrainSettings,
    *,
    replicas: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.uint8,
) -> float:
    """Measure the least time of an optimizer step of a few replicas on random pictures.

    Parameters
    ----------
    network
        Name of the network.
    picture
        Picture shape: (channels, height, width).
    classes
        Number of classes.
    settings
        How to train.
    replicas
        Networks that train together.
    device
        ``"cpu"`` or ``"cuda"``.
    dtype
        Of the pictures as the data hold them: ``torch.uint8`` or ``torch.float32``.

    Returns
    -------
    float
        Seconds for one step of all replicas.
    """
    where = device_of(device)
    networks = [build(network, picture, classes, seed=replica).to(where) for replica in range(replicas)]
    # What layers of one's own draw must not move the generator of a study that trains in the user's process.
    draws = [Draws(replica, where) for replica in range(replicas)] if is_reference(network) else None
    program = Program(networks, settings, [settings.rate] * replicas, draws)
    take_step = step_of(program, network, where)
    draw = torch.Generator().manual_seed(0)
    size = (replicas, settings.batch)
    pictures = torch.rand(*size, *picture, generator=draw)
    targets = torch.randint(classes, size, generator=draw)
    if settings.order != "examples":
        targets = torch.nn.functional.one_hot(targets, classes).float()
    pictures, targets = pictures.to(where), targets.to(where)
    shown = Batch(torch.zeros(settings.batch, *picture, dtype=dtype, device=where), targets[0])
    augmented = [
        Augmentation(settings, picture, seed=replica).of(itertools.repeat(shown))
        for replica in range(replicas)
    ]
    times: list[float] = []
    with computing_on(where):
        while len(times) < _WARM_UP + _STEPS or sum(times) < _SECONDS:
            start = time.perf_counter()
            for each in augmented:  # beside the step of a small network its cost shows
                next(each)
            take_step(pictures, targets, 1e-6)
            if where.type == "cuda":
                torch.cuda.synchronize(where)
            times.append(time.perf_counter() - start)
    return min(times[_WARM_UP:])  # what others do on the machine only ever adds to it
