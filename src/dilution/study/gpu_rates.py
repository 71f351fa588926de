"""Rates of a GPU that is not at hand, for estimates: measured where they could be, otherwise assumed.

Each is for groups of 32 models with batches of 128 examples, in training examples per second, all models of
the group together. Smaller groups are slower in the measured proportion.
"""

from dataclasses import dataclass

from dilution.errors import unknown
from dilution.training.config import PrecisionName


@dataclass(frozen=True)
class Rate:
    """The rate of a model on a GPU.

    Parameters
    ----------
    limit
        Most examples per second, whatever the operations.
    operations
        Operations per second that the model reaches, forward and backward.
    source
        Where the numbers come from.
    fills_gpu
        Whether one model alone reaches the rate.
    is_assumed
        Whether no model of this kind was measured.
    """

    limit: float
    operations: float
    source: str
    fills_gpu: bool = False
    is_assumed: bool = False

    def examples_per_second(self, operations_per_example: float, models: int) -> float:
        """Return the examples per second of so many models together, by the operations per example."""
        share = 1.0 if self.fills_gpu else _group_share(models)
        return share * min(self.limit, self.operations / operations_per_example)


_MEASURED = "measured (docs/performance.md)"
_EARLIER = (
    "measured with 64 together by version 0.1.0 (6149318), which took batches one model after the other"
)

_GPU_RATES: dict[str, dict[tuple[str, PrecisionName], Rate]] = {
    "h200": {
        ("perceptron", "bfloat16"): Rate(24e6, 160e12, f"{_MEASURED}, all turns together"),
        ("mlp", "bfloat16"): Rate(24e6, 17.3e12, f"{_MEASURED} for MLP-2, all turns together"),
        ("conv", "bfloat16"): Rate(
            2.4e6, 170e12, f"{_MEASURED} for Conv-4 on 28×28, 1.5 million; Conv-6 reaches 204 TFLOP/s"
        ),
        ("resnet", "bfloat16"): Rate(
            2.4e6, 67e12, "assumed: a tenth of the bfloat16 product", fills_gpu=True, is_assumed=True
        ),
        ("fastcifar", "bfloat16"): Rate(
            2.4e6, 130e12, "measured for 5 together with batches of 512, assumed for fewer", fills_gpu=True
        ),
        ("lenet", "bfloat16"): Rate(
            1.4e6, 18.6e12, "assumed: that of ConvNets by torch, in float32", is_assumed=True
        ),
        ("perceptron", "float32"): Rate(3.1e6, 51e12, _EARLIER),
        ("mlp", "float32"): Rate(2.8e6, 51e12, _EARLIER),
        ("conv", "float32"): Rate(
            2.4e6, 18.6e12, "measured for Conv-4 on 28×28 by torch (6149318): the kernels compute in bfloat16"
        ),
        ("resnet", "float32"): Rate(
            2.4e6, 5.1e12, "assumed: a tenth of the float32 product", fills_gpu=True, is_assumed=True
        ),
        ("fastcifar", "float32"): Rate(
            2.4e6, 5.1e12, "assumed: that of ResNets", fills_gpu=True, is_assumed=True
        ),
        ("lenet", "float32"): Rate(1.4e6, 18.6e12, "assumed: that of ConvNets by torch", is_assumed=True),
    }
}

_GROUP_SHARE = {1: 0.12, 2: 0.25, 4: 0.5, 8: 0.77, 16: 0.9, 32: 1.0}
"""Share of the rate by size of the group: from 8 on that of a prototype for ConvNets, otherwise assumed."""


def gpu_rate(gpu: str, model: str, precision: PrecisionName) -> Rate:
    """Return the rate of a model on a GPU, by the start of its name.

    Raises
    ------
    InputError
        If there are no rates of this GPU, or of such a model.
    """
    if gpu.lower() not in _GPU_RATES:
        raise unknown("GPU with known rates", gpu, _GPU_RATES)
    rates = _GPU_RATES[gpu.lower()]
    for (start, rated_precision), rate in rates.items():
        if model.startswith(start) and precision == rated_precision:
            return rate
    raise unknown(f"model with a known rate on {gpu}", model, dict.fromkeys(start for start, _ in rates))


def _group_share(size: int) -> float:
    """Return the share of the full rate that a group of models reaches, each too small to fill the GPU."""
    return next((share for limit, share in _GROUP_SHARE.items() if size <= limit), 1.0)
