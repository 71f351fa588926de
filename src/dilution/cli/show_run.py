"""The command that shows a stored run: show run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dilution.cli.options import DataRootOption, StoreOption, interruptible
from dilution.utils.printable import last_line, one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dilution.study.datasets import Confusabilities
    from dilution.study.recorded_run import RecordedRun
    from dilution.study.retrain import Repetition
    from dilution.study.run_spec import Run


def show_run(
    key: Annotated[str, typer.Argument(help="Key of the run, or enough of its first characters.")],
    store: StoreOption = Path("results.sqlite"),
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train the run again and compare; exit code 1 if it differs.")
    ] = False,
    run_code: Annotated[
        bool, typer.Option("--run-code", help="Import functions that the run names as module:name.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="Write the labels that the run was trained on: .npy, .pt or .csv with one label per image, "
            ".npz or .csv with several.",
        ),
    ] = None,
    data_root: DataRootOption = None,
) -> None:
    """Explain how a run got its result.

    Prints settings, noise, data, versions, history, and the Python lines that train the run again.
    """
    from dilution.study.data_notes import data_notes
    from dilution.study.datasets import confusability_name
    from dilution.study.recorded_run import RecordedRun, stored_run
    from dilution.study.retrain import changed_settings, python_lines
    from dilution.study.retrain import retrain as train_again
    from dilution.study.store import Store

    with Store(store, create=False) as opened:
        row = opened.row(key)
        run = stored_run(row["spec"])
        if isinstance(run, RecordedRun):
            _show_recorded(run, row, retrain=retrain, labels=labels)
            return
        artifact = confusability_name(run)
        confusable = opened.artifact(artifact)
        notes = data_notes(opened, [run.model_dump()])
    typer.echo(f"{_headline(row)}\n")
    _print_pairs("Settings without a default, or that differ from it", changed_settings(run).items())
    _print_pairs("Noise", _noise(row["result"]))
    _print_pairs(
        "Data",
        [*_data(run, row["result"], data_root, run_code=run_code), *(("note", note) for note in notes)],
    )
    _print_pairs("Trained", _trained(row))
    _print_pairs("Weights", _weights(store, row["key"]))
    _print_history(row["history"])
    typer.echo(f"Python lines that train it again:\n\n{python_lines(row)}")
    if labels is not None:
        _check_code(run, key, store, ["--labels", str(labels)], allowed=run_code)
        _write_labels(row, run, labels, data_root, {} if confusable is None else {artifact: confusable})
    if retrain:
        _check_code(run, key, store, ["--retrain"], allowed=run_code)
        with interruptible("the store was not changed"):
            root = None if data_root is None else str(data_root)
            repetition = train_again(row, root, {} if confusable is None else {artifact: confusable})
        typer.echo(f"\n{_comparison(repetition)}")
        raise typer.Exit(1 if repetition.differences else 0)


def _show_recorded(run: RecordedRun, row: Mapping[str, Any], *, retrain: bool, labels: Path | None) -> None:
    """Print what the store has of a run of another training loop."""
    from dilution.study.measures import MEASURES
    from dilution.study.retrain import retrain as train_again
    from dilution.study.run_labels import check_draws

    typer.echo(f"{_headline(row)}\n")
    typer.echo(f"Recorded: trained by {one_line(run.trained_by)}, not by Dilution.\n")
    stated = run.model_dump(exclude_none=True, exclude={"trained_by"})
    _print_pairs("Settings that were stated", stated.items())
    result = row["result"]
    _print_pairs(
        "Measures", [(name, result[name]) for name in MEASURES if result.get(name) not in (None, "")]
    )
    _print_pairs("Trained", _trained(row))
    _print_history(row["history"])
    if labels is not None:
        check_draws(row)  # raises: its labels are not known
    if retrain:
        train_again(row, None, {})  # raises: its training loop is not known


def _write_labels(
    row: Mapping[str, Any], run: Run, path: Path, data_root: Path | None, confusabilities: Confusabilities
) -> None:
    """Write the labels that a run is trained on, and print what is in the file."""
    from dilution.noise.used_labels import check_target
    from dilution.study.run_labels import check_draws, labels_of

    check_draws(row)
    check_target(path)
    used = labels_of(run, None if data_root is None else str(data_root), confusabilities)
    used.save(path)
    typer.echo(f"\nlabels: {path} ({used.answer})")
    if used.undrawn:
        typer.echo(
            f"note: stratified noise drew labels for the {run.n:,} images that were used; the other "
            f"{used.undrawn:,} have their true label in the file, unless it lists used images alone",
            err=True,
        )


def _check_code(run: Run, key: str, store: Path, option: Sequence[str], *, allowed: bool) -> None:
    """Refuse to import what a run names unless the user allows it: a store may be somebody else's."""
    from dilution.errors import InputError
    from dilution.study.code_names import code_names

    names = code_names(run)
    if names and not allowed:
        words = ["dilution", "show", "run", key, "--store", str(store), *option, "--run-code"]
        raise InputError(
            f"the run names code, {one_line(', '.join(names))}, which this would import; a store may be "
            f"somebody else's. If you trust that code: `{shlex.join(words)}`."
        )


def _headline(row: Mapping[str, Any]) -> str:
    accuracy = row["result"].get("test_acc_at_best_clean_val")
    if accuracy is not None:
        step = row["result"].get("step_at_best_clean_val")
        at_step = "" if step is None else f" (step {step:,})"
        return f"run {row['key']}: test accuracy {accuracy:.2%} at the best clean validation{at_step}"
    accuracy = row["result"].get("test_acc_last")
    if accuracy is not None:
        return f"run {row['key']}: test accuracy {accuracy:.2%} after the last step"
    if row["state"] == "diverged":
        return f"run {row['key']}: diverged at step {row['result'].get('diverged_at', 'unknown')}"
    error = f": {last_line(row['error'])}" if row["error"] else ""
    return f"run {row['key']}: {row['state']}{error}"


def _noise(result: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the noise level and the noise rate, expected and counted over the labels."""
    for name in ("alpha", "noise_rate"):
        expected, empirical = result.get(f"{name}_expected"), result.get(f"{name}_empirical")
        if expected is not None and empirical is not None:
            yield name, f"expected {expected:.6g}, empirical {empirical:.6g}"


def _data(
    run: Run, result: Mapping[str, Any], data_root: Path | None, *, run_code: bool
) -> Iterable[tuple[str, str]]:
    """Yield where the data came from, and how many images there are."""
    from dilution.data import DATASETS
    from dilution.data.registry import builtin_name

    known = DATASETS.get(builtin_name(run.dataset) or "")
    yield "dataset", f"{run.dataset}: {known.about}" if known else run.dataset
    if run.fingerprint:
        yield "fingerprint", f"{run.fingerprint} ({_state_of_files(run, data_root, run_code=run_code)})"
    if result.get("n_available") is not None:
        yield "train split", f"{result['n_available']:,} images, of which {run.n:,} were used"
        yield "validation", f"{run.n_val:,} of these {run.n:,}"
    if result.get("n_test") is not None and result.get("majority_share") is not None:
        yield "test split", f"{result['n_test']:,} images, the largest class {result['majority_share']:.2%}"
    if result.get("image_note"):
        yield "noisy images", one_line(result["image_note"])


def _state_of_files(run: Run, data_root: Path | None, *, run_code: bool) -> str:
    """Return whether the files of a run have the content that it was trained on."""
    from dilution.errors import DilutionError
    from dilution.study.code_names import code_names
    from dilution.study.prepare import prepare

    if (names := code_names(run)) and not run_code:
        return f"not compared without --run-code: {one_line(', '.join(names))} would be imported"
    try:
        (prepared,) = prepare([run], None if data_root is None else str(data_root))
    except DilutionError as error:
        return f"not found here: {error}"
    same = prepared.fingerprint == run.fingerprint
    return "the files have this content" if same else "the files have another content now"


def _trained(row: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield by which versions, where and how long a run was trained."""
    from dilution.utils.version import code_version

    for name, version in row["versions"].items():
        is_other = name == "dilution" and version != code_version()
        text = one_line(version)
        yield one_line(name), f"{text} (this is {code_version()})" if is_other else text
    for name in ("host", "started", "finished"):
        if row[name]:
            yield name, one_line(row[name])
    for name in ("device", "group_size", "steps_done"):
        if row["result"].get(name) is not None:
            yield name, one_line(str(row["result"][name]))
    if row["result"].get("seconds") is not None:
        yield "seconds", f"{row['result']['seconds']:.3g}"


def _weights(store: Path, key: str) -> Iterable[tuple[str, str]]:
    """Yield the files of the weights of a run, and the Python line that reads them."""
    from dilution.study.weight_files import saved_weights

    for which, path in saved_weights(store, key).items():
        call = f"dilution.load_weights({key!r}, {str(store)!r}, which={which!r})"
        yield which, f"{path} ({path.stat().st_size / 1000:,.0f} kB): {call}"


def _print_pairs(title: str, pairs: Iterable[tuple[str, Any]]) -> None:
    lines = list(pairs)
    if lines:
        typer.echo(f"{title}:\n")
        width = max(len(name) for name, _ in lines)
        for name, value in lines:
            typer.echo(f"  {name:{width}}  {printable(str(value))}")
        typer.echo()


def _print_history(history: list[dict[str, Any]]) -> None:
    if not history:
        typer.echo("No history: the run is not finished, or was imported.\n")
        return
    import pandas as pd

    text = pd.DataFrame(history).to_string(index=False, float_format=lambda x: f"{x:.4g}")
    typer.echo("History:\n\n" + "\n".join(f"  {line}" for line in text.splitlines()) + "\n")


def _comparison(repetition: Repetition) -> str:
    """Return the result of the comparison as text."""
    parts = f"{repetition.measures} measures"
    if repetition.evaluations:
        parts += f" and {repetition.evaluations} evaluations"
    if not repetition.differences:
        return f"Trained again: all bits of {parts} agree."
    lines = [f"Trained again: {len(repetition.differences)} differences in {parts}."]
    for difference in repetition.differences:
        by = "" if difference.largest is None else f", which differ by {difference.largest:.3g}"
        lines.append(f"  {difference.name}: stored {difference.stored}, now {difference.again}{by}")
    return "\n".join(lines)
