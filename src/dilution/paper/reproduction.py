"""Reproduce figures: plan, run, judge, draw, write the page."""

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from dilution.data import load
from dilution.files import write_whole
from dilution.paper.claims import judge_all
from dilution.paper.figure import Figure, Plan, ScaleName
from dilution.paper.registry import FIGURES, figure
from dilution.report.page import Page, Section, write
from dilution.report.style import save
from dilution.study.engine import identified, run_study
from dilution.study.grid import Study
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
    names: Sequence[str],
    *,
    dataset: str = "digits",
    scale: ScaleName = "demo",
    store: str | Path = "results.sqlite",
    out: str | Path = "out",
    workers: int | None = None,
    seeds: int | None = None,
    root: str | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Reproduction:
    """Reproduce figures of the paper: train what is missing, judge the claims, write page and figures.

    Parameters
    ----------
    names
        Names of figures, or ``["all"]``.
    dataset
        Name of a data set.
    scale
        ``"demo"``, ``"laptop"`` or ``"paper"``.
    store
        The result store; finished runs in it are not repeated.
    out
        Folder for ``index.html``, and for each figure its plot (PNG, SVG, PDF), the points drawn and
        the runs behind them (CSV).
    workers
        Worker processes; see :func:`dilution.study.engine.run_study`.
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
    chosen = [FIGURES[n] for n in FIGURES] if "all" in names else [figure(name) for name in names]
    size = len(load(dataset, root).train)
    plans = [(f, f.plan(dataset, size, scale, seeds)) for f in chosen]
    plans = [(f, replace(p, runs=tuple(identified(run, root) for run in p.runs))) for f, p in plans]
    folder = Path(out)
    sections = []
    with Store(store) as opened:
        for each, plan in plans:
            study = Study.of(f"{each.name}/{dataset}/{scale}", plan.runs)
            if plan.runs:
                run_study(
                    study,
                    opened,
                    workers=workers,
                    root=root,
                    retry_failed=retry_failed,
                    progress=progress,
                )
            runs = table(opened, study.name) if plan.runs else pd.DataFrame()
            sections.append(_section(each, plan, runs, dataset, folder))
    made_by = _made_by(names, dataset, scale, sections)
    write_whole(folder / "made_by.json", (json.dumps(made_by, indent=1) + "\n").encode())
    title = f"Deep learning under massive label noise: {dataset}, {scale} scale"
    page = write(Page(title, sections, made_by), folder / "index.html")
    filled = [s.claims for s in sections if not s.claims.empty]
    claims = pd.concat(filled, ignore_index=True) if filled else judge_all((), pd.DataFrame({"state": []}))
    write_whole(folder / "claims.csv", claims.to_csv(index=False).encode())
    trained = [s.runs for s in sections if not s.runs.empty]
    return Reproduction(claims, pd.concat(trained) if trained else pd.DataFrame(), page)


def _section(each: Figure, plan: Plan, runs: pd.DataFrame, dataset: str, folder: Path) -> Section:
    found = each.points(runs)
    files = save(each.draw(found), folder, each.name)
    write_whole(folder / f"{each.name}.csv", found.to_csv(index=False).encode())
    if not runs.empty:
        write_whole(folder / f"{each.name}-runs.csv", runs.to_csv(index=False).encode())
    return Section(
        name=each.name,
        title=each.title,
        finding=each.finding(found),
        svg=files["svg"].read_text(encoding="utf-8"),
        caption=f"{_sizes(runs, dataset)}{plan.differs}",
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


def _made_by(names: Sequence[str], dataset: str, scale: str, sections: Sequence[Section]) -> dict[str, str]:
    trained = [s.runs for s in sections if not s.runs.empty]
    every = pd.concat(trained).drop_duplicates("key") if trained else pd.DataFrame()
    made = {
        "command": f"dilution reproduce {' '.join(names)} --dataset {dataset} --scale {scale}",
        "dilution": f"{version('dilution')} ({_revision()})",
        "torch": version("torch"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    if not every.empty:
        wall = pd.to_datetime(every["finished"]).max() - pd.to_datetime(every["started"]).min()
        made |= {
            "runs": f"{len(every)}",
            "training time": f"{every['seconds'].sum() / 60:.1f} core-minutes",
            "first start to last end": f"{wall.total_seconds() / 60:.1f} minutes",
            "last run ended": str(every["finished"].max()),
        }
    return made


def _revision() -> str:
    """Return the git revision of the source tree, where it is one."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "no git revision"
    return found.stdout.strip() if found.returncode == 0 else "no git revision"
