"""The function that plans a purchase of labels: it trains a pilot and fits the law of accuracy to it."""

import math
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy

from dilution.data import DataSet, check_classes, load, majority_share
from dilution.data.label_file_source import without_label_file
from dilution.data.named_data import is_own_data, name_data
from dilution.data.splits import check_training_groups
from dilution.diagnosis.feature_source import note_on_pixels
from dilution.errors import InputError, short_repr
from dilution.models import default_model, importable_name
from dilution.noise import check_alpha, uniform_noise_level
from dilution.noise.noise_level import check_noise_level
from dilution.noise.single_label import LabelMode, check_label_mode
from dilution.planning.accuracy_law import AccuracyLaw, fit_accuracy_law, median_and_interval
from dilution.planning.distinct_examples import DistinctExamples, n_distinct, n_test_distinct
from dilution.planning.pilot import MIN_EXAMPLES, PilotScope, first_runs, next_runs
from dilution.planning.queries import LabelKind
from dilution.planning.result import Plan
from dilution.study.apply_recipe import with_recipe
from dilution.study.deadline import Deadline
from dilution.study.entry import takes_execution
from dilution.study.execution import Execution
from dilution.study.failures import refuse_failed
from dilution.study.grid import Study
from dilution.study.prepare import prepare
from dilution.study.progress import Progress
from dilution.study.results import table
from dilution.study.run_spec import Run
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.study.usable_store import check_usable_store
from dilution.training import resolve_trainable
from dilution.training.config import PrecisionName
from dilution.training.early_checks import check_settings
from dilution.utils.finite_numbers import is_finite_number
from dilution.utils.notes import printed_notes
from dilution.utils.stage_log import StageLog, begin_stage
from dilution.utils.whole_numbers import check_count

PILOT_ALPHAS = (0.0, 2.0, 5.0, 10.0)
PILOT_N = 4_000
MAX_RUNS = 60

_LARGEST = 1_000_000_000  # of a count

_SIGNIFICANT = 0.0228  # chance that the best mean of guesses passes; two standard errors if there is one
_NARROW = 1.15  # factor on both sides at which an interval of n is narrow enough


@takes_execution
def plan(
    data: Any,
    *,
    target: float,
    label: str | None = None,
    noisy_label: Any = None,
    ids: Any = None,
    alpha: float | None = None,
    eta: float | None = None,
    have: float | None = None,
    better_alpha: float = 0.0,
    price: float = 1.0,
    better_price: float = 1.0,
    model: Any = None,
    group: Any = None,
    label_mode: LabelMode | None = None,
    pilot_n: int = PILOT_N,
    pilot_alphas: Iterable[float] = PILOT_ALPHAS,
    max_runs: int = MAX_RUNS,
    recipe: str | Path | None = None,
    precision: PrecisionName = "float32",
    store: str | Path = "plan.sqlite",
    execution: Execution | None = None,
) -> Plan:
    """Predict how many labels, of which quality, a test accuracy needs, and which purchase is cheapest.

    A pilot is trained first, on data with labels that are trusted; it makes some of them wrong. It counts
    labels of different examples: few copies are left out of the count, and data with many are refused.

    Parameters
    ----------
    data
        Data with trusted labels: a name, a path or an object, as :func:`dilution.diagnose` takes them. Data
        in memory are written to a folder beside the store, from which runs open them.
    target
        Test accuracy wanted, in (0, 1).
    label, noisy_label, ids
        As for :func:`dilution.diagnose`.
    alpha, eta
        Noise level, or noise rate, of the labels that exist or can be bought; give one.
    have
        Number of existing labels. Default: none.
    better_alpha
        Noise level of better labels that can be bought. Default: clean labels.
    price, better_price
        Price of one label of each kind.
    model
        Name of the model, or a factory that other processes can import. Default: a small ConvNet for images,
        an MLP for features.
    group
        Column of a table whose rows with one value, such as a patient, share a side of every split. It is
        no feature. Copies share a side in any case.
    label_mode
        ``"added"``: images have several labels each; ``"replaced"``: each image has one. Default:
        ``"replaced"`` for data of the user, ``"added"`` for built-in data sets, and the answer says so.
    pilot_n, pilot_alphas
        Largest number of clean examples of a run of the pilot, and its noise levels.
    max_runs
        Number of runs after which the pilot adds no more. All of its first runs, up to 40, are trained.
    recipe
        ``"advised"``, or the path of a recipe: how the pilot is trained. Default: as Figures 8 and 9.
    precision
        Precision of products, ``"float32"`` or ``"bfloat16"``.
    store
        SQLite file of the pilot; finished runs are not repeated.
    execution
        Where and how the runs are trained. Default: in processes of this machine.

    Raises
    ------
    DilutionError
        If a setting breaks its rule, a file or the store cannot be used, or the pilot learned too
        little.
    """
    execution = execution or Execution()
    deadline = Deadline.of(execution)
    _check_request(target, have, price, better_price)
    check_count("pilot_n", pilot_n, 1, _LARGEST)
    check_count("max_runs", max_runs, 0, _LARGEST)
    if isinstance(pilot_alphas, str) or not isinstance(pilot_alphas, Iterable):
        raise InputError(
            f"pilot_alphas is {short_repr(pilot_alphas)}; it must be a list of noise levels, such as "
            "pilot_alphas=[2, 5]."
        )
    alphas = sorted({0.0, *(check_alpha(level, "pilot_alphas") for level in pilot_alphas)})
    model = importable_name(model)
    check_settings(model, recipe, precision)
    check_noise_level(alpha, eta)
    check_alpha(better_alpha, "better_alpha")
    check_label_mode(label_mode)
    check_usable_store(store)
    columns = {"label": label, "noisy_label": noisy_label, "ids": ids, "group": group}
    with StageLog.to_stderr("reading the data", progress=execution.progress) as log:
        data, name, data_notes = name_data(data, store, **columns)
        _refuse_label_file(data)
        splits = load(data, execution.root)
        if is_own_data(data):
            pixel_notes = note_on_pixels(splits.train, takes_features=False)
            data_notes = (*data_notes, *pixel_notes)
            for line in printed_notes(pixel_notes):
                log(line)
        log.begin("searching for copies")
        distinct = _check_data(splits, target, pilot_n)
        mode: LabelMode = label_mode or ("replaced" if is_own_data(data) else "added")
        level = uniform_noise_level(alpha, eta, len(splits.train.classes))
        scope = PilotScope(
            data,
            model or default_model(splits.train.shape),
            min(pilot_n, len(splits.train)),
            tuple(alphas),
            mode,
            precision,
        )
        log.begin("preparing the pilot")
        goals = [(target, level), (target, check_alpha(better_alpha, "better_alpha"))]
        runs, law, left_out = _train_pilot(
            scope, distinct, goals, max_runs, recipe, store, execution, deadline
        )
        remedies = ["another --model (model=)"]
        if scope.max_n < (most := distinct.largest_pilot()):
            more = min(4 * scope.max_n, most)
            remedies.insert(0, f"more examples, with --pilot-n {more} (pilot_n={more})")
        if recipe is None and resolve_trainable(scope.model, splits.train.shape, 2).takes_steps:
            remedies.append("--recipe advised (recipe='advised')")
        check_learned(runs, remedies)
        same, better = LabelKind(level, price, eta), LabelKind(better_alpha, better_price)
        notes = tuple(dict.fromkeys((*data_notes, *splits.notes, *distinct.notes, *left_out)))
        return Plan(name, target, have or 0.0, same, better, runs, law, notes, mode, label_mode is None)


def _refuse_label_file(data: str) -> None:
    """Refuse a file of noisy labels, which would change nothing."""
    images = without_label_file(data)
    if images != data:
        raise InputError(
            f"data is {data!r}; the pilot adds noise to the true labels of {images}, and labels of a file "
            f"have no part in it. Plan for {images} with the noise rate of the file: dilution diagnose "
            f"{shlex.quote(data)} estimates it, and --eta (eta=) takes it."
        )


def _check_request(target: float, have: float | None, price: float, better_price: float) -> None:
    """Refuse numbers outside their range."""
    if not is_finite_number(target) or not 0 < target < 1:
        raise InputError(
            f"target is {short_repr(target)}; it must be an accuracy between 0 and 1, such as 0.95."
        )
    numbers = {"price": price, "better_price": better_price} | ({} if have is None else {"have": have})
    for name, value in numbers.items():
        if not is_finite_number(value) or value < 0:
            raise InputError(f"{name} is {short_repr(value)}; it must be a finite number, 0 or more.")


def _check_data(splits: DataSet, target: float, pilot_n: int) -> DistinctExamples:
    """Refuse data with which a pilot could not answer, before it is trained; return the copies in others."""
    check_classes(splits.train.labels, splits.train.classes)
    check_training_groups(splits.train)
    majority = majority_share(splits.test.labels)
    if target <= majority:
        raise InputError(
            f"target is {target}, and predicting the majority class alone has test accuracy {majority:.3g}; "
            "that needs no label. Give a higher target."
        )
    if min(pilot_n, len(splits.train)) < MIN_EXAMPLES:
        raise InputError(
            f"pilot_n is {pilot_n:,} and there are {len(splits.train):,} training examples; a pilot needs at "
            f"least {MIN_EXAMPLES} of both, to measure accuracy at three sizes. Add examples with trusted "
            "labels, or raise pilot_n."
        )
    distinct = DistinctExamples.of(splits)
    distinct.check(min(pilot_n, len(splits.train)), MIN_EXAMPLES)
    return distinct


def _train_pilot(
    scope: PilotScope,
    distinct: DistinctExamples,
    goals: Sequence[tuple[float, float]],
    max_runs: int,
    recipe: str | Path | None,
    store: str | Path,
    execution: Execution,
    deadline: Deadline,
) -> tuple[pd.DataFrame, AccuracyLaw, list[str]]:
    """Train the first runs, then more until the law answers closely enough or there are `max_runs`.

    Returns
    -------
    runs, law, notes
        The finished runs, the law fitted to them, and notes on runs that are left out.
    """
    progress = Progress(quiet=not execution.progress)  # shared, so that rounds do not repeat notes
    progress.notes(distinct.notes)
    root = execution.root

    def prepared(runs: list[Run]) -> list[Run]:
        return prepare(with_recipe(runs, recipe, root), root)

    pilot = prepared(first_runs(scope))
    with Store(store) as opened:
        while True:
            study = Study.of(f"plan/{scope.dataset}", pilot)
            run_study(study, opened, execution, progress=progress, deadline=deadline)
            runs = table(opened, study.name, study.runs)
            refuse_failed(runs, store, "pilot")
            begin_stage("fitting the law of accuracy")
            done = distinct.add_to(runs[runs["state"] == "done"])
            law = _fit_law(done, scope.label_mode)
            if len(pilot) >= max_runs or _answers_closely(law, goals):
                notes = _left_out(runs, scope)
                progress.notes(notes)
                return done, law, notes
            begin_stage("choosing the next runs")
            pilot += prepared(next_runs(scope, law, done, goals)[: max_runs - len(pilot)])


def _left_out(runs: pd.DataFrame, scope: PilotScope) -> list[str]:
    """Return notes on training examples that the pilot does not use, and on runs that diverged."""
    notes, available = [], runs["n_available"].max()
    if scope.max_n < available:
        notes.append(f"runs of the pilot use at most {scope.max_n:,} of {available:,.0f} training examples")
    diverged = runs[runs["state"] == "diverged"]
    if len(diverged):
        first = diverged.iloc[0]
        verb = "run diverged and is" if len(diverged) == 1 else "runs diverged and are"
        notes.append(
            f"{len(diverged):,} of {len(runs):,} pilot {verb} left out of the law, the first with n = "
            f"{first['n']:,}, α = {first['alpha']:g}, seed {first['seed']}"
        )
    return notes


def _fit_law(runs: pd.DataFrame, label_mode: LabelMode) -> AccuracyLaw:
    """Fit the law to a pilot; if labels are replaced, n(1 + α) images have the labels of n clean ones."""
    alpha = runs["alpha"].to_numpy(dtype=np.float64)
    n_images = n_distinct(runs).to_numpy(dtype=np.float64)
    n = n_images if label_mode == "added" else n_images / (1 + alpha)
    accuracy = runs["test_acc_at_best_clean_val"].to_numpy(dtype=np.float64)
    return fit_accuracy_law(n, alpha, accuracy, n_test=int(n_test_distinct(runs)))


def _answers_closely(law: AccuracyLaw, goals: Sequence[tuple[float, float]]) -> bool:
    """Return whether the interval of the examples needed for each accuracy and noise level is narrow."""
    for accuracy, alpha in goals:
        _, low, high = median_and_interval(law.n_needed(accuracy, alpha))
        if not np.isfinite(high) or high / low > _NARROW**2:
            return False
    return True


def check_learned(runs: pd.DataFrame, remedies: Sequence[str] = ("another --model (model=)",)) -> None:
    """Refuse a pilot that learned nothing: a law fitted to guesses would look as certain as any other.

    Parameters
    ----------
    runs
        The pilot, one row per run; copies among the test examples count once if ``n_test_distinct`` is there.
    remedies
        What to try instead, for the message.

    Raises
    ------
    InputError
        If no mean accuracy is significantly above that of the majority class.
    """
    means = runs.groupby(["n", "alpha"])["test_acc_at_best_clean_val"].mean()
    best, majority, n_test = float(means.max()), float(runs["majority_share"].max()), n_test_distinct(runs)
    standard_errors = float(scipy.special.ndtri(1 - _SIGNIFICANT / len(means)))  # the best of many guesses
    if best < majority + standard_errors * math.sqrt(majority * (1 - majority) / n_test):
        raise InputError(
            f"the pilot's best test accuracy is {100 * best:.1f} % on {n_test:,} examples, not significantly "
            f"better than the majority class ({100 * majority:.1f} %), so it supports no plan. Try "
            f"{', or '.join(remedies)}. This may not be enough: then the features do not tell the classes "
            "apart, or there are too few examples."
        )
