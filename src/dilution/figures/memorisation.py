"""The panel of a figure on memorisation: its runs by the settings that tell them apart."""

from pathlib import Path

import pandas as pd

from dilution.figures.loss_variants import VARIANT
from dilution.figures.registry import FIGURES
from dilution.figures.search import results
from dilution.report.memorisation import memorisation_section
from dilution.report.section import Section
from dilution.study.results import histories, table
from dilution.study.statistics import name_matrices, varying_settings
from dilution.study.store import Store

_CHOSEN = (
    "fingerprint", "n_val", "n_evals", "test_part", "matrix", "weight_decay", "steps", "epochs", "lr",
)  # fmt: skip
"""Settings that a figure may choose by the others, such as a learning rate by model."""


def figure_memorisation(store: Store, study: str, folder: Path, file: str) -> Section | None:
    """Return the section on memorisation of a figure, and write its plot and table; None if not measured.

    Parameters
    ----------
    store
        The store with the runs. The evaluations of imported runs are not in it.
    study
        Name of their study: ``figure/dataset/preset``.
    folder
        Folder for the plot and the points.
    file
        File name without its ending.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    runs = results(table(store, study))
    runs = name_matrices(runs[runs["state"].isin(["done", "diverged"])])
    name = study.partition("/")[0]
    if runs.empty:
        return None
    if (shown := FIGURES[name].shown) is not None:
        runs = shown(runs)
    history = histories(store, study, set(runs["key"]))
    return memorisation_section(name, runs, history, folder, file, by=settings_of_lines(runs))


def settings_of_lines(runs: pd.DataFrame) -> list[str]:
    """Return the settings in which runs differ, without those that follow from the others.

    Parameters
    ----------
    runs
        One row per run, with named matrices. Where variants have names, these stand for loss and mixup.
    """
    settings = varying_settings(runs)
    if VARIANT in runs:
        settings = [VARIANT, *(name for name in settings if name not in ("loss", "mixup"))]
    for name in _CHOSEN:
        others = [other for other in settings if other != name]
        if others and _count(runs, others) == _count(runs, settings):
            settings = others
    return settings


def _count(runs: pd.DataFrame, settings: list[str]) -> int:
    return len(runs[settings].drop_duplicates())
