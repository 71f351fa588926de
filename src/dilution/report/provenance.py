"""What produced a page: the command, the versions, the machine, and the runs with their times."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dilution.study.recorded_run import TRAINED_BY
from dilution.study.results import other_code_notes, recorded_notes
from dilution.utils.machine import describe_machine
from dilution.utils.version import versions


def made_by(command: str, runs: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return what produced a page, label to value.

    Parameters
    ----------
    command
        The command line, or the Python call.
    runs
        Name of a figure or study → one row per run, as from :func:`dilution.study.results.table`.
    """
    facts = {
        "command": command,
        "page written by": f"dilution {versions()['dilution']}, torch {versions()['torch']}",
        "python": versions()["python"],
        "page written on": describe_machine(),
    }
    for name, table in runs.items():
        ended = table.dropna(subset=["finished", "started"])
        if len(ended):
            facts[f"runs of {name}"] = _describe_runs(ended)
    return facts


def _describe_runs(ended: pd.DataFrame) -> str:
    """Return how many runs there are, how long they took, and which code and devices trained them."""
    end = pd.to_datetime(ended["finished"], format="ISO8601", utc=True)
    own = ended[ended[TRAINED_BY] == ""] if TRAINED_BY in ended else ended
    code = "; ".join([*sorted(set(own["versions"])), *recorded_notes(ended)])
    return (
        f"{len(ended)} runs; {_duration(ended['seconds'].sum())} of training in total; "
        f"{_duration(busy_seconds(ended))} in which one of them or several trained, the last until "
        f"{end.max():%Y-%m-%d %H:%M} UTC; trained by {code}{_gpus(ended)}{_other_code(ended)}"
    )


def busy_seconds(runs: pd.DataFrame) -> float:
    """Return for how long at least one of the runs trained; the time between two sessions does not count.

    Parameters
    ----------
    runs
        One row per run that has ended: ``started``, ``finished``, in ISO 8601.
    """
    runs = runs.reset_index(drop=True)  # tables that were put together repeat their numbers
    start, end = (pd.to_datetime(runs[name], format="ISO8601", utc=True) for name in ("started", "finished"))
    start = start.sort_values()
    end = end[start.index]
    # each run adds what is behind the latest end before it
    before = end.cummax().shift()
    start = start.where(before.isna() | (start > before), before)
    return float((end - start).clip(lower=pd.Timedelta(0)).sum().total_seconds())


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} seconds" if seconds < 120 else f"{seconds / 60:.1f} minutes"


def _gpus(ended: pd.DataFrame) -> str:
    """Return the names of the GPUs that trained, as text; empty without one."""
    gpus = sorted(set(ended["device"].dropna()) - {"cpu"}) if "device" in ended else []
    return f" on {', '.join(gpus)}" if gpus else ""


def _other_code(ended: pd.DataFrame) -> str:
    """Return how many runs were trained by other versions of the code than this one, as text."""
    return "".join(f"; {note}" for note in other_code_notes(ended))


def python_call(name: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """Return a Python call as text, without the arguments that have their default value.

    Parameters
    ----------
    name
        Name under which users call the function.
    function
        The function.
    arguments
        Its arguments by name, as ``locals()`` has them at its start.
    """
    words = []
    for parameter in inspect.signature(function).parameters.values():
        value = arguments[parameter.name]
        if parameter.default is not parameter.empty and value == parameter.default:
            continue
        text = repr(str(value) if isinstance(value, Path) else value)
        positional = parameter.kind is not parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        words.append(text if positional else f"{parameter.name}={text}")
    return f"{name}({', '.join(words)})"
