"""Reproduce figures: plan the runs, train them, judge the claims, write the page."""

from collections.abc import Sequence
from pathlib import Path

from dilution.data import load
from dilution.data.label_file_source import without_label_file
from dilution.errors import InputError, TimeLimitReached
from dilution.figures.base import Figure, FigureInputs, PresetName
from dilution.figures.registry import PAPER_FIGURES, get_figure
from dilution.figures.search import (
    check_trials,
    expected_rounds,
    further_runs,
    keep_plan,
    recipe_name,
    trial_scores,
)
from dilution.figures.section import figure_section
from dilution.figures.store_report import (
    Reproduction,
    claim_page,
    memorisation_of_figures,
    reproduction_title,
    write_reproduction,
)
from dilution.report.figure_style import FigureStyle, using_style
from dilution.report.memorisation import memorisation_file
from dilution.report.provenance import python_call
from dilution.study.apply_recipe import with_recipe
from dilution.study.budget import NO_COST, Budget, Machine, estimate_cost
from dilution.study.deadline import Deadline
from dilution.study.entry import takes_execution
from dilution.study.execution import Execution
from dilution.study.grid import Study
from dilution.study.halving import Score
from dilution.study.prepare import prepare
from dilution.study.progress import Progress
from dilution.study.results import table
from dilution.study.run_spec import Run
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.study.usable_store import check_usable_store
from dilution.training.config import PrecisionName
from dilution.training.early_checks import check_settings


@takes_execution
def reproduce(
    figures: str | Sequence[str],
    *,
    dataset: str = "digits",
    preset: PresetName = "demo",
    store: str | Path = "results.sqlite",
    out: str | Path = "out",
    seeds: int | None = None,
    precision: PrecisionName = "float32",
    recipe: str | Path | None = None,
    external: str | None = None,
    execution: Execution | None = None,
    command: str | None = None,
    overwrite: bool = False,
    figure_style: FigureStyle | None = None,
) -> Reproduction:
    """Reproduce figures of the paper: train missing runs, judge the claims, write the page.

    Parameters
    ----------
    figures
        Name of a figure, several names, or ``"all"``: every figure of the paper. Figures beyond the paper,
        such as ``"baselines"``, are not part of ``"all"``.
    dataset
        Name of a data set, or your own data as :func:`dilution.data.load` takes them.
    preset
        ``"demo"``, ``"laptop"`` or ``"paper"``.
    store
        The result store; its finished runs are not repeated.
    out
        Folder for ``index.html``, the same content as ``README.md``, and for each figure its plot (PNG, SVG,
        PDF), its points and its runs (CSV).
    seeds
        Number of seeds per point. Default: that of the preset.
    precision
        Precision of matrix products and convolutions, ``"float32"`` or ``"bfloat16"``.
    recipe
        ``"advised"``, or the path of a recipe: how to train, at the same budget. Default: as in the paper.
    external
        Data set of external images: its name, or your own data. Default: CIFAR-100 for CIFAR-10, otherwise
        ``"photos"``.
    execution
        Where and how the runs are trained. Default: in processes of this machine.
    command
        Command shown on the page. Default: this Python call.
    overwrite
        Replace files in the folder that Dilution has not written.
    figure_style
        Width, font, resolution and names in the figures. Default: as they are.

    Raises
    ------
    DilutionError
        If a name is unknown, a data file is missing, or a folder cannot be written; :class:`TimeLimitReached`
        if runs remain at the time limit. The page is written once all figures have ended.
    """
    command = command or python_call("dilution.reproduce", reproduce, locals())
    execution = execution or Execution()
    deadline = Deadline.of(execution)
    selected = _select(figures)
    for figure in selected:
        figure.get_preset(preset)
    check_settings(recipe=recipe, precision=precision)
    check_usable_store(store)
    names = [figure.name for figure in selected]
    folder = claim_page(out, [*names, *map(memorisation_file, names)], overwrite=overwrite)
    external = external or _default_external(dataset)
    inputs = FigureInputs.of(dataset, load(dataset, execution.root).train, external, precision)
    planned = [_plan(figure, inputs, preset, seeds, recipe, execution) for figure in selected]
    n_available = inputs.n_available
    sections = []
    with Store(store) as opened:
        for number, (figure, runs) in enumerate(zip(selected, planned, strict=True), start=1):
            study = f"{figure.name}/{dataset}/{preset}"
            first_runs = runs if recipe else keep_plan(figure, preset, runs, n_available, opened, study)
            try:
                _train(figure, study, first_runs, opened, execution, deadline)
            except TimeLimitReached as error:
                later = ", ".join(figure.name for figure in selected[number:])
                raise TimeLimitReached(f"{error}{f' Then follow: {later}.' if later else ''}") from None
            with opened.writer():
                opened.keep_artifact(recipe_name(study), None if recipe is None else str(recipe))
            with using_style(figure_style):
                sections.append(figure_section(figure, opened, study, folder))
        files = {f"{name}/{dataset}/{preset}": name for name in names}
        with using_style(figure_style):
            sections += memorisation_of_figures(opened, files, folder)
    notes = figure_style.notes if figure_style is not None else ()
    return write_reproduction(reproduction_title(dataset, preset), sections, command, folder, notes)


def estimate(
    figures: str | Sequence[str],
    *,
    dataset: str = "digits",
    preset: PresetName = "demo",
    store: str | Path = "results.sqlite",
    seeds: int | None = None,
    precision: PrecisionName = "float32",
    recipe: str | Path | None = None,
    external: str | None = None,
    execution: Execution | None = None,
    gpu: str | None = None,
) -> Budget:
    """Predict what :func:`reproduce` would cost: runs, training examples and minutes. Nothing is trained.

    Parameters
    ----------
    figures, dataset, preset, seeds, precision, recipe, external, execution
        As for :func:`reproduce`.
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
    machine = Machine(execution, gpu)
    selected = _select(figures)
    external = external or _default_external(dataset)
    train = load(dataset, execution.root).train
    inputs = FigureInputs.of(dataset, train, external, precision)
    ended, scores = _known_results(store)
    costs, finished, seen = {}, {}, set(ended)
    for figure in selected:
        planned = _plan(figure, inputs, preset, seeds, recipe, execution)
        rounds = expected_rounds(figure, preset, planned, len(train), scores, searches=recipe is None)
        new = [[run for run in runs if run.key not in seen] for runs in rounds]
        seen |= {run.key for runs in new for run in runs}
        costs[figure.name] = sum((estimate_cost(runs, machine) for runs in new if runs), start=NO_COST)
        finished[figure.name] = sum(map(len, rounds)) - sum(map(len, new))
    return Budget(costs, finished, machine.title, machine.notes)


def _known_results(store: str | Path) -> tuple[set[str], dict[str, Score]]:
    """Return the keys of the runs that have ended in a store, and their scores on noisy validation labels."""
    if not Path(store).exists():
        return set(), {}
    with Store(store, create=False) as opened:
        runs = table(opened)
    ended = runs[runs["state"].isin(["done", "diverged"])]
    return set(ended["key"]), trial_scores(ended)


def _default_external(dataset: str) -> str:
    """Return the data set of external images that goes with a data set."""
    return "cifar100" if without_label_file(dataset) == "cifar10" else "photos"


def _select(figures: str | Sequence[str]) -> list[Figure]:
    """Return the figures of these names, each once; ``"all"`` are those of the paper."""
    names = dict.fromkeys([figures] if isinstance(figures, str) else figures)
    named = {name: get_figure(name) for name in names if name != "all"}
    return list((PAPER_FIGURES | named if "all" in names else named).values())


def _plan(
    figure: Figure,
    inputs: FigureInputs,
    preset: PresetName,
    seeds: int | None,
    recipe: str | Path | None,
    execution: Execution,
) -> list[Run]:
    """Return the runs of a figure with the recipe applied, ready to train."""
    if recipe is not None and figure.search(preset) is not None:
        raise InputError(
            f"the recipe is {str(recipe)!r}, but {figure.name} is a search at preset {preset}: its later "
            "runs follow from the results of its first ones. Leave out --recipe or the figure."
        )
    root = execution.root
    return prepare(with_recipe(figure.plan(inputs, preset, seeds), recipe, root), root)


def _train(
    figure: Figure, study: str, runs: list[Run], store: Store, execution: Execution, deadline: Deadline
) -> None:
    """Train the runs of a figure, and then those that its search requests, until the search has ended."""
    progress = Progress(quiet=not execution.progress)  # shared, so that a search does not repeat its notes
    while True:
        run_study(Study.of(study, runs), store, execution, progress=progress, deadline=deadline)
        further = prepare(further_runs(figure, store, study), execution.root)
        if not further:
            return
        check_trials(runs, further)
        runs = [*runs, *further]
