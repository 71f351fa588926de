"""Early-learning regularisation: predictions are kept close to their average over the training."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from dilution.errors import InputError
from dilution.training.losses.base import Loss, LossContext
from dilution.training.losses.gradient import LossWithGradient, differentiate
from dilution.utils.available_memory import available_memory

_LEAST = 1e-4  # probabilities are cut to _LEAST … 1 − _LEAST, as published


class ELR(Loss):
    """Early-learning regularisation (Liu et al. 2020), which remembers its prediction for each example.

    ℓ_i(f, y) = −log f_y + λ log(1 − Σ_k t_ik f_k)

    with t_i the moving average of the predictions for example i, t_i ← β t_i + (1 − β) f, which is updated
    first and through which no gradient passes. It starts at 0. An example is an image with one label: with
    added labels an image has an average for each of them.

    Parameters
    ----------
    beta
        Weight of the old average, from 0 to below 1. Published for symmetric noise: 0.7 for CIFAR-10, 0.9 for
        CIFAR-100. For asymmetric noise on CIFAR-10 the code of the authors has 0.9.
    lam
        λ, at least 0. Published for symmetric noise: 3 for CIFAR-10, 7 for CIFAR-100. For asymmetric noise on
        CIFAR-10 the code of the authors has 1.
    """

    name: ClassVar[str] = "elr"
    is_linear: ClassVar[bool | None] = False
    takes_index: ClassVar[bool] = True

    beta: Annotated[float, Field(ge=0, lt=1)] = 0.7
    lam: Annotated[float, Field(ge=0)] = 3.0

    def check(self, context: LossContext) -> None:
        size = context.replicas * context.examples * (4 * len(context.classes) + 8)
        on_gpu = context.device.type == "cuda"
        free = torch.cuda.mem_get_info(context.device)[0] if on_gpu else available_memory()
        if free is not None and size > free:
            raise InputError(
                f"loss is {self.text!r}, which keeps a prediction for each of {context.examples:,} examples: "
                f"{size / 1e9:.3g} GB for {context.replicas} models that train together, and "
                f"{free / 1e9:.3g} GB are free. Give fewer examples or less noise (a smaller alpha), or "
                "another loss."
            )

    def of_replica(self, context: LossContext) -> LossWithGradient:
        self.check(context)
        return _EarlyLearning(self, context)


class _EarlyLearning(nn.Module):
    """The loss of one replica, with its averages of predictions."""

    averages: Tensor  # (examples, classes)
    _last: Tensor  # (examples,)

    def __init__(self, loss: ELR, context: LossContext) -> None:
        super().__init__()
        self._beta, self._lam = loss.beta, loss.lam
        shape = context.examples, len(context.classes)
        self.register_buffer("averages", torch.zeros(shape, device=context.device))
        last = torch.zeros(context.examples, dtype=torch.int64, device=context.device)
        self.register_buffer("_last", last, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        labels, index = targets.unbind(dim=-1)

        def losses(x: Tensor) -> Tensor:
            f = x.softmax(dim=-1).clamp(_LEAST, 1 - _LEAST)
            agreement = (self._update(index, f.detach()) * f).sum(dim=-1)
            return F.cross_entropy(x, labels, reduction="none") + self._lam * (1 - agreement).log()

        return differentiate(losses, logits)

    def _update(self, index: Tensor, f: Tensor) -> Tensor:
        """Update the averages of examples with predictions, and return them: shape (b, classes)."""
        new = f / f.sum(dim=-1, keepdim=True)
        averages = torch.lerp(new.to(self.averages.dtype), self.averages[index], self._beta)
        # A batch over the end of an epoch may have an example twice: its last place counts, on a GPU too.
        places = torch.arange(len(index), device=index.device)
        self._last.scatter_reduce_(0, index, places, "amax", include_self=False)
        averages = averages[self._last[index]]
        self.averages[index] = averages
        return averages.to(f.dtype)
