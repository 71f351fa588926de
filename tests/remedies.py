"""How a remedy is taken out of a message and applied: cases, and what they share."""

import ast
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution
from photographs import write_class_folders
from stores import DONE, KEYS, RUNS

import dilution as package
from dilution.data import load
from dilution.data.registry import load_unsplit
from dilution.errors import DilutionError
from dilution.study.run_spec import Run
from dilution.study.store import Store

SOURCE = Path(package.__file__).parent
LONG = ("reproduce", "run", "plan", "advise", "benchmark")
STOPPED = 75  # exit code at a time limit: the command was right, and resumes


# --- what a message offers ---


def named(pattern: str, message: str) -> str:
    """Return what the group of a pattern matches in a message."""
    match = re.search(pattern, message)
    assert match is not None, message
    return match[1]


def commands(message: str) -> list[str]:
    """Return the commands in a message: in backticks, or behind a colon at the end of a line."""
    return re.findall(r"`([a-z]+ [^`]+)`", message) or re.findall(r": (dilution .+?)\.?$", message, re.M)


def options(message: str) -> list[str]:
    """Return the options that a message says to add or to give, with their values."""
    return re.findall(r"(?:Add|Give|Give it|or|with|;) (--[a-z][a-z-]*(?: \d[\d.]*\b| advised)?)", message)


def superfluous(message: str) -> list[str]:
    """Return the options that a message says to leave out."""
    return re.findall(r"--[a-z-]+", named(r"(--[\w, -]+? need|Leave (?:out )?--[a-z-]+)", message))


def data_names(message: str) -> list[str]:
    """Return the names of data that a message proposes."""
    names = re.findall(r"(?:: |as | or |[nN]ame |Write )(?=((?:\"[^\"]*\"|[^\s\"])+))", message)
    proposed = [name.rstrip(".,;") for name in names]
    return [name for name in proposed if Path(name.partition("#")[0].strip('"')).exists()]


def hint(message: str) -> str:
    """Return the name that a message proposes for a misspelt one."""
    return named(r"Did you mean '([^']+)'\?", message)


def arguments(message: str) -> list[tuple[str, Any]]:
    """Return the arguments of a function that the remedy of a message names, with their values."""
    start = max(message.rfind(verb) for verb in ("Use ", "Give ", "give ", "; delta=", "order='random'"))
    values = re.findall(r"(\w+)=('[^']*'|\d+\.?\d*\b|True|False)", message[max(start, 0) :])
    return [(name, ast.literal_eval(value)) for name, value in values]


def expressions(message: str) -> list[str]:
    """Return the calls, indexed values and list comprehensions of Python in a message."""
    result: list[str] = []
    end = 0
    for start in re.finditer(r"(?<![\w.\[])(?:[A-Za-z]\w*(?:[.(\[]| - )|\[str)", message):
        if start.start() < end:
            continue
        for stop in reversed([place.end() for place in re.finditer(r"[)\]]|\.train|\.test", message)]):
            text = message[start.start() : stop]
            if len(text) < _LONGEST and _is_expression(text):
                result.append(text)
                end = stop
                break
    return result


_LONGEST = 120


def _is_expression(text: str) -> bool:
    try:
        body = ast.parse(text, mode="eval").body
    except SyntaxError:
        return False
    return isinstance(body, ast.Call | ast.Subscript | ast.ListComp | ast.Attribute | ast.BinOp)


# --- how a remedy is applied ---


def paste(command: str) -> None:
    """Run a command of this program as it is, for a second if it trains."""
    words = shlex.split(command)
    assert words[0] == "dilution", command
    brief = ["--workers", "0"] if words[1] in LONG and "--workers" not in words else []
    brief += ["--time-limit", "1s"] if words[1] in LONG else []
    result = dilution(*words[1:], *brief)
    assert result.exit_code in (0, STOPPED), result.output + repr(result.exception)


def refusal(function: Callable[..., Any], *args: Any, **settings: Any) -> str:
    """Return the message of the error that a call raises."""
    with pytest.raises((DilutionError, IndexError)) as caught:
        function(*args, **settings)
    return str(caught.value)


@dataclass(frozen=True)
class Case:
    """A message and the use of its remedies.

    Parameters
    ----------
    provoke
        Returns the message; it may write files to the current folder.
    apply
        Function of the message that takes its remedies and runs them.
    """

    provoke: Callable[[], str]
    apply: Callable[[str], None]


CASES: dict[str, Case] = {}
MESSAGES: dict[str, str] = {}
"""Messages that this process has provoked."""


def case(name: str, provoke: Callable[[], str], apply: Callable[[str], None]) -> None:
    """Add a case to the table."""
    CASES[name] = Case(provoke, apply)


def case_of_command(
    name: str,
    command: str,
    change_command: Callable[[str, str], list[str]],
    prepare: Callable[[], object] = int,
) -> None:
    """Add a case: a command is refused, and works with the remedy.

    Parameters
    ----------
    name
        Name of the case.
    command
        The command that is refused.
    change_command
        Function of the command and the message that returns the commands to run.
    prepare
        Writes the files that the command needs.
    """

    def provoke() -> str:
        prepare()
        result = dilution(*shlex.split(command)[1:])
        assert result.exit_code in (1, 2), result.output + repr(result.exception)
        return result.output

    def apply(message: str) -> None:
        pasted = change_command(command, message)
        assert pasted, message
        for words in pasted:
            paste(words)

    case(name, provoke, apply)


def pasted_commands(command: str, message: str) -> list[str]:
    return commands(message)


def with_options(command: str, message: str) -> list[str]:
    """Return the command with each option that the message names, in place of the same option."""
    pasted = []
    for option in options(message):
        name = option.split()[0]
        pasted.append(f"{re.sub(rf' {name} [^ ]+', '', command)} {option}")
    return pasted


def without_options(command: str, message: str) -> list[str]:
    for option in superfluous(message):
        command = re.sub(rf" {option} [^ -][^ ]*", "", command)
    return [command]


def with_hint(command: str, message: str) -> list[str]:
    return [command.replace(named(r"'([^']+)' is not", message), hint(message))]


def case_of_call(name: str, function: Callable[..., Any], **settings: Any) -> None:
    """Add a case: a call is refused, and works with each argument that the message names."""

    def apply(message: str) -> None:
        named = [(key, value) for key, value in arguments(message) if (key, value) not in settings.items()]
        assert named, message
        for key, value in named:
            function(**settings | {key: value})

    case(name, lambda: refusal(function, **settings), apply)


def case_of_value(name: str, function: Callable[..., Any], key: str, value: Any, **settings: Any) -> None:
    """Add a case: an argument is refused, and works as the expression in the message makes it."""

    def apply(message: str) -> None:
        scope = {key: value, "torch": torch, "pandas": pd, "numpy": np, "dilution": package}
        remedy = re.split(r"\. (?=[A-Z])", message)[-1]
        values = [eval(call, scope) for call in expressions(remedy) if key in call]
        assert values, message
        for changed in values:
            function(**settings | {key: changed})

    case(name, lambda: refusal(function, **settings | {key: value}), apply)


def case_of_data(
    name: str, write: Callable[[], str], proposed: Callable[[str], list[str]] = data_names
) -> None:
    """Add a case: a name of data is refused, and those that the message proposes can be read.

    Parameters
    ----------
    name
        Name of the case.
    write
        Writes the data and returns the name that is refused.
    proposed
        Function of the message that returns the names that it proposes.
    """

    def apply(message: str) -> None:
        names = proposed(message)
        assert names, message
        for quoted in names:
            (unquoted,) = shlex.split(quoted)
            for pasted in {quoted, unquoted}:  # in Python, and behind a shell
                assert len(load(pasted).train)
                assert len(load_unsplit(pasted).arrays)

    case(name, lambda: refusal(load, write()), apply)


# --- data and models of the cases ---

PIXELS = np.arange(40 * 6 * 6, dtype=np.uint8).reshape(40, 6, 6)
LABELS = np.arange(40) % 2
ROWS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


def table(text: str, name: str = "t.csv", encoding: str = "utf-8") -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(text.encode(encoding))
    return name


def rows(**columns: Callable[[int], object]) -> str:
    """Return a CSV text of 120 rows."""
    lines = [",".join(f'"{name}"' if "," in name else name for name in columns)]
    lines += [",".join(str(value(row)) for value in columns.values()) for row in range(120)]
    return "\n".join(lines) + "\n"


COLUMNS: dict[str, Callable[[int], object]] = {
    "id": lambda row: f"patient-{row}",
    "width": lambda row: f"{ROWS.ravel()[row]:.4f}",
    "one": lambda _: "same",
    "empty": lambda _: "",
    "species of it": lambda row: "ab"[row % 2],
    "weight": lambda row: f"{ROWS.ravel()[-row]:.4f}",
}


def folder_of_splits(*splits: str) -> str:
    for split in splits:
        write_class_folders(Path("my images") / split)
    return "my images"


@cache
def digits() -> Any:
    return load("digits")


def noisy(**settings: Any) -> package.Dilution:
    return package.Dilution(digits().train, n=60, alpha=1, **settings)


def train(**settings: Any) -> None:
    given = {"model": "perceptron", "steps": 1, "n_val": 10, **settings}
    sources = {key: given.pop(key) for key in ("image_source",) if key in given}
    package.train(noisy=noisy(**sources), test=digits().test, **given)


def spec(**settings: Any) -> Run:
    return Run.of(
        **{"dataset": "digits", "n": 100, "model": "perceptron", "alpha": 1.0, "steps": 1} | settings
    )


def store_file(**settings: Any) -> str:
    with Store(Path("my results.sqlite")) as store:
        if settings.get("filled"):
            store.add("short", RUNS)
            with store.writer():
                store.finish({KEYS[0]: DONE}, at="2026-01-01T00:00:00.000+00:00")
    return "my results.sqlite"


def own_estimator() -> None:
    """Write a module with an estimator whose training fails."""
    Path("own_broken.py").write_text(
        "class Broken:\n"
        "    def fit(self, x, y):\n        raise ZeroDivisionError('no fit')\n"
        "    def predict_proba(self, x):\n        return x\n"
        "def broken(shape, classes):\n    return Broken()\n"
    )
