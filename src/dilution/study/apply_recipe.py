"""A recipe for the runs of a study: the same budget, spent otherwise."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dilution.errors import InputError
from dilution.noise import equivalent_alpha
from dilution.study.run_spec import Run
from dilution.study.runner import learns_at_once, open_data
from dilution.training.recipes import ADVISED, advised, read_recipe, spent


def with_recipe(runs: Sequence[Run], recipe: str | Path | None, root: str | None = None) -> list[Run]:
    """Return runs that train by a recipe; as many images go through the network as before.

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
    trained = [run for run in runs if not learns_at_once(run, root)]
    pooled = all(run.image_source == "same" for run in trained)
    found = {run.key: _by(run, fixed, pooled=pooled, root=root) for run in trained}
    names = set().union(*(settings for _, settings in found.values()))
    compared = sorted(name for name in names if len({getattr(run, name) for run in trained}) > 1)
    if compared:
        raise InputError(
            f"the recipe is {str(recipe)!r} and the runs differ in {', '.join(compared)}; a recipe sets "
            "these for all of them, and nothing would be left to compare. Leave --recipe out."
        )
    return [found[run.key][0] if run.key in found else run for run in runs]


def _by(
    run: Run, fixed: dict[str, Any] | None, *, pooled: bool, root: str | None
) -> tuple[Run, dict[str, Any]]:
    """Return a run by the settings of a recipe, or by the built-in one, and these settings."""
    alpha = _noise_level(run, root)
    labels = 1 + alpha if run.label_mode == "added" and run.targets == "sampled" else 1.0
    steps = run.settings.total_steps(round((run.n - run.n_val) * labels))
    if fixed is None:
        recipe = advised(
            alpha=alpha,
            images=steps * run.batch_size,
            pooled=pooled and run.label_mode == "added",
            shape=open_data(run.dataset, run.fingerprint, root).train.shape,
        )
    else:
        recipe = fixed if pooled or "targets" not in fixed else fixed | {"targets": "sampled"}
    settings = spent(run.settings, steps, recipe).model_dump(exclude={"epochs"})
    return Run.of(**(run.model_dump(exclude_none=True, exclude={"epochs"}) | settings)), recipe


def _noise_level(run: Run, root: str | None) -> float:
    """Return the noise level of a run, of uniform noise where its rate is given; 0 of observed labels."""
    if run.eta is None:
        return run.alpha or 0.0
    classes = len(open_data(run.dataset, run.fingerprint, root).train.classes)
    return equivalent_alpha(run.eta, classes)
