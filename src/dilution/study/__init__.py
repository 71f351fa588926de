"""Studies: what a run is, grids of runs, the store, worker processes, tables of results."""

from dilution.study.api import run
from dilution.study.comparison import RunComparison, compare
from dilution.study.execution import Execution
from dilution.study.grid import Grid, Study
from dilution.study.run_spec import Run

__all__ = ["Execution", "Grid", "Run", "RunComparison", "Study", "compare", "run"]
