"""Dilution: how much label noise can a network take, and what does it cost to buy your way out.

Names are imported on first use, so that ``import dilution`` and ``dilution --help`` do not wait for
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dilution.advice import Advice, advise
    from dilution.data import Arrays, DataSet, from_numpy, load
    from dilution.diagnosis import Diagnosis, diagnose
    from dilution.errors import DataError, DilutionError, InputError, StoreError
    from dilution.figures import reproduce
    from dilution.noise import Dilution, matrix, observed, structured, uniform
    from dilution.planning import Plan, plan
    from dilution.study import Grid, Run, Study, run
    from dilution.training import TrainConfig, confusability, train

_HOMES = {
    "Arrays": "data",
    "DataSet": "data",
    "from_numpy": "data",
    "load": "data",
    "DataError": "errors",
    "DilutionError": "errors",
    "InputError": "errors",
    "StoreError": "errors",
    "Dilution": "noise",
    "matrix": "noise",
    "observed": "noise",
    "structured": "noise",
    "uniform": "noise",
    "TrainConfig": "training",
    "confusability": "training",
    "train": "training",
    "Grid": "study",
    "Run": "study",
    "Study": "study",
    "run": "study",
    "reproduce": "paper",
    "Diagnosis": "diagnosis",
    "diagnose": "diagnosis",
    "Advice": "advice",
    "advise": "advice",
    "Plan": "planning",
    "plan": "planning",
}

__all__ = [
    "Advice",
    "Arrays",
    "DataError",
    "DataSet",
    "Diagnosis",
    "Dilution",
    "DilutionError",
    "Grid",
    "InputError",
    "Plan",
    "Run",
    "StoreError",
    "Study",
    "TrainConfig",
    "advise",
    "confusability",
    "diagnose",
    "from_numpy",
    "load",
    "matrix",
    "observed",
    "plan",
    "reproduce",
    "run",
    "structured",
    "train",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dilution' has no attribute {name!r}")
    value = getattr(import_module(f"dilution.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
