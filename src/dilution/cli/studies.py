"""Commands on figures and studies: reproduce, run, status, export, claims, import, merge, report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from dilution.cli.figure_options import (
    DpiOption,
    FontOption,
    LabelsOption,
    WidthOption,
    style_of_options,
)
from dilution.cli.options import (
    OverwriteOption,
    PageFolderOption,
    PrecisionOption,
    RecipeOption,
    SeedsOption,
    StoreArgument,
    StoreOption,
    command_line,
    execution_options,
    interruptible,
)
from dilution.utils.notes import printed_notes
from dilution.utils.printable import last_line, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from dilution.figures.base import PresetName
    from dilution.study.execution import Execution
    from dilution.training.config import PrecisionName

_PRINTED_MEASURES = (
    "state",
    "noise_rate_expected",
    "noise_rate_empirical",
    "test_acc_at_best_clean_val",
    "test_acc_at_best_noisy_val",
    "test_acc_last",
)


@execution_options()
def reproduce(
    context: typer.Context,
    figures: Annotated[
        list[str], typer.Argument(help="Figures (see list figures), or all: every figure of the paper.")
    ],
    dataset: Annotated[
        str, typer.Option(help="Data set (see list datasets), or a file, folder or function of your own.")
    ] = "digits",
    preset: Annotated[str, typer.Option(help="demo, laptop or paper.")] = "demo",
    store: StoreOption = Path("results.sqlite"),
    out: PageFolderOption = Path("out"),
    seeds: SeedsOption = None,
    precision: PrecisionOption = "float32",
    recipe: RecipeOption = None,
    external: Annotated[
        str | None, typer.Option(help="Data set of the noisy images of fig6: a name, or your own.")
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Print runs, examples and predicted time, and train nothing.")
    ] = False,
    estimate_for: Annotated[
        str | None, typer.Option(help="Print them for a GPU with known rates instead of this machine: h200.")
    ] = None,
    overwrite: OverwriteOption = False,
    width: WidthOption = None,
    font: FontOption = None,
    dpi: DpiOption = None,
    labels: LabelsOption = None,
    *,
    execution: Execution,
) -> None:
    """Reproduce figures of the paper: train, judge claims, draw.

    Writes a page with the verdicts, the figures and their tables. Run the command again to resume:
    finished runs are not repeated.
    """
    figure_style = style_of_options(width, font, dpi, labels)
    from dilution.figures import estimate as estimate_figures
    from dilution.figures import reproduce as reproduce_figures

    if estimate or estimate_for is not None:
        budget = estimate_figures(
            figures,
            dataset=dataset,
            preset=cast("PresetName", preset),
            store=store,
            seeds=seeds,
            precision=cast("PrecisionName", precision),
            recipe=recipe,
            external=external,
            execution=execution,
            gpu=estimate_for,
        )
        typer.echo(str(budget))
        return
    with interruptible():
        reproduction = reproduce_figures(
            figures,
            dataset=dataset,
            preset=cast("PresetName", preset),
            store=store,
            out=out,
            seeds=seeds,
            precision=cast("PrecisionName", precision),
            recipe=recipe,
            external=external,
            command=command_line(context),
            overwrite=overwrite,
            execution=execution,
            figure_style=figure_style,
        )
    for claim in reproduction.claims.itertuples():
        typer.echo(f"{claim.figure}: {claim.verdict.upper()}: {claim.claim}\n      {claim.numbers}")
    typer.echo(f"page: {reproduction.page}")
    exit_if_failed(reproduction.runs, store)


@execution_options()
def run(
    study: Annotated[Path, typer.Argument(help="TOML file of a study.")],
    store: StoreOption = Path("results.sqlite"),
    seeds: SeedsOption = None,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16, for all runs, in place of the study's own.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="Loss of all runs (see list losses), such as 'gce(q=0.3)', or module:factory."),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Training strategy of all runs (see list strategies), such as co_teaching, or module:name."
        ),
    ] = None,
    recipe: RecipeOption = None,
    *,
    execution: Execution,
) -> None:
    """Run a study of your own, and print its table.

    Run the command again to resume: finished runs are not repeated.
    """
    from dilution.study import run as run_study

    with interruptible():
        table = run_study(
            study,
            store=store,
            seeds=seeds,
            precision=cast("PrecisionName | None", precision),
            loss=loss,
            strategy=strategy,
            recipe=recipe,
            execution=execution,
        )
    _print_table(table)
    exit_if_failed(table, store)


def status(store: StoreOption = Path("results.sqlite")) -> None:
    """Print the state of each study's runs, and why runs failed."""
    from dilution.study.status import read_status
    from dilution.study.store import Store

    with Store(store, create=False) as opened:
        status = read_status(opened)
    for study, by_state in status.counts.items():
        parts = [f"{count} {state}" for state, count in by_state.items()]
        trainers = status.recorded.get(study, {})
        parts += [
            f"{count} of them trained by {one_line(name)} and recorded" for name, count in trainers.items()
        ]
        if by_state.get("running") and not status.has_writer:
            parts.append("interrupted (no process trains them; run the study again to resume)")
        typer.echo(f"{one_line(study)}: {', '.join(parts) or 'no runs'}")
    if not status.counts:
        typer.echo(f"{store} has no studies.")
    for key, error in status.failures:
        typer.echo(f"failed {one_line(key)}: {last_line(error)}")
    for note in status.notes:
        typer.echo(note)


def export(
    target: Annotated[Path, typer.Argument(help="File to write: .csv, .parquet or .jsonl.")],
    store: StoreOption = Path("results.sqlite"),
    study: Annotated[str | None, typer.Option(help="Only this study. Default: all runs.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is no exported table of runs.")
    ] = False,
) -> None:
    """Write the table of results, one row per run."""
    from dilution.study.exporting import export_table
    from dilution.study.results import other_code_notes, table
    from dilution.study.store import Store

    with Store(store, create=False) as opened:
        _check_study(study, opened.counts())
        runs = table(opened, study)
    export_table(runs, target, overwrite=overwrite)
    typer.echo(f"{_runs(len(runs))}: {target}")
    for line in (*printed_notes(runs.attrs["notes"]), *other_code_notes(runs)):
        typer.echo(line, err=True)


def claims(store: StoreArgument = Path("results.sqlite")) -> None:
    """Print the paper's claims with their verdicts, from a store."""
    from dilution.figures import judge_claims

    for claim in judge_claims(store).itertuples():
        typer.echo(f"{one_line(claim.study)}: {claim.verdict.upper()}: {claim.claim}")
        typer.echo(f"      rule: {claim.rule}\n      {claim.finished} of {claim.runs} runs: {claim.numbers}")


def import_(
    source: Annotated[Path, typer.Argument(help="File of runs: .csv, .parquet or .jsonl.")],
    store: StoreOption = Path("results.sqlite"),
    study: Annotated[
        str | None,
        typer.Option(
            "--study", help="Make them runs of this study, such as fig9/mnist/laptop, for report and claims."
        ),
    ] = None,
) -> None:
    """Add the finished runs of an exported table to a store.

    A study with the same runs does not train them again.
    """
    from dilution.study.importing import import_table
    from dilution.study.store import Store

    with Store(store) as opened:
        added = import_table(source, opened, _print_note, study=study)
    typer.echo(f"{_runs(added)} added: {store}")


def merge(
    into: Annotated[Path, typer.Argument(help="Store that is changed.")],
    other: Annotated[Path, typer.Argument(help="Store that is read.")],
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Where results differ, keep those of the first store.")
    ] = False,
) -> None:
    """Add the runs and studies of another store to a store.

    Shared measurements are added too. Nothing is added if results of the two stores contradict each other.
    """
    from dilution.study.merging import merge as merge_stores
    from dilution.study.store import Store

    with Store(into, create=False) as target, Store(other, create=False) as source:
        added = merge_stores(target, source, keep_first=keep_first, log=_print_note)
    typer.echo(f"{_runs(added)} added from {other}: {into}")


def report(
    context: typer.Context,
    store: StoreOption = Path("results.sqlite"),
    out: PageFolderOption = Path("out"),
    overwrite: OverwriteOption = False,
    width: WidthOption = None,
    font: FontOption = None,
    dpi: DpiOption = None,
    labels: LabelsOption = None,
    study: Annotated[
        list[str] | None, typer.Option("--study", help="A study on the page, once for each. Default: all.")
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(help="Test accuracy that shows studies of your own, such as test_acc_last."),
    ] = None,
    latex: Annotated[
        bool, typer.Option("--latex", help="Write the table of each study of your own as LaTeX: NAME.tex.")
    ] = False,
) -> None:
    """Write the page of the studies in a store, without training."""
    from dilution.figures import report as write_report

    written = write_report(
        store,
        studies=study or None,
        measure=measure,
        out=out,
        command=command_line(context),
        overwrite=overwrite,
        figure_style=style_of_options(width, font, dpi, labels),
        latex=latex,
    )
    for line in printed_notes(written.notes):
        typer.echo(line, err=True)
    typer.echo(f"page: {written.page}")


def exit_if_failed(runs: pd.DataFrame, store: Path) -> None:
    """End with exit code 1 if runs failed; their errors were printed when they occurred."""
    failed = int((runs["state"] == "failed").sum()) if len(runs) else 0
    if failed:
        show = f"dilution status --store {shlex.quote(str(store))}"
        typer.echo(f"{failed} of {_runs(len(runs))} failed. Show why: {show}", err=True)
        raise typer.Exit(1)


def _print_note(line: str) -> None:
    typer.echo(line, err=True)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _check_study(name: str | None, studies: Iterable[str]) -> None:
    from dilution.errors import unknown

    if name is not None and name not in studies:
        raise unknown("study in this store", name, studies)


def _print_table(table: pd.DataFrame) -> None:
    """Print key, settings that differ between runs, state and accuracies, one row per run."""
    from dilution.study.statistics import name_matrices, varying_settings
    from dilution.utils.named_call import shorten_matrices

    table = name_matrices(table)
    stopped = ["stopped_at"] if table["stopped_at"].notna().any() else []
    table = table[["key", *varying_settings(table, with_seed=True), *_PRINTED_MEASURES, *stopped]]
    cells = table.astype(object).where(table.notna(), "")  # pandas prints None as text
    cells = cells.map(lambda value: shorten_matrices(value) if isinstance(value, str) else value)
    typer.echo(cells.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
