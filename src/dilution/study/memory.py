"""How much memory a pack takes, roughly: what a cluster is asked for, so that a node is not overfilled."""

from functools import lru_cache

from dilution.models import build
from dilution.study.grouping import shape_of
from dilution.study.planner import Pack
from dilution.study.runner import open_data
from dilution.training import kind_of

_PROCESS = 500_000_000  # torch and what it loads, measured for a perceptron on a processor
_COPIES = 5 * 4  # bytes for each weight: itself, its gradient, two of an optimizer, an average
_MAPS = 64  # maps of the size of the image, in float32, that a step keeps for each example


def bytes_of(pack: Pack, root: str | None) -> int:
    """Return the bytes that a pack takes beside the data, an estimate of the right order."""
    first = pack.runs[0]
    data = open_data(first.dataset, first.fingerprint, root).train
    if kind_of(first.model, data.shape, len(data.classes)) == "estimator":
        return _PROCESS
    channels, height, width = data.shape
    weights = _weights(first.model, data.shape, len(data.classes))
    step = shape_of(first).settings.batch_size * (channels + _MAPS) * height * width * 4
    return _PROCESS + len(pack.runs) * weights * _COPIES + step


@lru_cache(maxsize=64)
def _weights(model: str, shape: tuple[int, int, int], classes: int) -> int:
    return sum(weight.numel() for weight in build(model, shape, classes, seed=0).parameters())
