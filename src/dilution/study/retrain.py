"""A stored run trained again: as Python lines, or in this process with a comparison of the results."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dilution.errors import InputError
from dilution.noise import IMAGE_SOURCES, takes_level
from dilution.study.datasets import Confusabilities, needs_confusability
from dilution.study.measures import CIRCUMSTANCES
from dilution.study.prepare import prepare
from dilution.study.recorded_run import TRAINED_BY
from dilution.study.run_spec import Run
from dilution.study.runner import train_runs, using_threads
from dilution.training.config import TrainConfig
from dilution.utils.printable import one_line

_FINISHED = ("done", "diverged")


@dataclass(frozen=True)
class Difference:
    """A measure or a column of the history that differs between a stored run and its repetition.

    Parameters
    ----------
    name
        Name of the measure; ``history NAME`` for a column of the history.
    stored, again
        Text of the two values; for a column, of the values that differ most.
    largest
        Largest absolute difference; None if the values are not numbers.
    """

    name: str
    stored: str
    again: str
    largest: float | None


@dataclass(frozen=True)
class Repetition:
    """A stored run that was trained again.

    Parameters
    ----------
    evaluations
        Number of evaluations in the stored history; 0 for an imported run.
    measures
        Number of measures that were compared.
    differences
        What differs; empty if all bits agree.
    """

    evaluations: int
    measures: int
    differences: tuple[Difference, ...]


def threads_of(row: Mapping[str, Any]) -> int:
    """Return the number of threads that a stored run was trained with."""
    return int(row["versions"].get("threads", 1))


def device_of(row: Mapping[str, Any]) -> str:
    """Return the device that a stored run was trained on: ``"cpu"`` or ``"cuda"``."""
    return "cpu" if row["result"].get("device", "cpu") == "cpu" else "cuda"


def retrain(row: Mapping[str, Any], root: str | None, confusabilities: Confusabilities) -> Repetition:
    """Train a stored run again, with as many threads and on the same device, and compare the results.

    Parameters
    ----------
    row
        The run, as :meth:`dilution.study.store.Store.row` returns it.
    root
        Folder of downloaded data.
    confusabilities
        Confusabilities that the noise of the run needs.

    Raises
    ------
    InputError
        If the run was recorded from another training loop, is not finished, its custom data or model have
        another content now, or it cannot be trained.
    """
    if TRAINED_BY in row["spec"]:
        raise InputError(
            f"run {row['key']} was trained by {one_line(row['spec'][TRAINED_BY])!r} and recorded; Dilution "
            "does not have its training loop and cannot train it again. Compare its numbers with another run "
            "that was recorded."
        )
    if row["state"] not in _FINISHED:
        raise InputError(
            f"run {row['key']} is {row['state']}; only a finished run can be compared. Run its study first."
        )
    run = Run.of(**row["spec"])
    check_files(run, root)
    with using_threads(threads_of(row)):
        (outcome,) = train_runs([run], root, confusabilities, device_of(row))
    if outcome["state"] == "failed":
        raise InputError(f"run {run.key} cannot be trained again: {outcome['error']}")
    return _compare(row, json.loads(json.dumps(outcome)))


def check_files(run: Run, root: str | None) -> None:
    """Refuse a run whose files have another content now.

    Raises
    ------
    InputError
        If they have.
    """
    (prepared,) = prepare([run], root)
    if prepared.fingerprint != run.fingerprint:
        raise InputError(
            f"the files of run {run.key} have another content now: their SHA-256 is {prepared.fingerprint}, "
            f"and the run was trained on {run.fingerprint}. Restore the files that it names."
        )


def _compare(row: Mapping[str, Any], outcome: Mapping[str, Any]) -> Repetition:
    names = [
        name
        for name in dict.fromkeys([*row["result"], *outcome["result"]])
        if name not in CIRCUMSTANCES and name in row["result"]  # older versions had fewer measures
    ]
    pairs = {name: (row["result"][name], outcome["result"].get(name)) for name in names}
    pairs = {"state": (row["state"], outcome["state"])} | pairs
    if row["history"]:
        pairs |= _history_pairs(row["history"], outcome["history"])
    differences = tuple(
        _difference(name, *values) for name, values in pairs.items() if values[0] != values[1]
    )
    return Repetition(len(row["history"]), len(names), differences)


def _history_pairs(
    stored: list[dict[str, Any]], again: list[dict[str, Any]]
) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return the values of each column of two histories; older versions had fewer columns."""
    return {
        f"history {name}": ([line[name] for line in stored], [line.get(name) for line in again])
        for name in stored[0]
    }


def _difference(name: str, stored: Any, again: Any) -> Difference:
    """Return the difference of two values, which may be lists of equal shape."""
    first, second = list(_flatten(stored)), list(_flatten(again))
    numbers = all(isinstance(value, int | float) for value in (*first, *second))
    if len(first) != len(second) or not numbers:
        return Difference(name, str(stored), str(again), None)
    largest = max(range(len(first)), key=lambda position: abs(first[position] - second[position]))
    difference = abs(first[largest] - second[largest])
    return Difference(name, repr(first[largest]), repr(second[largest]), difference)


def _flatten(value: Any) -> Any:
    if isinstance(value, list):
        for part in value:
            yield from _flatten(part)
    else:
        yield value


def python_lines(row: Mapping[str, Any]) -> str:
    """Return the Python lines that train a stored run again, bit-identically on the same machine.

    Parameters
    ----------
    row
        The run, as :meth:`dilution.study.store.Store.row` returns it.
    """
    run = Run.of(**row["spec"])
    noise = {
        "alpha": run.alpha,
        "eta": run.eta,
        "noise": _noise_call(run),
        "label_mode": repr(run.label_mode) if _needs_label_mode(run) else None,
        "image_source": _image_source(run),
        "n": run.n,
        "stratified": run.stratified or None,
        "seed": run.seed or None,
    }
    training = {
        "test": "data.test",
        "seed": run.seed or None,
        "n_val": run.n_val,
        "device": repr(device_of(row)) if device_of(row) != "cpu" else None,
        **{
            name: repr(value)
            for name, value in changed_settings(run).items()
            if name in TrainConfig.model_fields
        },
    }
    train = f"dilution.data.with_label_file(data.train, {run.labels!r})" if run.labels else "data.train"
    lines = [
        "import torch",
        "import dilution",
        "",
        f"torch.set_num_threads({threads_of(row)})",
        f"data = dilution.load({run.dataset!r})",
    ]
    if needs_confusability(run):
        lines.append("confusable = dilution.confusability(data.train)")
    lines += [
        f"noisy = dilution.Dilution({train}, {_arguments(noise)})",
        f"result = dilution.train({run.model!r}, noisy, {_arguments(training)})",
        "print(result)",
    ]
    return "\n".join(lines)


def changed_settings(run: Run) -> dict[str, Any]:
    """Return the settings of a run that have no default, or another value than the default."""
    values = {name: (getattr(run, name), field.default) for name, field in Run.model_fields.items()}
    return {name: value for name, (value, default) in values.items() if value != default}


def _needs_label_mode(run: Run) -> bool:
    """Return whether the label mode differs from the default of the noise."""
    return run.label_mode == "replaced" and takes_level(run.noise) is not False


def _noise_call(run: Run) -> str | None:
    """Return the call that creates the noise model; None for uniform noise, which is the default."""
    match run.noise:
        case "uniform":
            return None
        case "observed":
            return "dilution.observed()"
        case "matrix":
            return f"dilution.matrix({run.matrix})"
        case "structured":
            confusable = ", confusable" if needs_confusability(run) else ""
            return f"dilution.structured({run.delta}, {run.noise_order!r}{confusable})"
        case _:
            is_custom = takes_level(run.noise) is None
            return f"dilution.noise.noise_named({run.noise!r})" if is_custom else f"dilution.{run.noise}"


def _image_source(run: Run) -> str | None:
    """Return the argument of the image source; None for the default."""
    if run.image_source == "same":
        return None
    if run.image_source in IMAGE_SOURCES:
        return repr(run.image_source)
    return f"dilution.load({run.image_source!r}).train"


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items() if value is not None)
