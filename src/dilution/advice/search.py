"""The trainer of a search: it trains runs in a store and judges them by noisy validation labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from dilution.errors import StoreError
from dilution.study.deadline import Deadline
from dilution.study.execution import Execution
from dilution.study.failures import refuse_failed
from dilution.study.grid import Study
from dilution.study.progress import Progress
from dilution.study.results import histories, table
from dilution.study.run_spec import Run
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.utils.stage_log import begin_stage

_JUDGED_BY = ("val_loss_noisy", "val_acc_noisy")


@dataclass
class Search:
    """Trains the runs of the search and judges them by noisy validation labels.

    Parameters
    ----------
    name
        Start of the names of its studies.
    store
        The store of the runs.
    path
        Path of the store, for messages.
    execution
        How the runs are executed.
    deadline
        Deadline of the whole search.

    Attributes
    ----------
    tables
        The runs of each call of :meth:`train`.
    """

    name: str
    store: Store
    path: str | Path
    execution: Execution
    deadline: Deadline
    tables: list[pd.DataFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        # shared by all studies, so that notes are not repeated
        self._progress = Progress(quiet=not self.execution.progress)

    def train(self, purpose: str, runs: Sequence[Run]) -> pd.DataFrame:
        """Train runs and return their table; see :data:`dilution.study.halving.TrainRuns`."""
        begin_stage("preparing the search")  # each study starts its own processes
        study = Study.of(f"{self.name}/{purpose}", runs)
        run_study(study, self.store, self.execution, progress=self._progress, deadline=self.deadline)
        results = table(self.store, runs=study.runs)
        refuse_failed(results, self.path, "search")
        self.tables.append(results)
        done = results["state"] == "done"
        losses = self._lowest_losses(study, set(results.loc[done, "key"]))
        return results.assign(loss=results["key"].map(losses).where(done, math.inf))

    def left_out(self) -> list[str]:
        """Return a note on the runs of the search that diverged, after showing it; none if none did."""
        runs = pd.concat(self.tables).drop_duplicates("key")
        diverged = runs[runs["state"] == "diverged"]
        if diverged.empty:
            return []
        first = diverged.iloc[0]
        verb = "run diverged; its loss counts" if len(diverged) == 1 else "runs diverged; their losses count"
        notes = [
            f"{len(diverged):,} of {len(runs):,} search {verb} as infinite and no plot shows it, the first "
            f"with learning rate {first['lr']:g}, seed {first['seed']}"
        ]
        self._progress.notes(notes)
        return notes

    def _lowest_losses(self, study: Study, done: set[str]) -> "pd.Series[float]":
        """Return the lowest noisy validation loss of each run."""
        evaluations = histories(self.store, study.name).reindex(columns=["key", *_JUDGED_BY])
        if evaluations.isna().any(axis=None) or not done <= set(evaluations["key"]):
            raise StoreError(
                f"{self.path} has runs without evaluations on noisy validation labels: imported runs, or "
                "runs of an older version. Name another --store."
            )
        return evaluations.groupby("key")["val_loss_noisy"].min()
