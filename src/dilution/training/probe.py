"""How long a step takes on this machine, for the planner of packs."""

import itertools
import time

import torch

from dilution.models import build
from dilution.training.augment import Augmentation
from dilution.training.batches import Batch
from dilution.training.config import TrainConfig
from dilution.training.device import computing_on, device_of, step_of
from dilution.training.ensemble_step import Program
from dilution.utils.references import is_reference
from dilution.utils.rng_state import RngState

_WARM_UP = 5  # on a GPU the fourth step is captured
_STEPS = 3
_SECONDS = 0.1


def seconds_per_step(
    model: str,
    image: tuple[int, int, int],
    classes: int,
    settings: TrainConfig,
    *,
    replicas: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.uint8,
) -> float:
    """Measure the least time of an optimizer step of a few replicas on random images.

    Parameters
    ----------
    network
        Name of the network.
    image
        Image shape: (channels, height, width).
    classes
        Number of classes.
    settings
        How to train.
    replicas
        Networks that train together.
    device
        ``"cpu"`` or ``"cuda"``.
    dtype
        Of the images as the data hold them: ``torch.uint8`` or ``torch.float32``.

    Returns
    -------
    float
        Seconds for one step of all replicas.
    """
    where = device_of(device)
    networks = [build(model, image, classes, seed=replica).to(where) for replica in range(replicas)]
    # What layers of one's own draw must not move the generator of a study that trains in the user's process.
    draws = [RngState(replica, where) for replica in range(replicas)] if is_reference(model) else None
    program = Program(networks, settings, [settings.lr] * replicas, draws)
    take_step = step_of(program, model, where)
    draw = torch.Generator().manual_seed(0)
    size = (replicas, settings.batch_size)
    images = torch.rand(*size, *image, generator=draw)
    targets = torch.randint(classes, size, generator=draw)
    if settings.targets != "sampled":
        targets = torch.nn.functional.one_hot(targets, classes).float()
    images, targets = images.to(where), targets.to(where)
    shown = Batch(torch.zeros(settings.batch_size, *image, dtype=dtype, device=where), targets[0])
    augmented = [
        Augmentation(settings, image, seed=replica).of(itertools.repeat(shown)) for replica in range(replicas)
    ]
    times: list[float] = []
    with computing_on(where):
        while len(times) < _WARM_UP + _STEPS or sum(times) < _SECONDS:
            start = time.perf_counter()
            for each in augmented:  # beside the step of a small network its cost shows
                next(each)
            take_step(images, targets, 1e-6)
            if where.type == "cuda":
                torch.cuda.synchronize(where)
            times.append(time.perf_counter() - start)
    return min(times[_WARM_UP:])  # what others do on the machine only ever adds to it
