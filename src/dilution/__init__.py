"""Dilution: how much label noise can a network take, and what does it cost to buy your way out.

Names are imported on first use, so that ``import dilution`` and ``dilution --help`` do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dilution.advice import Advice, advise
    from dilution.data import Arrays, DataSet, from_numpy, list_datasets, load
    from dilution.diagnosis import CleanLabels, Comparison, Diagnosis, compare_diagnoses, diagnose
    from dilution.errors import DataError, DilutionError, InputError, StoreError, TimeLimitReached
    from dilution.figures import estimate, list_figures, reproduce
    from dilution.fitting import FitResult, FittedModel, NoisyLabelClassifier, fit, load_model
    from dilution.models import list_models
    from dilution.noise import (
        Dilution,
        asymmetric,
        idn,
        list_noises,
        locally_concentrated,
        matrix,
        observed,
        pair_flip,
        part_dependent,
        pmd,
        structured,
        symmetric,
        transition,
        uniform,
    )
    from dilution.planning import Plan, plan
    from dilution.study import Execution, Grid, Run, RunComparison, Study, compare, run
    from dilution.training import (
        TrainConfig,
        confusability,
        list_estimators,
        list_losses,
        predicted_probabilities,
        train,
    )

    __version__: str
    """Version of the installed package."""

_PACKAGES = {
    "advice": ("Advice", "advise"),
    "data": ("Arrays", "DataSet", "from_numpy", "list_datasets", "load"),
    "diagnosis": ("CleanLabels", "Comparison", "Diagnosis", "compare_diagnoses", "diagnose"),
    "errors": ("DataError", "DilutionError", "InputError", "StoreError", "TimeLimitReached"),
    "figures": ("estimate", "list_figures", "reproduce"),
    "fitting": ("FitResult", "FittedModel", "NoisyLabelClassifier", "fit", "load_model"),
    "models": ("list_models",),
    "noise": (
        *("Dilution", "asymmetric", "idn", "list_noises", "locally_concentrated", "matrix", "observed"),
        *("pair_flip", "part_dependent", "pmd", "structured", "symmetric", "transition", "uniform"),
    ),
    "planning": ("Plan", "plan"),
    "study": ("Execution", "Grid", "Run", "RunComparison", "Study", "compare", "run"),
    "training": (
        *("TrainConfig", "confusability", "list_estimators", "list_losses", "predicted_probabilities"),
        "train",
    ),
}
_PACKAGE_OF = {name: package for package, names in _PACKAGES.items() for name in names}

__all__ = [
    "Advice",
    "Arrays",
    "CleanLabels",
    "Comparison",
    "DataError",
    "DataSet",
    "Diagnosis",
    "Dilution",
    "DilutionError",
    "Execution",
    "FitResult",
    "FittedModel",
    "Grid",
    "InputError",
    "NoisyLabelClassifier",
    "Plan",
    "Run",
    "RunComparison",
    "StoreError",
    "Study",
    "TimeLimitReached",
    "TrainConfig",
    "__version__",
    "advise",
    "asymmetric",
    "compare",
    "compare_diagnoses",
    "confusability",
    "diagnose",
    "estimate",
    "fit",
    "from_numpy",
    "idn",
    "list_datasets",
    "list_estimators",
    "list_figures",
    "list_losses",
    "list_models",
    "list_noises",
    "load",
    "load_model",
    "locally_concentrated",
    "matrix",
    "observed",
    "pair_flip",
    "part_dependent",
    "plan",
    "pmd",
    "predicted_probabilities",
    "reproduce",
    "run",
    "structured",
    "symmetric",
    "train",
    "transition",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("dilution")
    elif name in _PACKAGE_OF:
        value = getattr(import_module(f"dilution.{_PACKAGE_OF[name]}"), name)
    elif name in _PACKAGES or name == "review":
        value = import_module(f"dilution.{name}")
    else:
        raise AttributeError(f"module 'dilution' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
