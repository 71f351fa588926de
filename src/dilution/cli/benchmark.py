"""The command that compares methods for noisy labels: benchmark."""

from __future__ import annotations

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
    PrecisionOption,
    StoreOption,
    command_line,
    execution_options,
    interruptible,
)
from dilution.cli.studies import exit_if_failed
from dilution.utils.notes import printed_notes

if TYPE_CHECKING:
    from dilution.benchmarking.presets import PresetName
    from dilution.study.execution import Execution
    from dilution.training.config import PrecisionName


@execution_options()
def benchmark(
    context: typer.Context,
    dataset: Annotated[
        str, typer.Argument(help="Data set (see list datasets), or a file, folder or function of your own.")
    ] = "digits",
    preset: Annotated[str, typer.Option(help="demo, laptop or paper.")] = "demo",
    methods: Annotated[
        str | None,
        typer.Option(
            help="Methods between commas (see list methods), losses such as 'gce(q=0.3)', or module:factory "
            "of your own loss. Default: all methods."
        ),
    ] = None,
    noises: Annotated[
        str | None,
        typer.Option(
            help="Noises between commas: clean, symmetric-50, asymmetric-40, pair-flip-40, alpha-20, …, any "
            "noise such as 'symmetric(rate=0.4)', or files of labels. Default: the standard ones of the data."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds of each method and noise.")] = 5,
    model: Annotated[
        str | None, typer.Option(help="Model (see list models). Default: that of the preset.")
    ] = None,
    precision: PrecisionOption = "float32",
    store: StoreOption = Path("results.sqlite"),
    out: Annotated[Path, typer.Option("--out", help="Folder for the page, the plots and the tables.")] = Path(
        "benchmark"
    ),
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
    """Compare methods for noisy labels under standard noises.

    Writes a page with test accuracies, paired differences from cross entropy, ranks and cost. Run the command
    again to resume: finished runs are not repeated.
    """
    from dilution.benchmarking import benchmark as run_benchmark
    from dilution.benchmarking import estimate_benchmark

    figure_style = style_of_options(width, font, dpi, labels)
    if estimate or estimate_for is not None:
        budget = estimate_benchmark(
            dataset,
            preset=cast("PresetName", preset),
            methods=methods,
            noises=noises,
            seeds=seeds,
            model=model,
            precision=cast("PrecisionName", precision),
            store=store,
            execution=execution,
            gpu=estimate_for,
        )
        typer.echo(str(budget))
        return
    with interruptible():
        result = run_benchmark(
            dataset,
            preset=cast("PresetName", preset),
            methods=methods,
            noises=noises,
            seeds=seeds,
            model=model,
            precision=cast("PrecisionName", precision),
            store=store,
            out=out,
            command=command_line(context),
            overwrite=overwrite,
            figure_style=figure_style,
            execution=execution,
        )
    for finding in result.findings:
        typer.echo(finding)
    for line in printed_notes(list(result.notes)):
        typer.echo(line, err=True)
    typer.echo(f"page: {result.page}")
    exit_if_failed(result.runs.drop_duplicates("key"), store)
