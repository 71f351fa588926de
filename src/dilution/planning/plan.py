"""The one call: a pilot is trained, the law fitted, questions of somebody who buys labels answered."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from dilution.data import check_classes, load, majority_share
from dilution.errors import InputError
from dilution.models import default_model
from dilution.noise import check_alpha, uniform_noise_level
from dilution.planning.accuracy_law import Law, fit_law
from dilution.planning.pilot import LEAST, Labels, Scope, first_runs, next_runs
from dilution.planning.queries import Answer, Kind, Mix, cheapest, expected_accuracy, labels_needed
from dilution.study.apply_recipe import with_recipe
from dilution.study.execution import Execution
from dilution.study.failures import refuse_failed
from dilution.study.grid import Study
from dilution.study.prepare import prepare
from dilution.study.progress import Progress
from dilution.study.results import table
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training.config import PrecisionName

PILOT_ALPHAS = (0.0, 2.0, 5.0, 10.0)
PILOT_N = 4_000
RUNS = 60
"""The most runs of a pilot."""
_SURELY = 2.0  # standard errors of an accuracy above that of naming the commonest class


@dataclass(frozen=True)
class Plan:
    """What a pilot says about buying labels.

    Parameters
    ----------
    name
        How the data are called.
    target
        Test accuracy wanted.
    have
        Labels that are there, and their noise level.
    kinds
        Labels that can be bought: of the same quality, and better ones.
    runs
        The pilot, one row a run.
    law
        The law fitted to it.
    """

    name: str
    target: float
    have: tuple[float, float]
    kinds: tuple[Kind, Kind]
    runs: pd.DataFrame
    law: Law

    @cached_property
    def expected(self) -> Answer:
        """The accuracy to expect of the labels as they are."""
        return expected_accuracy(self.law, *self.have)

    @cached_property
    def same(self) -> Answer:
        """Labels of the same quality that the target takes, those that are there included."""
        return labels_needed(self.law, self.target, self.have[1])

    @cached_property
    def better(self) -> Answer:
        """Labels of the better quality alone that the target takes."""
        return labels_needed(self.law, self.target, self.kinds[1].alpha)

    @cached_property
    def mix(self) -> Mix | None:
        """The cheapest way to the target; None where the pilot cannot defend one."""
        return cheapest(self.law, self.target, self.have, self.kinds)

    @cached_property
    def prices(self) -> pd.DataFrame:
        """What a label of each noise level is worth in clean ones.

        Columns ``alpha``, ``theory`` (1/(1 + α)²), ``mean``, ``low``, ``high`` (measured, 80 %),
        ``exponent``, ``exponent_low``, ``exponent_high`` (p of 1/(1 + α)^p).
        """
        levels = sorted({*self.runs["alpha"], self.have[1], self.kinds[1].alpha} - {0.0})
        rows = []
        for alpha in levels:
            low, middle, high = np.quantile(self.law.price(alpha), [0.1, 0.5, 0.9])
            p_low, p, p_high = np.quantile(self.law.exponent(alpha), [0.1, 0.5, 0.9])
            rows.append((alpha, (1 + alpha) ** -2.0, middle, low, high, p, p_low, p_high))
        columns = ["alpha", "theory", "mean", "low", "high", "exponent", "exponent_low", "exponent_high"]
        return pd.DataFrame(rows, columns=columns)


def check_learned(runs: pd.DataFrame) -> None:
    """Check that a pilot has learned something: what a law fits to guesses would look as sure as any other.

    Raises
    ------
    InputError
        If no setting names surely more of the test examples rightly than their commonest class does.
    """
    found = float(runs.groupby(["n", "alpha"])["test_acc_at_best_clean_val"].mean().max())
    least, tested = float(runs["majority_share"].max()), int(runs["n_test"].max())
    if found < least + _SURELY * math.sqrt(least * (1 - least) / tested):
        raise InputError(
            f"the pilot has learned too little for a plan: its best runs name {found:.1%} of {tested:,} test "
            f"examples rightly, and naming the commonest class alone {least:.1%}: with so few that may be "
            "chance. Give it more examples (--pilot-n), another --model, or --recipe advised."
        )


def plan(
    data: str | Path,
    *,
    target: float,
    alpha: float | None = None,
    eta: float | None = None,
    have: float | None = None,
    better_alpha: float = 0.0,
    price: float = 1.0,
    better_price: float = 1.0,
    model: str | None = None,
    labels: Labels = "added",
    pilot_n: int = PILOT_N,
    pilot_alphas: tuple[float, ...] = PILOT_ALPHAS,
    runs: int = RUNS,
    recipe: str | Path | None = None,
    precision: PrecisionName = "float32",
    store: str | Path = "plan.sqlite",
    execution: Execution | None = None,
) -> Plan:
    """Train a pilot and answer what labels to buy.

    Parameters
    ----------
    data
        Name or path of data with labels that are trusted: the pilot makes some of them wrong.
    target
        Test accuracy wanted, in (0, 1).
    alpha, eta
        Noise level, or noise rate, of the labels that are there or can be had; give one.
    have
        How many of them are there. Default: none.
    better_alpha
        Noise level of better labels that can be bought. Default: clean ones.
    price, better_price
        Of one label of each kind.
    network
        Default: a small ConvNet for images, an MLP for features.
    labels
        ``"added"``: images have several labels each; ``"replaced"``: each has one.
    pilot_n, pilot_alphas
        The most clean examples of a run, and its noise levels.
    runs
        The most runs.
    recipe
        ``"advised"``, or the path of a recipe: how the pilot trains. Default: as Figures 8 and 9.
    precision
        What products are computed in, ``"float32"`` or ``"bfloat16"``.
    store
        SQLite file of the pilot; finished runs are not repeated.
    execution
        Where and how the runs are trained. Default: in processes of this machine.

    Raises
    ------
    DilutionError
        If a setting, a file or the store is at fault.
    """
    if not 0 < target < 1:
        raise InputError(f"target is {target}; it must be an accuracy between 0 and 1, such as 0.95.")
    execution = execution or Execution()
    root = execution.root
    halves = load(data, root)
    opened = halves.train
    check_classes(opened.labels, opened.classes)
    if target <= (least := majority_share(halves.test.labels)):
        raise InputError(
            f"target is {target}, and naming the commonest class alone is right for {least:.1%} of the test "
            "examples; no label is needed for that. Give a target above it."
        )
    if min(pilot_n, len(opened)) < LEAST:
        raise InputError(
            f"there are {len(opened):,} training examples and a pilot of {pilot_n:,} at most; a pilot "
            f"takes at least {LEAST}, to see accuracy at three sizes. Bring more examples with labels "
            "that you trust."
        )
    level = uniform_noise_level(alpha, eta, len(opened.classes))
    chosen = model or default_model(opened.shape)
    alphas = tuple(sorted({0.0, *pilot_alphas}))
    progress = Progress(quiet=not execution.progress)  # shared, so that a search does not repeat its notes
    scope = Scope(str(data), chosen, min(pilot_n, len(opened)), alphas, labels, precision)
    goals = [(target, level), (target, check_alpha(better_alpha, "better_alpha"))]
    name = f"plan/{data}"
    wanted = prepare(with_recipe(first_runs(scope), recipe, root), root)
    with Store(store) as kept:
        while True:
            study = Study.of(name, wanted)
            run_study(study, kept, execution, progress=progress)
            keys = {run.key for run in study.runs}
            found = table(kept, name)
            found = found[found["key"].isin(keys)]
            refuse_failed(found, store, "pilot")
            found = found[found["state"] == "done"]
            law = fit_law(*_measured(found, labels), n_test=int(found["n_test"].max()))
            if len(wanted) >= runs or settled(law, goals):
                break
            more = next_runs(scope, law, found, goals)[: runs - len(wanted)]
            wanted += prepare(with_recipe(more, recipe, root), root)
    check_learned(found)
    return Plan(
        Path(str(data)).name,
        target,
        (have or 0.0, level),
        (Kind(level, price), Kind(better_alpha, better_price)),
        found,
        law,
    )


_CLOSE = 1.15  # factor to either side at which an answer is narrow enough


def settled(law: Law, goals: list[tuple[float, float]]) -> bool:
    """Return whether the examples needed for each accuracy and noise level are known closely enough."""
    for goal in goals:
        n = law.needed(*goal)
        low, high = np.quantile(n, [0.1, 0.9], method="nearest")
        if not np.isfinite(high) or high / low > _CLOSE**2:
            return False
    return True


def _measured(runs: pd.DataFrame, labels: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    alpha = runs["alpha"].to_numpy(dtype=np.float64)
    n = runs["n"].to_numpy(dtype=np.float64)
    clean = n if labels == "added" else n / (1 + alpha)
    return clean, alpha, runs["test_acc_at_best_clean_val"].to_numpy(dtype=np.float64)
