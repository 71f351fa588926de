"""Plain training: one network, and the mean loss of the batch."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from dilution.training.losses import Loss
from dilution.training.strategies.base import Procedure, Strategy, StrategyContext, TrainingBatch
from dilution.training.strategies.networks import Network


class Plain(Strategy):
    """Plain training: each step follows the gradient of the mean loss of its batch.

    It has no parameters, and takes any loss and any targets. The step of run groups computes it for several
    replicas at once; :meth:`of_replica` is the same in three lines, to which tests compare that step.
    """

    name: ClassVar[str] = "plain"

    def check_loss(self, loss: Loss) -> None:
        """Accept every loss."""

    def of_replica(self, context: StrategyContext) -> Procedure:  # noqa: ARG002
        return _Plain()


class _Plain(Procedure):
    def forward(self, networks: Sequence[Network], batch: TrainingBatch) -> Tensor:
        return batch.losses(networks[0](batch.images)).mean()
