"""What an optimizer is as a setting: its parameters, and the optimizer of torch that it makes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch.optim import Optimizer

from dilution.utils.named_setting import NamedSetting


class OptimizerSetting(NamedSetting, ABC):
    """An optimizer with its parameters. Learning rate, momentum and weight decay are other settings."""

    kind: ClassVar[str] = "optimizer"

    def check(self, weight_decay: float) -> None:
        """Refuse an optimizer that breaks a rule, before anything is computed.

        Parameters
        ----------
        weight_decay
            Weight decay of the training.

        Raises
        ------
        InputError
            If one of the user breaks a rule.
        """

    @abstractmethod
    def make(
        self, weights: Sequence[Any], *, lr: float, momentum: float, weight_decay: float, capturable: bool
    ) -> Optimizer:
        """Return the optimizer.

        Parameters
        ----------
        weights
            Parameters, or groups of them as ``torch.optim`` takes them: ``{"params": …, "lr": …}``.
        lr
            Learning rate of groups without one.
        momentum
            Momentum, for optimizers that have a parameter of this name.
        weight_decay
            Weight decay.
        capturable
            Whether steps are captured in a CUDA graph. The learning rates of groups are tensors then.
        """
