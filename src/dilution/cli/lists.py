"""Commands that list names: list models, losses, datasets, noises, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dilution.cli.options import DataRootOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

list_app = typer.Typer(
    help="List models, losses, data sets, noises or figures by name.", no_args_is_help=True
)

_EXAMPLE_SHAPE, _EXAMPLE_CLASSES = (1, 28, 28), 10  # MNIST


@list_app.command("models")
def print_models() -> None:
    """List the models with their number of weights, and the estimators."""
    from dilution.models.registry import count_weights, list_models
    from dilution.training.estimators import list_estimators

    weights = {name: count_weights(name, _EXAMPLE_SHAPE, _EXAMPLE_CLASSES) for name in list_models()}
    shape = "×".join(map(str, _EXAMPLE_SHAPE))
    _print_table(
        ("model", "weights", f"what it is (weights for images of {shape} and {_EXAMPLE_CLASSES} classes)"),
        [(name, f"{weights[name]:,}", description) for name, description in list_models().items()],
    )
    typer.echo()
    _print_table(
        ("estimator", "what it is (fitted by scikit-learn, without steps)"), list_estimators().items()
    )
    typer.echo("\nOr your own: module:factory.")


@list_app.command("losses")
def print_losses() -> None:
    """List the losses."""
    from dilution.training.losses import LOSSES, list_losses

    defaults = {name: LOSSES[name]().signature for name in list_losses()}
    _print_table(
        ("loss", "parameters", "what it is"),
        [(name, defaults[name], description) for name, description in list_losses().items()],
    )
    typer.echo("\nWith parameters: gce(q=0.3). Or your own: module:factory, with parameters likewise.")


@list_app.command("datasets")
def print_datasets(data_root: DataRootOption = None) -> None:
    """List the data sets, and whether their files are present."""
    from dilution.data import DATASETS, is_present
    from dilution.data import data_root as data_folder

    rows = []
    for name, data in DATASETS.items():
        files = "built in" if not data.files else "present" if is_present(name, data_root) else "missing"
        shape = "×".join(map(str, data.shape))
        rows.append((name, str(data.classes), shape, f"{data.train:,}", f"{data.test:,}", files, data.about))
    _print_table(("data set", "classes", "shape", "train", "test", "files", "what it is"), rows)
    typer.echo(f"\nFolder of the files: {data_folder(data_root)}")
    missing = [name for name, *_, files, _ in rows if files == "missing"]
    if missing:
        typer.echo(
            f"Download missing files, those of {missing[0]} for example: dilution data fetch {missing[0]}"
        )


@list_app.command("noises")
def print_noises() -> None:
    """List the noise models."""
    from dilution.noise import list_noises

    _print_table(("noise", "what it is"), list_noises().items())


@list_app.command("figures")
def print_figures() -> None:
    """List the figures that `dilution reproduce` knows."""
    from dilution.figures import list_figures

    _print_table(("figure", "what it shows"), list_figures().items())


def _print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns that are as wide as their longest cell; cells with a number are right-aligned."""
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [cell.replace(",", "").isdigit() for cell in cells[1]]
    for row in cells:
        words = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        typer.echo("  ".join(words).rstrip())
