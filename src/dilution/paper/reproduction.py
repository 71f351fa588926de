"""Reproduce figures: plan, run, judge, draw, write the page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dilution.data import load
from dilution.errors import StoreError
from dilution.files import check_writable, write_whole
from dilution.paper.claims import judge_all
from dilution.paper.figure import Figure, ScaleName, choose_scale
from dilution.paper.registry import FIGURES, figure
from dilution.report.markdown import write_markdown
from dilution.report.page import CLAIM_COLUMNS, Page, Section, write
from dilution.report.provenance import made_by
from dilution.report.study import study_section
from dilution.report.style import save
from dilution.study.engine import run_study
from dilution.study.grid import Study
from dilution.study.prepare import prepare
from dilution.study.progress import Progress
from dilution.study.store import Store
from dilution.study.table import table


@dataclass(frozen=True)
class Reproduction:
    """What `reproduce` leaves behind.

    Parameters
    ----------
    claims
        Verdicts: ``figure``, ``claim``, ``rule``, ``verdict``, ``numbers``.
    runs
        One row a run, all figures.
    page
        The HTML page.
    """

    claims: pd.DataFrame
    runs: pd.DataFrame
    page: Path


def reproduce(
    names: str | Sequence[str],
    *,
    dataset: str = "digits",
    scale: ScaleName = "demo",
    store: str | Path = "results.sqlite",
    out: str | Path = "out",
    workers: int | None = None,
    device: str = "cpu",
    seeds: int | None = None,
    root: str | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Reproduction:
    """Reproduce figures of the paper: train what is missing, judge the claims, write page and figures.

    Parameters
    ----------
    names
        Name of a figure, several of them, or ``"all"``.
    dataset
        Name of a data set.
    scale
        ``"demo"``, ``"laptop"`` or ``"paper"``.
    store
        The result store; finished runs in it are not repeated.
    out
        Folder for ``index.html``, the same in short as ``README.md``, and for each figure its plot (PNG,
        SVG, PDF), the points drawn and
        the runs behind them (CSV).
    workers
        Worker processes; see :func:`dilution.study.engine.run_study`.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU if there is one.
    seeds
        Seeds a point. Default: the scale's own.
    root
        Folder that holds downloaded data.
    retry_failed
        Run failed runs again.
    progress
        What shows how far it is.

    Raises
    ------
    DilutionError
        If a name is unknown, a data file is missing or a folder cannot be written.
    """
    wanted = dict.fromkeys([names] if isinstance(names, str) else names)
    chosen = [figure(name) for name in wanted if name != "all"]
    if "all" in wanted:
        chosen = list(FIGURES.values())
    for each in chosen:
        choose_scale(scale, each.differs)
    size = len(load(dataset, root).train)
    planned = [(each, prepare(each.plan(dataset, size, scale, seeds), root)) for each in chosen]
    folder = check_writable(Path(out))
    sections = []
    with Store(store) as opened:
        for each, runs in planned:
            study = Study.of(f"{each.name}/{dataset}/{scale}", runs)
            run_study(
                study,
                opened,
                workers=workers,
                device=device,
                root=root,
                retry_failed=retry_failed,
                progress=progress,
            )
            sections.append(_section(each, table(opened, study.name), dataset, scale, folder))
    command = f"dilution reproduce {' '.join(wanted)} --dataset {dataset} --scale {scale}"
    command += "" if seeds is None else f" --seeds {seeds}"
    command += "" if device == "cpu" else f" --device {device}"
    command += f" --store {store} --out {out}"
    title = f"Deep learning under massive label noise: {dataset}, {scale} scale"
    return _write(title, sections, command, folder)


def report(store: str | Path = "results.sqlite", *, out: str | Path = "out") -> Reproduction:
    """Write the page of every study in a store again, from the store alone; nothing is trained.

    Parameters
    ----------
    store
        The result store.
    out
        Folder for the page, the figures and the tables.

    Raises
    ------
    DilutionError
        If the store does not exist or is empty, or the folder cannot be written.
    """
    sections = []
    with Store(store, create=False) as opened:
        names = list(opened.counts())
        for name in names:
            first, _, rest = name.partition("/")
            runs = table(opened, name)
            if first in FIGURES and rest:
                dataset, _, scale = rest.rpartition("/")
                sections.append(_section(FIGURES[first], runs, dataset, scale, Path(out)))
            else:
                sections.append(study_section(name, runs, Path(out)))
    if not sections:
        raise StoreError(f"{store} holds no study; `dilution run` and `dilution reproduce` put one there.")
    command = f"dilution report --store {store} --out {out}"
    return _write(f"Results in {Path(store).name}", sections, command, Path(out))


def _write(title: str, sections: Sequence[Section], command: str, folder: Path) -> Reproduction:
    """Write the page, the verdicts and what produced them."""
    trained = [section.runs for section in sections if not section.runs.empty]
    runs = pd.concat(trained, ignore_index=True) if trained else pd.DataFrame()
    made = made_by(command, {section.name: section.runs for section in sections if len(section.runs)})
    judged = [section.claims for section in sections if not section.claims.empty]
    claims = pd.concat(judged, ignore_index=True) if judged else pd.DataFrame(columns=list(CLAIM_COLUMNS))
    write_whole(folder / "claims.csv", claims.to_csv(index=False).encode())
    write_whole(folder / "made_by.json", (json.dumps(made, indent=1) + "\n").encode())
    page = Page(title, sections, made)
    write_markdown(page, folder, command)
    return Reproduction(claims, runs, write(page, folder / "index.html"))


def _section(each: Figure, runs: pd.DataFrame, dataset: str, scale: str, folder: Path) -> Section:
    """Draw and judge one figure; it is drawn once every point has a run with an accuracy."""
    states = runs["state"].value_counts()
    waiting = int(states.get("queued", 0) + states.get("running", 0))
    found = pd.DataFrame() if waiting else each.points(runs)
    if waiting or found.empty or ("seeds" in found and (found["seeds"] == 0).any()):
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        svg, finding = "", f"Not every point has a run with an accuracy: of {len(runs)} runs {counts}."
    else:
        svg = save(each.draw(found), folder, each.name)["svg"].read_text(encoding="utf-8")
        finding = each.finding(found)
    write_whole(folder / f"{each.name}.csv", found.to_csv(index=False).encode())
    if len(runs):
        write_whole(folder / f"{each.name}-runs.csv", runs.to_csv(index=False).encode())
    return Section(
        name=each.name,
        title=each.title,
        finding=finding,
        svg=svg,
        caption=_sizes(runs, dataset) + each.differs.get(scale, ""),
        method=each.method,
        claims=judge_all(each.claims, runs) if each.claims else pd.DataFrame(),
        points=found,
        runs=runs,
        shares=each.shares,
    )


def _sizes(runs: pd.DataFrame, dataset: str) -> str:
    """Say how many pictures were trained on, set aside and tested on."""
    if runs.empty:
        return ""
    largest = runs.loc[runs["n"].idxmax()]
    tested = runs["n_test"].dropna()
    on_test = f", tested on {tested.iloc[0]:,.0f}" if len(tested) else ""
    return (
        f"Data: {dataset}, n = {largest['n']:,} clean pictures, of which {largest['validation']:,} are set "
        f"aside for validation{on_test}. "
    )
