"""One figure from the store alone: what its search still lacks, and its section of the page."""

from pathlib import Path

import pandas as pd

from dilution.figures.base import PRESETS, Figure
from dilution.figures.claims import judge_all
from dilution.report.marks import Plot
from dilution.report.page import Section
from dilution.report.style import publish
from dilution.study.results import table
from dilution.study.run_spec import IMAGE_SOURCES, Run
from dilution.study.selection import name_matrices
from dilution.study.store import Store
from dilution.utils.atomic import write_whole

OWN = "own"
"""Name of the column that tells a figure's own runs from those it is compared with."""


def recipe_name(study: str) -> str:
    """Return the name under which a store keeps the recipe that a study was trained by."""
    return f"recipe/{study}"


def further_runs(figure: Figure, store: Store, study: str) -> list[Run]:
    """Return the runs that a figure asks for once it has seen those of its study; none while some failed."""
    if figure.more is None:
        return []
    found = table(store, study)
    if not found["state"].isin(["done", "diverged"]).all():
        return []
    return figure.more([Run.of(**row["spec"]) for row in store.rows(study)], found)


def judge(figure: Figure, store: Store, study: str) -> pd.DataFrame:
    """Return the verdicts on the claims of a figure, from the runs of its study."""
    return judge_all(
        figure.claims,
        _with_others(figure, table(store, study), store, study.partition("/")[2]),
        asked=len(further_runs(figure, store, study)),
    )


def figure_section(
    figure: Figure, store: Store, study: str, folder: Path, file: str | None = None
) -> Section:
    """Draw and judge one figure; it is drawn once every point has a run with an accuracy.

    Parameters
    ----------
    figure
        The figure.
    store
        The store with its runs.
    study
        Their study, named ``figure/data set/scale``.
    folder
        Where the plot (PNG, SVG, PDF), the points drawn and the runs (CSV) go.
    file
        What their names begin with. Default: the figure's name.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    file = file or figure.name
    _, _, rest = study.partition("/")
    dataset, _, scale = rest.rpartition("/")
    runs, recipe = table(store, study), store.artifact(recipe_name(study))
    asked = further_runs(figure, store, study)
    seen = _with_others(figure, runs, store, rest)
    states = runs["state"].value_counts()
    waiting = int(states.get("queued", 0) + states.get("running", 0)) + len(asked)
    found = pd.DataFrame() if waiting else figure.points(seen)
    if waiting or found.empty or ("seeds" in found and (found["seeds"] == 0).any()):
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        more = f", and {len(asked)} to come" if asked else ""
        plot = Plot("", ())
        finding = f"Not every point has a run with an accuracy: of {len(runs)} runs {counts}{more}."
    else:
        plot = publish(figure.draw(found), folder, file)
        finding = figure.finding(found)
    write_whole(folder / f"{file}.csv", found.to_csv(index=False).encode())
    if len(runs):
        write_whole(folder / f"{file}-runs.csv", runs.to_csv(index=False).encode())
    return Section(
        name=file,
        title=figure.title,
        finding=finding,
        svg=plot.svg,
        marks=plot.marks,
        caption=_sizes(runs, dataset, seeds=figure.more is None) + _differs(figure, scale, runs, recipe),
        method=figure.method,
        claims=judge_all(figure.claims, seen, asked=len(asked)),
        points=found,
        runs=name_matrices(runs),
        shares=figure.shares,
    )


def _with_others(figure: Figure, runs: pd.DataFrame, store: Store, rest: str) -> pd.DataFrame:
    """Return the runs, and below them those of the figure beside it where the store has them all."""
    if figure.beside is None:
        return runs
    others = table(store, f"{figure.beside}/{rest}")
    if not others["state"].isin(["done", "diverged"]).all():
        others = others.iloc[:0]
    both = [runs.assign(**{OWN: True}), others.assign(**{OWN: False})]
    return pd.concat([part for part in both if len(part)], ignore_index=True)


def _differs(figure: Figure, scale: str, runs: pd.DataFrame, recipe: str | None) -> str:
    """Say how the figure differs from the paper's."""
    said = next((figure.scales[name].differs for name in PRESETS if name == scale), "")
    if "precision" in runs and (runs["precision"] == "bfloat16").any():
        said += " Products of matrices and convolutions in bfloat16."
    if recipe is not None:
        said += (
            f" Trained by the recipe {recipe!r}, in place of the optimizer, rate, batch and order named "
            "here; as many images went through the network."
        )
    notes = [note for note in runs["image_note"].dropna().unique() if note] if len(runs) else []
    return said + "".join(f" {note[:1].upper()}{note[1:]}." for note in notes)


def _sizes(runs: pd.DataFrame, dataset: str, *, seeds: bool) -> str:
    """Say how many images were trained on, set aside and tested on; whose they are; if asked, the seeds."""
    if runs.empty:
        return ""
    largest = runs.loc[runs["n"].idxmax()]
    tested = runs["n_test"].dropna()
    foreign = sorted({Path(name).name for name in runs["image_source"] if name not in IMAGE_SOURCES})
    on_test = f", tested on {tested.iloc[0]:,.0f}" if len(tested) else ""
    return (
        f"Data: {dataset}, n = {largest['n']:,} clean images, of which {largest['n_val']:,} are set "
        f"aside for validation{on_test}"
        + (f"; {runs['seed'].nunique()} seeds a point. " if seeds else ". ")
        + "".join(f"Foreign images: {name}. " for name in foreign)
    )
