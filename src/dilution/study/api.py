"""The function that runs a study and returns its table of results."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from dilution.study.apply_recipe import with_recipe
from dilution.study.deadline import Deadline
from dilution.study.entry import takes_execution
from dilution.study.execution import Execution
from dilution.study.grid import Study, check_run_count
from dilution.study.prepare import prepare
from dilution.study.results import table
from dilution.study.run_spec import Run
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.study.usable_store import check_usable_store
from dilution.training.config import PrecisionName
from dilution.training.early_checks import check_settings


@takes_execution
def run(
    study: Study | str | Path,
    *,
    store: str | Path = "results.sqlite",
    execution: Execution | None = None,
    seeds: int | None = None,
    precision: PrecisionName | None = None,
    loss: str | None = None,
    strategy: str | None = None,
    recipe: str | Path | None = None,
) -> pd.DataFrame:
    """Run a study and return its table, one row per run; finished runs are not repeated.

    Parameters
    ----------
    study
        A study, or the path of a TOML file that describes one.
    store
        SQLite file of the results.
    execution
        Where and how the runs are trained. Default: in processes of this machine. Scripts that use
        worker processes need the usual ``if __name__ == "__main__":`` guard.
    seeds
        Repeat each run with seeds 0 … seeds − 1, in place of its own seed.
    precision
        Precision of products for all runs, ``"float32"`` or ``"bfloat16"``. Default: their own.
    loss
        Loss of all runs, such as ``"gce(q=0.3)"``. Default: their own.
    strategy
        Training strategy of all runs, such as ``"co_teaching(forget_rate=0.2)"``. Default: their own.
    recipe
        ``"advised"``, or the path of a recipe: how to train, at the same budget. Default: the
        settings of the runs.

    Raises
    ------
    DilutionError
        If a setting breaks its rule, or a file or the store cannot be used; :class:`TimeLimitReached` if
        runs remain at the time limit.
    """
    execution = execution or Execution()
    deadline = Deadline.of(execution)
    study = study if isinstance(study, Study) else Study.from_toml(study)
    if execution.save_weights is None:
        execution = replace(execution, save_weights=study.save_weights)
    check_settings(recipe=recipe, precision=precision or "float32")
    check_usable_store(store)
    runs = list(study.runs)
    if seeds is not None:
        check_run_count(len(runs), seeds)
        runs = [run.model_copy(update={"seed": seed}) for run in runs for seed in range(seeds)]
    named = {"precision": precision, "loss": loss, "strategy": strategy}
    replaced = {name: value for name, value in named.items() if value is not None}
    if replaced:
        runs = [Run.of(**run.model_dump() | replaced) for run in runs]
    runs = prepare(with_recipe(runs, recipe, execution.root), execution.root)
    study = Study.of(study.name, runs)
    with Store(store) as opened:
        run_study(study, opened, execution, deadline=deadline)
        return table(opened, study.name)
