"""The evaluations of one model in training: their record, what ends the training, which weights are kept."""

import copy
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, get_args

import pandas as pd
from torch import Tensor, nn

from dilution.errors import InputError
from dilution.training.early_stopping import NONE, resolve_early_stopping
from dilution.training.evaluation import Evaluator
from dilution.training.kept_weights import BestStep, KeptStep, KeptWeights, badness
from dilution.training.memorisation import Memorisation
from dilution.training.step_state import OtherStepError
from dilution.training.task import TrainTask
from dilution.utils.rng_state import RngState


class EvaluationLog:
    """The record of the evaluations of one model.

    Parameters
    ----------
    task
        The training.
    steps
        Number of its optimizer steps.
    evaluator
        Measures a model; None if nothing was held out.
    memorisation
        Measures a model on wrong training labels; None if there are none to look at.
    rng_state
        Random numbers for the layers of a custom model.

    Attributes
    ----------
    diverged_at
        First step (from 1) whose loss was not finite; None as long as all are.
    stopped_at
        Step after which early stopping ended the training; None if it did not.
    whole_test
        Measures on the whole test split, by step, if evaluations during the training measure a part of it.
    """

    def __init__(
        self,
        task: TrainTask,
        steps: int,
        evaluator: Evaluator | None,
        memorisation: Memorisation | None,
        rng_state: RngState | None,
    ) -> None:
        self._task, self._steps = task, steps
        self._evaluator, self._memorisation, self._rng_state = evaluator, memorisation, rng_state
        rule = resolve_early_stopping(task.config.early_stopping)
        if evaluator is None and rule.text != NONE:
            raise InputError(
                f"early_stopping is {rule.text!r}, and no validation examples are held out, whose loss would "
                f"decide. Give early_stopping={NONE!r}."
            )
        rule.check()
        self._stops = rule.of_training()
        kept: set[BestStep] = set() if task.keep == "last" else {task.keep}
        if task.config.test_part is not None:
            kept |= set(get_args(BestStep))
        self._kept = KeptWeights(kept)
        self._history: list[dict[str, float]] = []
        self.diverged_at: int | None = None
        self.stopped_at: int | None = None
        self.whole_test: dict[int, dict[str, float]] = {}

    @property
    def has_ended(self) -> bool:
        """Whether the training has diverged or stopped early; nothing more is recorded."""
        return self.diverged_at is not None or self.stopped_at is not None

    @property
    def history(self) -> pd.DataFrame:
        """The evaluations, one row each; see :class:`TrainResult`."""
        return pd.DataFrame(self._history)

    def record(self, model: nn.Module, step: int, losses: Tensor) -> None:
        """Evaluate the model and record the evaluation, unless the training has ended.

        Parameters
        ----------
        model
            The model after `step`.
        step
            Number of steps taken.
        losses
            Training losses since the last evaluation, float32, shape (steps,).
        """
        if self.has_ended:
            return
        measures: dict[str, float] = {}
        if self._evaluator is not None:
            with self._random_numbers():
                measures = self._evaluator(model)
                if self._memorisation is not None:
                    measures |= self._memorisation(model)
        finite = [*losses.isfinite().tolist(), math.isfinite(measures.get("val_loss_noisy", 0.0))]
        if not all(finite):
            self.diverged_at = min(step, step - len(losses) + 1 + finite.index(False))
            return
        self._history.append({"step": step, "train_loss": float(losses.mean())} | measures)
        self._kept.update(model, measures)
        if step < self._steps and self._stops(self._history):
            self.stopped_at = step
            self._kept.stop(model)

    def last_model(self, model: nn.Module) -> nn.Module:
        """Return the model after its last step, of which `model` has the weights unless it stopped early."""
        return self._kept.load_into(model, "last")

    def kept_model(self, model: nn.Module) -> nn.Module:
        """Return the model with the weights that the task asks for."""
        return self._kept.load_into(model, self._task.keep)

    @property
    def kept_step(self) -> int | None:
        """The step whose weights :meth:`kept_model` has; None if that is not known: it has diverged."""
        return self._step_of(self._task.keep)

    def finish(self, model: nn.Module) -> None:
        """Measure the models of the steps that results report on the whole test split, if that is due.

        Parameters
        ----------
        model
            The model after its last step.
        """
        if self._evaluator is None or self._task.config.test_part is None or self.diverged_at is not None:
            return
        steps: tuple[KeptStep, ...] = ("last", *get_args(BestStep))
        for kept in steps:
            if (step := self._step_of(kept)) is not None and step not in self.whole_test:
                with self._random_numbers():
                    probe = self._kept.load_into(copy.deepcopy(model), kept)
                    self.whole_test[step] = self._evaluator.whole_test(probe)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "history": self._history,
            "diverged_at": self.diverged_at,
            "stopped_at": self.stopped_at,
            "best": self._kept.state(),
        }

    def check(self, state: Mapping[str, Any]) -> None:
        """Check that a state of a checkpoint has the weights that are kept: they could not be had again.

        Raises
        ------
        OtherStepError
            If it lacks any. Older checkpoints have fewer, and so have those of a call that kept another step.
        """
        if any("val_loss_noisy" in measures for measures in state["history"]):
            lacking = self._kept.lacking(state.get("best"))
            if lacking:
                raise OtherStepError(f"it lacks the weights of {', '.join(lacking)}")

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from the state of a checkpoint; older ones have less."""
        self._history, self.diverged_at = list(state["history"]), state["diverged_at"]
        self.stopped_at = state.get("stopped_at")
        self._kept.load(state.get("best"))

    def _step_of(self, kept: KeptStep) -> int | None:
        """Return the number of steps after which a model is kept."""
        if not self._history or (kept == "last" and self.diverged_at is not None):
            return None
        if kept == "last" or "val_loss_noisy" not in self._history[0]:
            return int(self._history[-1]["step"])
        return int(min(self._history, key=lambda measures: badness(kept, measures))["step"])

    def _random_numbers(self) -> AbstractContextManager[object]:
        return nullcontext() if self._rng_state is None else self._rng_state
