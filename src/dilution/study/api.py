"""The one call for a study: what is missing is trained, and the whole table comes back."""

from pathlib import Path

import pandas as pd

from dilution.study.apply_recipe import with_recipe
from dilution.study.executors import check_executor
from dilution.study.grid import Study
from dilution.study.prepare import prepare
from dilution.study.progress import Progress
from dilution.study.results import table
from dilution.study.run_spec import Run
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training.checkpoint import EVERY
from dilution.training.config import PrecisionName


def run(
    study: Study | str | Path,
    *,
    store: str | Path = "results.sqlite",
    workers: int | None = None,
    device: str = "cpu",
    executor: str = "local",
    address: str | None = None,
    checkpoint_minutes: float = EVERY / 60,
    checkpoints: str | Path | None = None,
    seeds: int | None = None,
    precision: PrecisionName | None = None,
    recipe: str | Path | None = None,
    root: str | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Run a study and return its table, one row a run; finished runs are not repeated.

    Parameters
    ----------
    study
        A study, or the path of a TOML file that holds one.
    store
        SQLite file for the results.
    workers
        Cores, or GPUs if that is the device, to train on at once; default all. There is a worker process for
        each, unless fewer with several threads are measured to be faster. 0 trains in this process. Scripts
        that use worker processes need the usual ``if __name__ == "__main__":`` guard.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU if there is one.
    engine
        Where packs train: ``"local"``, in processes of this machine; ``"inline"``, in this process; or
        ``"ray"``, on a cluster.
    address
        Of the cluster: ``"auto"``, or ``"host:port"``. Default: one is started on this machine.
    checkpoint_minutes
        How often a long training is written down; cut off, it goes on from there.
    checkpoints
        Folder for that; of a cluster, one that all nodes share. Default: beside the store.
    seeds
        Repeat each run with seeds 0 … seeds − 1, in place of its own seed.
    precision
        What products are computed in, ``"float32"`` or ``"bfloat16"``, for all runs. Default: their own.
    recipe
        ``"advised"``, or the path of a recipe: how to train, at the same budget. Default: the runs' own.
    root
        Folder that holds downloaded data. Default: ``DILUTION_DATA``, then a cache folder.
    retry_failed
        Run failed runs again.
    progress
        What shows how far it is; ``Progress(quiet=True)`` shows nothing.

    Raises
    ------
    DilutionError
        If a setting, a file or the store is at fault.
    """
    study = study if isinstance(study, Study) else Study.from_toml(study)
    runs = list(study.runs)
    if seeds is not None:
        runs = [each.model_copy(update={"seed": s}) for each in runs for s in range(seeds)]
    if precision is not None:
        runs = [Run.of(**each.model_dump(exclude={"precision"}), precision=precision) for each in runs]
    study = Study.of(study.name, prepare(with_recipe(runs, recipe, root), root))
    check_executor(executor=executor, workers=workers, device=device, address=address)
    with Store(store) as opened:
        run_study(
            study,
            opened,
            workers=workers,
            device=device,
            executor=executor,
            address=address,
            checkpoint_minutes=checkpoint_minutes,
            checkpoints=checkpoints,
            root=root,
            retry_failed=retry_failed,
            progress=progress,
        )
        return table(opened, study.name)
