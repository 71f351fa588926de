"""Predicted probabilities of a model for the images that it is trained on, averaged over its epochs."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from dilution.data import Arrays
from dilution.errors import InputError, short_repr
from dilution.noise import Dilution
from dilution.training.config import TrainConfig
from dilution.training.device import reproducible_convolutions, resolve_device
from dilution.training.distributed import WHOLE_BATCH
from dilution.training.task import TrainTask
from dilution.training.trainer import Trainer
from dilution.utils.finite_numbers import is_finite_number


def averaged_predictions(
    data: Arrays, *, model: str, epochs: float, seed: int, device: str
) -> NDArray[np.float64]:
    """Return the mean over epochs of what a model predicts for its own training images.

    One model is trained on the labels of all images by Adam at 1e-3, and predicts all of them after each
    epoch, as Chen et al. (2021) do for their instance-dependent noise.

    Parameters
    ----------
    data, model, seed, device
        As for :func:`dilution.predicted_probabilities`.
    epochs
        Number of epochs, a whole number from 1.

    Returns
    -------
    ndarray
        float64, shape (n, classes); rows sum to 1.

    Raises
    ------
    InputError
        If the number of epochs is not a whole one from 1, or the model is unknown.
    """
    is_number = is_finite_number(epochs)
    if not is_number or epochs != round(epochs) or epochs < 1:
        whole = max(1, round(epochs)) if is_number else 3
        raise InputError(
            f"epochs is {short_repr(epochs)}; predictions are averaged over whole epochs, 1 or more. Give "
            f"epochs={whole}."
        )
    classes = len(data.classes)
    config = TrainConfig(targets="pooled", optimizer="adam", lr=1e-3, epochs=float(epochs), n_evals=1)
    weights = F.one_hot(data.labels.cpu(), classes).float()
    noisy = Dilution(data, alpha=0, seed=seed)
    task = TrainTask(model, noisy, data, seed, n_val=1, config=config, label_weights=weights)
    place = resolve_device(device)
    total = torch.zeros(len(data), classes, dtype=torch.float64)
    with reproducible_convolutions(place):
        trainer = Trainer([task], place, None, WHOLE_BATCH)
        ends = {round(number * trainer.n_steps / epochs) for number in range(1, int(epochs) + 1)}
        for step, _ in enumerate(trainer.steps(), start=1):
            if step in ends:
                total += trainer.predict(data).double().cpu()
    return (total / total.sum(dim=1, keepdim=True)).numpy()
