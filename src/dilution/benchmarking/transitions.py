"""The transition matrices of a benchmark's noises, counted over the labels of one seed, and their plot."""

import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.benchmarking.methods import REFERENCE
from dilution.benchmarking.plan import BenchmarkPlan
from dilution.benchmarking.result import Benchmark
from dilution.report.style import new_figure, style
from dilution.study.datasets import dilute, needs_confusability

_COLUMNS = 5
_PANEL = 1.6  # inches
_MAX_TITLE = 22  # letters above a panel


def count_transitions(plan: BenchmarkPlan, root: str | None) -> pd.DataFrame:
    """Draw the labels of the first seed of each noise, and count them.

    Parameters
    ----------
    plan
        The benchmark.
    root
        Folder of downloaded data.

    Returns
    -------
    DataFrame
        One row per noise, true class and label: ``noise``, ``true``, ``noisy`` (names of classes),
        ``expected`` and ``delivered``, T[true, noisy] as the noise has it and as it is counted over all
        labels of all n images; of a class without images ``delivered`` is NaN.

    Raises
    ------
    DilutionError
        If a data file is missing.
    """
    reference = plan.planned[plan.planned["method"] == REFERENCE].drop_duplicates("noise")
    runs = {run.key: run for run in plan.runs}
    columns = ["noise", "true", "noisy", "expected", "delivered"]
    parts = [pd.DataFrame(columns=columns)]
    for noise, key in zip(reference["noise"], reference["key"], strict=True):
        if needs_confusability(runs[key]):
            continue
        data, noisy = dilute(runs[key], root, {})
        summary, names = noisy.noise_summary(), list(data.train.classes)
        true, label = np.indices(summary.transition_expected.shape).reshape(2, -1)
        parts.append(
            pd.DataFrame(
                {
                    "noise": noise,
                    "true": [names[place] for place in true],
                    "noisy": [names[place] for place in label],
                    "expected": summary.transition_expected.ravel(),
                    "delivered": summary.transition_empirical.ravel(),
                }
            )
        )
    return pd.concat(parts[1:] or parts, ignore_index=True)


def draw_transitions(result: Benchmark) -> matplotlib.figure.Figure | None:
    """Draw one matrix per noise, from white (0) to blue (1); None without any."""
    noises = list(result.transitions["noise"].unique())
    if not noises:
        return None
    columns = min(_COLUMNS, len(noises))
    with style():
        figure, axes = new_figure(columns=columns, rows=-(-len(noises) // columns), height=_PANEL + 0.45)
        figure.set_size_inches(max(3.0, _PANEL * columns + 0.5), figure.get_figheight())
        for axis, noise in zip(axes, noises, strict=False):
            part = result.transitions[result.transitions["noise"] == noise]
            classes = part["true"].nunique()
            axis.imshow(part["delivered"].to_numpy().reshape(classes, classes), cmap="Blues", vmin=0, vmax=1)
            axis.grid(visible=False)
            axis.set_title(_shortened(result.titles[noise]), fontsize="small")
            axis.set_xticks([])
            axis.set_yticks([])
        for axis in axes[::columns]:
            axis.set_ylabel("true class")
        for axis in axes[max(0, len(noises) - columns) : len(noises)]:
            axis.set_xlabel("label")
        for axis in axes[len(noises) :]:
            axis.set_visible(False)
    return figure


def _shortened(title: str) -> str:
    return title if len(title) <= _MAX_TITLE else f"{title[: _MAX_TITLE - 1]}…"
