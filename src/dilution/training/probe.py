"""How long a step takes on this machine, for the planner of packs."""

import time

import torch

from dilution.nets import build
from dilution.training.program import Program
from dilution.training.settings import TrainSettings

_WARM_UP = 2
_STEPS = 3
_SECONDS = 0.1


def seconds_per_step(
    network: str,
    picture: tuple[int, int, int],
    classes: int,
    settings: TrainSettings,
    *,
    replicas: int,
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

    Returns
    -------
    float
        Seconds for one step of all replicas.
    """
    networks = [build(network, picture, classes, seed=replica) for replica in range(replicas)]
    program = Program(networks, settings, [settings.rate] * replicas)
    draw = torch.Generator().manual_seed(0)
    size = (replicas, settings.batch)
    pictures = torch.rand(*size, *picture, generator=draw)
    targets = torch.randint(classes, size, generator=draw)
    if settings.order != "examples":
        targets = torch.nn.functional.one_hot(targets, classes).float()
    times: list[float] = []
    while len(times) < _WARM_UP + _STEPS or sum(times) < _SECONDS:
        start = time.perf_counter()
        program.step(pictures, targets, 1e-6)
        times.append(time.perf_counter() - start)
    return min(times[_WARM_UP:])  # what others do on the machine only ever adds to it
