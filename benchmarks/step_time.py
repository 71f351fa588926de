"""Measure the time of an optimizer step on this machine."""

import itertools
import time

import torch

from dilution.models import build_model
from dilution.training.augment import Augmentation
from dilution.training.batches import Batch
from dilution.training.config import TrainConfig
from dilution.training.device import reproducible_convolutions, resolve_device, step_function
from dilution.training.ensemble_step import EnsembleStep
from dilution.training.estimators import is_custom
from dilution.utils.rng_state import RngState

_WARM_UP_STEPS = 5  # on a GPU the fourth step is captured
_STEPS = 3
_SECONDS = 0.1


def seconds_per_step(
    model: str,
    image_shape: tuple[int, int, int],
    classes: int,
    config: TrainConfig,
    *,
    replicas: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.uint8,
) -> float:
    """Return the shortest measured time of an optimizer step of several replicas, in seconds.

    Parameters
    ----------
    model
        Name of the model.
    image_shape
        Image shape: (channels, height, width).
    classes
        Number of classes.
    config
        Configuration of the training.
    replicas
        Models that train together.
    device
        ``"cpu"`` or ``"cuda"``.
    dtype
        Dtype of the images in the data: ``torch.uint8`` or ``torch.float32``.
    """
    where = resolve_device(device)
    seeds = range(replicas)
    models = [build_model(model, image_shape, classes, seed=seed).to(where) for seed in seeds]
    rng_states = [RngState(seed, where) for seed in seeds] if is_custom(model) else None
    ensemble = EnsembleStep(models, config, [config.lr] * replicas, rng_states)
    take_step = step_function(ensemble, where, capturable=not is_custom(model))
    generator = torch.Generator().manual_seed(0)
    size = (replicas, config.batch_size)
    images = torch.rand(*size, *image_shape, generator=generator)
    targets = torch.randint(classes, size, generator=generator)
    if config.targets != "sampled":
        targets = torch.nn.functional.one_hot(targets, classes).float()
    images, targets = images.to(where), targets.to(where)
    batch = Batch(torch.zeros(config.batch_size, *image_shape, dtype=dtype, device=where), targets[0])
    streams = [Augmentation(config, image_shape, seed=seed).apply(itertools.repeat(batch)) for seed in seeds]
    times: list[float] = []
    with reproducible_convolutions(where):
        while len(times) < _WARM_UP_STEPS + _STEPS or sum(times) < _SECONDS:
            start = time.perf_counter()
            for stream in streams:  # augmentation takes a noticeable part of the step of a small model
                next(stream)
            take_step(images, targets, 1e-6)
            if where.type == "cuda":
                torch.cuda.synchronize(where)
            times.append(time.perf_counter() - start)
    return min(times[_WARM_UP_STEPS:])  # other load on the machine only ever adds time
