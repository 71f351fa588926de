"""Verdicts and pages from the store alone; nothing is trained."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dilution.errors import StoreError, unknown
from dilution.figures.memorisation import figure_memorisation
from dilution.figures.registry import FIGURES
from dilution.figures.section import figure_section, judge_figure
from dilution.report.differences import differences_file, differences_section
from dilution.report.figure_style import FigureStyle, using_style
from dilution.report.latex import latex_table
from dilution.report.markdown import write_markdown
from dilution.report.memorisation import memorisation_file, memorisation_section
from dilution.report.page import CLAIM_COLUMNS, Page, write
from dilution.report.provenance import made_by, python_call
from dilution.report.section import Section, file_names, section_files, study_section
from dilution.study.measures import FRACTION_MEASURES
from dilution.study.results import histories, table
from dilution.study.store import Store
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.output_folder import claim, write_output

_ADD_FIGURE = "dilution reproduce fig1 --store"


@dataclass(frozen=True, repr=False)
class Reproduction:
    """Results of :func:`reproduce` and :func:`report`.

    Parameters
    ----------
    claims
        One row per claim: ``figure``, ``claim``, ``rule``, ``verdict``, ``numbers``.
    runs
        One row per run of all figures.
    page
        Path of the HTML page.
    notes
        Notes on the data of the runs: what was left out, merged, converted or guessed.
    """

    claims: pd.DataFrame
    runs: pd.DataFrame
    page: Path
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return the numbers of claims and runs, and the path of the page."""
        counts = ", ".join(
            f"{count} {verdict}" for verdict, count in self.claims["verdict"].value_counts().items()
        )
        return f"Reproduction(claims: {counts or 'none'}; {len(self.runs)} runs; page {str(self.page)!r})"


def judge_claims(store: str | Path = "results.sqlite") -> pd.DataFrame:
    """Return the verdict on every claim of the figures in a store, from the store alone.

    Parameters
    ----------
    store
        The result store.

    Returns
    -------
    DataFrame
        One row per claim: ``study``, ``figure``, ``claim``, ``rule``, ``runs`` (number of required runs),
        ``finished``, ``verdict``, ``numbers``.

    Raises
    ------
    DilutionError
        If the store does not exist or has no figure.
    """
    parts = []
    with Store(store, create=False) as opened:
        for study in opened.counts():
            figure, _, rest = study.partition("/")
            if figure in FIGURES and rest and FIGURES[figure].claims:
                verdicts = judge_figure(FIGURES[figure], opened, study)
                verdicts.insert(0, "study", study)
                parts.append(verdicts)
    if not parts:
        raise StoreError(
            f"{store} has no figure of the paper; `{_ADD_FIGURE} {shlex.quote(str(store))}` adds one. "
            "Imported runs are not trained again if data set, preset and precision are the same."
        )
    return pd.concat(parts, ignore_index=True)


_MEASURES = tuple(name for name in FRACTION_MEASURES if name.startswith("test_acc"))

PAGE_FILES = ("index.html", "README.md", "claims.csv", "made_by.json")


def report(
    store: str | Path = "results.sqlite",
    *,
    studies: Sequence[str] | None = None,
    measure: str | None = None,
    out: str | Path = "out",
    command: str | None = None,
    overwrite: bool = False,
    figure_style: FigureStyle | None = None,
    latex: bool = False,
) -> Reproduction:
    """Write the page of the studies in a store, from the store alone.

    Parameters
    ----------
    store
        The result store.
    studies
        Names of the studies on the page. Default: all of the store.
    measure
        Test accuracy by which studies of your own are shown, such as ``"test_acc_last"``. Default: that at
        the best clean validation, where all runs have it. Figures have theirs.
    out
        Folder for the page, the plots and the tables.
    command
        Command shown on the page. Default: this Python call.
    overwrite
        Replace files in the folder that Dilution has not written.
    figure_style
        Width, font, resolution and names in the figures. Default: as they are.
    latex
        Write the table of each study of your own as LaTeX too, by :func:`dilution.latex_table`: ``NAME.tex``.

    Raises
    ------
    DilutionError
        If the store does not exist or is empty, a study or the measure is unknown, or the folder cannot be
        written or has files of others.
    """
    command = command or python_call("dilution.figures.report", report, locals())
    if measure is not None and measure not in _MEASURES:
        raise unknown("test accuracy", measure, _MEASURES)
    with Store(store, create=False) as opened:
        counts = opened.counts()
        for name in studies or ():
            if name not in counts:
                raise unknown(f"study of {store}", name, counts)
        chosen = sorted(counts if studies is None else dict.fromkeys(studies), key=_page_order)
        files = _section_files(chosen)
        own = [file for study, file in files.items() if not _is_figure(study)]
        beside = [*map(memorisation_file, files.values()), *map(differences_file, own)]
        tables = [f"{file}.tex" for file in own] if latex else []
        folder = claim_page(out, [*files.values(), *beside], overwrite=overwrite, more=tables)
        with using_style(figure_style) as style:
            sections = [
                section
                for study in chosen
                for section in _sections(opened, study, folder, files[study], measure, latex=latex)
            ]
            figures = {study: files[study] for study in chosen if _is_figure(study)}
            sections += memorisation_of_figures(opened, figures, folder)
    if not sections:
        raise StoreError(
            f"{store} has no study; `{_ADD_FIGURE} {shlex.quote(str(store))}` adds one. Imported runs become "
            "a study if import is given --study and its name."
        )
    title = _report_title(chosen, Path(store))
    return write_reproduction(title, sections, command, folder, notes=style.notes)


def memorisation_of_figures(store: Store, files: Mapping[str, str], folder: Path) -> list[Section]:
    """Return the sections on memorisation of figures, which follow all others on a page.

    Parameters
    ----------
    store
        The store with their runs.
    files
        For each study, ``figure/dataset/preset``, the file name of the figure without its ending.
    folder
        Folder for plots and points.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    sections = (
        figure_memorisation(store, study, folder, memorisation_file(file)) for study, file in files.items()
    )
    return [section for section in sections if section is not None]


def claim_page(out: str | Path, files: Iterable[str], *, overwrite: bool, more: Iterable[str] = ()) -> Path:
    """Return the folder of a page once its files may be written; see :func:`claim`.

    Parameters
    ----------
    out
        The folder.
    files
        File name of each section, without its ending.
    overwrite
        Whether files of others may be replaced.
    more
        Names of further files.
    """
    names = {*PAGE_FILES, *more, *(name for file in files for name in section_files(file))}
    return claim(out, names, overwrite=overwrite, command="report")


def _is_figure(study: str) -> bool:
    figure, _, rest = study.partition("/")
    return figure in FIGURES and bool(rest)


def _page_order(study: str) -> int:
    """Return the place of a study on a page: figures in their order, then the user's own studies."""
    return list(FIGURES).index(study.partition("/")[0]) if _is_figure(study) else len(FIGURES)


def _section_files(studies: Sequence[str]) -> dict[str, str]:
    """Return the file name of each study: that of its figure if no other study has the same figure."""
    figures = [study.partition("/")[0] for study in studies if _is_figure(study)]
    unique = {
        study: study.partition("/")[0]
        for study in studies
        if _is_figure(study) and figures.count(study.partition("/")[0]) == 1
    }
    return unique | file_names([study for study in studies if study not in unique], taken=FIGURES)


def _sections(
    store: Store, study: str, folder: Path, file: str, measure: str | None, *, latex: bool
) -> list[Section]:
    if _is_figure(study):
        return [figure_section(FIGURES[study.partition("/")[0]], store, study, folder, file)]
    runs = table(store, study)
    if latex and runs["state"].isin(["done", "diverged"]).any():
        write_output(folder / f"{file}.tex", latex_table(runs, measure=measure).encode())
    parts = (
        study_section(study, runs, folder, file, measure),
        differences_section(study, runs, folder, differences_file(file), measure),
        memorisation_section(study, runs, histories(store, study), folder, memorisation_file(file)),
    )
    return [part for part in parts if part is not None]


def _report_title(studies: Sequence[str], store: Path) -> str:
    """Return the title of a page: data set and preset if all figures share them, otherwise the store."""
    shared = {study.partition("/")[2] for study in studies}
    if len(shared) == 1 and all(map(_is_figure, studies)):
        dataset, _, preset = shared.pop().rpartition("/")
        return reproduction_title(dataset, preset)
    return f"Results in {store.name}"


def reproduction_title(dataset: str, preset: str) -> str:
    """Return the title of a page of figures with one data set and preset."""
    return f"Deep learning under massive label noise: {dataset}, {preset} preset"


def write_reproduction(
    title: str, sections: Sequence[Section], command: str, folder: Path, notes: Iterable[str] = ()
) -> Reproduction:
    """Write the page as HTML and Markdown, the verdicts as CSV, and what produced them as JSON."""
    trained = [section.runs for section in sections if not section.runs.empty]
    runs = pd.concat(trained, ignore_index=True) if trained else pd.DataFrame()
    provenance = made_by(command, {section.name: section.runs for section in sections if len(section.runs)})
    verdicts = [section.claims for section in sections if not section.claims.empty]
    claims = pd.concat(verdicts, ignore_index=True) if verdicts else pd.DataFrame(columns=list(CLAIM_COLUMNS))
    write_output(folder / "claims.csv", csv_bytes(claims))
    notes = tuple(dict.fromkeys([*(note for section in sections for note in section.notes), *notes]))
    facts = {**provenance, "notes": notes} if notes else provenance
    write_output(folder / "made_by.json", (json.dumps(facts, indent=1) + "\n").encode())
    page = Page(title, sections, provenance)
    write_markdown(page, folder)
    return Reproduction(claims, runs, write(page, folder / "index.html"), notes)
