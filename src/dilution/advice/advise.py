"""The one call: the noise scale is measured, the batch follows, rate and the rest are searched."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dilution.advice.halving import Kept, Verdict, best_lr, confirm, kept_step
from dilution.advice.noise_scale import Scale, halfway, noise_scale
from dilution.data import Arrays, check_classes, load, majority_share
from dilution.errors import InputError, StoreError
from dilution.models import default_model
from dilution.noise import Dilution, uniform_noise_level
from dilution.study.execution import Execution
from dilution.study.failures import refuse_failed
from dilution.study.grid import Study
from dilution.study.prepare import prepare
from dilution.study.progress import Progress
from dilution.study.results import histories, table
from dilution.study.run_spec import Run
from dilution.study.scheduler import run_study
from dilution.study.statistics import intervals
from dilution.study.store import Store
from dilution.training import resolve_trainable
from dilution.training.config import PrecisionName, check_precision, default_n_val
from dilution.training.recipes import RECIPE, built_in_recipe

EPOCHS = 10.0
_JUDGED = ("val_loss_noisy", "val_acc_noisy")  # of each evaluation
_LADDER = 4  # noise levels at which the scale is measured, from none to the one asked for


@dataclass(frozen=True)
class Advice:
    """How to train, and why.

    Parameters
    ----------
    name
        How the data are called.
    run
        The training advised, with its budget.
    images
        How many images go through the network.
    scales
        The noise scale at each noise level, the one asked for last.
    trials
        The search of the rate: ``share`` of the budget, ``rate``, ``loss``.
    verdicts
        What was compared at the whole budget.
    kept
        Which weights are kept, those of the last step or of an earlier one.
    runs
        Trainings by the recipe, one row a seed.
    searched
        All trainings of the search.
    majority
        Share of the commonest class among the test labels.
    trusted
        Whether test labels are taken to be right; where labels are taken as they are given, they are no
        better than the others.
    """

    name: str
    run: Run
    images: int
    scales: tuple[Scale, ...]
    trials: pd.DataFrame
    verdicts: tuple[Verdict, ...]
    kept: Kept
    runs: pd.DataFrame
    searched: pd.DataFrame
    majority: float
    trusted: bool

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings advised, without the budget."""
        given = self.run.model_dump(include=set(RECIPE))
        unused = {"momentum"} if self.run.optimizer != "sgd" else set()
        return {name: given[name] for name in RECIPE if name not in unused}

    @cached_property
    def growth(self) -> float:
        """Exponent p of the noise scale of a label, (1 + α)^p between the levels; NaN for one level."""
        told = [each for each in self.scales if math.isfinite(each.label)]
        if len(told) < 2:
            return math.nan
        levels, found = (np.log([1 + each.alpha for each in told]), np.log([each.label for each in told]))
        return float(np.polyfit(levels, found, 1)[0])

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """Test accuracy of the weights that are kept: mean and 95 % interval."""
        found = intervals(self.runs, ["model"], f"test_{self.kept.step}").iloc[0]
        return float(found["mean"]), float(found["low"]), float(found["high"])

    @cached_property
    def scale_table(self) -> pd.DataFrame:
        """Columns ``alpha``, ``gradient of`` (a label or an image), ``mean``, ``low``, ``high``."""
        rows = [
            (each.alpha, kind, *(getattr(each, name + end) for end in ("", "_low", "_high")))
            for name, kind in (("label", "one label"), ("image", "all labels of an image"))
            for each in self.scales
        ]
        return pd.DataFrame(rows, columns=["alpha", "gradient of", "mean", "low", "high"])


def advise(
    data: str | Path,
    *,
    alpha: float | None = None,
    eta: float | None = None,
    model: str | None = None,
    n: int | None = None,
    epochs: float = EPOCHS,
    precision: PrecisionName = "float32",
    seed: int = 0,
    store: str | Path = "advice.sqlite",
    execution: Execution | None = None,
) -> Advice:
    """Find how to train a network on these data under this noise, for a given budget.

    Parameters
    ----------
    data
        Name or path of data, as for :func:`dilution.load`.
    alpha, eta
        Noise to add: its level or its rate. With neither, labels are taken as they are given; where data have
        observed labels beside right ones, the observed ones.
    network
        Name of a network. Default: a small ConvNet for images, an MLP for features.
    n
        Clean examples. Default: all.
    epochs
        Budget of a training, in passes over its images.
    precision
        What products are computed in, ``"float32"`` or ``"bfloat16"``.
    seed
        Root seed; further ones follow it.
    store
        SQLite file of the trainings; finished ones are not repeated.
    execution
        Where and how the runs are trained. Default: in processes of this machine.

    Raises
    ------
    DilutionError
        If a setting, a file or the store is at fault.
    """
    if not 0 < epochs < math.inf:
        raise InputError(f"epochs is {epochs}; it must be a number above 0: passes over the images.")
    check_precision(precision)
    execution = execution or Execution()
    root = execution.root
    halves = load(data, root)
    opened = halves.train
    check_classes(opened.labels, opened.classes)
    noisy = alpha is not None or eta is not None
    level = uniform_noise_level(alpha, eta, len(opened.classes)) if noisy else None
    chosen = model or default_model(opened.shape)
    if not resolve_trainable(chosen, opened.shape, len(opened.classes)).takes_steps:
        raise InputError(
            f"model is {chosen!r}, a learner that takes no steps; there is no batch or rate to advise. "
            f"Name a network."
        )
    observed = level is None and opened.observed is not None
    size = len(opened) if n is None else n
    validation = default_n_val(size)
    images = round(epochs * (size - validation))
    noise: dict[str, Any] = {"noise": "observed"} if observed else {"alpha": level or 0.0}
    scales = _scales(opened, chosen, size, level or 0.0, observed=observed, seed=seed, precision=precision)
    pooled = bool(level)
    scale = scales[-1].image if pooled else scales[-1].label
    recipe = built_in_recipe(
        alpha=level or 0.0,
        images=images,
        pooled=pooled,
        shape=opened.shape,
        noise_scale=min(scale, 1e9),
    )
    proposed = Run.of(
        dataset=str(data),
        model=chosen,
        n=size,
        seed=seed,
        precision=precision,
        n_evals=5,
        steps=max(1, round(images / recipe["batch_size"])),
        **noise,
        **recipe,
    )
    others = {"schedule": "cosine", "ema_decay": 0.0} | ({"translate": 0} if recipe["translate"] else {})
    (proposed,) = prepare([proposed], root)
    progress = Progress(quiet=not execution.progress)  # shared, so that a search does not repeat its notes
    searched: list[pd.DataFrame] = []
    with Store(store) as kept:

        def train(what: str, runs: Sequence[Run]) -> pd.DataFrame:
            study = Study.of(f"advice/{data}/{chosen}/{what}", runs)
            run_study(study, kept, execution, progress=progress)
            found = table(kept, runs=study.runs)
            refuse_failed(found, store, "search")
            searched.append(found)
            measured = histories(kept, study.name).reindex(columns=["key", *_JUDGED])
            done = found["state"] == "done"
            if measured.isna().any(axis=None) or not set(found.loc[done, "key"]) <= set(measured["key"]):
                raise StoreError(
                    f"{store} holds trainings without what advice is judged by: imported ones, or those of "
                    "an older version. Name another --store."
                )
            losses = measured.groupby("key")["val_loss_noisy"].min()
            return found.assign(loss=found["key"].map(losses).where(done, math.inf))

        rate, trials = best_lr(proposed, train)
        final, verdicts, runs = confirm(proposed.model_copy(update={"lr": rate}), others, train)
        n_evals = histories(kept, keys=set(runs["key"]))
    return Advice(
        Path(str(data)).name,
        final,
        images,
        scales,
        trials,
        tuple(verdicts),
        kept_step(n_evals),
        runs,
        pd.concat(searched),
        majority_share(halves.test.labels),
        level is not None or observed,
    )


def _scales(
    opened: Arrays,
    model: str,
    n: int,
    level: float,
    *,
    observed: bool,
    seed: int,
    precision: PrecisionName,
) -> tuple[Scale, ...]:
    """Measure the noise scale at levels from none to the one asked for, equally apart in log(1 + α)."""
    if observed and opened.observed is not None:
        opened = Arrays(opened.images, opened.observed, opened.classes)
    at = halfway(model, Dilution(opened, 0, n=n, seed=seed), default_n_val(n), seed, precision)
    steps = _LADDER - 1 if level else 0
    levels = [(1 + level) ** (step / steps) - 1 for step in range(steps)] if steps else []
    return tuple(noise_scale(at, Dilution(opened, each, n=n, seed=seed), seed) for each in [*levels, level])
