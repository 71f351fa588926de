"""What commands share: options, the record of execution options, and how a command ends on Ctrl-C."""

from __future__ import annotations

import functools
import inspect
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from dilution.utils.stage_log import StageLog

StoreOption = Annotated[Path, typer.Option("--store", help="SQLite file that keeps the results.")]
StoreArgument = Annotated[Path, typer.Argument(help="SQLite file that keeps the results.")]
DataRootOption = Annotated[
    Path | None,
    typer.Option("--data-root", help="Folder of downloaded data. Default: DILUTION_DATA, else a cache."),
]
DataArgument = Annotated[
    str, typer.Argument(help="Data set (see list datasets), or a file, folder or function of your own.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="Model (see list models). Default: conv2 for images; mlp2 for tables, features and images of "
        "fewer than 8 pixels per side."
    ),
]
FeaturesOption = Annotated[
    str | None,
    typer.Option(
        "--features",
        help="Features in place of pixels: efficientnet-lite0, none, a .npy file, or module:function. "
        "Default: the first for few colour images, if it is installed.",
    ),
]
AdviceFeaturesOption = Annotated[
    str | None,
    typer.Option(
        "--features",
        help="Features in place of pixels: efficientnet-lite0, a .npy file, or module:function.",
    ),
]
DiagnosisOption = Annotated[
    Path | None,
    typer.Option(
        "--diagnosis", help="Folder that diagnose wrote for these data: its noise estimate is used."
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option("--group", help="Column whose rows of one value, such as a patient, share every split."),
]
LabelOption = Annotated[
    str | None, typer.Option("--label", help="Column of the label of a table. Default: label.")
]
NoisyLabelOption = Annotated[
    str | None,
    typer.Option(
        "--noisy-label",
        help="Column of observed labels, if --label has the true ones; of a built-in data set a file of "
        "labels, such as labels.npy.",
    ),
]
IdsOption = Annotated[
    str | None, typer.Option("--ids", help="Column that names the examples of a table; it is no feature.")
]
LabelModeOption = Annotated[
    str | None,
    typer.Option(
        "--label-mode",
        help="added: several labels per example; replaced: one. Default: replaced for data of your own.",
    ),
]
PageFolderOption = Annotated[
    Path, typer.Option("--out", help="Folder for the page, the plots and the tables.")
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Also replace files in --out that this command did not write, or that were changed "
        "since. Without it, such a file ends the command with an error.",
    ),
]
OverwriteFileOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace the file of --out even if this command did not write it, or it was changed "
        "since. Without it, such a file ends the command with an error.",
    ),
]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="float32, or bfloat16: faster where the processor supports it.")
]
RootSeedOption = Annotated[int, typer.Option("--seed", min=0, help="Root seed.")]
SeedsOption = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        min=1,
        help="Repeat every setting with this number of seeds, from 0 on. Default: the seeds of the preset, "
        "or of the study.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", help="advised, or a recipe.toml of advise: how to train, at the same budget."),
]


def _execution(
    executor: Annotated[
        str, typer.Option(help="processes: of this machine; inline: this process; ray: a cluster.")
    ] = "processes",
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Cores or GPUs to train on. Default: all. 0: train in this process."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the GPU if there is one.")] = "cpu",
    address: Annotated[
        str | None, typer.Option(help="Cluster to join: auto, or host:port. Default: one on this machine.")
    ] = None,
    data_root: DataRootOption = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="Folder of checkpoints, shared by the nodes of a cluster. Default: beside the store."
        ),
    ] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="Minutes between two checkpoints of a training.")
    ] = 10.0,
    time_limit: Annotated[
        str | None,
        typer.Option(help="Stop cleanly after this time, such as 12m; the same command resumes."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")] = False,
    save_weights: Annotated[
        str | None,
        typer.Option(
            help="Save the weights of each run beside the store: best, best_acc (by noisy labels) or last."
        ),
    ] = None,
) -> None:
    """Declare the options of :class:`dilution.study.execution.Execution`."""
    raise NotImplementedError  # only its signature is used


_EXECUTION_OPTIONS = inspect.signature(_execution, eval_str=True).parameters


def execution_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command execution options in place of its parameter `execution`.

    The command line has one option per field of :class:`dilution.study.execution.Execution`; the
    command receives one validated record.

    Parameters
    ----------
    names
        Fields that the command offers; the others keep their defaults. Default: all.
    """
    options = {name: _EXECUTION_OPTIONS[name] for name in names or _EXECUTION_OPTIONS}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters: list[inspect.Parameter] = []
        for parameter in _resolved(command):
            parameters += options.values() if parameter.name == "execution" else [parameter]

        @functools.wraps(command)
        def call(**arguments: Any) -> None:
            from dilution.study.execution import Execution

            settings = {name: arguments.pop(name) for name in options}
            command(**arguments, execution=Execution(**settings))

        # typer reads the options from these two
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


_START_SECONDS = 0.7  # of Python, and of the modules that parse a command


def shows_stages(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command that says within 2 seconds what it does, be it only that the program is loaded."""

    @functools.wraps(command)
    def call(**arguments: Any) -> None:
        with StageLog.to_stderr("loading the program", progress=True, silent=_START_SECONDS):
            command(**arguments)

    return call


def _resolved(command: Callable[..., None]) -> list[inspect.Parameter]:
    """Return the parameters of a command; their annotations are evaluated, except that of `execution`."""
    scope = {**command.__globals__, "Execution": Any}
    return list(inspect.signature(command, globals=scope, eval_str=True).parameters.values())


@contextmanager
def interruptible(
    kept: str = "finished runs are kept. Run the same command again to resume",
) -> Iterator[None]:
    """End with exit code 130 on Ctrl-C, and tell the user what was kept."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {kept}.", err=True)
        raise typer.Exit(130) from None


def check_outside(out: Path, data: str) -> None:
    """Refuse a folder of results in a folder of data, where plots would be read as images.

    Parameters
    ----------
    out
        Folder of results.
    data
        The data, as they are named on the command line.

    Raises
    ------
    InputError
        If the data are a folder, and the results would be written to it or into it.
    """
    from dilution.data.first_classes import split_classes
    from dilution.data.registry import own_source
    from dilution.data.sources import ImageFolderSource
    from dilution.errors import InputError

    data, _ = split_classes(data)
    source = own_source(data)
    folder = source.path if isinstance(source, ImageFolderSource) else None
    if folder is not None and out.resolve().is_relative_to(folder):
        raise InputError(
            f"--out is {out}, which is in {folder}, the folder of the data: plots would be read as images of "
            f"it. Give --out {shlex.quote(os.path.relpath(folder.parent / f'{out.name}-results'))}."
        )


def note_unused_answers(diagnosis: Path | None, verified: Path | None) -> None:
    """Tell the user that answers of a review are in the folder of a diagnosis, and are not used.

    Parameters
    ----------
    diagnosis
        The folder, or ``diagnosis.json`` in it.
    verified
        Verified labels that are used.
    """
    from dilution.review.answers import FILE_NAME

    if diagnosis is None or verified is not None:
        return
    answers = (diagnosis.parent if diagnosis.is_file() else diagnosis) / FILE_NAME
    if answers.is_file():
        path = shlex.quote(str(answers))
        typer.echo(
            f"note: {path} has answers of a review, which are not used; add --verified {path}", err=True
        )


def command_line(context: typer.Context) -> str:
    """Return the command line of the command that runs: its arguments, and the options as they were typed."""
    words = ["dilution", context.info_name or ""]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        source = context.get_parameter_source(parameter.name or "")
        if parameter.param_type_name == "argument":
            words += map(str, value) if isinstance(value, list | tuple) else [str(value)]
        elif source is not None and source.name == "COMMANDLINE":
            name = max(parameter.opts, key=len)
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [name] if one is True else [name, str(one)]
    return shlex.join(words)
