"""Co-teaching: two networks, each trained on the examples that have small losses under the other."""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from dilution.errors import InputError
from dilution.training.strategies.base import Procedure, Strategy, StrategyContext, TrainingBatch
from dilution.training.strategies.networks import Network


class CoTeaching(Strategy):
    """Co-teaching (Han et al. 2018): two networks select each other's examples by small losses.

    In each batch a network selects the share R(T) of the examples with its smallest losses, and the other
    network is trained on them, with

    R(T) = 1 − τ min(T^c/T_k, 1)

    and T the number of complete epochs: at first all examples are kept, and gradually a share τ is left out.
    The networks differ in their initial weights.

    Parameters
    ----------
    forget_rate
        τ, the largest share that is left out, from 0 to below 1. Default: the noise rate of the run, as
        published, where it is assumed to be known. Labels whose true classes are not known count as clean.
    ramp_epochs
        T_k, at most 10⁶. Published: 10.
    exponent
        c, from 0.1 to 10, so that powers of `ramp_epochs` are finite. Published: 1.
    """

    name: ClassVar[str] = "co_teaching"
    networks: ClassVar[int | None] = 2
    cost: ClassVar[float | None] = 2.0

    forget_rate: Annotated[float | None, Field(ge=0, lt=1)] = None
    ramp_epochs: Annotated[float, Field(gt=0, le=1e6)] = 10.0
    exponent: Annotated[float, Field(ge=0.1, le=10)] = 1.0

    def check(self, context: StrategyContext) -> None:
        epochs = self.ramp_epochs ** (1 / self.exponent)
        if context.epochs + 0.5 < epochs:
            shorter = self.model_copy(update={"ramp_epochs": _rounded(context.epochs**self.exponent)})
            raise InputError(
                f"strategy is {self.text!r}, which leaves out its whole share of the examples after "
                f"{epochs:.4g} epochs, and the training has {context.epochs:.3g}. Give "
                f"strategy={shorter.text!r}, or more epochs."
            )

    def share_kept(self, epoch: int, noise_rate: float) -> float:
        """Return R, the share of a batch that is kept after so many complete epochs."""
        forget_rate = noise_rate if self.forget_rate is None else self.forget_rate
        ramp: float = epoch**self.exponent / self.ramp_epochs
        return 1 - forget_rate * min(ramp, 1.0)

    def of_replica(self, context: StrategyContext) -> Procedure:
        return _CoTeaching(self, context.noise_rate)


class _CoTeaching(Procedure):
    networks = 2

    def __init__(self, strategy: CoTeaching, noise_rate: float) -> None:
        super().__init__()
        self._strategy, self._noise_rate = strategy, noise_rate

    def forward(self, networks: Sequence[Network], batch: TrainingBatch) -> Tensor:
        count = round(self._strategy.share_kept(batch.epoch, self._noise_rate) * len(batch.labels))
        first, second = (batch.losses(network(batch.images)) for network in networks)
        return first[_smallest(second, count)].mean() + second[_smallest(first, count)].mean()


def _smallest(losses: Tensor, count: int) -> Tensor:
    """Return the places of the smallest losses, at least one; the first of equal ones."""
    return losses.detach().argsort(stable=True)[: max(1, count)]


def _rounded(epochs: float) -> float:
    """Return a ramp that a message proposes: as long as the training, in whole epochs if it has any."""
    return float(math.floor(epochs)) if epochs >= 1 else float(f"{epochs:.1g}")
