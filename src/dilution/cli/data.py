"""Commands on data sets: data list, fetch, check, pack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dilution.cli.options import RootOption, interruptible
from dilution.errors import InputError

data_app = typer.Typer(help="Data sets: list, fetch, check.", no_args_is_help=True)


@data_app.command("list")
def data_list() -> None:
    """List the data sets that have a name."""
    from dilution.data import DATASETS

    width = max(map(len, DATASETS))
    for each in DATASETS.values():
        shape = "×".join(str(size) for size in each.shape)
        typer.echo(
            f"{each.name:{width}} {each.about}: {each.train:,} + {each.test:,} images of {shape}, "
            f"{each.classes} classes"
        )


@data_app.command("fetch")
def data_fetch(name: Annotated[str, typer.Argument(help="Data set.")], data_root: RootOption = None) -> None:
    """Download the files of a data set that are missing, and check them all."""
    from dilution.data import fetch

    _print_findings(name, fetch(name, data_root))


@data_app.command("check")
def data_check(name: Annotated[str, typer.Argument(help="Data set.")], data_root: RootOption = None) -> None:
    """Compare the files of a data set with their checksums."""
    from dilution.data import check

    findings = check(name, data_root)
    _print_findings(name, findings)
    if any(each.state != "present" for each in findings):
        raise typer.Exit(1)


_LISTED = 10  # files skipped that are shown; the list beside the pack has all


@data_app.command("pack")
def data_pack(
    name: Annotated[
        str, typer.Argument(help="Data set, a file of your own, or a folder with a folder for each class.")
    ],
    target: Annotated[Path, typer.Argument(help="File to write; it must end in .pack.")],
    size: Annotated[
        int | None, typer.Option(min=1, help="Of a folder's images: height and width in pixels.")
    ] = None,
    crops: Annotated[
        int | None,
        typer.Option(min=1, help="Squares cut from each of them. Default: one, from the middle."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode a folder. Default: one a core.")
    ] = None,
    data_root: RootOption = None,
) -> None:
    """Write a data set to one file that trains without being held in memory.

    A folder is decoded by all cores. Run the same command again to go on where it was stopped.
    """
    from dilution.data import load, pack_folder, write_pack

    if target.suffix.lower() != ".pack":
        raise InputError(f"{target} does not end in .pack; the name says what the file is. Add .pack to it.")
    if target.exists():
        raise InputError(
            f"{target} exists, and a finished pack is not overwritten. Remove it, or write to another name."
        )
    if Path(name).expanduser().is_dir():
        if size is None:
            raise InputError(f"{name} is a folder: give its images one size, such as --size 224.")
        with interruptible("what was decoded is kept. Run the same command again to resume"):
            made = pack_folder(
                Path(name).expanduser(), target, size, crops=crops, workers=workers, say=typer.echo
            )
        for file, why in made.broken[:_LISTED]:
            typer.echo(f"skipped {file}: {why}")
        if len(made.broken) > _LISTED:
            typer.echo(f"and {len(made.broken) - _LISTED:,} more")
        skipped = (
            f", {len(made.broken):,} files skipped (listed in {target}.skipped.txt)" if made.broken else ""
        )
        typer.echo(
            f"{made.train:,} + {made.test:,} images{skipped}, {target.stat().st_size:,} bytes: {target}"
        )
        return
    if size is not None or crops is not None or workers is not None:
        what = "is no folder" if Path(name).expanduser().exists() else "is no folder, nor is it there"
        raise InputError(
            f"{name} {what}; --size, --crops and --workers go with a folder of images. Leave them "
            "out, or name a folder."
        )
    data = load(name, data_root)
    write_pack(target, [data.train], [data.test])
    typer.echo(f"{len(data.train):,} + {len(data.test):,} images, {target.stat().st_size:,} bytes: {target}")


_SHOWN = 10  # damaged images that are named


def _print_findings(name: str, findings: Any) -> None:
    if not findings:
        typer.echo(f"{name} is built in; there are no files.")
    for each in findings:
        found = f"  {each.size:,} bytes" if each.size else ""
        typer.echo(f"{each.state:8} {each.file}{found}  sha256 {each.sha256 or 'unknown'}")
        if each.state != "present" and each.expected:
            typer.echo(f"         expected sha256 {each.expected}; get it with: dilution data fetch {name}")
        for what in each.damaged[:_SHOWN]:
            typer.echo(f"         damaged: {what}")
        if len(each.damaged) > _SHOWN:
            typer.echo(f"         and {len(each.damaged) - _SHOWN} more")
