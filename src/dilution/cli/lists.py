"""Commands that list names: list models, losses, optimizers, datasets, noises, figures and others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from dilution.cli.options import DataRootOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

list_app = typer.Typer(
    help="List names: of models, losses, noises, data sets and others.",
    no_args_is_help=True,
)

_EXAMPLE_SHAPE, _EXAMPLE_CLASSES = (1, 28, 28), 10  # MNIST


@list_app.command("models")
def print_models() -> None:
    """List the models with their sizes, and the estimators."""
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


@list_app.command("strategies")
def print_strategies() -> None:
    """List the training strategies."""
    from dilution.training.strategies import STRATEGIES, list_strategies

    rows = [
        (name, str(STRATEGIES[name].networks), STRATEGIES[name]().signature, description)
        for name, description in list_strategies().items()
    ]
    _print_table(("strategy", "networks", "parameters", "what it is"), rows)
    typer.echo(
        "\nWith parameters: co_teaching(forget_rate=0.2). Or your own: module:factory, with parameters "
        "likewise."
    )


@list_app.command("methods")
def print_methods() -> None:
    """List the methods that `dilution benchmark` compares."""
    from dilution.benchmarking import list_methods

    _print_table(("method", "what it is"), list_methods().items())
    typer.echo("\nWith parameters: gce(q=0.3). Or a loss of your own: module:factory.")


@list_app.command("optimizers")
def print_optimizers() -> None:
    """List the optimizers."""
    from dilution.training.optimizers import OPTIMIZERS, list_optimizers

    defaults = {name: OPTIMIZERS[name]().signature for name in list_optimizers()}
    own = "module:factory, such as torch.optim:RMSprop(alpha=0.9)"
    _print_named("optimizer", list_optimizers(), defaults, "adam(beta2=0.98)", own)


@list_app.command("schedules")
def print_schedules() -> None:
    """List the schedules of the learning rate."""
    from dilution.training.schedules import SCHEDULES, list_schedules

    defaults = {name: SCHEDULES[name]().signature for name in list_schedules()}
    _print_named("schedule", list_schedules(), defaults, "cosine(warmup=0.05)", "module:function(power=2)")


@list_app.command("early-stopping")
def print_early_stopping() -> None:
    """List the rules of early stopping."""
    from dilution.training.early_stopping import EARLY_STOPPING, list_early_stopping

    defaults = {name: EARLY_STOPPING[name]().signature for name in list_early_stopping()}
    _print_named(
        "rule", list_early_stopping(), defaults, "noisy_val(patience=3)", "module:function(patience=3)"
    )


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
    from dilution.noise import list_noises, noise_parameters

    _print_table(
        ("noise", "parameters", "what it is"),
        [(name, noise_parameters(name), description) for name, description in list_noises().items()],
    )
    typer.echo(
        "\nWith parameters: symmetric(rate=0.4). Those of uniform, structured and matrix are settings of a "
        "run.\nOr your own: module:factory, with parameters likewise."
    )


@list_app.command("figures")
def print_figures() -> None:
    """List the figures that `dilution reproduce` knows."""
    from dilution.figures import list_figures

    _print_table(("figure", "what it shows"), list_figures().items())


def _print_named(
    kind: str, descriptions: Mapping[str, str], defaults: Mapping[str, str], example: str, own: str
) -> None:
    """Print names with the defaults of their parameters, and how parameters and one's own are written."""
    _print_table(
        (kind, "parameters", "what it is"),
        [(name, defaults[name], description) for name, description in descriptions.items()],
    )
    typer.echo(f"\nWith parameters: {example}. Or your own: {own}.")


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
