"""Reproduce figures: plan, run, judge, draw, write the page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dilution.data import load
from dilution.errors import InputError, StoreError
from dilution.figures.base import Material, PresetName
from dilution.figures.registry import EVERY, FIGURES, figure
from dilution.figures.section import figure_section, further_runs, judge, recipe_name
from dilution.report.markdown import write_markdown
from dilution.report.page import CLAIM_COLUMNS, Page, Section, write
from dilution.report.provenance import made_by
from dilution.report.study_section import file_names, study_section
from dilution.study.apply_recipe import with_recipe
from dilution.study.executors import check_executor
from dilution.study.grid import Study
from dilution.study.prepare import prepare
from dilution.study.progress import Progress
from dilution.study.results import table
from dilution.study.run_spec import Run
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training.config import PrecisionName
from dilution.utils.atomic import check_writable, write_whole


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
    scale: PresetName = "demo",
    store: str | Path = "results.sqlite",
    out: str | Path = "out",
    workers: int | None = None,
    device: str = "cpu",
    executor: str = "local",
    address: str | None = None,
    seeds: int | None = None,
    precision: PrecisionName = "float32",
    recipe: str | Path | None = None,
    external: str | None = None,
    root: str | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Reproduction:
    """Reproduce figures of the paper: train what is missing, judge the claims, write page and figures.

    Parameters
    ----------
    names
        Name of a figure, several of them, or ``"all"``: every figure of the paper. Those beyond it, such as
        ``"learners"``, are named.
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
        Cores or GPUs to train on; see :func:`dilution.run`.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: the GPU if there is one.
    engine, address
        Where packs train; see there.
    seeds
        Seeds a point. Default: the scale's own.
    precision
        What products are computed in, ``"float32"`` or ``"bfloat16"``.
    recipe
        ``"advised"``, or the path of a recipe: how to train, at the same budget. Default: as the paper.
    external
        Data set of foreign images: its name, or the path of a file. Default: CIFAR-100 for CIFAR-10,
        otherwise ``"photos"``.
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
    named = {name: figure(name) for name in wanted if name != "all"}
    chosen = list((FIGURES | named if "all" in wanted else named).values())
    for each in chosen:
        each.at(scale)
    foreign = external or ("cifar100" if dataset == "cifar10" else "photos")
    material = Material.of(dataset, load(dataset, root).train, foreign, precision)
    planned = []
    for each in chosen:
        if recipe is not None and each.more is not None:
            raise InputError(
                f"the recipe is {str(recipe)!r} and {each.name} searches: its later runs follow from its "
                "first ones, at a budget of their own. Leave --recipe or the figure out."
            )
        runs = with_recipe(each.plan(material, scale, seeds), recipe, root)
        planned.append((each, prepare(runs, root)))
    folder = check_writable(Path(out))
    sections = []
    check_executor(executor=executor, workers=workers, device=device, address=address)
    with Store(store) as opened:
        for each, first in planned:
            name = f"{each.name}/{dataset}/{scale}"
            asked: list[Run] = []
            further = first
            while True:  # a search asks for more runs once it has seen these
                asked += further
                run_study(
                    Study.of(name, asked),
                    opened,
                    workers=workers,
                    device=device,
                    executor=executor,
                    address=address,
                    root=root,
                    retry_failed=retry_failed,
                    progress=progress,
                )
                further = prepare(further_runs(each, opened, name), root)
                if not further:
                    break
            with opened.writer():
                opened.keep(recipe_name(name), None if recipe is None else str(recipe))
            sections.append(figure_section(each, opened, name, folder))
    command = f"dilution reproduce {' '.join(wanted)} --dataset {dataset} --preset {scale}"
    command += "" if seeds is None else f" --seeds {seeds}"
    command += "" if device == "cpu" else f" --device {device}"
    command += "" if executor == "local" else f" --executor {executor}"
    command += "" if precision == "float32" else f" --precision {precision}"
    command += "" if recipe is None else f" --recipe {recipe}"
    command += "" if external is None else f" --external {external}"
    command += f" --store {store} --out {out}"
    return _write(_title(dataset, scale), sections, command, folder)


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
        names = sorted(opened.counts(), key=_place)
        figures = [name.partition("/")[0] for name in names if _place(name) < len(EVERY)]
        placed = zip(names, figures, strict=False)  # a user's own studies come after the figures
        alone = {name: first for name, first in placed if figures.count(first) == 1}
        files = alone | file_names([name for name in names if name not in alone], taken=EVERY)
        for name in names:
            if _place(name) < len(EVERY):
                shown = EVERY[name.partition("/")[0]]
                sections.append(figure_section(shown, opened, name, Path(out), files[name]))
            else:
                sections.append(study_section(name, table(opened, name), Path(out), files[name]))
    if not sections:
        raise StoreError(f"{store} holds no study; `dilution run` and `dilution reproduce` put one there.")
    command = f"dilution report --store {store} --out {out}"
    made = {name.partition("/")[2] for name in names}
    title = f"Results in {Path(store).name}"
    if len(made) == 1 and len(figures) == len(names):  # all of one data set and scale
        dataset, _, scale = made.pop().rpartition("/")
        title = _title(dataset, scale)
    return _write(title, sections, command, Path(out))


def _place(study: str) -> int:
    """Return where a study stands on a page: figures of the paper in its order, then a user's own."""
    first, _, rest = study.partition("/")
    return list(EVERY).index(first) if first in EVERY and rest else len(EVERY)


def _title(dataset: str, scale: str) -> str:
    return f"Deep learning under massive label noise: {dataset}, {scale} scale"


def judged(store: str | Path = "results.sqlite") -> pd.DataFrame:
    """Judge the claims of every figure in a store, from the store alone.

    Parameters
    ----------
    store
        The result store.

    Returns
    -------
    DataFrame
        One row a claim: ``study``, ``figure``, ``claim``, ``rule``, ``runs`` (how many the verdict takes),
        ``finished``, ``verdict``, ``numbers``.

    Raises
    ------
    DilutionError
        If the store does not exist or holds no figure.
    """
    parts = []
    with Store(store, create=False) as opened:
        for name in opened.counts():
            first, _, rest = name.partition("/")
            if first in EVERY and rest and EVERY[first].claims:
                found = judge(EVERY[first], opened, name)
                found.insert(0, "study", name)
                parts.append(found)
    if not parts:
        raise StoreError(
            f"{store} holds no figure of the paper; `dilution reproduce FIGURE --store {store}` puts one "
            "there. Runs that were imported are not trained again if data, scale and precision are theirs."
        )
    return pd.concat(parts, ignore_index=True)


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
