"""Predictions of a fitted model on new examples, and their agreement with given labels."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dilution.fitting.label_types import LabelType, labels_of
from dilution.fitting.new_examples import GivenLabels, NewExamples
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.estimate import UNKNOWN, Estimate
from dilution.utils.output_folder import write_output

if TYPE_CHECKING:
    import pandas as pd

    from dilution.fitting.fitted_model import FittedModel

_LEVEL = 0.95


@dataclass(frozen=True, repr=False)
class Predictions:
    """Predictions in the order of the user's examples.

    Parameters
    ----------
    classes
        Names of the classes.
    probabilities
        Probability of each class, float64 of shape (m, classes).
    positions
        Position of each example in what the user gave, from 0: int64, shape (m,), increasing. Files that
        cannot be read are left out.
    ids
        Id of each example.
    n_given
        Number of examples that the user gave.
    given
        Labels that the examples have; None if they have none.
    notes
        What was converted, ignored or skipped.
    label_type
        Type of the labels, as of :class:`FittedModel`.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    positions: NDArray[np.int64]
    ids: tuple[str, ...]
    n_given: int
    given: GivenLabels | None = None
    notes: tuple[str, ...] = field(default=())
    label_type: LabelType = "text"

    def __repr__(self) -> str:
        return f"Predictions({len(self.positions):,} examples, {len(self.classes)} classes)"

    @property
    def labels(self) -> NDArray[Any]:
        """The most probable class of each example, shape (m,), in the type `label_type`."""
        return labels_of(self.classes, self.label_type, self.probabilities)

    @property
    def agreement(self) -> Estimate:
        """Share of given labels that are the predicted ones, with Wilson's 95 % interval; NaN without labels.

        It is agreement and not accuracy: given labels may be wrong.
        """
        if self.given is None:
            return UNKNOWN
        numbers = self.given.numbers[self.positions]
        known = numbers >= 0
        if not known.any():
            return UNKNOWN
        agrees = numbers[known] == self.probabilities.argmax(axis=1)[known]
        from scipy.stats import binomtest  # lazily: it takes a while to import

        test = binomtest(int(agrees.sum()), len(agrees))
        low, high = test.proportion_ci(_LEVEL, method="wilson")
        return Estimate(float(test.statistic), float(low), float(high))

    @property
    def n_compared(self) -> int:
        """Number of examples whose given label is a class of the model."""
        return 0 if self.given is None else int((self.given.numbers[self.positions] >= 0).sum())

    def to_frame(self, *, all_classes: bool = False) -> "pd.DataFrame":
        """Return a table: ``index`` (position), ``id``, ``label``, ``probability``.

        Parameters
        ----------
        all_classes
            Whether a further column ``p_`` and its name has the probability of each class.
        """
        import pandas as pd  # lazily: it takes a while to import

        columns = {
            "index": self.positions,
            "id": list(self.ids),
            "label": self.labels,
            "probability": self.probabilities.max(axis=1, initial=0),
        }
        table = pd.DataFrame(columns)
        if not all_classes:
            return table
        names = [f"p_{name}" for name in self.classes]
        return pd.concat([table, pd.DataFrame(self.probabilities, columns=names)], axis=1)

    def write(self, path: str | Path, *, all_classes: bool = False) -> Path:
        """Write the table as CSV and return its path.

        Raises
        ------
        InputError
            If the file exists and was not written by this program as it is.
        DilutionError
            If it cannot be written.
        """
        table = self.to_frame(all_classes=all_classes)
        table["label"] = labels_of(self.classes, "text", self.probabilities)  # as the columns p_ spell them
        numbers = table.columns[[dtype.kind == "f" for dtype in table.dtypes]]
        table[numbers] = table[numbers].round(6)
        return write_output(Path(path), csv_bytes(table))


def predict_examples(model: "FittedModel", examples: NewExamples) -> Predictions:
    """Return the predictions of a model, batch by batch."""
    parts, positions = [np.empty((0, len(model.classes)))], [np.empty(0, dtype=np.int64)]
    for batch in examples.batches():
        parts.append(model.probabilities(batch.images))
        positions.append(batch.positions)
    kept = np.concatenate(positions)
    ids = examples.ids
    return Predictions(
        model.classes,
        np.concatenate(parts),
        kept,
        tuple(str(position) if ids is None else ids[position] for position in kept.tolist()),
        examples.n_given,
        examples.given,
        examples.notes,
        model.label_type,
    )
