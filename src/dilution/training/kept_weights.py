"""Weights of evaluations: the best ones by validation labels so far, and those of a training that stopped."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from torch import Tensor, nn

BestStep = Literal["best_noisy_val", "best_noisy_acc", "best_clean_val"]
"""The evaluation with the lowest cross entropy on noisy validation labels, with the highest accuracy on them,
or with the highest accuracy on clean ones; the first of equals."""

KeptStep = Literal["last", BestStep]
"""A step of a training: the last one, or one of the best."""

_Weights = dict[str, Tensor]


def badness(step: BestStep, measures: Mapping[str, float]) -> float:
    """Return a number that is lower the better an evaluation is: a loss, or an accuracy with a minus."""
    match step:
        case "best_noisy_val":
            return measures["val_loss_noisy"]
        case "best_noisy_acc":
            return -measures["val_acc_noisy"]
        case "best_clean_val":
            return -measures["val_acc_clean"]


class KeptWeights:
    """Copies of the weights of a model at evaluations that turned out to be the best, the first of equals.

    Parameters
    ----------
    steps
        Which ones are kept.
    """

    def __init__(self, steps: Collection[BestStep]) -> None:
        self._steps = sorted(steps)
        self._best: dict[str, tuple[float, _Weights]] = {}
        self._stopped: _Weights | None = None

    def update(self, model: nn.Module, measures: Mapping[str, float]) -> None:
        """Keep the weights of a model if this evaluation is the best one so far."""
        if "val_loss_noisy" not in measures:  # nothing was held out
            return
        better = [
            (step, badness(step, measures))
            for step in self._steps
            if step not in self._best or badness(step, measures) < self._best[step][0]
        ]
        weights = _copy(model) if better else {}
        for step, value in better:
            self._best[step] = value, weights

    def lacking(self, state: Mapping[str, Any] | tuple[float, _Weights] | None) -> list[str]:
        """Return the steps that are kept here and whose weights a state of :meth:`state` has not."""
        best = (
            state["best"]
            if isinstance(state, Mapping)
            else {}
            if state is None
            else {"best_noisy_val": state}
        )
        return [step for step in self._steps if step not in best]

    def stop(self, model: nn.Module) -> None:
        """Keep the weights of a model as those of its last step: those of others go on."""
        self._stopped = _copy(model)

    def load_into(self, model: nn.Module, step: KeptStep) -> nn.Module:
        """Load the weights of a step into the model after its last one, and return it."""
        weights = self._stopped if step == "last" else self._best.get(step, (0.0, None))[1]
        if weights is None and step != "last":
            weights = self._stopped
        if weights is not None:
            model.load_state_dict(weights)
        return model

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"best": self._best, "stopped": self._stopped}

    def load(self, state: Mapping[str, Any] | tuple[float, _Weights] | None) -> None:
        """Resume from the state of a checkpoint; older ones have the best by noisy labels alone, or none."""
        if isinstance(state, Mapping):
            self._best, self._stopped = dict(state["best"]), state["stopped"]
        elif state is not None:
            self._best = {"best_noisy_val": state}


def _copy(model: nn.Module) -> _Weights:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
