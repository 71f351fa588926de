"""Commands on studies: reproduce, run, status, export, claims, import, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dilution.cli.options import (
    AddressOption,
    CheckpointOption,
    CheckpointsOption,
    DeviceOption,
    ExecutorOption,
    PrecisionOption,
    RecipeOption,
    RetryOption,
    RootOption,
    SeedsOption,
    StoreArgument,
    StoreOption,
    WorkersOption,
    interruptible,
    text,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd

    from dilution.figures.base import PresetName
    from dilution.training.config import PrecisionName


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
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    seeds: SeedsOption = None,
    precision: PrecisionOption = "float32",
    recipe: RecipeOption = None,
    external: Annotated[
        str | None, typer.Option(help="Data set of foreign images, for fig6: name, or path of a file.")
    ] = None,
    data_root: RootOption = None,
    retry_failed: RetryOption = False,
) -> None:
    """Reproduce figures of the paper: train, judge, draw.

    Writes a page with the verdicts, the figures and their tables. Run it again to resume: finished
    runs are not repeated.
    """
    from dilution.figures import reproduce as call

    with interruptible():
        made = call(
            figures,
            dataset=dataset,
            scale=cast("PresetName", scale),
            store=store,
            out=out,
            workers=workers,
            device=device,
            executor=executor,
            address=address,
            seeds=seeds,
            precision=cast("PrecisionName", precision),
            recipe=recipe,
            external=external,
            root=text(data_root),
            retry_failed=retry_failed,
        )
    for row in made.claims.itertuples():
        typer.echo(f"{row.figure}: {row.verdict.upper()}: {row.claim}\n      {row.numbers}")
    typer.echo(f"page: {made.page}")
    report_failures(made.runs)


def run(
    study: Annotated[Path, typer.Argument(help="TOML file of a study.")],
    store: StoreOption = Path("results.sqlite"),
    workers: WorkersOption = None,
    device: DeviceOption = "cpu",
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    checkpoint_minutes: CheckpointOption = 10.0,
    checkpoints: CheckpointsOption = None,
    seeds: SeedsOption = None,
    precision: Annotated[
        str | None, typer.Option(help="float32 or bfloat16, for all runs in place of what the file says.")
    ] = None,
    recipe: RecipeOption = None,
    data_root: RootOption = None,
    retry_failed: RetryOption = False,
) -> None:
    """Run a study of your own, and print its table.

    Run it again to resume: finished runs are not repeated.
    """
    from dilution.study import run as call

    with interruptible():
        table = call(
            study,
            store=store,
            workers=workers,
            device=device,
            executor=executor,
            address=address,
            checkpoint_minutes=checkpoint_minutes,
            checkpoints=checkpoints,
            seeds=seeds,
            precision=cast("PrecisionName | None", precision),
            recipe=recipe,
            root=text(data_root),
            retry_failed=retry_failed,
        )
    _print_table(_varying(table))
    report_failures(table)


def status(store: StoreOption = Path("results.sqlite")) -> None:
    """Show how far each study is, and what failed and why."""
    from dilution.study.schema import STATES
    from dilution.study.store import Store

    with Store(store, create=False) as opened:
        written = opened.is_written()
        counts = opened.counts()
        failed = opened.failures()
        written = written or opened.is_written()
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


def export(
    target: Annotated[Path, typer.Argument(help="File to write: .csv, .parquet or .jsonl.")],
    store: StoreOption = Path("results.sqlite"),
    study: Annotated[str | None, typer.Option(help="Only this study. Default: all runs.")] = None,
) -> None:
    """Write the table of results, one row a run."""
    from dilution.study.exporting import export_table
    from dilution.study.results import table
    from dilution.study.store import Store

    with Store(store, create=False) as opened:
        _check_study(study, opened.counts())
        rows = table(opened, study)
    export_table(rows, target)
    typer.echo(f"{len(rows)} runs: {target}")


def claims(store: StoreArgument = Path("results.sqlite")) -> None:
    """Print the claims of the paper with their verdicts, from the store alone."""
    from dilution.figures import judged

    found = judged(store)
    for row in found.itertuples():
        typer.echo(f"{row.study}: {row.verdict.upper()}: {row.claim}")
        typer.echo(f"      rule: {row.rule}\n      {row.finished} of {row.runs} runs: {row.numbers}")


def import_(
    source: Annotated[Path, typer.Argument(help="File of runs: .csv, .parquet or .jsonl.")],
    store: StoreOption = Path("results.sqlite"),
) -> None:
    """Enter finished runs of an exported table into a store.

    A study that asks for them then finds them done.
    """
    from dilution.study.importing import import_table
    from dilution.study.store import Store

    with Store(store) as opened:
        typer.echo(f"{import_table(source, opened)} runs that were not there yet: {store}")


def merge(
    into: Annotated[Path, typer.Argument(help="Store that gets everything.")],
    other: Annotated[Path, typer.Argument(help="Store that is read.")],
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Where results contradict each other, keep the first's.")
    ] = False,
) -> None:
    """Enter into one store what another holds: runs, studies, shared measurements.

    Stores whose results contradict each other are refused, and nothing is entered.
    """
    from dilution.study.merging import merge as call
    from dilution.study.store import Store

    with Store(into, create=False) as ours, Store(other, create=False) as theirs:
        new = call(ours, theirs, keep_first=keep_first)
    typer.echo(f"{new} runs that ended only in {other}: {into}")


def report(
    store: StoreOption = Path("results.sqlite"),
    out: Annotated[Path, typer.Option(help="Folder for the page, the figures and the tables.")] = Path("out"),
) -> None:
    """Write the page of the studies in a store.

    Nothing is trained: the page comes from the store alone.
    """
    from dilution.figures import report as call

    typer.echo(f"page: {call(store, out=out).page}")


def report_failures(runs: pd.DataFrame) -> None:
    """End with exit code 1 if runs failed; their errors were shown as they came."""
    failed = int((runs["state"] == "failed").sum()) if len(runs) else 0
    if failed:
        typer.echo(f"{failed} of {len(runs)} runs failed; `dilution status` says why.", err=True)
        raise typer.Exit(1)


def _check_study(name: str | None, known: Any) -> None:
    from dilution.errors import unknown

    if name is not None and name not in known:
        raise unknown("study in this store", name, known)


def _varying(table: pd.DataFrame) -> pd.DataFrame:
    """Return the settings that differ between runs, and the accuracies."""
    from dilution.study.selection import name_matrices, varying_settings

    table = name_matrices(table)
    settings = [*varying_settings(table), *(["seed"] if table["seed"].nunique() > 1 else [])]
    measures = [
        "state",
        "noise_rate_expected",
        "noise_rate_empirical",
        "test_acc_at_best_clean_val",
        "test_acc_at_best_noisy_val",
        "test_acc_last",
    ]
    return table[[*settings, *measures]]


def _print_table(table: pd.DataFrame) -> None:
    typer.echo(table.to_string(index=False, float_format=lambda x: f"{x:.4g}", na_rep=""))
