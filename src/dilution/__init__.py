"""Dilution: how much label noise can a network take, and what does it cost to buy your way out.

Names are imported on first use, so that ``import dilution`` and ``dilution --help`` do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dilution.advice import Advice, advise
    from dilution.benchmarking import Benchmark, benchmark, list_methods
    from dilution.data import Arrays, DataSet, from_numpy, list_datasets, load
    from dilution.diagnosis import CleanLabels, Comparison, Diagnosis, compare_diagnoses, diagnose
    from dilution.errors import DataError, DilutionError, InputError, StoreError, TimeLimitReached
    from dilution.figures import estimate, list_figures, reproduce
    from dilution.figures.laws import threshold_law, thresholds
    from dilution.fitting import FitResult, FittedModel, NoisyLabelClassifier, fit, load_model
    from dilution.models import list_models
    from dilution.noise import (
        Dilution,
        asymmetric,
        idn,
        list_noises,
        locally_concentrated,
        locally_concentrated_features,
        matrix,
        observed,
        pair_flip,
        part_dependent,
        pmd,
        structured,
        symmetric,
        transition,
        uniform,
        used_labels,
    )
    from dilution.planning import Plan, plan
    from dilution.report.figure_style import FigureStyle
    from dilution.report.latex import latex_table
    from dilution.study import (
        Execution,
        Grid,
        Run,
        RunComparison,
        SavedModel,
        Study,
        compare,
        differences,
        load_weights,
        record,
        run,
        run_labels,
    )
    from dilution.training import (
        TrainConfig,
        confusability,
        list_early_stopping,
        list_estimators,
        list_losses,
        list_optimizers,
        list_schedules,
        list_strategies,
        predicted_probabilities,
        train,
    )

    __version__: str
    """Version of the installed package."""

_PACKAGES = {
    "advice": ("Advice", "advise"),
    "benchmarking": ("Benchmark", "benchmark", "list_methods"),
    "data": ("Arrays", "DataSet", "from_numpy", "list_datasets", "load"),
    "diagnosis": ("CleanLabels", "Comparison", "Diagnosis", "compare_diagnoses", "diagnose"),
    "errors": ("DataError", "DilutionError", "InputError", "StoreError", "TimeLimitReached"),
    "figures": ("estimate", "list_figures", "reproduce"),
    "figures.laws": ("threshold_law", "thresholds"),
    "fitting": ("FitResult", "FittedModel", "NoisyLabelClassifier", "fit", "load_model"),
    "models": ("list_models",),
    "noise": (
        *("Dilution", "asymmetric", "idn", "list_noises", "locally_concentrated"),
        *("locally_concentrated_features", "matrix", "observed"),
        *("pair_flip", "part_dependent", "pmd", "structured", "symmetric", "transition", "uniform"),
        "used_labels",
    ),
    "planning": ("Plan", "plan"),
    "report.figure_style": ("FigureStyle",),
    "report.latex": ("latex_table",),
    "study": (
        *("Execution", "Grid", "Run", "RunComparison", "SavedModel", "Study", "compare", "load_weights"),
        *("differences", "record", "run", "run_labels"),
    ),
    "training": (
        *("TrainConfig", "confusability", "list_early_stopping", "list_estimators", "list_losses"),
        *("list_optimizers", "list_schedules", "list_strategies", "predicted_probabilities", "train"),
    ),
}
_PACKAGE_OF = {name: package for package, names in _PACKAGES.items() for name in names}

__all__ = [
    "Advice",
    "Arrays",
    "Benchmark",
    "CleanLabels",
    "Comparison",
    "DataError",
    "DataSet",
    "Diagnosis",
    "Dilution",
    "DilutionError",
    "Execution",
    "FigureStyle",
    "FitResult",
    "FittedModel",
    "Grid",
    "InputError",
    "NoisyLabelClassifier",
    "Plan",
    "Run",
    "RunComparison",
    "SavedModel",
    "StoreError",
    "Study",
    "TimeLimitReached",
    "TrainConfig",
    "__version__",
    "advise",
    "asymmetric",
    "benchmark",
    "compare",
    "compare_diagnoses",
    "confusability",
    "diagnose",
    "differences",
    "estimate",
    "fit",
    "from_numpy",
    "idn",
    "latex_table",
    "list_datasets",
    "list_early_stopping",
    "list_estimators",
    "list_figures",
    "list_losses",
    "list_methods",
    "list_models",
    "list_noises",
    "list_optimizers",
    "list_schedules",
    "list_strategies",
    "load",
    "load_model",
    "load_weights",
    "locally_concentrated",
    "locally_concentrated_features",
    "matrix",
    "observed",
    "pair_flip",
    "part_dependent",
    "plan",
    "pmd",
    "predicted_probabilities",
    "record",
    "reproduce",
    "run",
    "run_labels",
    "structured",
    "symmetric",
    "threshold_law",
    "thresholds",
    "train",
    "transition",
    "uniform",
    "used_labels",
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
