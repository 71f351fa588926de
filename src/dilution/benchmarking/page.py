"""The page of a benchmark: answer, accuracies, ranks, memorisation, cost, noise, published numbers."""

import json
import math
from pathlib import Path

import pandas as pd

from dilution.benchmarking.explain import per_noise
from dilution.benchmarking.memorisation import memorisation, memorisation_section
from dilution.benchmarking.methods import REFERENCE
from dilution.benchmarking.plots import draw_accuracies
from dilution.benchmarking.result import Benchmark
from dilution.benchmarking.sections import (
    cost_section,
    noise_section,
    published_section,
    rank_section,
    rank_table,
)
from dilution.benchmarking.tables import MEASURES, ORACLE, exported_runs, leaders
from dilution.report.markdown import write_markdown
from dilution.report.page import Page, write
from dilution.report.provenance import made_by
from dilution.report.section import Section
from dilution.report.style import publish
from dilution.report.tables import MISSING
from dilution.utils.csv_cells import csv_bytes
from dilution.utils.output_folder import write_output

_FILE_OF = {"last": "last-step", "best_noisy_val": "noisy-validation", "best_test": "oracle"}
_TABLES = (
    *("accuracies", "differences", "ranks", "costs", "noise", "transitions", "memorisation", "published"),
    "runs",
)
FILES = (
    *("index.html", "README.md", "made_by.json"),
    *(f"{name}.csv" for name in _TABLES),
    *(
        f"{name}.{kind}"
        for name in (*_FILE_OF.values(), "ranks", "memorisation", "noise")
        for kind in ("png", "svg", "pdf")
    ),
)
"""Names of the files of a benchmark."""

_BEST, _TIED = " ★", " ≈"
_ACCURACY_NAMES = {
    "last": "test_acc after the last step",
    "best_noisy_val": "test_acc by noisy validation",
    "best_test": "test_acc of the oracle",
}
_SHOWN = (
    *("method", "noise", "seed", "state", *_ACCURACY_NAMES, "noise_rate_empirical"),
    *("memorised_last", "recovered_last", "step_at_best_noisy_acc", "seconds", "group_size", "key"),
)
"""Columns of the runs that the page shows; the CSV file has all."""

_READING = (
    f"A star ({_BEST.strip()}) marks the most accurate method at a noise, and {_TIED.strip()} the methods "
    "whose paired difference from it has a 95 % interval that reaches 0. In the plot, triangles mark methods "
    "whose paired difference from cross entropy has an interval on one side of 0, and the dotted line is the "
    "mean of cross entropy."
)
_PAIRS = (
    "Runs of one noise and seed have the same images, noisy labels and initial weights, and the same order "
    "of examples unless the method pools labels. Differences are paired by seed, with Student t intervals. "
    "Of {n} intervals that are compared with 0, about {chance:.2g} would exclude it by chance alone. "
    "Diverged runs count as accuracy at chance."
)
_KNOWN_T = (
    " Forward and backward correction are given the true T of the noise, which nobody knows in practice."
)
_MEASURE_METHOD = {
    "last": "The test accuracy after the last step needs no choice. For the method early stopping it is the "
    "test accuracy at the step with the highest accuracy on noisy validation labels.",
    "best_noisy_val": "Of the evaluations of a training the first one with the highest accuracy on noisy "
    "validation labels gives the step; no clean label is needed. Early stopping is cross entropy here.",
    "best_test": "The highest test accuracy of all evaluations. The test set chooses the step, so this is no "
    "accuracy that can be had: it is shown because many papers report it, and the answer does not use it.",
}


def write_benchmark(result: Benchmark, folder: Path, command: str) -> Path:
    """Write the page (HTML and Markdown), its plots, and the tables as CSV; return the HTML page.

    Parameters
    ----------
    result
        The benchmark.
    folder
        Folder for the files of :data:`FILES`.
    command
        Command line that made it.

    Raises
    ------
    DilutionError
        If a file cannot be written.
    """
    memorised = memorisation(result)
    tables = {
        "accuracies": result.accuracies,
        "differences": result.differences,
        "ranks": rank_table(result),
        "costs": result.costs,
        "noise": result.noise_rates,
        "transitions": result.transitions,
        "memorisation": memorised,
        "published": result.published,
        "runs": exported_runs(result.runs),
    }
    for name in _TABLES:
        write_output(folder / f"{name}.csv", csv_bytes(tables[name]))
    sections = [_accuracy_section(result, measure, folder) for measure in MEASURES]
    if result.runs["method"].nunique() > 1:
        sections.append(rank_section(result, folder))
    if len(memorised):
        sections.append(memorisation_section(result, memorised, folder))
    sections += [cost_section(result), noise_section(result, folder)]
    if len(result.published):
        sections.append(published_section(result))
    provenance = made_by(command, {"benchmark": result.runs.drop_duplicates("key")})
    facts = {**provenance, "notes": result.notes} if result.notes else provenance
    write_output(folder / "made_by.json", (json.dumps(facts, indent=1) + "\n").encode())
    title = f"Methods for noisy labels: {result.dataset}, {result.preset} preset"
    page = Page(title, sections, provenance, answer=result.answer, findings=result.findings[1:])
    write_markdown(page, folder)
    return write(page, folder / "index.html")


def _accuracy_section(result: Benchmark, measure: str, folder: Path) -> Section:
    """Return the section of one measure: its plot, and its table of methods and noises."""
    file, titles = _FILE_OF[measure], result.titles
    plot = publish(draw_accuracies(result.accuracies, result.differences, measure, titles), folder, file)
    compared = result.differences[result.differences["measure"] == measure]
    is_first = measure == "last"
    known_T = _KNOWN_T if {"forward", "backward"} & {method.name for method in result.methods} else ""
    method = (
        f"{_MEASURE_METHOD[measure]}{known_T}\n\n{_PAIRS.format(n=len(compared), chance=len(compared) / 20)}"
    )
    return Section(
        name=file,
        title=("Oracle, no result: " if measure == ORACLE else "") + f"test accuracy {MEASURES[measure]}",
        summary=f"The most accurate method {MEASURES[measure]}, at each noise:",
        findings=per_noise(result.runs, measure, titles),
        svg=plot.svg,
        marks=plot.marks,
        caption=f"{result.description} {_seeds(result)} {_READING}",
        method=method,
        claims=pd.DataFrame(),
        points=_grid(result, measure),
        points_title="Test accuracy in percent, with 95 % intervals over seeds",
        runs=_shown_runs(result.runs) if is_first else compared,
        runs_title="runs" if is_first else f"paired differences from {titles[REFERENCE]}",
        runs_file="runs.csv" if is_first else "differences.csv",
        notes=(*result.notes, *plot.notes) if is_first else plot.notes,
    )


def _shown_runs(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[[name for name in _SHOWN if name in runs]].rename(columns=_ACCURACY_NAMES)


def _seeds(result: Benchmark) -> str:
    count = result.runs["seed"].nunique()
    return f"{count} seeds for each method and noise."


def _grid(result: Benchmark, measure: str) -> pd.DataFrame:
    """Return a table as text: one row per method, one column per noise."""
    points = result.accuracies[result.accuracies["measure"] == measure]
    best = {row["noise"]: row for row in leaders(result.runs, measure).to_dict("records")}
    cells: dict[str, dict[str, str]] = {name: {} for name in points["method"].unique()}
    same_as = result.runs.drop_duplicates(["noise", "method"]).set_index(["noise", "method"])["same_as"]
    for row in points.to_dict("records"):
        leader = best[row["noise"]]
        names = {row["method"], same_as[row["noise"], row["method"]]}
        mark = _BEST if leader["method"] in names else _TIED if names & set(leader["tied"]) else ""
        has_interval = not math.isnan(row["low"])  # one seed that did not fail has none
        bounds = f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]" if has_interval else ""
        cells[row["method"]][row["noise"]] = f"{100 * row['mean']:.1f}{bounds}{mark}"
    rows = [
        {"method": result.titles[name]}
        | {result.titles[noise]: row.get(noise, MISSING) for noise in points["noise"].unique()}
        for name, row in cells.items()
    ]
    return pd.DataFrame(rows)
