"""Diagnoses of tables from predictions whose truth is known; nothing is trained."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from noisy_predictions import noisy_predictions, transition_at

from dilution.data.open_examples import open_examples
from dilution.diagnosis.cross_validation import CrossValidation
from dilution.diagnosis.diagnose import diagnose_predictions, with_origin
from dilution.diagnosis.open_origin import open_origin
from dilution.diagnosis.verified_labels import open_verified_labels

CLASSES = ("ant", "bee", "cat")
N = 600


def noisy_rows(n=N, noise_rate=0.3, seed=0):
    """Return held-out predictions, noisy labels as numbers and true classes of three classes."""
    predictions, true = noisy_predictions(transition_at(noise_rate, classes=len(CLASSES)), n=n, seed=seed)
    return predictions.pred_probs, predictions.labels, true


def noisy_frame(labels):
    """Return a table with two features, a comment and labels."""
    names = np.array(CLASSES)[labels]
    rows = np.arange(len(labels))
    return pd.DataFrame(
        {"heat": rows / 8, "load": -rows, "comment": [f"no. {row % 40}" for row in rows], "label": names}
    )


def diagnose_table(data, pred_probs, *, verified=None, n_bootstrap=10, name="data"):
    """Return the diagnosis that ``diagnose`` would, with given predictions of the labelled examples."""
    examples = open_examples(data)
    origin = open_origin(data, examples)
    verified = open_verified_labels(verified, examples)
    cross_validation = CrossValidation(pred_probs, "mlp2", 4, 8, 1.0, 1.6)
    diagnosis = diagnose_predictions(
        name,
        examples,
        examples.arrays,
        cross_validation,
        verified.classes,
        n_bootstrap,
        0,
        math.nan,
    )
    return replace(with_origin(diagnosis, examples, verified, origin), notes=verified.notes)
