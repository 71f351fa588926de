"""The transition matrices of a benchmark's noises, counted over the labels of one seed, and their plot."""

import matplotlib
import matplotlib.figure
import numpy as np
import pandas as pd

from dilution.benchmarking.methods import REFERENCE
from dilution.benchmarking.plan import BenchmarkPlan
from dilution.benchmarking.result import Benchmark
from dilution.errors import DilutionError
from dilution.report.figure_style import current_style
from dilution.report.style import GRID, new_figure, style
from dilution.study.datasets import dilute
from dilution.utils.printable import last_line

_COLUMNS = 5
_PANEL = 1.6  # inches
_MAX_TITLE = 22  # letters above a panel


def count_transitions(plan: BenchmarkPlan, root: str | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Draw the labels of the first seed of each noise, and count them.

    Parameters
    ----------
    plan
        The benchmark.
    root
        Folder of downloaded data.

    Returns
    -------
    tuple of (DataFrame, tuple of str)
        One row per noise, true class and label: ``noise``, ``true``, ``noisy`` (names of classes),
        ``expected`` and ``delivered``, T[true, noisy] as the noise has it and as it is counted over all
        labels of all n images; of a class without images ``delivered`` is NaN. And a note for each noise
        whose labels cannot be drawn, such as one of the user that fails.
    """
    reference = plan.planned[plan.planned["method"] == REFERENCE].drop_duplicates("noise")
    runs = {run.key: run for run in plan.runs}
    columns = ["noise", "true", "noisy", "expected", "delivered"]
    parts, notes = [pd.DataFrame(columns=columns)], []
    for noise, key in zip(reference["noise"], reference["key"], strict=True):
        try:
            data, noisy = dilute(runs[key], root, {})
            summary, names = noisy.noise_summary(), list(data.train.classes)
        except DilutionError as error:  # its runs have failed too, and those of other noises are shown
            notes.append(f"T of {noise} is not counted: {last_line(str(error))}")
            continue
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
    return pd.concat(parts[1:] or parts, ignore_index=True), tuple(notes)


def draw_transitions(result: Benchmark) -> matplotlib.figure.Figure | None:
    """Draw one matrix per noise, from white (0) to blue (1), grey where there is none; None without any."""
    noises = list(result.transitions["noise"].unique())
    if not noises:
        return None
    columns = min(_COLUMNS, len(noises))
    colours = matplotlib.colormaps["Blues"].with_extremes(bad=GRID)
    with style():
        figure, axes = new_figure(columns=columns, rows=-(-len(noises) // columns), height=_PANEL + 0.45)
        if not isinstance(current_style().width, float):  # nobody asked for a width
            figure.set_size_inches(max(3.0, _PANEL * columns + 0.5), figure.get_figheight())
        spec = axes[0].get_subplotspec()
        columns = columns if spec is None else spec.get_gridspec().ncols  # fewer in a narrow figure
        for axis, noise in zip(axes, noises, strict=False):
            part = result.transitions[result.transitions["noise"] == noise]
            classes = part["true"].nunique()
            axis.imshow(part["delivered"].to_numpy().reshape(classes, classes), cmap=colours, vmin=0, vmax=1)
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
