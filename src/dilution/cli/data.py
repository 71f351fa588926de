"""Commands on files of data sets: data fetch, check, pack, noisy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dilution.cli.options import DataRootOption, interruptible
from dilution.errors import InputError
from dilution.utils.named_call import shorten_matrices
from dilution.utils.notes import printed_notes
from dilution.utils.printable import printable
from dilution.utils.regular_file import expand_home

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from dilution.data.download import FileStatus

data_app = typer.Typer(help="Download, check or pack a data set, or draw noisy labels.", no_args_is_help=True)

_SHOWN_CLASSES = 20  # rows of a transition matrix that are printed; the others are counted
_SHOWN = 10  # skipped files and damaged images that are printed; the others are counted


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="Data set.")], data_root: DataRootOption = None
) -> None:
    """Download missing files, and verify the checksums of all files."""
    from dilution.data import fetch

    _print_files(name, fetch(name, data_root))


@data_app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="Data set.")], data_root: DataRootOption = None
) -> None:
    """Verify the checksums of a data set's files."""
    from dilution.data import check

    files = check(name, data_root)
    _print_files(name, files)
    if any(file.state != "present" for file in files):
        raise typer.Exit(1)


@data_app.command("pack")
def data_pack(
    name: Annotated[
        str, typer.Argument(help="Data set, a file of your own, or a folder with one folder per class.")
    ],
    target: Annotated[Path, typer.Argument(help="File to write; its name must end in .pack.")],
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Height and width of the packed images in pixels, such as 224. A folder of images needs "
            "it; other data do not take it.",
        ),
    ] = None,
    crops: Annotated[
        int | None,
        typer.Option(min=1, help="Images of a folder: squares cut from each. Default: one, the centre."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode a folder. Default: one per core.")
    ] = None,
    data_root: DataRootOption = None,
) -> None:
    """Write a data set to one file that is read from disk in training.

    A folder is decoded on all cores. Run the command again to resume: decoded images are kept.
    """
    _check_target(target)
    from dilution.data import load, write_pack

    source = expand_home(name)
    if source.is_dir():
        _pack_folder(source, target, size, crops, workers)
        return
    if size is not None or crops is not None or workers is not None:
        reason = "is not a folder" if source.exists() else "is not a folder and does not exist"
        raise InputError(
            f"{name} {reason}; --size, --crops and --workers need a folder of images. Leave them out, or "
            "name a folder."
        )
    data = load(name, data_root)
    write_pack(target, [data.train], [data.test], data.notes)
    _print_notes(data.notes)
    _print_pack(target, len(data.train), len(data.test))


@data_app.command("noisy")
def data_noisy(
    name: Annotated[str, typer.Argument(help="Data set, or a file or folder of your own.")],
    target: Annotated[Path, typer.Argument(help="File to write: .npy, .pt or .csv.")],
    noise: Annotated[
        str, typer.Option(help='Noise, such as "symmetric(rate=0.4)"; see dilution list noises.')
    ],
    eta: Annotated[
        float | None, typer.Option(help="Noise rate, for noise that takes one, such as uniform.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model whose predictions such noise as idn follows, by cross-validation.")
    ] = "conv2",
    epochs: Annotated[float, typer.Option(min=0.01, help="Epochs of that model.")] = 3.0,
    average_epochs: Annotated[
        bool,
        typer.Option(
            "--average-epochs",
            help="In place of cross-validation: what one model predicts for its own training images, "
            "averaged over its epochs.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws and of that model.")] = 0,
    data_root: DataRootOption = None,
) -> None:
    """Draw a noisy label per training image, and write them to a file.

    A study trains on them with the setting labels = "FILE".
    """
    from dilution.data import check_label_target, load, write_label_file
    from dilution.noise import Dilution, canonical_noise

    noise = canonical_noise(noise)
    check_label_target(target)
    data = load(name, data_root)
    _print_notes(data.notes)
    from dilution.training import noise_for_data

    model_of_noise = noise_for_data(
        noise, data.train, model=model, epochs=epochs, seed=seed, average_epochs=average_epochs
    )
    noisy = Dilution(data.train, eta=eta, noise=model_of_noise, label_mode="replaced", seed=seed)
    write_label_file(target, noisy.own_labels, data.train)
    summary = noisy.noise_summary()
    rate, expected = summary.noise_rate_empirical, summary.noise_rate_expected
    # where the images alone decide about the labels, nothing is drawn that could differ from what is expected
    of_draws = "" if rate == expected else f", {expected:.2%} expected"
    shown = shorten_matrices(noise)
    typer.echo(f"{len(noisy):,} labels of {shown}: {rate:.2%} are wrong{of_draws}. Written: {target}")
    for line in _transition_lines(summary.transition_empirical, data.train.classes):
        typer.echo(line)


def _transition_lines(transition: NDArray[np.float64], classes: Sequence[str]) -> Iterator[str]:
    """Yield what became of each class: the share of right labels, and the most common wrong ones."""
    width = max(len(printable(name)) for name in classes[:_SHOWN_CLASSES])
    for row, name in enumerate(classes[:_SHOWN_CLASSES]):
        shares = [(float(share), number) for number, share in enumerate(transition[row]) if number != row]
        wrong = sorted((pair for pair in shares if pair[0] > 0), key=lambda pair: -pair[0])
        texts = [f"{printable(classes[number])} {share:.2%}" for share, number in wrong[:3]]
        rest = f", {len(wrong) - 3} more" if len(wrong) > 3 else ""
        line = f"{printable(name):>{width}} right {transition[row, row]:7.2%}  {', '.join(texts)}{rest}"
        yield line.rstrip()
    if len(classes) > _SHOWN_CLASSES:
        yield f"and {len(classes) - _SHOWN_CLASSES} more classes"


def _check_target(target: Path) -> None:
    if target.suffix.lower() != ".pack":
        raise InputError(f"{target} does not end in .pack. Write to {target.with_suffix('.pack')} instead.")
    if target.exists():
        raise InputError(
            f"{target} exists; a finished pack is not overwritten. Remove it, or write to another file."
        )


def _pack_folder(
    source: Path, target: Path, size: int | None, crops: int | None, workers: int | None
) -> None:
    from dilution.data import pack_folder

    if size is None:
        raise InputError(f"{source} is a folder; its images need one size in pixels. Add --size 224.")
    with interruptible("decoded images are kept. Run the same command again to resume"):
        packing = pack_folder(source, target, size, crops=crops, workers=workers, log=typer.echo)
    for file, reason in packing.skipped[:_SHOWN]:
        typer.echo(f"skipped {printable(file)}: {reason}")
    if len(packing.skipped) > _SHOWN:
        typer.echo(f"and {len(packing.skipped) - _SHOWN:,} more")
    _print_notes(packing.notes)
    noun = "file" if len(packing.skipped) == 1 else "files"
    skipped = f", {len(packing.skipped):,} {noun} skipped (listed in {target}.skipped.txt)"
    _print_pack(target, packing.n_train, packing.n_test, skipped if packing.skipped else "")


def _print_notes(notes: Sequence[str]) -> None:
    for line in printed_notes(notes):
        typer.echo(line)


def _print_pack(target: Path, train: int, test: int, skipped: str = "") -> None:
    typer.echo(f"{train:,} + {test:,} images{skipped}, {target.stat().st_size:,} bytes: {target}")


def _print_files(name: str, files: Sequence[FileStatus]) -> None:
    if not files:
        typer.echo(f"{name} is built in; it has no files.")
    for file in files:
        size = f"  {file.size:,} bytes" if file.size else ""
        checksum = "" if file.state == "missing" else f"  sha256 {file.sha256 or 'unknown'}"
        typer.echo(f"{file.state:8} {file.file}{size}{checksum}")
        if file.state != "present" and file.expected:
            typer.echo(f"         expected sha256 {file.expected}. Download it: dilution data fetch {name}")
        _print_notes(file.notes)
        for damage in file.damaged[:_SHOWN]:
            typer.echo(f"         damaged: {damage}")
        if len(file.damaged) > _SHOWN:
            typer.echo(f"         and {len(file.damaged) - _SHOWN} more")
