"""Recipes applied to the runs of a study: other settings, at the same budget."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from dilution.data import Arrays
from dilution.errors import InputError
from dilution.noise import alpha_for_eta, equivalent_alpha, matrix, noise_named
from dilution.study.datasets import open_data, trains_in_steps
from dilution.study.run_spec import Run
from dilution.training.losses import resolve_loss
from dilution.training.recipes import ADVISED, built_in_recipe, config_with_recipe, read_recipe

TrainOf = Callable[[Run], Arrays]
"""Function of a run → the training split of its data."""


def with_recipe(runs: Sequence[Run], recipe: str | Path | None, root: str | None = None) -> list[Run]:
    """Return the runs with a recipe applied, each with the same number of training images as before.

    Parameters
    ----------
    runs
        The runs of a study. Those that fit an estimator stay as they are.
    recipe
        ``"advised"``, the built-in recipe, or the path of a file that `dilution advise` wrote. None:
        the runs stay as they are.
    root
        Folder of downloaded data.

    Raises
    ------
    DilutionError
        If the recipe cannot be read, or sets a setting in which the runs differ.
    """
    if recipe is None:
        return list(runs)
    fixed_recipe = None if str(recipe) == ADVISED else read_recipe(recipe)
    opened = cache(lambda name, fingerprint: open_data(name, fingerprint, root).train)

    def train_of(run: Run) -> Arrays:
        train: Arrays = opened(run.dataset, run.fingerprint)  # once, since opening a folder lists its images
        return train

    with_steps = [run for run in runs if trains_in_steps(run, train_of(run))]
    can_pool = all(
        run.image_source == "same" and resolve_loss(run.loss).is_linear and run.strategy == "plain"
        for run in with_steps
    )
    recipes = {run.key: _recipe_of(run, fixed_recipe, train_of, can_pool=can_pool) for run in with_steps}
    names = set().union(*recipes.values())
    compared = sorted(name for name in names if len({getattr(run, name) for run in with_steps}) > 1)
    if compared:
        raise InputError(
            f"the recipe is {str(recipe)!r} and the runs differ in {', '.join(compared)}; a recipe sets "
            "these for all of them, and nothing would be left to compare. Leave --recipe out."
        )
    return [_apply(run, recipes[run.key], train_of) if run.key in recipes else run for run in runs]


def _recipe_of(
    run: Run, fixed_recipe: dict[str, Any] | None, train_of: TrainOf, *, can_pool: bool
) -> dict[str, Any]:
    """Return the recipe of a run: the fixed one, or the built-in one for its noise level and budget."""
    if fixed_recipe is not None:
        return (
            fixed_recipe
            if can_pool or "targets" not in fixed_recipe
            else fixed_recipe | {"targets": "sampled"}
        )
    return built_in_recipe(
        alpha=_noise_level(run, train_of),
        images=_steps(run, train_of) * run.batch_size,
        pooled=can_pool and run.label_mode == "added",
        shape=train_of(run).shape,
    )


def _apply(run: Run, recipe: dict[str, Any], train_of: TrainOf) -> Run:
    """Return a run with the settings of a recipe."""
    settings = config_with_recipe(run.config, _steps(run, train_of), recipe).model_dump(exclude={"epochs"})
    return Run.of(**(run.model_dump(exclude_none=True, exclude={"epochs"}) | settings))


def _steps(run: Run, train_of: TrainOf) -> int:
    """Return the optimizer steps of a run."""
    has_several = run.label_mode == "added" and run.targets == "sampled"
    labels = 1 + _noise_level(run, train_of) if has_several else 1.0
    return run.config.total_steps(round((run.n - run.n_val) * labels))


def _noise_level(run: Run, train_of: TrainOf) -> float:
    """Return the noise level of a run; 0 of observed labels."""
    if run.alpha is not None or run.noise == "observed":
        return run.alpha or 0.0
    train = train_of(run)
    if run.eta is None:
        noise = noise_named(run.noise).for_classes(train.classes)
        return noise.own_level(len(train.classes)) or 0.0
    if run.matrix is None:  # structured noise has the noise rate of uniform noise
        return equivalent_alpha(run.eta, len(train.classes))
    prior = torch.bincount(train.labels, minlength=len(train.classes)).double() / len(train)
    return alpha_for_eta(run.eta, matrix(run.matrix), prior.cpu().numpy(), run.seed)
