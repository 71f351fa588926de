"""The result of an advice: a recipe, the evidence for it, and the answer in sentences."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from dilution.advice import explain
from dilution.advice.ablation import CheckpointChoice, Comparison
from dilution.advice.noise_scale import LEVEL, NoiseScale
from dilution.advice.own_inputs import clean_accuracy
from dilution.diagnosis import Diagnosis
from dilution.report.json_file import SCHEMA_VERSION, plain
from dilution.report.notebook import notebook_html
from dilution.study.run_spec import Run
from dilution.study.statistics import intervals
from dilution.training.recipes import RECIPE
from dilution.utils.estimate import Estimate


@dataclass(frozen=True, repr=False)
class Advice:
    """How to train a model under label noise, and why.

    Parameters
    ----------
    name
        Name of the data.
    run
        The advised run, with its budget.
    n_images
        Budget: images that pass through the model, repetitions counted.
    eta
        Noise rate, if the user gave that instead of the noise level; sentences then give it too.
    noise_scales
        Gradient noise scale at several noise levels, ascending; the last is the level asked for.
    lr_trials
        Search of the learning rate: ``budget_fraction``, ``lr``, ``loss``.
    comparisons
        Settings that were compared at the whole budget.
    checkpoint
        The checkpoint to keep.
    runs
        The advised run, one row per seed.
    search_runs
        All runs of the search.
    majority_share
        Share of the largest class among the test labels.
    trusts_test_labels
        Whether test labels are taken to be right. If labels are used as they are, those of the test
        split are as noisy as the others.
    notes
        What was left out, merged, converted or guessed, in the data and in the search, one sentence each.
    is_mode_assumed
        Whether the user did not say if noisy labels are added or replace the labels.
    diagnosis
        A diagnosis of the labels, which the user gave.
    """

    name: str
    run: Run
    n_images: int
    eta: float | None
    noise_scales: tuple[NoiseScale, ...]
    lr_trials: pd.DataFrame
    comparisons: tuple[Comparison, ...]
    checkpoint: CheckpointChoice
    runs: pd.DataFrame
    search_runs: pd.DataFrame
    majority_share: float
    trusts_test_labels: bool
    notes: tuple[str, ...] = ()
    is_mode_assumed: bool = False
    diagnosis: Diagnosis | None = None

    def __repr__(self) -> str:
        """Return the recipe and its test accuracy."""
        settings = ", ".join(f"{name} = {value}" for name, value in self.recipe.items())
        return f"Advice for {self.run.model} on {self.name}: {settings}; {explain.accuracy_text(self)}"

    def _repr_html_(self) -> str:
        """Return the answer and the recipe with its reasons for a notebook."""
        reasons = self.reasons
        rows = [(name, str(value), reasons.get(name, "")) for name, value in self.recipe.items()]
        return notebook_html(self.answer, pd.DataFrame(rows, columns=["setting", "value", "reason"]))

    @property
    def recipe(self) -> dict[str, Any]:
        """The advised settings, without the budget."""
        settings = self.run.model_dump(include=set(RECIPE))
        unused = {
            "loss",
            "mixup",
            "strategy",
            *(() if self.run.optimizer == "sgd" else ("momentum",)),
        }  # not searched
        return {name: settings[name] for name in RECIPE if name not in unused}

    @cached_property
    def growth_exponent(self) -> float:
        """Exponent p by which the noise scale of a label grows, (1 + α)^p; NaN with one noise level."""
        finite = [scale for scale in self.noise_scales if math.isfinite(scale.label.value)]
        if len(finite) < 2:
            return math.nan
        log_levels = np.log([1 + scale.alpha for scale in finite])
        log_scales = np.log([scale.label.value for scale in finite])
        return float(np.polyfit(log_levels, log_scales, 1)[0])

    @property
    def accuracy(self) -> Estimate:
        """Test accuracy of the checkpoint that is kept: mean and 95 % interval over seeds."""
        row = intervals(self.runs, ["model"], f"test_acc_{self.checkpoint.step}").iloc[0]
        return Estimate(float(row["mean"]), float(row["low"]), float(row["high"]))

    @property
    def clean_accuracy(self) -> Estimate | None:
        """Accuracy on true labels, as estimated from noisy test labels and the diagnosis; None without."""
        if self.diagnosis is None or self.trusts_test_labels:
            return None
        return clean_accuracy(self.accuracy, self.diagnosis)

    @cached_property
    def noise_scale_table(self) -> pd.DataFrame:
        """Noise scales: ``alpha``, ``gradient_of`` (label or example), ``mean``, ``low``, ``high``."""
        rows = [
            (scale.alpha, unit, estimate.value, estimate.low, estimate.high)
            for unit, estimates in (
                ("one label", [scale.label for scale in self.noise_scales]),
                ("all labels of an example", [scale.image for scale in self.noise_scales]),
            )
            for scale, estimate in zip(self.noise_scales, estimates, strict=True)
        ]
        return pd.DataFrame(rows, columns=["alpha", "gradient_of", "mean", "low", "high"])

    @property
    def answer(self) -> str:
        """The answer in one or two sentences."""
        return explain.answer(self)

    @property
    def details(self) -> list[str]:
        """Further results, one sentence each."""
        return explain.details(self)

    @property
    def reasons(self) -> dict[str, str]:
        """The reason for each setting of the recipe, and for the ``checkpoint``, one sentence or two each."""
        return explain.reasons(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``advice.json``: all numbers, sentences and notes, in the types of JSON.

        A number that was not measured, or is infinite, is None.
        """
        content = {
            "schema_version": SCHEMA_VERSION,
            "kind": "advice",
            "name": self.name,
            "answer": self.answer,
            "details": self.details,
            "notes": self.notes,
            "model": self.run.model,
            "n": self.run.n,
            "n_images": self.n_images,
            "alpha": self.noise_scales[-1].alpha,
            "eta": self.eta,
            "recipe": self.recipe,
            "reasons": self.reasons,
            "level": LEVEL,
            "accuracy": self.accuracy.to_dict(),
            "clean_accuracy": None if self.clean_accuracy is None else self.clean_accuracy.to_dict(),
            "growth_exponent": self.growth_exponent,
            "noise_scales": self.noise_scale_table,
            "lr_trials": self.lr_trials,
            "comparisons": [vars(comparison) for comparison in self.comparisons],
            "checkpoint": vars(self.checkpoint),
            "runs": len(self.search_runs),
        }
        converted: dict[str, Any] = plain(content)
        return converted
