"""The command that compares two deliveries of labels: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dilution.cli.options import OverwriteOption, shows_stages

_NOISIER_EXIT_CODE = 1


@shows_stages
def compare(
    before: Annotated[Path, typer.Argument(help="diagnosis.json of the earlier delivery, or its folder.")],
    after: Annotated[Path, typer.Argument(help="diagnosis.json of the later delivery, or its folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for compare.json and compare_per_class.csv.")
    ] = None,
    fail_if_noisier: Annotated[
        bool,
        typer.Option(
            "--fail-if-noisier",
            help="Exit with code 1 if the later delivery is noisier: the whole interval is above 0.",
        ),
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Compare the noise of two deliveries of labels.

    Says whether the labels of the later one are noisier, overall and per class. In Python:
    dilution.compare_diagnoses. Runs of a study are compared by compare-runs.
    """
    from dilution.diagnosis.compare import compare_diagnoses
    from dilution.report.json_file import write_json
    from dilution.utils.csv_cells import csv_bytes
    from dilution.utils.output_folder import claim, write_output

    if out is not None:
        claim(out, (_JSON, _TABLE), overwrite=overwrite, command="compare")
    comparison = compare_diagnoses(before, after)
    if out is not None:
        write_json(out / _JSON, comparison.to_dict())
        write_output(out / _TABLE, csv_bytes(comparison.per_class))
    for sentence in (comparison.answer, *comparison.details, *comparison.caveats):
        typer.echo(sentence)
    if out is not None:
        typer.echo(f"classes: {out / _TABLE}")
    if fail_if_noisier and comparison.verdict == "noisier":
        raise typer.Exit(_NOISIER_EXIT_CODE)


_JSON, _TABLE = "compare.json", "compare_per_class.csv"
