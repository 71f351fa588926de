"""Cross-validation: each example is predicted by models that never saw its label, nor those of its copies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from dilution.data import Arrays
from dilution.data.group_numbers import count_groups
from dilution.data.splits import divide_groups, spread_classes
from dilution.diagnosis.fold_training import Fold, FoldTrainer, count_workers
from dilution.diagnosis.grouped_error import standard_error
from dilution.diagnosis.many_classes import MANY_BUDGETS, MANY_REPEATS, has_many_classes
from dilution.diagnosis.pooled_fit import MAX_CLASSES
from dilution.errors import InputError
from dilution.models import default_model
from dilution.study.execution import Execution
from dilution.training import TrainConfig, resolve_trainable
from dilution.training.config import PrecisionName, check_precision
from dilution.training.recipes import ADVISED, built_in_recipe, config_with_recipe, read_recipe
from dilution.utils import rng

FOLDS = 5
REPEATS = 2
BUDGETS = (2, 4, 8, 16, 32)
"""Epochs that are tried: under much noise few are best, because more memorise the wrong labels."""

_MIN_STEPS = 60  # of the smallest budget: a hundred images in two epochs would teach nothing
_MIN_PROB = 1e-9
_LARGE = 2560  # examples from which models of many classes have large batches
_CHUNK = 1 << 10  # examples whose probabilities are copied at once

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class CrossValidation:
    """Held-out predictions of every example.

    Parameters
    ----------
    pred_probs
        Probabilities of the noisy labels, float64, shape (n, classes): the geometric mean over
        repeats.
    model
        Name of the model.
    n_models
        Number of models that were trained.
    epochs
        Epochs of each training: the budget that predicted held-out labels best.
    loss
        Mean cross entropy of the held-out noisy labels, in nats.
    baseline_loss
        Cross entropy of predictions that are the frequencies of the labels, in nats.
    """

    pred_probs: Floats
    model: str
    n_models: int
    epochs: int
    loss: float
    baseline_loss: float

    def __repr__(self) -> str:
        """Return the model, its loss and the size of the predictions."""
        n, classes = self.pred_probs.shape
        return f"CrossValidation({self.model!r}, loss={self.loss:.3f}, {n:,} examples, {classes:,} classes)"


def cross_validate(
    data: Arrays,
    *,
    model: str | None = None,
    folds: int = FOLDS,
    repeats: int | None = None,
    seed: int = 0,
    n_distinct: int | None = None,
    config: TrainConfig | None = None,
    recipe: str | Path | None = None,
    precision: PrecisionName = "float32",
    execution: Execution | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> CrossValidation:
    """Predict each example with models that were trained on the noisy labels of the other folds.

    Parameters
    ----------
    data
        Examples; `labels` are the noisy ones. Examples of one group are in one fold; equal ones are a group
        in any case.
    model
        Name of the model. Default: :func:`dilution.models.default_model`.
    folds
        Number of folds; each is predicted by models that were trained on the others.
    repeats
        Number of repeats with other folds and other initial weights. Default: 2, or 1 above 500 classes.
    seed
        Root seed of the folds, the weights and the batch order.
    n_distinct
        Number of examples without copies: passes over the data are counted in these, because a pass over
        five copies of each example memorises its label as five passes do. Default: all.
    config
        Configuration of the trainings. Default: Adam with a linear learning rate schedule, for the
        fewest epochs of `BUDGETS`, above 500 classes of `MANY_BUDGETS`, that predict the held-out labels of
        the first fold as well as any.
    recipe
        ``"advised"``, or the path of a recipe. Its settings, except `targets`, replace the default.
    precision
        Precision of products, if there is no `config`.
    execution
        Where the models are trained: its `workers` and `device` are used.
    log
        Called with lines about the progress.

    Raises
    ------
    InputError
        If there are too few examples for the folds, or a name does not exist.
    """
    groups = None if data.split_groups is None else data.split_groups.numpy()
    check_folds(data, groups, folds)
    check_precision(precision)
    execution = execution or Execution()
    name = model or default_model(data.shape)
    share_distinct = (len(data) if n_distinct is None else n_distinct) / len(data)
    config_for = partial(_config_for, recipe, precision, data.shape, len(data.classes))
    if repeats is None:
        repeats = MANY_REPEATS if has_many_classes(len(data.classes)) else REPEATS
    log_probs = np.zeros((len(data), len(data.classes)))
    of_first_fold: Floats32 | None = None
    with FoldTrainer(data, name, execution.device_type, count_workers(name, execution)) as trainer:
        if config is None and resolve_trainable(name, data.shape, len(data.classes)).takes_steps:
            config, of_first_fold = _select_epochs(
                trainer,
                data,
                split_folds(len(data), groups, folds, seed, 0, data.labels.numpy()),
                groups,
                share_distinct,
                seed,
                config_for,
                log,
            )
        elif config is None:
            config = config_for(BUDGETS[0], round(share_distinct * len(data)))  # an estimator ignores it
        for repeat in range(repeats):
            log(f"predicting held-out labels with {name}: repeat {repeat + 1} of {repeats}, {folds} models")
            parts = split_folds(len(data), groups, folds, seed, repeat, data.labels.numpy())
            trainings = [_fold(parts, held_out, seed + repeat, config) for held_out in range(folds)]
            if repeat == 0 and of_first_fold is not None:  # the selection trained this model
                predictions = [of_first_fold, *trainer.predict(trainings[1:])]
            else:
                predictions = trainer.predict(trainings)
            for rows, fold_probs in zip(parts, predictions, strict=True):
                log_probs[rows] += np.log(fold_probs.astype(np.float64) + _MIN_PROB)
    pred_probs = mean_probs(log_probs, repeats)
    labels = data.labels.numpy()
    shares = np.bincount(labels) / len(labels)
    return CrossValidation(
        pred_probs,
        name,
        folds * repeats,
        _epochs(config, round(share_distinct * (len(data) - len(data) // folds))),
        -float(np.log(pred_probs[np.arange(len(labels)), labels]).mean()),
        -float(np.log(shares[labels]).mean()),
    )


def mean_probs(log_probs: Floats, repeats: int) -> Floats:
    """Return the geometric mean over repeats, in the memory of the sums of logarithms, shape (n, classes)."""
    for rows in np.array_split(log_probs, max(1, len(log_probs) // _CHUNK)):
        rows[:] = softmax(rows / repeats, axis=1)
    return log_probs


def check_folds(data: Arrays, groups: Rows | None, folds: int) -> None:
    """Refuse data with too few examples, or groups of them, for the folds."""
    if len(data) < 2 * folds:
        raise InputError(
            f"there are {len(data)} examples; cross-validation with {folds} folds needs at least "
            f"{2 * folds}. Add examples, or use fewer folds."
        )
    if groups is not None and count_groups(groups) < 2 * folds:
        raise InputError(
            f"the {len(data):,} examples are {count_groups(groups):,} groups of equal examples or of "
            f"examples named as one group; a group is in one fold, and cross-validation with {folds} folds "
            f"needs at least {2 * folds} groups. Add examples that differ, name smaller groups, or use fewer "
            "folds."
        )
    if groups is not None:
        pairs = np.unique(np.stack([data.labels.numpy(), groups]), axis=1)
        single = np.flatnonzero(np.bincount(pairs[0], minlength=len(data.classes)) == 1)
        if len(single):
            raise InputError(
                f"all examples of class {data.classes[int(single[0])]!r} are one group, and predicting it by "
                "models that did not train on this group takes at least 2. Add examples of another group, "
                "name smaller groups, merge the class with another, or leave it out."
            )


def split_folds(
    n: int, groups: Rows | None, folds: int, seed: int, repeat: int, labels: Rows | None = None
) -> list[Rows]:
    """Return the rows of each fold; the rows of a group are in one fold, and those of a class in several."""
    order = rng.permutation(rng.stream(seed, f"folds/{repeat}"), n).numpy()
    if groups is None:
        fold_of_row = np.repeat(np.arange(folds), [len(part) for part in np.array_split(order, folds)])
    else:
        fold_of_row = divide_groups(groups[order], folds)
    if labels is not None:
        fold_of_row = spread_classes(fold_of_row, labels[order], None if groups is None else groups[order])
    return [order[fold_of_row == fold] for fold in range(folds)]


def _fold(parts: list[Rows], held_out: int, seed: int, config: TrainConfig) -> Fold:
    train_rows = np.concatenate([part for number, part in enumerate(parts) if number != held_out])
    return Fold(train_rows, parts[held_out], seed, config)


def _config_for(
    recipe: str | Path | None,
    precision: PrecisionName,
    shape: tuple[int, int, int],
    classes: int,
    epochs: int,
    n_train: int,
) -> TrainConfig:
    """Return the configuration of a training for so many epochs of `n_train` examples."""
    settings: dict[str, Any]
    if recipe is None:
        batch_size, lr = (64, 1e-3) if n_train >= 640 else (16, 1e-3)
        if classes > MAX_CLASSES and n_train >= _LARGE:
            # A step moves the weights of all classes: fewer steps, larger by the root of the batch size.
            batch_size, lr = 256, 2e-3
        settings = {"optimizer": "adam", "lr": lr, "schedule": "linear", "batch_size": batch_size}
    elif str(recipe) == ADVISED:  # the noise level is unknown: it is what the diagnosis estimates
        settings = built_in_recipe(alpha=0.0, images=epochs * n_train, pooled=False, shape=shape)
    else:
        settings = read_recipe(recipe)
    base = TrainConfig(precision=precision, n_evals=1, batch_size=1)
    config = config_with_recipe(base, epochs * n_train, settings | {"targets": "expected"})
    least = epochs * _MIN_STEPS // BUDGETS[0]
    return config.model_copy(update={"steps": max(least, config.steps or 1)})


def _select_epochs(
    trainer: FoldTrainer,
    data: Arrays,
    parts: list[Rows],
    groups: Rows | None,
    share_distinct: float,
    seed: int,
    config_for: Callable[[int, int], TrainConfig],
    log: Callable[[str], None],
) -> tuple[TrainConfig, Floats32]:
    """Return the configuration with the fewest epochs that predict the first fold's labels as well as any.

    Beside it are the predictions of the first fold by the model that was trained so. "As well" is within
    one standard error of the difference (Breiman et al. 1984). Once more epochs are not better, no further
    budget is tried: it would memorise wrong labels.
    """
    n_train = round(share_distinct * (len(data) - len(parts[0])))
    held_out_groups = None if groups is None else groups[parts[0]]
    labels = data.labels.numpy()[parts[0]]
    budgets = MANY_BUDGETS if has_many_classes(len(data.classes)) else BUDGETS
    losses: list[Floats] = []
    predictions: list[Floats32] = []
    for pred_probs in _predict_by_budget(trainer, parts, n_train, seed, budgets, config_for):
        losses.append(-np.log(pred_probs[np.arange(len(labels)), labels].astype(np.float64) + _MIN_PROB))
        predictions.append(pred_probs)
        if _best_budget(losses, held_out_groups) < len(losses) - 1:
            break
    best = _best_budget(losses, held_out_groups)
    selected = budgets[best]
    trained = {budget: _epochs(config_for(budget, n_train), n_train) for budget in budgets}
    tried = ", ".join(
        f"{loss.mean():.4f} after {trained[budget]} epochs"
        for budget, loss in zip(budgets, losses, strict=False)
    )
    log(f"selected {trained[selected]} epochs; cross entropy of held-out labels: {tried}")
    return config_for(selected, n_train), predictions[best]


def _predict_by_budget(
    trainer: FoldTrainer,
    parts: list[Rows],
    n_train: int,
    seed: int,
    budgets: tuple[int, ...],
    config_for: Callable[[int, int], TrainConfig],
) -> Iterator[Floats32]:
    """Yield for each budget the held-out probabilities of the first fold, shape (rows of the fold, classes).

    As many budgets are trained at once as there are workers; which of them are used does not depend on it.
    """
    at_once = max(1, trainer.workers)
    for first in range(0, len(budgets), at_once):
        configs = [config_for(epochs, n_train) for epochs in budgets[first : first + at_once]]
        yield from trainer.predict([_fold(parts, 0, seed, config) for config in configs])


def _epochs(config: TrainConfig, n_train: int) -> int:
    """Return the epochs of a training; with few examples they exceed the budget."""
    return max(1, round(config.total_steps(n_train) * config.batch_size / n_train))


def _best_budget(losses: list[Floats], groups: Rows | None = None) -> int:
    """Return the index of the first budget that no later one improves by more than a standard error."""
    for budget, loss in enumerate(losses):
        gains = [loss - later for later in losses[budget + 1 :]]
        if all(gain.mean() <= standard_error(gain, groups) for gain in gains):
            return budget
    return 0
