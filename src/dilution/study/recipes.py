"""A recipe for the runs of a study: the same budget, spent otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dilution.errors import InputError
from dilution.study.execute import open_data
from dilution.study.packs import labels_of, steps_of
from dilution.study.spec import Run
from dilution.training.learners import LEARNERS
from dilution.training.recipes import ADVISED, RECIPE, advised, read_recipe, spent


def with_recipe(runs: Sequence[Run], recipe: str | Path | None, root: str | None = None) -> list[Run]:
    """Return runs that train by a recipe; as many pictures go through the network as before.

    Parameters
    ----------
    runs
        The runs of a study. Learners, which take no steps, stay as they are.
    recipe
        ``"advised"``, the built-in one, or the path of a file that `dilution advise` has written. None: the
        runs' own settings.
    root
        Folder that holds downloaded data.

    Raises
    ------
    DilutionError
        If the recipe cannot be read, or the study compares what it would set.
    """
    if recipe is None:
        return list(runs)
    fixed = None if str(recipe) == ADVISED else read_recipe(recipe)
    steps = [run for run in runs if run.network not in LEARNERS]
    compared = [
        name
        for name in (RECIPE if fixed is None else fixed)
        if name != "order" and len({getattr(run, name) for run in steps}) > 1
    ]
    if compared:
        raise InputError(
            f"the recipe is {str(recipe)!r} and the runs differ in {', '.join(compared)}; a recipe sets "
            f"these "
            "for all of them, and nothing would be left to compare. Leave --recipe out."
        )
    pooled = all(run.images == "same" for run in steps)
    return [run if run.network in LEARNERS else _by(run, fixed, pooled=pooled, root=root) for run in runs]


def _by(run: Run, fixed: Mapping[str, Any] | None, *, pooled: bool, root: str | None) -> Run:
    """Return a run by the settings of a recipe, or by the built-in one."""
    steps = steps_of(run)
    alpha = labels_of(run) - 1
    if fixed is None:
        shape = open_data(run.dataset, run.fingerprint, root).train.shape
        recipe = advised(
            alpha=alpha,
            pictures=steps * run.batch,
            pooled=pooled and run.labels == "added",
            shape=shape,
        )
    else:
        recipe = dict(fixed) if pooled or fixed.get("order") is None else {**fixed, "order": "examples"}
    settings = spent(run.settings, steps, recipe)
    return Run.of(
        **(run.model_dump(exclude_none=True, exclude={"epochs"}) | settings.model_dump(exclude={"epochs"}))
    )
