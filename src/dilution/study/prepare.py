"""Checks before the first run of a study starts, and the fingerprints of the files that runs use."""

from collections.abc import Sequence
from functools import cache, partial

import torch

from dilution.data import fingerprint, is_dataset_name, load
from dilution.noise import IMAGE_SOURCES
from dilution.study.datasets import confusability_name, dilute, open_data
from dilution.study.grouping import expected_steps
from dilution.study.run_spec import Run
from dilution.training import is_custom, resolve_trainable
from dilution.training.augment import check_augmentation
from dilution.training.early_stopping import resolve_early_stopping
from dilution.training.losses import CustomLoss, LossContext, TransitionLoss, resolve_loss
from dilution.training.optimizers import resolve_optimizer
from dilution.training.schedules import resolve_schedule
from dilution.training.strategies import CustomStrategy, StrategyContext, resolve_strategy
from dilution.training.stratified_part import check_test_part
from dilution.utils.named_call import name_in, parse_call
from dilution.utils.named_setting import OwnSetting
from dilution.utils.output_folder import file_digest
from dilution.utils.references import is_reference, source_digest
from dilution.utils.regular_file import check_regular, expand_home

GROUPED = "grouped"
"""Part of the fingerprint of data with copies, or groups of a user, which share a side of every split. Data
without them keep the fingerprints, and so the keys of runs, that they had before splits respected copies."""

_CHECKED_SETTINGS = {
    *("dataset", "image_source", "n", "alpha", "eta", "noise", "delta", "noise_order", "matrix"),
    *("label_mode", "model", "translate", "hflip", "loss", "targets", "mixup", "labels", "strategy"),
    *("optimizer", "weight_decay", "schedule", "early_stopping", "test_part"),
}
"""Settings that decide whether a run can train; runs that agree in them are checked once."""

_BUDGET = {"n_val", "batch_size", "epochs", "steps"}
"""Settings that decide beside those whether a strategy has enough epochs."""


def prepare(runs: Sequence[Run], root: str | None) -> list[Run]:
    """Return the runs with the fingerprints of the files that they name, which makes them part of the key.

    Every data set is loaded here once (and downloaded, if needed), before workers need it, and
    every dilution that differs in more than its seed is checked.

    Parameters
    ----------
    runs
        The runs of a study.
    root
        Folder of downloaded data.

    Raises
    ------
    DilutionError
        If a data set is missing or damaged; if a dilution breaks a rule: n larger than the data, no
        fresh images left, a matrix of another size, translate as large as an image, hflip of
        features; if a custom model does not accept these images, the loss does not go with the data, or an
        optimizer, schedule or rule of early stopping of the user breaks its rule.
    """
    data_digest = cache(partial(fingerprint, root=root))
    has_groups = cache(partial(_has_groups, root=root))
    model_digest = cache(partial(source_digest, kind="model"))
    loss_digest = cache(_loss_digest)
    noise_digest = cache(_noise_digest)
    strategy_digest = cache(_strategy_digest)
    own_digests = cache(_own_digests)
    checked: set[str] = set()
    prepared = []
    for run in runs:
        digests = [data_digest(name) for name in data_names(run)]
        if has_groups(run.dataset):
            digests.append(GROUPED)
        if is_custom(run.model):
            digests.append(model_digest(name_in(run.model)))
        digests.append(loss_digest(run.loss))
        digests.append(strategy_digest(run.strategy))
        digests += own_digests(run.optimizer, run.schedule, run.early_stopping)
        digests.append(noise_digest(run.noise, run.labels))
        run = run.model_copy(update={"fingerprint": "+".join(filter(None, digests))})
        budget = set() if run.strategy == "plain" else _BUDGET
        settings = run.model_dump_json(include=_CHECKED_SETTINGS | budget)
        if settings not in checked:
            checked.add(settings)
            _check(run, root)
        prepared.append(run)
    return prepared


def _loss_digest(text: str) -> str:
    """Return the SHA-256 of the file that a loss depends on: a module of the user, or a transition matrix."""
    loss = resolve_loss(text)
    return loss.digest if isinstance(loss, CustomLoss | TransitionLoss) else ""


def _strategy_digest(text: str) -> str:
    """Return the SHA-256 of the module that a strategy of the user is in."""
    strategy = resolve_strategy(text)
    return strategy.digest if isinstance(strategy, CustomStrategy) else ""


def _noise_digest(noise: str, labels: str) -> str:
    """Return the SHA-256 of the file that the noise depends on: a module of the user, or a file of labels."""
    if labels:
        path = expand_home(labels)
        check_regular(path)
        return file_digest(path)
    name, _ = parse_call(noise, "noise")
    return source_digest(name, "noise") if is_reference(name) else ""


def _own_digests(optimizer: str, schedule: str, early_stopping: str) -> list[str]:
    """Return the SHA-256 of the modules of the user that steps depend on, without those of built-in names."""
    rule = resolve_early_stopping(early_stopping)
    settings: list[object] = [resolve_optimizer(optimizer), resolve_schedule(schedule), rule]
    return [setting.digest for setting in settings if isinstance(setting, OwnSetting)]


def _has_groups(name: str, root: str | None) -> bool:
    """Return whether some examples of a data set are kept together in splits, such as copies."""
    data = load(name, root)
    return any(split.split_groups is not None for split in (data.train, data.test))


def data_names(run: Run) -> list[str]:
    """Return the names of the data sets of a run.

    An unknown image source is none of them: `dilute` reports it with the names of the sources.
    """
    has_external = run.image_source not in IMAGE_SOURCES and is_dataset_name(run.image_source)
    return [run.dataset, run.image_source] if has_external else [run.dataset]


def _check(run: Run, root: str | None) -> None:
    """Dilute the data of a run; a table of zeros stands in for a confusability not measured yet."""
    opened = open_data(run.dataset, run.fingerprint, root)
    data = opened.train
    check_test_part(run.test_part, len(opened.test))
    resolve_optimizer(run.optimizer).check(run.weight_decay)
    resolve_schedule(run.schedule).check(expected_steps(run))
    resolve_early_stopping(run.early_stopping).check()
    check_augmentation(run.config, data.shape)
    classes = len(data.classes)
    resolve_trainable(run.model, data.shape, classes)
    _, noisy = dilute(run, root, {confusability_name(run): [[0.0] * classes] * classes})
    context = LossContext.of(noisy, takes_weights=run.config.takes_weights, device=torch.device("cpu"))
    resolve_loss(run.loss).check(context)
    if run.strategy != "plain":
        resolve_loss(run.loss).of_examples(context)
        examples = noisy.length_for(run.n - run.n_val)
        epochs = run.config.total_steps(examples) * run.batch_size / examples
        resolve_strategy(run.strategy).check(
            StrategyContext.of(
                noisy, batch_size=run.batch_size, epochs=epochs, loss=run.loss, device=context.device
            )
        )
