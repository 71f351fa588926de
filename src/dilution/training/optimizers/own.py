"""Optimizers of the user: made by a factory ``module:name``, and checked before the first step."""

import io
import pickle
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dilution.errors import DilutionError, InputError, short_repr
from dilution.training.optimizers.base import OptimizerSetting
from dilution.utils.named_setting import OwnSetting
from dilution.utils.references import describe_exception

_RULE = (
    "it is a factory, which gets groups of weights, [{'params': [...], 'lr': 0.1}], and its parameters by "
    "name, and returns a torch.optim.Optimizer"
)
_LR = 0.1
_TOLERANCE = 1e-5  # relative; a step of the check is a few operations in float32


class OwnOptimizer(OwnSetting, OptimizerSetting):
    """An optimizer of the user, ``module:factory(parameters)``, such as ``torch.optim:RMSprop(alpha=0.9)``.

    The factory is called once for each model that trains, and beforehand to check what it returns, with the
    weights of the model as one group with its learning rate, and with the parameters of the text. It returns
    a ``torch.optim.Optimizer`` of all weights. The schedule multiplies the learning rates that its groups
    have at first. A weight decay that is set, and not 0, is in the group too. Its ``state_dict`` is saved in
    checkpoints.
    """

    kind: ClassVar[str] = "optimizer"

    def make(
        self, weights: Sequence[Any], *, lr: float, momentum: float, weight_decay: float, capturable: bool
    ) -> Optimizer:
        del momentum, capturable
        groups: list[dict[str, Any]] = [
            {"lr": lr} | (group if isinstance(group, dict) else {"params": [group]}) for group in weights
        ]
        if weight_decay:
            groups = [group | {"weight_decay": weight_decay} for group in groups]
        listed = [{**group, "params": list(group["params"])} for group in groups]
        optimizer = self.call(self.function(), listed, shown="[{'params': [...], 'lr': ...}]", rule=_RULE)
        if not isinstance(optimizer, Optimizer):
            raise InputError(
                f"optimizer is {self.text!r}, which returned a {type(optimizer).__name__}. Rule: {_RULE}."
            )
        self._check_groups(optimizer, [weight for group in listed for weight in group["params"]])
        if weight_decay and "weight_decay" not in optimizer.defaults:
            raise InputError(
                f"weight_decay is {weight_decay:g} and optimizer is {self.text!r}, which has no weight "
                "decay. Give weight_decay=0."
            )
        return optimizer

    def check(self, weight_decay: float) -> None:
        optimizer, weights = self._toy(weight_decay)
        for _ in range(3):
            self._step(optimizer, weights)
        if not all(bool(weight.isfinite().all()) for weight in weights):
            raise InputError(
                f"optimizer is {self.text!r}, which made weights infinite or NaN in three steps with finite "
                f"gradients and learning rate {_LR}. Add a small number, such as 1e-8, to what it divides by."
            )
        if _are_close(weights, _initial_weights()):
            raise InputError(
                f"optimizer is {self.text!r}, which changed no weights in three steps. Its step() must "
                "update them in place, under torch.no_grad()."
            )
        self._check_resumes(optimizer, weights, weight_decay)
        optimizer, weights = self._toy(weight_decay)
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        self._step(optimizer, weights)
        if not _are_close(weights, _initial_weights()):
            raise InputError(
                f"optimizer is {self.text!r}, and a step with learning rate 0 changed weights; the schedule "
                "sets group['lr'] of each group before each step. Read the learning rate there."
            )

    def load(self, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Load the state of a checkpoint into an optimizer that :meth:`make` returned.

        Raises
        ------
        InputError
            If its ``load_state_dict`` raises.
        """
        try:
            optimizer.load_state_dict(dict(state))
        except DilutionError:
            raise
        except Exception as error:
            raise InputError(
                f"optimizer is {self.text!r}, whose load_state_dict() raised {describe_exception(error)}. "
                "It gets what state_dict() returned, after a file, and a resumed training depends on it. "
                "Mend it, or delete the checkpoint, if there is one, to train from the start."
            ) from error

    def _toy(self, weight_decay: float) -> tuple[Optimizer, list[nn.Parameter]]:
        """Return an optimizer of a few weights, which are not those of a training."""
        weights = _initial_weights()
        group = {"params": weights, "lr": _LR}
        return self.make([group], lr=_LR, momentum=0, weight_decay=weight_decay, capturable=False), weights

    def _step(self, optimizer: Optimizer, weights: Sequence[nn.Parameter]) -> None:
        for weight in weights:
            weight.grad = 0.5 * weight.detach() + 0.25
        try:
            optimizer.step()
        except Exception as error:
            raise InputError(
                f"optimizer is {self.text!r}; its step() raised {describe_exception(error)}. It is called "
                "without arguments, and gradients are set: an optimizer that needs a closure cannot be used."
            ) from error

    def _check_groups(self, optimizer: Optimizer, weights: Sequence[Tensor]) -> None:
        """Refuse groups that lack weights or learning rates."""
        taken = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
        if sorted(taken) != sorted(map(id, weights)):
            raise InputError(
                f"optimizer is {self.text!r}, which has {len(taken)} tensors of weights in its groups, and "
                f"it was given {len(weights)}; each must be in one group. Give those that must not change "
                "learning rate 0."
            )
        for group in optimizer.param_groups:
            lr = group.get("lr")
            if not isinstance(lr, float | int) or not -sys.float_info.max <= lr <= sys.float_info.max:
                raise InputError(
                    f"optimizer is {self.text!r}, and a group of it has the learning rate {short_repr(lr)}; "
                    "the schedule multiplies the one that it has at first, so it must be a finite number. "
                    "Leave it as it is given."
                )

    def _check_resumes(
        self, optimizer: Optimizer, weights: Sequence[nn.Parameter], weight_decay: float
    ) -> None:
        """Refuse an optimizer whose state_dict, through a file, does not give its next step again."""
        content = io.BytesIO()
        try:
            torch.save(optimizer.state_dict(), content)
            content.seek(0)
            state = torch.load(content, weights_only=True)
        except (pickle.PicklingError, pickle.UnpicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"optimizer is {self.text!r}, whose state_dict() cannot be saved and read without pickle "
                f"({type(error).__name__}). Keep tensors, numbers, texts and lists in it."
            ) from None
        except Exception as error:
            raise InputError(
                f"optimizer is {self.text!r}, whose state_dict() raised {describe_exception(error)}. It must "
                "return all that the next step depends on."
            ) from error
        other, copies = self._toy(weight_decay)
        with torch.no_grad():
            for copied, weight in zip(copies, weights, strict=True):
                copied.copy_(weight)
        self.load(other, state)
        self._step(optimizer, weights)
        self._step(other, copies)
        if not _are_close(weights, copies):
            raise InputError(
                f"optimizer is {self.text!r}, which takes another step after load_state_dict(state_dict()): "
                "a resumed training would differ. Keep all of its state in self.state[weight] and in its "
                "groups."
            )


def _initial_weights() -> list[nn.Parameter]:
    """Return weights of two shapes."""
    return [nn.Parameter(torch.linspace(-1, 1, 6).view(3, 2)), nn.Parameter(torch.linspace(0.5, 1, 3))]


def _are_close(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(
        torch.allclose(one, other, rtol=_TOLERANCE, atol=1e-7)
        for one, other in zip(first, second, strict=True)
    )
