"""The function that runs a benchmark: plans the trainings, executes them as a study, writes the page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from dilution.benchmarking.explain import findings
from dilution.benchmarking.page import FILES, write_benchmark
from dilution.benchmarking.plan import BenchmarkPlan, plan_benchmark
from dilution.benchmarking.presets import PresetName
from dilution.benchmarking.published import published_for
from dilution.benchmarking.ranks import rank_methods
from dilution.benchmarking.result import Benchmark, titles_of
from dilution.benchmarking.tables import (
    MEASURES,
    ORACLE,
    accuracies,
    by_method,
    costs,
    delivered_noise,
    differences,
    named_runs,
    repeated_methods,
)
from dilution.benchmarking.transitions import count_transitions
from dilution.data import load
from dilution.errors import StoreError
from dilution.report.figure_style import FigureStyle, using_style
from dilution.report.provenance import python_call
from dilution.study.budget import NO_COST, Budget, Machine, estimate_cost
from dilution.study.deadline import Deadline
from dilution.study.entry import takes_execution
from dilution.study.execution import Execution
from dilution.study.grid import Study
from dilution.study.results import table
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.study.usable_store import check_usable_store
from dilution.training.config import PrecisionName
from dilution.training.early_checks import check_settings
from dilution.utils.output_folder import claim
from dilution.utils.printable import last_line

Methods = str | Sequence[str] | Mapping[str, Any] | None
Noises = str | Sequence[str] | None


@takes_execution
def benchmark(
    dataset: str = "digits",
    *,
    preset: PresetName = "demo",
    methods: Methods = None,
    noises: Noises = None,
    seeds: int = 5,
    model: str | None = None,
    precision: PrecisionName = "float32",
    store: str | Path = "results.sqlite",
    out: str | Path = "benchmark",
    execution: Execution | None = None,
    command: str | None = None,
    overwrite: bool = False,
    figure_style: FigureStyle | None = None,
) -> Benchmark:
    """Compare methods for noisy labels under noises: train missing runs, write the page and the tables.

    Parameters
    ----------
    dataset
        Name of a data set, or your own data as :func:`dilution.data.load` takes them.
    preset
        Size of the trainings: ``"demo"``, ``"laptop"`` or ``"paper"``.
    methods
        Names in a list, or in a text between commas: of methods (:func:`dilution.list_methods`), of losses
        with parameters (``"gce(q=0.3)"``), or of your own losses (``"module:factory(beta=2)"``). Or a
        dictionary from names of your choice to such a name, or to settings of a training. Cross entropy is
        always among them. Default: all methods.
    noises
        Names in a list, or in a text between commas: ``"symmetric-50"``, ``"alpha-20"``, any noise by name
        with its parameters (``"pair_flip(rate=0.2)"``), or files of labels. Default: the standard noises of
        the data set.
    seeds
        Number of seeds of each method and noise, 2 or more.
    model
        Name of the model. Default: that of the preset.
    precision
        Precision of matrix products and convolutions, ``"float32"`` or ``"bfloat16"``.
    store
        The result store; its finished runs are not repeated.
    out
        Folder for ``index.html``, the same content as ``README.md``, the plots, and the tables as CSV.
    execution
        Where and how the runs are trained. Default: in processes of this machine.
    command
        Command shown on the page. Default: this Python call.
    overwrite
        Replace files in the folder that Dilution has not written.
    figure_style
        Width, font, resolution of the figures, and other names in them. Default: as they are.

    Raises
    ------
    DilutionError
        If a name is unknown, a setting breaks its rule, a data file is missing, or a folder cannot be
        written; if no run has finished; :class:`TimeLimitReached` if runs remain at the time limit.
    """
    command = command or python_call("dilution.benchmark", benchmark, locals())
    execution = execution or Execution()
    deadline = Deadline.of(execution)
    check_settings(model=model, precision=precision)
    check_usable_store(store)
    folder = claim(out, FILES, overwrite=overwrite, command="benchmark")
    plan = plan_benchmark(
        dataset, preset, methods, noises, seeds=seeds, model=model, precision=precision, root=execution.root
    )
    with Store(store) as opened:
        run_study(Study.of(plan.study, plan.runs), opened, execution, deadline=deadline)
        trained = table(opened, runs=plan.runs)
    all_images = plan.n == len(load(dataset, execution.root).train)
    result = summarise(plan, trained, store, count_transitions(plan, execution.root), all_images=all_images)
    with using_style(figure_style) as style:
        page = write_benchmark(result, folder, command)
    return replace(result, page=page, notes=(*result.notes, *style.notes))


def estimate_benchmark(
    dataset: str = "digits",
    *,
    preset: PresetName = "demo",
    methods: Methods = None,
    noises: Noises = None,
    seeds: int = 5,
    model: str | None = None,
    precision: PrecisionName = "float32",
    store: str | Path = "results.sqlite",
    execution: Execution | None = None,
    gpu: str | None = None,
) -> Budget:
    """Predict what :func:`benchmark` would cost: runs, training examples and minutes. Nothing is trained.

    Parameters
    ----------
    dataset, preset, methods, noises, seeds, model, precision, execution
        As for :func:`benchmark`.
    store
        The result store; its finished runs cost nothing. It need not exist.
    gpu
        Name of a GPU with known rates, such as ``"h200"``, in place of this machine.

    Raises
    ------
    DilutionError
        If a name is unknown or a data file is missing.
    """
    execution = execution or Execution()
    check_settings(model=model, precision=precision)
    plan = plan_benchmark(
        dataset, preset, methods, noises, seeds=seeds, model=model, precision=precision, root=execution.root
    )
    ended = _ended(store)
    machine = Machine(execution, gpu)
    runs = [run for run in Study.of(plan.study, plan.runs).runs if run.key not in ended]
    cost = estimate_cost(runs, machine) if runs else NO_COST
    finished = len(plan.keys) - len(runs)
    return Budget({plan.study: cost}, {plan.study: finished}, machine.title, machine.notes)


def _ended(store: str | Path) -> set[str]:
    """Return the keys of the runs that have ended in a store."""
    if not Path(store).exists():
        return set()
    with Store(store, create=False) as opened:
        runs = table(opened)
    return set(runs.loc[runs["state"].isin(["done", "diverged"]), "key"])


def summarise(
    plan: BenchmarkPlan,
    trained: pd.DataFrame,
    store: str | Path,
    transitions: tuple[pd.DataFrame, tuple[str, ...]],
    *,
    all_images: bool,
) -> Benchmark:
    """Return the tables and the findings of a benchmark from its runs.

    Parameters
    ----------
    plan
        The planned runs.
    trained
        Their table, as from :func:`dilution.study.results.table`.
    store
        Path of their store, for messages.
    transitions
        As from :func:`dilution.benchmarking.transitions.count_transitions`.
    all_images
        Whether they trained on all images of the data set.

    Raises
    ------
    StoreError
        If no run has finished.
    """
    runs = named_runs(trained, plan.planned, plan.methods)
    ended = runs["state"].isin(["done", "diverged"])
    if not ended.any():
        reasons = [last_line(str(error)) for error in runs["error"].dropna().unique()]
        raise StoreError(
            f"none of {len(plan.keys)} runs of the benchmark in {store} has finished"
            + (f"; the first one failed: {reasons[0]}" if reasons else "")
            + ". Mend the cause, and run the same command with --retry-failed (Execution(retry_failed=True))."
        )
    points, compared = accuracies(runs), differences(runs)
    ranks, repeated = {}, dict[str, str]()
    for measure in MEASURES:
        means = by_method(points, measure)
        same = repeated_methods(runs, list(means.dropna().index))
        means = means.drop(columns=list(same), errors="ignore")
        if measure != ORACLE and len(means.columns) > 1 and not means.dropna().empty:
            ranks[measure] = rank_methods(means)
            repeated |= same
    titles = titles_of(plan.noises, plan.methods)
    notes = [*plan.notes, *transitions[1], *trained.attrs.get("notes", ())]
    published = published_for(plan.dataset, plan.model, list(plan.noises), all_images=all_images)
    last = points[points["measure"] == "last"].drop(columns="measure")
    return Benchmark(
        plan.dataset,
        plan.preset,
        plan.methods,
        plan.noises,
        points,
        compared,
        ranks,
        costs(runs),
        delivered_noise(runs, plan.noises),
        transitions[0],
        published.merge(last[["noise", "method", "mean", "low", "high", "seeds"]], on=["noise", "method"]),
        runs,
        plan.description,
        findings(runs, compared, ranks, titles),
        tuple(dict.fromkeys([*notes, *_run_notes(runs, titles, repeated)])),
    )


def _run_notes(runs: pd.DataFrame, titles: Mapping[str, str], repeated: Mapping[str, str]) -> list[str]:
    """Return which methods are not ranked, and which runs failed or diverged."""
    notes = [
        f"Not ranked: {titles[name]}, the same as {titles[other]} at all noises of the ranks."
        for name, other in repeated.items()
    ]
    for state, consequence in (
        ("failed", "are left out"),
        ("diverged", "count as accuracy at chance"),
    ):
        part = runs[runs["state"] == state]
        if len(part):
            where = dict.fromkeys(
                f"{titles[method]} at {titles[noise]}"
                for method, noise in zip(part["method"], part["noise"], strict=True)
            )
            notes.append(f"{part['key'].nunique()} runs {state} and {consequence}: {', '.join(where)}.")
    return notes
