"""The labels that a stored run was trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dilution.errors import InputError
from dilution.noise import UsedLabels, used_labels
from dilution.study.datasets import Confusabilities, confusability_name, dilute
from dilution.study.recorded_run import TRAINED_BY
from dilution.study.retrain import check_files
from dilution.study.run_spec import Run
from dilution.study.store import Store
from dilution.utils.printable import one_line


def run_labels(key: str, *, store: str | Path = "results.sqlite", root: str | None = None) -> UsedLabels:
    """Return the labels that a stored run is trained on, per image of the training split.

    They follow from the settings of the run, so that it need not be finished. Code that the settings name as
    ``module:name`` is imported.

    Parameters
    ----------
    key
        Key of the run, or enough of its first characters.
    store
        SQLite file of the results.
    root
        Folder of downloaded data. Default: ``DILUTION_DATA``, else a cache.

    Raises
    ------
    InputError
        If there is no such run, another training loop trained it, its files have changed, or it draws no
        labels.
    """
    with Store(store, create=False) as opened:
        row = opened.row(key)
        check_draws(row)
        run = Run.of(**row["spec"])
        artifact = confusability_name(run)
        confusable = opened.artifact(artifact)
    return labels_of(run, root, {} if confusable is None else {artifact: confusable})


def labels_of(run: Run, root: str | None, confusabilities: Confusabilities) -> UsedLabels:
    """Return the labels that a run is trained on.

    Parameters
    ----------
    run
        The run.
    root
        Folder of downloaded data.
    confusabilities
        Confusabilities that the noise of the run needs.

    Raises
    ------
    InputError
        If its files have another content now.
    """
    check_files(run, root)
    _, noisy = dilute(run, root, confusabilities)
    return used_labels(noisy, run.n_val)


def check_draws(row: Mapping[str, Any]) -> None:
    """Refuse a row of a store whose labels Dilution did not draw.

    Raises
    ------
    InputError
        If it was recorded from another training loop, or trains on the expectation of labels.
    """
    if TRAINED_BY in row["spec"]:
        raise InputError(
            f"run {row['key']} was trained by {one_line(row['spec'][TRAINED_BY])!r} and recorded; only that "
            "training loop knows its labels. Ask for the labels of a run that Dilution trained."
        )
    if row["spec"].get("targets") == "expected":
        raise InputError(
            f"run {row['key']} has targets 'expected': it trains on the distribution of labels, and none is "
            "drawn. Choose a run with sampled or pooled targets."
        )
