"""Studies: what a run is, grids of runs, the store, worker processes, tables of results."""

from dilution.study.api import run
from dilution.study.comparison import RunComparison, compare
from dilution.study.differences import differences
from dilution.study.execution import Execution
from dilution.study.grid import Grid, Study
from dilution.study.recording import record
from dilution.study.run_labels import run_labels
from dilution.study.run_spec import Run
from dilution.study.saved_weights import SavedModel, load_weights

__all__ = [
    "Execution",
    "Grid",
    "Run",
    "RunComparison",
    "SavedModel",
    "Study",
    "compare",
    "differences",
    "load_weights",
    "record",
    "run",
    "run_labels",
]
