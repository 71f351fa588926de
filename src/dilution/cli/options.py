"""What commands share: their options, and how they end when interrupted."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[Path, typer.Option("--store", help="SQLite file that keeps the results.")]
RootOption = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder of downloaded data. Default: DILUTION_DATA, else a cache."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", help="Cores or GPUs to train on. Default: all. 0: train in this process."),
]
StoreArgument = Annotated[Path, typer.Argument(help="SQLite file that keeps the results.")]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="float32, or bfloat16: faster where the processor has it.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, or auto: the GPU if there is one.")]
ExecutorOption = Annotated[
    str,
    typer.Option("--executor", help="local: processes of this machine; inline: this one; ray: a cluster."),
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Cluster to join: auto, or host:port. Default: one on this machine."),
]
CheckpointOption = Annotated[
    float,
    typer.Option("--checkpoint-minutes", min=0, help="How often a long training is written down."),
]
CheckpointsOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoints", help="Folder for that, shared by the nodes of a cluster. Default: beside the store."
    ),
]
SeedsOption = Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds for each point.")]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", help="advised, or a recipe.toml of advise: how to train, at the same budget."),
]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")]


@contextmanager
def interruptible(
    kept: str = "finished runs are kept. Run the same command again to resume",
) -> Iterator[None]:
    """End on Ctrl-C with what a user wants to know then."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {kept}.", err=True)
        raise typer.Exit(130) from None


def typed(context: typer.Context) -> str:
    """Return the command line of the command that runs, options that have their default left out."""
    words = ["dilution", context.info_name or ""]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.param_type_name == "argument":
            words.append(str(value))
        elif value != parameter.get_default(context) and value is not None:
            words.append(max(parameter.opts, key=len))
            words += [] if value is True else [str(value)]
    return shlex.join(words)


def text(path: Path | None) -> str | None:
    """Return a path as text."""
    return None if path is None else str(path)
