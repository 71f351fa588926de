"""An estimate of the memory that a run group takes, which Ray is asked for."""

from functools import lru_cache

from dilution.models import build_model
from dilution.study.datasets import open_data, takes_steps
from dilution.study.grouping import RunGroup

_PROCESS = 500_000_000  # torch and what it loads, measured for a perceptron on a CPU
_BYTES_PER_WEIGHT = 5 * 4  # itself, its gradient, two of an optimizer, an average
_MAPS = 64  # feature maps of the size of the image, in float32, that a step keeps per example


def estimate_memory(group: RunGroup, root: str | None) -> int:
    """Return the bytes that a group takes beside its data, to an order of magnitude."""
    run = group.runs[0]
    if not takes_steps(run, root):
        return _PROCESS
    data = open_data(run.dataset, run.fingerprint, root).train
    channels, height, width = data.shape
    weights = _count_weights(run.model, data.shape, len(data.classes))
    step = run.batch_size * (channels + _MAPS) * height * width * 4
    return _PROCESS + len(group.runs) * weights * _BYTES_PER_WEIGHT + step


@lru_cache(maxsize=64)
def _count_weights(model: str, shape: tuple[int, int, int], classes: int) -> int:
    return sum(weight.numel() for weight in build_model(model, shape, classes, seed=0).parameters())
