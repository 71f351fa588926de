"""Plots of a diagnosis and an advice: no text is cut off, no legend covers data, tick labels are apart."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text
from noisy_predictions import noisy_predictions, transition_at

from dilution.advice import Advice
from dilution.advice.ablation import CheckpointChoice
from dilution.advice.noise_scale import NoiseScale
from dilution.advice.page import draw as draw_advice
from dilution.data import Arrays, UnsplitData
from dilution.diagnosis.cross_validation import CrossValidation
from dilution.diagnosis.diagnose import diagnose_predictions
from dilution.diagnosis.page import draw as draw_diagnosis
from dilution.report.style import style
from dilution.study import Run
from dilution.utils.estimate import Estimate

_MARGIN = 0.05  # inches: the empty edge of a legend may lie outside


def drawn_tick_labels(ticks: Any) -> list[Any]:
    """Return the boxes of the tick labels in view, in order along their axis."""
    low, high = sorted(ticks.get_view_interval())
    shown = [tick for tick in ticks.get_major_ticks() if low <= tick.get_loc() <= high]
    boxes = [tick.label1.get_window_extent() for tick in shown if tick.label1.get_text()]
    return sorted(boxes, key=lambda box: (box.x0, box.y0))


def assert_fits(figure: Any) -> None:
    with style():
        figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -_MARGIN  # titles, labels, legends, data
    legends = [panel.get_legend() for panel in figure.axes if panel.get_legend() is not None]
    for legend in legends:
        covered = [panel.get_window_extent() for panel in figure.axes]
        covered += [panel.xaxis.label.get_window_extent() for panel in figure.axes]
        covered += [other.get_window_extent() for other in legends if other is not legend]
        assert not any(legend.get_window_extent().overlaps(other) for other in covered)
    for panel in figure.axes:
        for ticks in (panel.xaxis, panel.yaxis):
            assert not any(first.overlaps(second) for first, second in pairwise(drawn_tick_labels(ticks)))
    names = {panel.get_title(place) for panel in figure.axes for place in ("left", "right")} - {""}
    titles = [text.get_window_extent() for text in figure.findobj(Text) if text.get_text() in names]
    assert len(titles) == len(figure.axes)
    assert not any(first.overlaps(second) for first, second in pairwise(titles))


@pytest.mark.trains  # it fits the noise
@pytest.mark.parametrize(
    "names",
    [
        ["no", "yes"],
        [f"{number} WWWWWWWWWWWW" for number in range(5)],  # wide names leave little room for the matrix
        ["golden retriever", "labrador retriever", "setter"],
        [f"{number} golden retriever" for number in range(20)],
        [f"class {number}" for number in range(120)],  # too many for names, and for a matrix
    ],
    ids=len,
)
def test_names_of_classes_and_titles_of_a_diagnosis_are_whole(names):
    n = 300 + 10 * len(names)
    predictions, _ = noisy_predictions(transition_at(0.3, classes=len(names)), n=n)
    images = torch.zeros(n, 1, 1, 2, dtype=torch.uint8)
    noisy = Arrays(images, torch.from_numpy(predictions.labels), tuple(names))
    held_out = CrossValidation(predictions.pred_probs, "mlp2", 4, 8, 1.0, 1.6)
    unverified = np.full(n, -1)
    diagnosis = diagnose_predictions(
        "mine", UnsplitData(noisy), noisy, held_out, unverified, 2, 0, true_noise_rate=math.nan
    )
    assert_fits(draw_diagnosis(diagnosis))


def advice(alphas: tuple[float, ...], scale: float, high: float, rates: int) -> Advice:
    """Return an advice with noise scales as in theory, whose intervals end at a multiple of them."""
    run = Run.of(
        dataset="digits", n=600, model="mlp1", alpha=alphas[-1], targets="sampled", optimizer="adam",
        lr=0.002, schedule="linear", batch_size=32, steps=68,
    )  # fmt: skip
    scales = []
    for alpha in alphas:
        label, image = scale * (1 + alpha) ** 2, scale * (1 + alpha)
        estimates = [Estimate(mean, 0.8 * mean, high * mean) for mean in (label, image)]
        scales.append(NoiseScale(alpha, *estimates))
    lrs = np.geomspace(1e-5, 1, rates)
    trials = [
        {"budget_fraction": fraction, "lr": lr, "loss": 2 + abs(math.log10(lr) + 3) / fraction}
        for fraction in (0.125, 0.25, 0.5)
        for lr in lrs
    ]
    runs = pd.DataFrame({"model": "mlp1", "seed": [0, 1, 2], "n_test": 360})
    return Advice(
        name="digits",
        run=run,
        n_images=2160,
        eta=None,
        noise_scales=tuple(scales),
        lr_trials=pd.DataFrame(trials),
        comparisons=(),
        checkpoint=CheckpointChoice("last", 0.01, 0.002),
        runs=runs,
        search_runs=runs,
        majority_share=0.1,
        trusts_test_labels=True,
    )


@pytest.mark.parametrize(
    ("alphas", "scale", "high", "rates"),
    [
        ((0.0, 1.0, 2.0, 4.0), 93.0, 1.2, 5),
        ((0.0,), 93.0, 1.2, 5),  # labels as they are
        ((0.0, 50.0, 200.0, 1000.0), 10.0, math.inf, 9),
        ((0.0, 50.0, 200.0, 1000.0), 1e5, 1.2, 9),
    ],
    ids=["few labels", "labels as they are", "infinite ends", "large"],
)
def test_legends_of_an_advice_cover_no_data_and_its_texts_are_whole(alphas, scale, high, rates):
    assert_fits(draw_advice(advice(alphas, scale, high, rates)))
