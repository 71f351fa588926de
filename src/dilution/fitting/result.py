"""The result of a fit: the model, how it was chosen, its estimated accuracy, and the answer in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dilution.diagnosis import Diagnosis
from dilution.fitting import explain
from dilution.fitting.accuracy import AccuracyEstimate
from dilution.fitting.fitted_model import FittedModel
from dilution.fitting.methods import Method
from dilution.fitting.noise_choice import AssumedNoise
from dilution.fitting.validation import Candidate


@dataclass(frozen=True, repr=False)
class FitResult:
    """A fitted model, and what is known of it.

    Parameters
    ----------
    name
        Name of the data.
    model
        The fitted model, which predicts and can be saved.
    method
        The method by which it was fitted.
    is_auto
        Whether the method was chosen among several.
    candidates
        The methods that were validated on held-out labels.
    obstacles
        Why other methods were not tried.
    diagnosis
        The diagnosis whose transition matrix and label issues were used; None: there were too few examples.
    noise
        The noise that was assumed: that of the diagnosis, or uniform noise where labels do not contradict it.
    accuracy
        Estimated accuracy of held-out predictions; None if there were too few examples, or held-out labels
        are predicted no better than by their frequencies.
    n_examples
        Number of examples, all of which the model learned.
    n_verified
        Number of verified labels among them.
    seconds
        Wall time.
    notes
        What was left out, merged, converted or guessed when the data were read, one sentence each.
    """

    name: str
    model: FittedModel
    method: Method
    is_auto: bool
    candidates: tuple[Candidate, ...]
    obstacles: Mapping[Method, str]
    diagnosis: Diagnosis | None
    noise: AssumedNoise | None
    accuracy: AccuracyEstimate | None
    n_examples: int
    n_verified: int
    seconds: float
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return the answer."""
        return f"FitResult of {self.name}: {self.answer}"

    @property
    def answer(self) -> str:
        """The answer in one sentence: the estimated clean accuracy."""
        return explain.answer(self)

    @property
    def details(self) -> list[str]:
        """The method with its reason, the models, and the raw agreement with its limit, one sentence each."""
        return explain.details(self)

    @property
    def methods(self) -> pd.DataFrame:
        """One row per method that was validated.

        Columns ``method``, ``loss`` (cross entropy of held-out noisy labels, in nats), ``agreement`` (share
        of them that are the predicted class), ``models`` (with budgets and shares) and ``is_chosen``.
        """
        return pd.DataFrame(
            [
                {
                    "method": candidate.method,
                    "loss": candidate.loss,
                    "agreement": candidate.agreement,
                    "models": explain.describe_models(candidate),
                    "is_chosen": candidate.method == self.method,
                }
                for candidate in self.candidates
            ]
        )

    def predict(self, data: Any) -> NDArray[np.str_]:
        """Return the most probable class of each example, text of shape (n,)."""
        return self.model.predict(data)

    def predict_proba(self, data: Any) -> NDArray[np.float64]:
        """Return the probability of each class, float64 of shape (n, classes), columns as `model.classes`."""
        return self.model.predict_proba(data)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model to a file and return its path; see :meth:`FittedModel.save`."""
        return self.model.save(path, overwrite=overwrite)
