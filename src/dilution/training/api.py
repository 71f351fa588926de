"""The functions that train: one training, or several together."""

import logging
from collections.abc import Sequence
from numbers import Integral
from typing import get_args

from pydantic import ValidationError

from dilution.data import Arrays
from dilution.errors import InputError, invalid, short_repr, unknown
from dilution.noise import Dilution
from dilution.training.checkpoint import Checkpoint
from dilution.training.config import TrainConfig, default_n_val
from dilution.training.device import resolve_device
from dilution.training.distributed import WHOLE_BATCH, Shard, join_processes
from dilution.training.early_stopping import resolve_early_stopping
from dilution.training.estimators import check_model_name
from dilution.training.kept_weights import KeptStep
from dilution.training.result import TrainResult
from dilution.training.task import TrainTask
from dilution.training.trainable import Trainable, resolve_trainable
from dilution.training.trainer import check_alike
from dilution.utils import rng


def train(
    model: str,
    noisy: Dilution,
    *,
    test: Arrays,
    seed: int = 0,
    n_val: int | None = None,
    config: TrainConfig | None = None,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    parallel: bool = False,
    keep: KeptStep = "best_clean_val",
    **settings: object,
) -> TrainResult:
    """Train a model or fit an estimator on a diluted set.

    Validation examples are held out first, by :meth:`Dilution.hold_out`, whose training set draws
    noisy labels of its own: the noise that was trained on is in the result's ``noise_summary``.

    Parameters
    ----------
    model
        Name of a model, ``"perceptron"``, ``"mlp2"``, ``"conv4"`` …; of an estimator,
        ``"sklearn:logistic"``, ``"sklearn:knn"``, ``"sklearn:forest"``, ``"sklearn:boosting"``; or
        of a factory of your own, ``"module:factory"``. Estimators refuse a loss, mixup, a strategy and
        early stopping, and ignore the other settings.
    noisy
        The diluted set. Its n clean examples include the validation examples.
    test
        Test split; it is evaluated and chooses nothing.
    seed
        Root seed of the initial weights, the batch order and the augmentation.
    n_val
        Clean examples held out for validation, which chooses the step. Default: a tenth of n, at
        most 5,000.
    config
        Configuration of the training. Default: ``TrainConfig()``.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU if there is one. Images, labels and noise are
        on the same device.
    checkpoint
        File to which the state of the training is saved now and then, and from which an interrupted
        training resumes.
    parallel
        Divide each batch among the processes that ``torchrun`` has started. All of them make this
        call and get the same result, which is that of one process except for rounding. Layers that
        depend on the whole batch or draw random numbers, as batch normalisation and dropout do, see
        the shard of their process.
    keep
        The step whose weights the model of the result has, as ``model_step`` and ``test_acc`` of the result
        say: ``"best_clean_val"``, the evaluation with the highest accuracy on clean validation labels, which
        ``test_acc_at_best_clean_val`` reports; ``"best_noisy_val"``, the one with the lowest cross entropy on
        noisy validation labels, which needs no clean label; ``"best_noisy_acc"``, that with the highest
        accuracy on them; or ``"last"``. Estimators have no steps.
    **settings
        Settings that replace those of `config`, such as ``targets="pooled", epochs=4``.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        If a name, a custom factory or a setting breaks its rule.
    """
    _check_data(noisy, test)
    rng.check_seed(seed)
    n_val = default_n_val(noisy.n) if n_val is None else n_val
    config = _replace(_checked_config(config), settings)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        raise InputError(
            f"checkpoint is {short_repr(checkpoint)}; it must be a Checkpoint: "
            "dilution.training.Checkpoint('my.checkpoint', name='my training')."
        )
    shard = join_processes(resolve_device(device).type, config.batch_size) if parallel else WHOLE_BATCH
    if keep not in get_args(KeptStep):
        raise unknown("step to keep", keep, get_args(KeptStep))
    task = TrainTask(model, noisy, test, seed, n_val, config, keep=keep)
    kind = _kind([task])
    if kind.takes_steps:
        _warn_of_patience(task)
    return kind.train([task], resolve_device(device), checkpoint, shard)[0]


def train_together(
    tasks: Sequence[TrainTask],
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    shard: Shard = WHOLE_BATCH,
) -> list[TrainResult]:
    """Train models of one architecture as an ensemble; the results are those of training each alone.

    Tasks may differ in data, noise, seed and learning rate. A model that diverges gets that state
    and does not affect the others. Estimators are fitted one after the other.

    Parameters
    ----------
    tasks
        The trainings.
    device
        As for :func:`train`.
    checkpoint
        As for :func:`train`; one file for all tasks.
    shard
        The part of each batch that this process computes.

    Raises
    ------
    InputError
        If a setting breaks its rule, or the tasks cannot train together: model, image shape,
        classes, number of steps and every setting but `lr` must agree.
    """
    return _kind(tasks).train(tasks, resolve_device(device), checkpoint, shard)


def _kind(tasks: Sequence[TrainTask]) -> Trainable:
    """Return how the model of the tasks is trained."""
    check_alike([check_model_name(task.model) for task in tasks])
    first = tasks[0]
    return resolve_trainable(first.model, first.noisy.data.shape, first.noisy.classes)


def _warn_of_patience(task: TrainTask) -> None:
    """Log a warning if the rule of early stopping of a training cannot stop it."""
    if not isinstance(task.n_val, Integral) or not 1 <= task.n_val < task.noisy.n:
        return  # the training refuses it
    n, config = task.noisy.n - task.n_val, task.config
    steps = config.total_steps(task.noisy.length_for(n) if config.targets == "sampled" else n)
    if note := resolve_early_stopping(config.early_stopping).never_stops(steps, config.n_evals):
        logging.getLogger("dilution").warning("%s.", note)


def _check_data(noisy: Dilution, test: Arrays) -> None:
    """Refuse arguments of a wrong type, and a test split that does not match the training data."""
    if not isinstance(noisy, Dilution):
        raise InputError(
            f"the data are a {type(noisy).__name__}; train takes a Dilution: dilution.Dilution(data.train, "
            "alpha=0) is one without noise."
        )
    if not isinstance(test, Arrays):
        raise InputError(
            f"test is a {type(test).__name__}; it must be Arrays of images and labels, such as the test "
            "split: dilution.load('digits').test."
        )
    if noisy.data.shape != test.shape or len(test.classes) != noisy.classes:
        raise InputError(
            f"test images are {test.shape} with {len(test.classes)} classes, training images "
            f"{noisy.data.shape} with {noisy.classes}; both must be the same. Use both splits of one data "
            "set."
        )


def _checked_config(config: TrainConfig | None) -> TrainConfig:
    """Return the configuration, or the default one; refuse what is none, such as a table of settings."""
    if config is None:
        return TrainConfig()
    if not isinstance(config, TrainConfig):
        raise InputError(
            f"config is {short_repr(config)}; it must be a TrainConfig. Give settings by their names: "
            "dilution.train(..., lr=0.01)."
        )
    return config


def _replace(config: TrainConfig, settings: dict[str, object]) -> TrainConfig:
    try:
        return TrainConfig.model_validate(config.model_dump() | settings)
    except ValidationError as error:
        raise invalid(error, TrainConfig.model_fields) from None
