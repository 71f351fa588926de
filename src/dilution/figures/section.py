"""The section of a figure, from the store alone: its plot and its verdicts."""

from pathlib import Path

import pandas as pd

from dilution.figures.base import IS_OWN, PRESETS, Figure
from dilution.figures.claims import describe_diverged, difference, judge_all
from dilution.figures.search import further_runs, lr_edges, recipe_name, results
from dilution.noise import IMAGE_SOURCES
from dilution.report.marks import Plot
from dilution.report.section import Section, write_tables
from dilution.report.style import publish
from dilution.study.results import table
from dilution.study.statistics import name_matrices, varying_settings
from dilution.study.store import Store


def judge_figure(figure: Figure, store: Store, study: str) -> pd.DataFrame:
    """Return the verdicts on the claims of a figure, from the runs of its study."""
    trained = table(store, study)
    runs = _with_compared_runs(figure, results(trained), store, study.partition("/")[2])
    pending = _count_pending(figure, store, study, trained)
    return judge_all(figure.claims, runs, pending=pending, remark=lr_edges(figure, store, study))


def _count_pending(figure: Figure, store: Store, study: str, trained: pd.DataFrame) -> int:
    """Return how many runs a figure needs beside its results so far: unfinished trials and runs to come."""
    trials = trained.drop(index=trained.index[trained["key"].isin(results(trained)["key"])])
    unfinished = int((~trials["state"].isin(["done", "diverged"])).sum())
    return len(further_runs(figure, store, study)) + unfinished


def figure_section(
    figure: Figure, store: Store, study: str, folder: Path, file: str | None = None
) -> Section:
    """Return the page section of a figure, and write its plot and its tables.

    The plot is drawn once every point has a run with an accuracy.

    Parameters
    ----------
    figure
        The figure.
    store
        The store with its runs.
    study
        Name of their study: ``figure/dataset/preset``.
    folder
        Folder for the plot (PNG, SVG, PDF), the points and the runs (CSV).
    file
        File name without its ending. Default: the figure's name.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    file = file or figure.name
    _, _, rest = study.partition("/")
    dataset, _, preset = rest.rpartition("/")
    trained, recipe = table(store, study), store.artifact(recipe_name(study))
    runs, pending = results(trained), _count_pending(figure, store, study, trained)
    compared, edges = _with_compared_runs(figure, runs, store, rest), lr_edges(figure, store, study)
    findings: tuple[str, ...] = ()
    points = pd.DataFrame() if _is_waiting(runs, pending) else figure.aggregate(compared)
    if points.empty or ("seeds" in points and (points["seeds"] == 0).any()):
        plot, summary = Plot("", ()), _unfinished(runs, pending)
    else:
        plot, summary = publish(figure.draw(points), folder, file), figure.summary(points)
        if figure.findings is not None:
            findings = figure.findings(points)
    write_tables(folder, file, points, trained)
    return Section(
        name=file,
        title=figure.title,
        summary=summary,
        svg=plot.svg,
        marks=plot.marks,
        caption=_data(runs, dataset, with_seeds=figure.next_runs is None)
        + _step_sensitivity(runs, preset)
        + _diverged(runs)
        + (f"{edges}. " if edges else "")
        + _settings(figure, preset, runs, recipe),
        method=figure.method,
        claims=judge_all(figure.claims, compared, pending=pending, remark=edges),
        points=points,
        runs=name_matrices(trained),
        as_percent=figure.as_percent,
        notes=(*trained.attrs["notes"], *plot.notes),
        findings=findings,
    )


def _is_waiting(runs: pd.DataFrame, pending: int) -> bool:
    return pending > 0 or bool(runs["state"].isin(["queued", "running"]).any())


def _unfinished(runs: pd.DataFrame, pending: int) -> str:
    """Return how many runs are in which state, for a figure that cannot be drawn yet."""
    counts = ", ".join(f"{count} {state}" for state, count in runs["state"].value_counts().items())
    more = f", and {pending} to come" if pending else ""
    return f"Some points have no run with an accuracy yet. State of the {len(runs)} runs: {counts}{more}."


def _with_compared_runs(figure: Figure, runs: pd.DataFrame, store: Store, rest: str) -> pd.DataFrame:
    """Return the runs, and below them those of the compared figure if the store has all of them."""
    if figure.compared_with is None:
        return runs
    others = results(table(store, f"{figure.compared_with}/{rest}"))
    if not others["state"].isin(["done", "diverged"]).all():
        others = others.iloc[:0]
    parts = [runs.assign(**{IS_OWN: True}), others.assign(**{IS_OWN: False})]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _data(runs: pd.DataFrame, dataset: str, *, with_seeds: bool) -> str:
    """Return the part of a caption that names the data: numbers of images, external images, seeds."""
    if runs.empty:
        return ""
    largest = runs.loc[runs["n"].idxmax()]
    n_test = runs["n_test"].dropna()
    tested = f"; tested on {n_test.iloc[0]:,.0f} images" if len(n_test) else ""
    n_seeds = runs["seed"].nunique()
    seeds = f"; {n_seeds} {'seed' if n_seeds == 1 else 'seeds'} per point" if with_seeds else ""
    external = sorted({Path(name).name for name in runs["image_source"] if name not in IMAGE_SOURCES})
    return (
        f"Data: {dataset}, n = {largest['n']:,} clean images, of which {largest['n_val']:,} are set "
        f"aside for validation{tested}{seeds}. " + "".join(f"External images: {name}. " for name in external)
    )


def _step_sensitivity(runs: pd.DataFrame, preset: str) -> str:
    """Return the part of a caption that tells what the second half of the steps changed, at the paper preset.

    At a constant learning rate a training of half the steps is the first half of the training.
    """
    runs = name_matrices(runs[(runs["schedule"] == "constant") & runs["test_acc_at_half_steps"].notna()])
    if preset != "paper" or runs.empty:
        return ""
    points = [name for name in varying_settings(runs) if name not in ("lr", "steps", "n_val")] or ["model"]
    gain = runs["test_acc_at_best_clean_val"] - runs["test_acc_at_half_steps"]
    gains = runs.assign(gain=gain).groupby(points, dropna=False)["gain"].mean()
    largest = gains.index[gains.abs().argmax()]
    values = largest if isinstance(largest, tuple) else (largest,)
    where = ", ".join(f"{name} {value}" for name, value in zip(points, values, strict=True))
    return (
        f"Step sensitivity: the second half of the steps raised accuracy by {difference(gains.mean())} on "
        f"average over the points, and changed it most by {difference(gains[largest])} ({where}). "
    )


def _diverged(runs: pd.DataFrame) -> str:
    """Return the part of a caption that says how many runs diverged."""
    diverged = "" if runs.empty else describe_diverged(runs)
    return f"{diverged}. Chance is the share of the commonest class of the test images. " if diverged else ""


def _settings(figure: Figure, preset: str, runs: pd.DataFrame, recipe: str | None) -> str:
    """Return the part of a caption that describes the preset, the precision and the recipe."""
    sentences = [figure.presets[name].description for name in PRESETS if name == preset]
    if "precision" in runs and (runs["precision"] == "bfloat16").any():
        sentences.append("Matrix products and convolutions are computed in bfloat16.")
    if recipe is not None:
        sentences.append(
            f"Trained with the recipe {recipe!r}, which replaces the optimizer, learning rate, batch size "
            "and targets named here; the number of training images is the same."
        )
    notes = [note for note in runs["image_note"].dropna().unique() if note] if len(runs) else []
    sentences += [f"{note[:1].upper()}{note[1:]}." for note in notes]
    return " ".join(sentences)
