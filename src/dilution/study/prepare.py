"""Checks before the first run of a study starts, and the fingerprints of the files that runs use."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch

from dilution.data import fingerprint, is_dataset_name, load
from dilution.errors import short_repr
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
    digests_of = {setting: cache(digest) for setting, digest in _FILE_DIGESTS.items()}
    checked: set[str] = set()
    prepared = []
    for run in runs:
        digests = [data_digest(name) for name in data_names(run)]
        if has_groups(run.dataset):
            digests.append(GROUPED)
        digests += [digest(getattr(run, setting)) for setting, digest in digests_of.items()]
        run = run.model_copy(update={"fingerprint": "+".join(filter(None, digests))})
        budget = set() if run.strategy == "plain" else _BUDGET
        settings = run.model_dump_json(include=_CHECKED_SETTINGS | budget)
        if settings not in checked:
            checked.add(settings)
            _check(run, root)
        prepared.append(run)
    return prepared


def changed_files(runs: Sequence[Run]) -> list[str]:
    """Return the settings of runs whose files have changed since :func:`prepare`: ``"model nets:small"``.

    These are modules of the user, files of labels and transition matrices, which each training reads anew.

    Parameters
    ----------
    runs
        Runs as :func:`prepare` returns them.
    """
    settings = {
        (setting, getattr(run, setting), run.fingerprint)
        for run in runs
        if run.fingerprint
        for setting in _FILE_DIGESTS
    }
    return [
        f"{setting} {short_repr(text)}"
        for setting, text, fingerprint in sorted(settings)
        if (digest := _FILE_DIGESTS[setting](text)) and digest not in fingerprint.split("+")
    ]


def _model_digest(name: str) -> str:
    """Return the SHA-256 of the module that a model of the user is in."""
    return source_digest(name_in(name), "model") if is_custom(name) else ""


def _loss_digest(text: str) -> str:
    """Return the SHA-256 of the file that a loss depends on: a module of the user, or a transition matrix."""
    loss = resolve_loss(text)
    return loss.digest if isinstance(loss, CustomLoss | TransitionLoss) else ""


def _strategy_digest(text: str) -> str:
    """Return the SHA-256 of the module that a strategy of the user is in."""
    strategy = resolve_strategy(text)
    return strategy.digest if isinstance(strategy, CustomStrategy) else ""


def _labels_digest(labels: str) -> str:
    """Return the SHA-256 of a file of labels."""
    if not labels:
        return ""
    path = expand_home(labels)
    check_regular(path)
    return file_digest(path)


def _noise_digest(noise: str) -> str:
    """Return the SHA-256 of the module that noise of the user is in."""
    name, _ = parse_call(noise, "noise")
    return source_digest(name, "noise") if is_reference(name) else ""


def _own_digest(resolve: Callable[[str], object]) -> Callable[[str], str]:
    """Return a function of the text of a setting → the SHA-256 of the module of the user that it is in."""

    def digest(text: str) -> str:
        setting = resolve(text)
        return setting.digest if isinstance(setting, OwnSetting) else ""

    return digest


_FILE_DIGESTS: dict[str, Callable[[str], str]] = {
    "model": _model_digest,
    "loss": _loss_digest,
    "strategy": _strategy_digest,
    "optimizer": _own_digest(resolve_optimizer),
    "schedule": _own_digest(resolve_schedule),
    "early_stopping": _own_digest(resolve_early_stopping),
    "noise": _noise_digest,
    "labels": _labels_digest,
}
"""For each setting that may name a file: the SHA-256 of that, empty without one. Their order is that of the
fingerprints in stores."""


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
