"""The command line: parses, calls, prints. Every import that is slow happens inside a command."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dilution.errors import DilutionError, InputError

if TYPE_CHECKING:
    import pandas as pd

    from dilution.paper.figure import ScaleName
    from dilution.planning.pilot import Labels
    from dilution.training.settings import PrecisionName

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Data sets: list, fetch, check.", no_args_is_help=True)
show_app = typer.Typer(help="Show what noise looks like.", no_args_is_help=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        from dilution.revision import code_version

        typer.echo(f"dilution {code_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    """Measure how much label noise a network can take, and what it costs to buy your way out.

    Your way out: more labels, or better ones.
    """
    del version


app.add_typer(data_app, name="data")
app.add_typer(show_app, name="show")

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
SeedsOption = Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds for each point.")]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")]


@app.command()
def reproduce(
    figures: Annotated[
        list[str], typer.Argument(help="fig1 to fig11, all of these (all), learners or human.")
    ],
    dataset: Annotated[
        str, typer.Option(help="Name (see data list), or a file, folder or function of your own.")
    ] = "digits",
    scale: Annotated[str, typer.Option(help="demo, laptop or paper.")] = "demo",
    store: StoreOption = Path("results.sqlite"),
    out: Annotated[Path, typer.Option(help="Folder for the page, the figures and the tables.")] = Path("out"),
    workers: WorkersOption = None,
    device: DeviceOption = "cpu",
    seeds: SeedsOption = None,
    precision: PrecisionOption = "float32",
    external: Annotated[
        str | None, typer.Option(help="Data set of foreign pictures, for fig6: name, or path of a file.")
    ] = None,
    data_root: RootOption = None,
    retry_failed: RetryOption = False,
) -> None:
    """Reproduce figures of the paper: train, judge, draw.

    Writes a page with the verdicts, the figures and their tables. Run it again to resume: finished
    runs are not repeated.
    """
    from dilution.paper import reproduce as call

    with _interruptible():
        made = call(
            figures,
            dataset=dataset,
            scale=cast("ScaleName", scale),
            store=store,
            out=out,
            workers=workers,
            device=device,
            seeds=seeds,
            precision=cast("PrecisionName", precision),
            external=external,
            root=_text(data_root),
            retry_failed=retry_failed,
        )
    for row in made.claims.itertuples():
        typer.echo(f"{row.figure}: {row.verdict.upper()}: {row.claim}\n      {row.numbers}")
    typer.echo(f"page: {made.page}")
    _report_failures(made.runs)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="TOML file of a study.")],
    store: StoreOption = Path("results.sqlite"),
    workers: WorkersOption = None,
    device: DeviceOption = "cpu",
    seeds: SeedsOption = None,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16, for all runs in place of what the file says.")
    ] = None,
    data_root: RootOption = None,
    retry_failed: RetryOption = False,
) -> None:
    """Run a study of your own, and print its table.

    Run it again to resume: finished runs are not repeated.
    """
    from dilution.study import run as call

    with _interruptible():
        table = call(
            study,
            store=store,
            workers=workers,
            device=device,
            seeds=seeds,
            precision=cast("PrecisionName | None", precision),
            root=_text(data_root),
            retry_failed=retry_failed,
        )
    _print_table(_varying(table))
    _report_failures(table)


@app.command()
def status(store: StoreOption = Path("results.sqlite")) -> None:
    """Show how far each study is, and what failed and why."""
    from dilution.study.store import STATES, Store

    with Store(store, create=False) as opened:
        counts = opened.counts()
        failed = opened.failures()
        written = opened.is_written()
    for name, by_state in counts.items():
        parts = [f"{by_state[state]} {state}" for state in STATES if state in by_state]
        if by_state.get("running") and not written:
            parts.append(
                "cut off while running, as no process writes here: the next start trains these again"
            )
        typer.echo(f"{name}: {', '.join(parts) or 'nothing to train'}")
    if not counts:
        typer.echo(f"{store} holds no study yet.")
    for key, error in failed:
        typer.echo(f"failed {key}: {error.strip().splitlines()[-1]}")


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="File to write: .csv, .parquet or .jsonl.")],
    store: StoreOption = Path("results.sqlite"),
    study: Annotated[str | None, typer.Option(help="Only this study. Default: all runs.")] = None,
) -> None:
    """Write the table of results, one row a run."""
    from dilution.study.export import export_table
    from dilution.study.store import Store
    from dilution.study.table import table

    with Store(store, create=False) as opened:
        _check_study(study, opened.counts())
        rows = table(opened, study)
    export_table(rows, target)
    typer.echo(f"{len(rows)} runs: {target}")


@app.command()
def claims(store: StoreArgument = Path("results.sqlite")) -> None:
    """Print the claims of the paper with their verdicts, from the store alone."""
    from dilution.paper import judged

    found = judged(store)
    for row in found.itertuples():
        typer.echo(f"{row.study}: {row.verdict.upper()}: {row.claim}")
        typer.echo(f"      rule: {row.rule}\n      {row.finished} of {row.runs} runs: {row.numbers}")


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="File of runs: .csv, .parquet or .jsonl.")],
    store: StoreOption = Path("results.sqlite"),
) -> None:
    """Enter finished runs of an exported table into a store.

    A study that asks for them then finds them done.
    """
    from dilution.study.imported import import_table
    from dilution.study.store import Store

    with Store(store) as opened:
        typer.echo(f"{import_table(source, opened)} runs that were not there yet: {store}")


@app.command()
def report(
    store: StoreOption = Path("results.sqlite"),
    out: Annotated[Path, typer.Option(help="Folder for the page, the figures and the tables.")] = Path("out"),
) -> None:
    """Write the page of the studies in a store.

    Nothing is trained: the page comes from the store alone.
    """
    from dilution.paper import report as call

    typer.echo(f"page: {call(store, out=out).page}")


@app.command()
def diagnose(
    data: Annotated[str, typer.Argument(help="Data set by name, or a file, folder or function of your own.")],
    out: Annotated[Path, typer.Option(help="Folder for the page, the plot and the tables.")] = Path(
        "diagnosis"
    ),
    network: Annotated[
        str | None, typer.Option(help="Network. Default: conv2 for pictures, mlp2 for features.")
    ] = None,
    checked: Annotated[
        Path | None, typer.Option(help="CSV file of right labels that somebody looked up: row, right.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts that are predicted in turn.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="Times that all of it is done.")] = 2,
    draws: Annotated[int, typer.Option(min=20, help="Bootstrap samples behind the intervals.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Root seed.")] = 0,
    cleanlab: Annotated[
        bool, typer.Option("--cleanlab", help="Print the estimate of cleanlab beside ours.")
    ] = False,
    precision: PrecisionOption = "float32",
    workers: WorkersOption = None,
    device: DeviceOption = "cpu",
    data_root: RootOption = None,
) -> None:
    """Estimate how noisy labels are, from the noisy labels alone.

    Writes a page, and a list of all examples with the most suspect labels first.
    """
    from dilution.diagnosis import cleanlab_rate, numbers, write_diagnosis
    from dilution.diagnosis import diagnose as call
    from dilution.files import check_writable

    check_writable(out)
    with _interruptible("nothing is kept"):
        found = call(
            data,
            network=network,
            checked=checked,
            folds=folds,
            repeats=repeats,
            draws=draws,
            seed=seed,
            precision=cast("PrecisionName", precision),
            root=data_root,
            workers=workers,
            device=device,
            say=typer.echo,
        )
    for sentence in (found.answer, *numbers(found), *found.cautions):
        typer.echo(sentence)
    if cleanlab:
        rate = cleanlab_rate(found.held_out.probabilities, found.labels)
        typer.echo(f"cleanlab, from the same predictions: noise rate {rate:.3f}")
    command = f"dilution diagnose {data}" + (f" --network {network}" if network else "")
    command += (f" --checked {checked}" if checked else "") + f" --seed {seed} --out {out}"
    typer.echo(f"suspects: {out / 'suspects.csv'}")
    typer.echo(f"page: {write_diagnosis(found, out, command)}")


@app.command()
def plan(
    data: Annotated[
        str, typer.Argument(help="Data with trusted labels: a name, a file, a folder, a function.")
    ],
    target: Annotated[float, typer.Option(help="Test accuracy wanted, such as 0.95.")],
    alpha: Annotated[
        float | None, typer.Option(help="Noise level of the labels to be had: noisy ones for each clean one.")
    ] = None,
    eta: Annotated[
        float | None, typer.Option(help="Instead: their noise rate, as diagnose finds it.")
    ] = None,
    have: Annotated[float, typer.Option(min=0, help="How many of them are there already.")] = 0,
    better_alpha: Annotated[float, typer.Option(min=0, help="Noise level of better labels.")] = 0.0,
    price: Annotated[float, typer.Option(min=0, help="Price of one label.")] = 1.0,
    better_price: Annotated[float, typer.Option(min=0, help="Price of a better label.")] = 1.0,
    network: Annotated[
        str | None, typer.Option(help="Network. Default: conv2 for pictures, mlp2 for features.")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="added: several labels a picture; replaced: one label each.")
    ] = "added",
    pilot_n: Annotated[int, typer.Option(min=100, help="The most clean examples of a pilot run.")] = 4000,
    runs: Annotated[int, typer.Option(min=20, help="The most runs of the pilot.")] = 60,
    store: StoreOption = Path("plan.sqlite"),
    out: Annotated[Path, typer.Option(help="Folder for the page, the plot and the tables.")] = Path("plan"),
    precision: PrecisionOption = "float32",
    workers: WorkersOption = None,
    device: DeviceOption = "cpu",
    data_root: RootOption = None,
) -> None:
    """Say how many labels an accuracy takes, of which quality, and what is cheapest.

    Trains a pilot first, which resumes.
    """
    from dilution.files import check_writable
    from dilution.planning import answer, details, write_plan
    from dilution.planning import plan as call

    check_writable(out)
    with _interruptible():
        found = call(
            data,
            target=target,
            alpha=alpha,
            eta=eta,
            have=have,
            better_alpha=better_alpha,
            price=price,
            better_price=better_price,
            network=network,
            labels=cast("Labels", labels),
            pilot_n=pilot_n,
            runs=runs,
            precision=cast("PrecisionName", precision),
            store=store,
            workers=workers,
            device=device,
            root=_text(data_root),
        )
    for sentence in (answer(found), *details(found)):
        typer.echo(sentence)
    level = f"--alpha {alpha:g}" if eta is None else f"--eta {eta:g}"
    command = f"dilution plan {data} --target {target:g} {level} --have {have:g} --store {store} --out {out}"
    typer.echo(f"page: {write_plan(found, out, command)}")


@data_app.command("list")
def data_list() -> None:
    """List the data sets that have a name."""
    from dilution.data import DATASETS

    width = max(map(len, DATASETS))
    for each in DATASETS.values():
        shape = "×".join(str(size) for size in each.shape)
        typer.echo(
            f"{each.name:{width}} {each.about}: {each.train:,} + {each.test:,} pictures of {shape}, "
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
        int | None, typer.Option(min=1, help="Of a folder's pictures: height and width in pixels.")
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
            raise InputError(f"{name} is a folder: give its pictures one size, such as --size 224.")
        with _interruptible("what was decoded is kept. Run the same command again to resume"):
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
            f"{made.train:,} + {made.test:,} pictures{skipped}, {target.stat().st_size:,} bytes: {target}"
        )
        return
    if size is not None or crops is not None or workers is not None:
        what = "is no folder" if Path(name).expanduser().exists() else "is no folder, nor is it there"
        raise InputError(
            f"{name} {what}; --size, --crops and --workers go with a folder of pictures. Leave them "
            "out, or name a folder."
        )
    data = load(name, data_root)
    write_pack(target, [data.train], [data.test])
    typer.echo(
        f"{len(data.train):,} + {len(data.test):,} pictures, {target.stat().st_size:,} bytes: {target}"
    )


@show_app.command("noise")
def show_noise(
    alpha: Annotated[float, typer.Option(help="Noisy labels added for each clean one.")] = 20.0,
    delta: Annotated[float, typer.Option(help="Skew of structured noise, 0 to 1. 0 is uniform.")] = 0.0,
    classes: Annotated[int, typer.Option(min=2, max=1000, help="Number of classes.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random order.")] = 0,
) -> None:
    """Print how the labels of an example are distributed, and the noise rate."""
    import math

    import numpy as np

    from dilution.noise import structured

    if not math.isfinite(alpha) or alpha < 0:
        raise InputError(f"alpha is {alpha}; it must be a finite number ≥ 0. alpha=0 is no noise at all.")
    matrix = structured(delta).overall(classes, alpha, seed)
    typer.echo(
        f"alpha {alpha:g}, delta {delta:g}, {classes} classes: {matrix[0, 0]:.2%} of the labels are right, "
        f"noise rate {1 - matrix[0, 0]:.4f}"
    )
    ranked = np.sort(np.delete(matrix[0], 0))[::-1]
    widest = max(matrix[0, 0], ranked[0])
    for name, share in [("right", matrix[0, 0]), *((f"false {r}", p) for r, p in enumerate(ranked, 1))][:21]:
        typer.echo(f"{name:>9} {share:7.2%} {'█' * round(40 * share / widest)}")
    if classes > 21:
        typer.echo(f"          {ranked[20:].sum():.2%} on {classes - 21} more false classes")


def main() -> None:
    """Run the command line; what a user can mend ends with one message and exit code 2."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=True)
    except DilutionError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EPIPE, errno.EIO) or error.filename:
            raise
        typer.echo(f"error: the output cannot be written: {error.strerror}.", err=True)
        sys.exit(2)


@contextmanager
def _interruptible(
    kept: str = "finished runs are kept. Run the same command again to resume",
) -> Iterator[None]:
    """End on Ctrl-C with what a user wants to know then."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted; {kept}.", err=True)
        raise typer.Exit(130) from None


def _report_failures(runs: pd.DataFrame) -> None:
    """End with exit code 1 if runs failed; their errors were shown as they came."""
    failed = int((runs["state"] == "failed").sum()) if len(runs) else 0
    if failed:
        typer.echo(f"{failed} of {len(runs)} runs failed; `dilution status` says why.", err=True)
        raise typer.Exit(1)


def _interrupt(number: int, frame: object) -> None:
    """End on SIGTERM as on Ctrl-C, so that workers are stopped and finished runs kept."""
    del number, frame
    raise KeyboardInterrupt


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _check_study(name: str | None, known: Any) -> None:
    from dilution.errors import unknown

    if name is not None and name not in known:
        raise unknown("study in this store", name, known)


_SHOWN = 10  # damaged pictures that are named


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


def _varying(table: pd.DataFrame) -> pd.DataFrame:
    """Return the settings that differ between runs, and the accuracies."""
    from dilution.study.select import name_matrices, varying_settings

    table = name_matrices(table)
    settings = [*varying_settings(table), *(["seed"] if table["seed"].nunique() > 1 else [])]
    measures = ["state", "rate_requested", "rate_delivered", "test_clean", "test_noisy", "test_last"]
    return table[[*settings, *measures]]


def _print_table(table: pd.DataFrame) -> None:
    typer.echo(table.to_string(index=False, float_format=lambda x: f"{x:.4g}", na_rep=""))
