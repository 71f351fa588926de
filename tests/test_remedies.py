"""A remedy in a message works as it is pasted: each is taken out of the message by code, and run.

A case provokes a message in an empty folder and applies what it says. The last tests read the source:
each text in it with something to paste is the message of a case, or is exempt with a reason.
"""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import STUDY, dilution
from fitted_models import untrained
from photographs import photograph, write_class_folders
from reviewed_tables import noisy_frame, noisy_rows
from reviews import label_issues, write_diagnosis, write_table
from scipy import special as scipy_special
from sklearn.svm import LinearSVC
from stores import DONE, KEYS, RUNS

import dilution as package
from dilution.benchmarking import resolve_methods
from dilution.cli.options import check_outside
from dilution.data import Arrays, UnsplitData, from_numpy, load, read_label_file
from dilution.data.registry import load_unsplit
from dilution.diagnosis.feature_source import FeatureSource, describe_features, note_on_pixels
from dilution.errors import DilutionError
from dilution.fitting.estimator_learner import EstimatorLearner, cannot_save
from dilution.fitting.extractor import Extractor
from dilution.fitting.learner_selection import select_learners
from dilution.fitting.linear_head import LinearHead
from dilution.models import name_model
from dilution.noise import Dilution, canonical_noise
from dilution.study import Execution, Study, run
from dilution.study.prepare import prepare
from dilution.study.run_spec import Run
from dilution.study.statistics import intervals
from dilution.study.store import Store
from dilution.training import TrainConfig, TrainTask, check_model_name, confusability, train_together
from dilution.training.early_stopping import resolve_early_stopping
from dilution.training.evaluation import Normalise
from dilution.training.gradients import compare_gradients
from dilution.training.image_features import EFFICIENTNET, efficientnet_features
from dilution.training.losses import LossContext, resolve_loss
from dilution.training.optimizers import resolve_optimizer
from dilution.utils.output_folder import claim, write_output
from dilution.utils.worker_process import check_importable_script, pickle_setup

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


# --- tables ---

for column, options_of_table in {
    "none is called label": "",
    "an identifier": "#id",
    "of one class": "#one",
    "empty": "#empty",
}.items():
    case_of_data(
        f"the label column is {column}",
        lambda end=options_of_table: table(rows(**COLUMNS), "my data/t.csv") + end,
    )
case_of_data("a column of text has too many values", lambda: table(rows(**COLUMNS)) + '#"species of it"')
case_of_data(
    "a column is misspelt",
    lambda: table(rows(x=COLUMNS["width"], species=COLUMNS["species of it"])) + "#specis",
    lambda message: [f"t.csv#{hint(message)}"],
)


def write_many_problems() -> None:
    frame = pd.DataFrame({"x": range(400), "label": list("ab") * 200})
    frame["day"] = [f"{1 + row % 28}/{1 + row % 12}/{2000 + row % 20}" for row in range(400)]
    for number in range(12):
        frame[f"free text, {number}"] = [f"text {row}" for row in range(400)]
    Path("my data").mkdir(exist_ok=True)
    frame.to_csv("my data/t.csv", index=False)


for ending, words in {
    "": '"my data/t.csv"',
    ", with an option": '"my data/t.csv" --label label',
    ", the label is misspelt": '"my data/t.csv" --label labl',
    ", and the label behind the #": '"my data/t.csv#lable"',
}.items():
    case_of_command(
        f"many columns cannot be features{ending}",
        f"dilution plan {words} --target 0.9 --eta 0.2",
        lambda _, message: re.findall(r"^The whole command: (.+)$", message, re.M),
        write_many_problems,
    )
case_of_data(
    "a decimal mark must be known",
    lambda: table(
        "label;x\n" + "".join(f"{'ab'[k % 2]};{1 + k % 9},{100 + k}\n{'ab'[k % 2]};{k}\n" for k in range(60))
    ),
)
case_of_data(
    "a table may be Windows-1252",
    lambda: table("label,x\n" + "café,1\nthé,2\ncafé,3\nthé,4\n" * 20, "my data/t.csv", "cp1252"),
)
case_of_data(
    "a table has a byte order mark of another encoding",
    lambda: table("\ufefflabel,x\n" + "a,1\nb,2\na,3\nb,4\n" * 20) + "#label,encoding=cp1252",
    lambda message: ["t.csv#label,encoding=cp1252".replace("," + named(r"Leave out (\S+)\.", message), "")],
)
case_of_data(
    "a table is UTF-16 without a byte order mark",
    lambda: table("label,x\n" + "a,1\nb,2\na,3\nb,4\n" * 20, encoding="utf-16-le"),
    lambda message: ["t.csv#" + named(r"Add (encoding=[a-z0-9-]+) behind", message)],
)


def write_table_with_nul() -> str:
    return refusal(load, table("label,x\n" + "a,1\nb,2\0\na,3\nb,4\n" * 20, "my data/t.csv"))


def run_in_shell(message: str) -> None:
    (command,) = commands(message)
    subprocess.run(command, shell=True, check=True)
    assert len(load(shlex.split(command)[-1]).train)


case("a table has a NUL character", write_table_with_nul, run_in_shell)


def noted(write: Callable[[], str]) -> Callable[[], str]:
    return lambda: "\n".join(load(write()).notes)


def follow_note(message: str) -> None:
    (option,) = re.findall(r"(\w+=\w+) behind the #", message)
    assert len(load(f"t.csv#label,{option}").train)


case(
    "a separator of cells is guessed",
    noted(lambda: table("label,x;label\n" + "a,1;a\nb,2;b\na,3;a\nb,4;b\n" * 20)),
    follow_note,
)
case(
    "a decimal mark is guessed",
    noted(
        lambda: table("label,x\n" + "".join(f'{"ab"[k % 2]},"{1 + k % 9},{100 + k}"\n' for k in range(60)))
    ),
    follow_note,
)


def title_above_header() -> str:
    return refusal(
        load,
        table(
            "Survey of 2024,north\n"
            + rows(x=COLUMNS["width"], y=COLUMNS["weight"], label=COLUMNS["species of it"]),
            "my t.csv",
        ),
    )


def cut_in_shell(message: str) -> None:
    (command,) = commands(message)
    subprocess.run(command, shell=True, check=True)
    assert len(load(shlex.split(command)[-1]).train)


case("a title stands above the header", title_above_header, cut_in_shell)
case_of_data(
    "a decimal mark is requested that no cell has",
    lambda: (
        table("label,x\n" + "".join(f'{"ab"[k % 2]},"{k},{10 + k}"\n' for k in range(120)))
        + "#label,decimal=point"
    ),
    lambda message: [
        "t.csv#label,decimal=point".replace(
            "," + named(r"(decimal=\w+) is requested\. Leave that out", message), ""
        )
    ],
)


def parquet_case(name: str, frame: pd.DataFrame, values: dict[str, list[object]] | None = None) -> None:
    """Add a case: a Parquet file is refused, and can be read after the call of pandas in the message.

    Parameters
    ----------
    name
        Name of the case.
    frame
        The table.
    values
        Columns that the call must make, in the order of the rows.
    """

    def provoke() -> str:
        frame.to_parquet("t.parquet")
        return refusal(load, "t.parquet#label")

    def apply(message: str) -> None:
        call = next(call for call in expressions(message) if "frame" in call)
        changed = eval(call, {"pd": pd, "frame": frame.copy()})
        if isinstance(changed, pd.Series):  # of a column
            changed = frame.assign(**{str(changed.name): changed})
        assert changed["x"].tolist() == frame["x"].tolist()
        assert changed["label"].tolist() == frame["label"].tolist()
        for column, expected in (values or {}).items():
            assert changed[column].tolist() == expected
        changed.to_parquet("t.parquet")
        assert len(load("t.parquet#label").train)

    case(name, provoke, apply)


_TWO_CLASSES = pd.DataFrame({"label": ["a", "b"] * 30, "x": ROWS.ravel()[:60]})
_PAIRS = {"pair_0": list(range(60)), "pair_1": list(range(1, 61))}
_OF_PAIRS = _TWO_CLASSES.assign(pair=[[k, k + 1] for k in range(60)])
_ORDERS = {
    "in order": range(60),
    "shuffled": np.random.default_rng(0).permutation(60),
    "joined from two": [*range(30), *range(30)],
}
for order, index in _ORDERS.items():
    parquet_case(f"cells are lists, and rows are {order}", _OF_PAIRS.set_index(pd.Index(index)), _PAIRS)
parquet_case(
    "cells are dictionaries",
    _TWO_CLASSES.assign(pair=[{"a": k} for k in range(60)]).set_index(pd.Index(_ORDERS["shuffled"])),
    {"pair_a": list(range(60))},
)
parquet_case("some cells are lists", _OF_PAIRS.assign(pair=_OF_PAIRS["pair"].where(_OF_PAIRS["x"] > 0)))
parquet_case("cells are bytes", _TWO_CLASSES.assign(colour=[b"red", b"blue", b"red"] * 20))
parquet_case("an index is called as a column is", _TWO_CLASSES.set_index(_TWO_CLASSES["label"]))


def features_of_lists(message: str) -> None:
    (call,) = expressions(message)
    frame = pd.DataFrame({"pair": [[k, k + 1] for k in range(40)]}, index=range(40, 0, -1))
    features = eval(call, {"pd": pd, "frame": frame, "column": "pair"})
    assert frame.join(features)[[0, 1]].to_numpy().tolist() == [[k, k + 1] for k in range(40)]
    assert len(from_numpy(features=features, labels=LABELS).train)


case(
    "features are lists",
    lambda: refusal(
        from_numpy, features=pd.DataFrame({"pair": [[k, k + 1] for k in range(40)]}), labels=LABELS
    ),
    features_of_lists,
)

# --- folders of images, packs and arrays ---

case_of_command(
    "a folder is packed without a size",
    "dilution data pack imgs my.pack --workers 0",
    with_options,
    lambda: write_class_folders(Path("imgs")),
)
case_of_command(
    "a data set by name is packed with a size", "dilution data pack digits my.pack --size 8", without_options
)
case_of_command(
    "a pack has another suffix",
    "dilution data pack digits my.tar",
    lambda command, message: [command.replace("my.tar", named(r"Write to (\S+) instead", message))],
)
case_of_data("a size is no number", lambda: folder_of_splits("") + "#x")
case_of_data("a folder has the train split only", lambda: folder_of_splits("train"))


def folder_in_folder() -> str:
    for name in ("cat", "dog"):
        (Path("my data") / "all" / name).mkdir(parents=True)
        for number in range(5):
            photograph(number).save(Path("my data") / "all" / name / f"{number}.png")
    return "my data"


case_of_data("a folder holds one folder of classes", folder_in_folder)


def too_many_images() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dilution.data.formats.image_folder._MAX_IMAGES", 10)
        return refusal(load, folder_of_splits(""))


def paste_all(message: str) -> None:
    pasted = commands(message)
    assert pasted, message
    for command in pasted:
        paste(command)


def diagnosed_table() -> None:
    write_diagnosis(Path("diagnosis"), "t.csv#species", label_issues(write_table(Path("t.csv"))))
    Path("page.html").write_text("of somebody else")


case_of_command(
    "a page of a review exists", "dilution review --write page.html", with_options, diagnosed_table
)


def diagnosed_function() -> None:
    """Write a function of a user's own, and the diagnosis of its data."""
    Path("own_rows.py").write_text(
        "import dilution, numpy\n"
        "x = numpy.random.default_rng(0).random(size=(12, 3, 4, 4), dtype='float32')\n"
        "def rows():\n"
        "    return dilution.from_numpy(x, [('cat', 'dog', 'owl')[k % 3] for k in range(12)])\n"
    )
    examples = load_unsplit("own_rows:rows")
    write_diagnosis(Path("diagnosis"), "own_rows:rows", label_issues(examples))


case_of_command(
    "a diagnosis names code",
    "dilution review --write page.html",
    lambda _, message: [f"{command} --write page.html" for command in commands(message)],
    diagnosed_function,
)


def show_stored_code(*options: str) -> str:
    """Return what is printed on the data of a stored run, which are a function of the user's own."""
    if not Path("own.sqlite").exists():
        diagnosed_function()
        own = Run.of(dataset="own_rows:rows", n=9, n_val=3, model="mlp1", alpha=1.0, steps=2, n_evals=1)
        execution = Execution(workers=0, progress=False)
        run(package.Study("own", [own]), store="own.sqlite", execution=execution)
    with Store(Path("own.sqlite")) as store:
        (row,) = store.rows()
    printed = dilution("show", "run", row["key"], "--store", "own.sqlite", *options).output
    return "\n".join(line for line in printed.splitlines() if "code" in line or "fingerprint" in line)


def show_with_code(message: str) -> None:
    option = named(r"not compared without (--[a-z-]+)", message)
    assert "the files have this content" in show_stored_code(option)


case("a stored run names code", lambda: show_stored_code("--retrain"), paste_all)
case("the data of a stored run are code", show_stored_code, show_with_code)


def pack_folder(message: str) -> None:
    (command,) = commands(message)
    paste(f"{command} --workers 0")


case("a folder has too many images for memory", too_many_images, pack_folder)
case(
    "more classes than there are",
    lambda: refusal(load, "digits#classes=20"),
    lambda message: load(named(r"Name '([^']+)'", message)) and None,
)
case("a pack does not exist", lambda: refusal(load, "my new.pack"), paste_all)


def folder_named_digits() -> str:
    write_class_folders(Path("digits"))
    return "digits"


case_of_data("a folder has the name of a data set", folder_named_digits)


def images_and_labels(images: Any, labels: Any = LABELS, groups: Any = None) -> Arrays:
    return Arrays(torch.as_tensor(images), torch.from_numpy(labels), ("a", "b"), groups=groups)


case_of_value("images lack channels", images_and_labels, "images", torch.from_numpy(PIXELS))
case_of_value(
    "features are rows", lambda features: images_and_labels(features), "features", torch.from_numpy(ROWS)
)
case_of_value(
    "groups are numbers of another type",
    images_and_labels,
    "groups",
    torch.arange(40.0),
    images=PIXELS[:, None],
)
case_of_value("pixels are integers", from_numpy, "images", PIXELS.astype("int64"), labels=LABELS)
case_of_value("channels come last", from_numpy, "images", np.repeat(PIXELS[..., None], 3, 3), labels=LABELS)
case_of_value("pixels are masked", from_numpy, "images", np.ma.array(PIXELS, mask=PIXELS == 3), labels=LABELS)
case_of_value("features are text", from_numpy, "features", ROWS.astype("str"), labels=LABELS)
case_of_value("labels are one-hot", from_numpy, "labels", np.eye(2, dtype=int)[LABELS], images=PIXELS)
case_of_value("labels are dates", from_numpy, "labels", LABELS.astype("datetime64[D]"), images=PIXELS)
case_of_value("labels are of several kinds", from_numpy, "labels", ["a", 1] * 20, images=PIXELS)
case_of_value(
    "labels are of several kinds, and some are missing",
    *(from_numpy, "labels", [None, "a", 1, "a"] * 10),
    images=PIXELS,
)
case_of_value("labels are complex", from_numpy, "labels", LABELS * (1 + 1j), images=PIXELS)
case_of_value("features are complex", from_numpy, "features", ROWS * (1 + 1j), labels=LABELS)
case_of_value("pixels are truth values", from_numpy, "images", PIXELS > 99, labels=LABELS)


def save_and_load(**arrays: Any) -> None:
    np.savez("a.npz", **arrays)
    load("a.npz")


case_of_value("labels in a file are objects", save_and_load, "labels", LABELS.astype(object), images=PIXELS)


def write_npz(message: str) -> None:
    (call,) = expressions(message)
    eval(call, {"numpy": np, "file": "a.npz", "images": PIXELS, "labels": LABELS})
    assert len(load("a.npz").train)


def bare_array() -> str:
    with Path("a.npz").open("wb") as file:
        np.save(file, PIXELS)
    return refusal(load, "a.npz")


case("a file holds one bare array", bare_array, write_npz)


LABEL_COPY = np.column_stack([np.vstack([ROWS, ROWS + 1]), np.tile(LABELS, 2)])


def without_label_copy(message: str) -> None:
    call = named(r"leave it out with (.+)$", message)
    rest = eval(call, {"numpy": np, "features": LABEL_COPY})
    assert not from_numpy(features=rest, labels=np.tile(LABELS, 2)).notes


case(
    "a feature is the label in other words",
    lambda: "\n".join(from_numpy(features=LABEL_COPY, labels=np.tile(LABELS, 2)).notes),
    without_label_copy,
)


def split_among_classes() -> str:
    folder_of_splits("train")
    write_class_folders(Path("my images"))
    return "my images"


case_of_data("a split stands among classes", split_among_classes)
case_of_value(
    "features are large and close", from_numpy, "features", ROWS.astype(float) / 1e6 + 1e6, labels=LABELS
)


def pandas_rows(features: pd.DataFrame, labels: "pd.Series[int]") -> None:
    from_numpy(features=features, labels=labels)


FRAME, SERIES = pd.DataFrame(ROWS), pd.Series(LABELS).sample(frac=1, random_state=0)


def same_index(message: str) -> None:
    (indexed,) = [call for call in expressions(message) if "[features.index]" in call]
    pandas_rows(FRAME, eval(indexed, {"labels": SERIES, "features": FRAME}))
    (reset,) = re.findall(r"\.reset_index\(.*?\)", message)
    pandas_rows(*(eval(f"value{reset}", {"value": value}) for value in (FRAME, SERIES)))


case("an index is of another order", lambda: refusal(pandas_rows, FRAME, SERIES), same_index)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of data sets that are fetched; nothing is downloaded."""
    names: list[str] = []
    monkeypatch.setattr("dilution.data.fetch", lambda name, _root=None: names.append(name) or [])
    return names


def part_of_cifar() -> str:
    Path("cifar-10-batches-py").mkdir()
    Path("cifar-10-batches-py", "data_batch_1").write_bytes(b"")
    return refusal(load, "cifar10", ".")


def damaged_mnist() -> str:
    for split in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            Path(f"{split}-{kind}-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\0")
    return refusal(load, "mnist", ".")


case("files of MNIST are damaged", damaged_mnist, paste_all)
case("files of CIFAR are missing", part_of_cifar, paste_all)
case(
    "missing files are checked",
    lambda: dilution("data", "check", "mnist", "--data-root", ".").output,
    paste_all,
)
case("missing files are listed", lambda: dilution("list", "datasets", "--data-root", ".").output, paste_all)

# --- noise and training ---

case_of_call(
    "fresh images are exhausted",
    lambda **s: package.Dilution(digits().train, alpha=1, **s),
    image_source="fresh",
)
case_of_call(
    "features meet images as a source",
    lambda **s: package.Dilution(from_numpy(features=ROWS, labels=LABELS).train, alpha=1, **s),
    image_source=digits().train,
)
case_of_call("targets are pooled over other images", train, targets="pooled", image_source="white_noise")
case_of_call("replaced labels have other images", noisy, label_mode="replaced", image_source="white_noise")
case_of_call("delta is outside its range", package.structured, delta=2)
case_of_call("an order needs confusability", package.structured, delta=0.5, order="confusing")


def gradients(image_source: str) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    training = noisy(image_source=image_source)
    compare_gradients(model, Normalise(training.data, training.clean_rows), training)


case_of_call("gradients are compared over other images", gradients, image_source="white_noise")
case_of_call("a run pools the labels of other images", spec, targets="pooled", image_source="white_noise")
case_of_call(
    "a run compares gradients over other images", spec, compare_gradients=True, image_source="white_noise"
)
case_of_call("a run of other noise has a delta", spec, delta=0.5)


def too_few_for_confusability() -> str:
    return refusal(confusability, digits().train.subset(torch.arange(5)))


def apply_order(message: str) -> None:
    for key, value in arguments(message):
        package.Dilution(
            digits().train.subset(torch.arange(5)), alpha=1, noise=package.structured(0.5, **{key: value})
        )


case("images are too few for confusability", too_few_for_confusability, apply_order)


def evaluated(**scope: Any) -> Callable[[str], None]:
    """Return a function that evaluates the expressions of a message."""

    def apply(message: str) -> None:
        calls = [call for call in expressions(message) if call.startswith("dilution.")]
        assert calls, message
        for call in calls:
            eval(call, {"dilution": package, "torch": torch, **scope})

    return apply


case("the data of noise are no arrays", lambda: refusal(package.Dilution, [1], alpha=1), evaluated())
case(
    "noise is no noise model",
    lambda: refusal(package.Dilution, digits().train, alpha=1, noise="symmetric"),
    evaluated(),
)


def noise_of_the_text(message: str) -> None:
    data = digits().train.subset(torch.arange(60))
    call = named(r"Give noise=(dilution\..*)\.$", message)
    noise = eval(call, {"dilution": package, "data": data})
    Dilution(data, alpha=1 if noise.name == "structured" else None, noise=noise)


def own_noise_as_text() -> str:
    Path("own_swap.py").write_text(
        "import dilution\n\ndef make(rate):\n    return dilution.symmetric(rate)\n"
    )
    return refusal(package.Dilution, digits().train, noise="own_swap:make(rate=0.3)")


for text in ("symmetric(rate=0.4)", "structured(delta=1)", "idn(rate=0.4)"):
    case(
        f"noise is the text {text}",
        lambda text=text: refusal(package.Dilution, digits().train, noise=text),
        noise_of_the_text,
    )
case("noise is a text that names a factory", own_noise_as_text, noise_of_the_text)
case(
    "the data of a training have no noise model",
    lambda: refusal(package.train, "mlp1", digits().train, test=digits().test),
    lambda message: evaluated(data=digits())(message),
)
case("the test data are no arrays", lambda: refusal(package.train, "mlp1", noisy(), test=[1]), evaluated())
case(
    "observed labels have no matrix",
    lambda: refusal(package.observed().added, 2, 1.0, 0),
    lambda message: evaluated(
        data=from_numpy(PIXELS, LABELS, noisy_labels=LABELS).train, noise=package.observed()
    )(message),
)


def with_their_labels(pattern: str) -> Callable[[str], None]:
    """Return a function that opens the data that a message names, beside a file of labels."""

    def open_data(message: str) -> None:
        np.save("theirs.npy", digits().train.labels.numpy())
        for name in re.findall(pattern, message):
            load(shlex.split(name)[0])
        assert re.search(pattern, message), message

    return open_data


case(
    "the data have no observed labels",
    lambda: refusal(package.observed().labels, digits().train, 0),
    with_their_labels(r"such as (digits#\S+)\.$"),
)
case(
    "a built-in data set has no such option",
    lambda: refusal(load, "digits#classes=5,labels=theirs.npy"),
    with_their_labels(r"(?:are|,|both:) (digits#\S+?)(?=,? |\.$)"),
)
case(
    "a plan would ignore a file of labels",
    lambda: refusal(package.plan, "digits#labels=theirs.npy", target=0.9, eta=0.2, store="s.sqlite"),
    with_their_labels(r"dilution diagnose (\S+) estimates"),
)


def spoilt_label_file() -> str:
    Path("labels.npy").write_bytes(b"1, 0, 1")
    return refusal(read_label_file, "labels.npy", digits().train)


def save_labels(message: str) -> None:
    labels = digits().train.labels.numpy().astype(float)
    if "astype" in message:
        labels = eval(named(r"(labels\.astype\(int\))", message), {"labels": labels})
        np.save("labels.npy", labels)
    else:
        call = named(r"(numpy\.save\(path, labels\))", message)
        eval(call, {"numpy": np, "path": "labels.npy", "labels": labels.astype(int)})
    assert len(read_label_file("labels.npy", digits().train)) == len(labels)


def labels_of_floats() -> str:
    np.save("labels.npy", digits().train.labels.numpy().astype(float))
    return refusal(read_label_file, "labels.npy", digits().train)


case("a file of labels is damaged", spoilt_label_file, save_labels)
case("a file of labels has floats", labels_of_floats, save_labels)


def other_flips(message: str) -> None:
    call = named(r"(asymmetric\(.*\))\.$", message)
    package.Dilution(digits().train, noise=eval(call, {"asymmetric": package.asymmetric}))


case(
    "a map flips classes that there are not",
    lambda: refusal(package.Dilution, digits().train, noise=package.asymmetric(0.4, "cifar10")),
    other_flips,
)


def other_rate(message: str) -> None:
    package.symmetric(rate=float(named(r"rate=([0-9.]+)\.$", message)))


case("a rate of labels is above 1", lambda: refusal(package.symmetric, 1.5), other_rate)


def named_noise(message: str) -> None:
    assert spec(alpha=None, noise=named(r"noise=\"([^\"]+)\"", message)).noise


case("a noise lacks its rate", lambda: refusal(spec, alpha=None, noise="symmetric"), named_noise)
case(
    "a noise with settings of its own has parameters",
    lambda: refusal(spec, noise="uniform(rate=0.4)"),
    lambda message: spec(noise=named(r"noise='(\w+)' beside alpha", message)),
)


def draw_labels_first(message: str) -> None:
    command = named(r"(dilution data noisy .+), then", message)
    paste(command.replace("DATA", "digits") + " --model perceptron --epochs 1")
    file = named(r"labels=\"([^\"]+)\"", message)
    (prepared,) = prepare([spec(alpha=None, labels=file)], None)
    assert prepared.noise == "observed"


case(
    "noise follows a model",
    lambda: refusal(spec, alpha=None, noise="idn(rate=0.4)"),
    draw_labels_first,
)


def factory_of_no_noise() -> str:
    Path("own_no_noise.py").write_text("def make():\n    return 0.4\n")
    return refusal(prepare, [spec(alpha=None, noise="own_no_noise:make")], None)


case("a factory makes no noise", factory_of_no_noise, evaluated())


def probabilities_of_others() -> str:
    return refusal(package.Dilution, digits().train, noise=package.idn(0.4, [[0.5, 0.5]]))


def predict_probabilities(message: str) -> None:
    data = digits().train.subset(torch.arange(60))
    call = named(r"(dilution\.predicted_probabilities\(data\))", message)
    package.Dilution(data, noise=package.idn(0.4, eval(call, {"dilution": package, "data": data})))


case("probabilities are those of other data", probabilities_of_others, predict_probabilities)


def softmax_of_noise(message: str) -> None:
    logits = np.array([[1.0, 2.0], [0.0, 0.5]])
    call = named(r"(scipy\.special\.softmax\(logits, axis=1\))", message)
    package.idn(0.4, eval(call, {"scipy": SimpleNamespace(special=scipy_special), "logits": logits}))


case(
    "probabilities of noise are logits",
    lambda: refusal(package.idn, 0.4, [[1.0, 2.0], [0.0, 0.5]]),
    softmax_of_noise,
)

# --- studies ---


def study_file(**changes: str) -> None:
    text = STUDY
    for old, new in changes.items():
        text = text.replace(old, new)
    Path("study.toml").write_text(text)


case_of_command("there is no store", "dilution status --store 'my results.sqlite'", pasted_commands)
case_of_command(
    "a store has no study", "dilution report --store 'my results.sqlite'", pasted_commands, store_file
)
case_of_command(
    "a store has no figure",
    "dilution claims 'my results.sqlite'",
    pasted_commands,
    lambda: store_file(filled=True),
)
case_of_command(
    "a key is unknown",
    "dilution show run zzz --store 'my results.sqlite'",
    pasted_commands,
    lambda: store_file(filled=True),
)
case_of_command(
    "runs fail",
    "dilution run study.toml --workers 0 --store 'my results.sqlite'",
    pasted_commands,
    lambda: (
        own_estimator(),
        study_file(perceptron="own_broken:broken", **{'targets = "pooled"\nsteps = 2\n': ""}),
    ),
)
case_of_command(
    "runs of a pilot fail",
    "dilution plan digits --target 0.9 --alpha 1 --model own_broken:broken --workers 0 --store 'my.sqlite'",
    pasted_commands,
    own_estimator,
)
case_of_command(
    "a recipe sets what is compared",
    "dilution run study.toml --recipe advised --workers 0",
    without_options,
    lambda: study_file(**{"alpha = [0.0, 1.0]": "lr = [0.1, 0.2]", "steps = 2": "steps = 2\nalpha = 1.0"}),
)
case_of_command(
    "a recipe is given to a search", "dilution reproduce fig9 --recipe advised --workers 0", without_options
)
case_of_command(
    "a study is misspelt",
    "dilution export runs.csv --study shrt --store 'my results.sqlite'",
    with_hint,
    lambda: store_file(filled=True),
)


ESTIMATE = "dilution reproduce fig1 --preset paper --estimate-for h200"
case(
    "models train in float32 on a GPU",
    lambda: dilution(*shlex.split(ESTIMATE)[1:]).output,
    lambda message: paste(" ".join([ESTIMATE, named(r"\((--precision bfloat16)\)", message)])),
)


def foreign_files() -> None:
    store_file(filled=True)
    for name in ("README.md", "runs.csv"):
        Path(name).write_text("mine")


for words in ("report --out .", "export runs.csv"):
    case_of_command(
        f"{words.split()[0]} would replace a file",
        f"dilution {words} --store 'my results.sqlite'",
        with_options,
        foreign_files,
    )
case_of_command("a data set is misspelt", "dilution data pack digtis my.pack", with_hint)


DOUBTFUL = "--pred-probs probs.npy --n-bootstrap 20 --workers 0 --out 'my results'"


def doubtful_files() -> None:
    """Write a table and images with held-out probabilities, so that nothing trains."""
    pred_probs, labels, _ = noisy_rows(n=240)
    noisy_frame(labels).to_csv("table.csv", index=False)
    np.savez("doubtful.npz", images=digits().train.images[:240].numpy(), labels=labels)
    np.save("probs.npy", pred_probs)


def edited_issues() -> None:
    doubtful_files()
    Path("my results").mkdir()
    Path("my results/label_issues.csv").write_text("id,verified_label,remark\nrow 2,ant,mine\n")


def with_verified(command: str, message: str) -> list[str]:
    option = named(r"Add (--verified '.*?'):", message)
    return [f"{command} {option}", f"{command} {named(r'or (--overwrite) to lose', message)}"]


case_of_command(
    "label issues were edited", f"dilution diagnose table.csv {DOUBTFUL}", with_verified, edited_issues
)


def unused_answers() -> str:
    doubtful_files()
    Path("my results").mkdir()
    Path("my results/verified_labels.csv").write_text("id,verified_label\nrow 2,ant\n")
    return dilution("diagnose", "table.csv", *shlex.split(DOUBTFUL)).output


def use_answers(message: str) -> None:
    option = named(r"add (--verified '.*?')", message)
    paste(f"dilution diagnose table.csv {DOUBTFUL} {option}")


case("answers of a review are not used", unused_answers, use_answers)


def cleaned_with_too_much_confidence() -> str:
    doubtful_files()
    command = f"diagnose table.csv {DOUBTFUL} --clean relabel --confidence 0.9999999"
    return dilution(*shlex.split(command)).output


def clean_with_confidence(message: str) -> None:
    option = named(r"Give (--confidence [\d.]+)", message)
    output = dilution(*shlex.split(f"diagnose table.csv {DOUBTFUL} --clean relabel {option}")).output
    assert re.search(r"^[1-9]\d* of 240 labels replaced", output, re.M), output


case("a confidence is too high to clean", cleaned_with_too_much_confidence, clean_with_confidence)
case_of_command(
    "a confidence is named without a policy",
    f"dilution diagnose table.csv {DOUBTFUL} --confidence 0.8",
    lambda command, message: [f"{command} {named(r'Add (--clean drop)', message)}"],
    doubtful_files,
)
case_of_command(
    "columns of images are to be shown",
    f"dilution diagnose doubtful.npz {DOUBTFUL} --columns all",
    without_options,
    doubtful_files,
)


def contradicting_stores() -> None:
    for name, accuracy in (("a.sqlite", 0.5), ("b.sqlite", 0.6)):
        with Store(Path(name)) as store:
            store.add("short", RUNS)
            with store.writer():
                store.finish(
                    {KEYS[0]: DONE | {"result": {"test_acc_last": accuracy}}},
                    at="2026-01-01T00:00:00.000+00:00",
                )


case_of_command(
    "stores contradict each other", "dilution merge a.sqlite b.sqlite", with_options, contradicting_stores
)


def many_labels() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("dilution.advice.advise"), "_MAX_LABELS", 1600)
        return dilution(*shlex.split("advise digits --alpha 9 --n 300 --model perceptron --workers 0")).output


def with_fewer_labels(message: str) -> None:
    command = "dilution advise digits --alpha 9 --n 300 --model perceptron"
    assert len(options(message)) == 2, message
    for pasted in with_options(command, message):
        paste(f"{pasted} --epochs 1")


case("advice counts too many labels", many_labels, with_fewer_labels)
PILOT = "dilution plan digits --target 0.9 --alpha 1 --pilot-n 250 --max-runs 20 --model perceptron"


def poor_pilot() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("dilution.planning.plan"), "_SIGNIFICANT", 1e6)
        return dilution(*shlex.split(f"{PILOT} --workers 0")[1:]).output


def repeat_pilot(message: str) -> None:
    assert len(options(message)) == 2, message
    for pasted in with_options(PILOT, message):
        paste(pasted)


case("a pilot learns nothing", poor_pilot, repeat_pilot)
COPIED = "dilution plan t.csv --target 0.9 --alpha 1 --max-runs 20 --model perceptron"


def pilot_of_copies() -> str:
    size = np.random.default_rng(0).normal(size=600).round(6)
    rows = pd.DataFrame({"size": size, "label": np.where(size > 0, "a", "b")})
    pd.concat([rows] * 3).to_csv("t.csv", index=False)
    return dilution(*shlex.split(f"{COPIED} --workers 0")[1:]).output


def with_fewer_copies(message: str) -> None:
    assert len(options(message)) == 1, message
    for pasted in with_options(COPIED, message):
        paste(pasted)
    (expression,) = expressions(message[message.rindex(". Give") :])
    eval(expression, {"rows": pd.read_csv("t.csv")}).to_csv("t.csv", index=False)
    paste(COPIED)


case("a pilot has many copies", pilot_of_copies, with_fewer_copies)


def misplaced() -> str:
    study_file()
    return refusal(run, "study.toml", workers=0)


def pass_execution(message: str) -> None:
    (argument,) = re.findall(r"execution=(dilution\.Execution\(.*?\))\.", message)
    assert len(run("study.toml", execution=eval(argument, {"dilution": package}))) == 4


case("a setting of the execution is misplaced", misplaced, pass_execution)


def repeated_rows() -> pd.DataFrame:
    return pd.DataFrame({"alpha": [0.0, 0.0], "seed": [0, 0], "test_acc_last": 0.5})


def remove_repeated(message: str) -> None:
    (call,) = [call for call in expressions(message) if call.startswith("table.")]
    intervals(eval(call, {"table": repeated_rows()}), by=["alpha"], value="test_acc_last")


case(
    "a run occurs twice in a table",
    lambda: refusal(intervals, repeated_rows(), by=["alpha"], value="test_acc_last"),
    remove_repeated,
)


def without_address(message: str) -> None:
    assert named(r"Leave the (\w+) out", message) in Execution.__dataclass_fields__
    Execution()


case("an address comes without Ray", lambda: refusal(Execution, address="auto"), without_address)
if not torch.cuda.is_available():
    case_of_call("there is no GPU", lambda **s: package.Execution(**s), device="cuda")


def on_ray(function: Callable[[], str]) -> Callable[[], str]:
    def provoke() -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dilution.study.execution.find_spec", lambda name: SimpleNamespace(name=name))
            return function()

    return provoke


def use_execution(message: str) -> None:
    values = re.findall(r"executor='(\w+)'|or '(\w+)'", message[message.rfind(";") :])
    assert values, message
    for value in filter(None, (word for words in values for word in words)):
        assert Execution(executor=value, workers=0).executor == value


case("Ray has no workers", on_ray(lambda: refusal(Execution, executor="ray", workers=0)), use_execution)
case(
    "labels are diagnosed on Ray",
    on_ray(lambda: refusal(package.diagnose, "digits", execution=Execution(executor="ray"))),
    use_execution,
)


def show_traceback(message: str) -> None:
    (command,) = commands(message)
    process = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    assert "ZeroDivisionError" in process.stderr


def module_that_raises() -> str:
    Path("own_wrong.py").write_text("1 / 0\n")
    return refusal(load, "own_wrong:data")


case("a module raises as it is imported", module_that_raises, show_traceback)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, svg_alone: None) -> None:
    """Change to an empty folder, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


# --- fitted models ---


def fitted_to_table(cells: str = "1,5", name: str = "own.csv") -> Any:
    """Return a model for a table with a column of numbers."""
    return untrained(load_unsplit(table("x;label\n" + f"{cells};a\n2;b\n" * 4, name)).arrays)


def predict_proposals(message: str) -> None:
    fitted_to_table("1.5").save("model.dilution")
    names = re.findall(r"\S+#decimal=\w+", message)
    assert names, message
    for name in names:
        paste(f"dilution predict model.dilution {name}")


def new_points() -> str:
    return refusal(fitted_to_table("1,5").predict, table("x\n1.5\n2.5\n"))


def new_thousands() -> str:
    return refusal(fitted_to_table("3").predict, table("x\n'1,234'\n".replace("'", '"')))


case("new numbers have another decimal mark", new_points, predict_proposals)
case("new numbers may have either decimal mark", new_thousands, predict_proposals)


def replace_marks(message: str) -> None:
    frame = pd.DataFrame({"x": ["1,234"]})
    calls = [call for call in expressions(message) if call.startswith("frame.replace")]
    assert len(calls) == 2, message
    for call in calls:
        fitted_to_table("3").predict(eval(call, {"frame": frame}))


case(
    "new numbers of a DataFrame may have either decimal mark",
    lambda: refusal(fitted_to_table("3").predict, pd.DataFrame({"x": ["1,234"]})),
    replace_marks,
)


def file_of_others(save: str) -> Callable[[], str]:
    def provoke() -> str:
        Path("own.pt2").write_text("mine")
        return refusal(getattr(fitted_to_table(), save), "own.pt2")

    return provoke


def overwrite(save: str) -> Callable[[str], None]:
    def apply(message: str) -> None:
        (setting,) = re.findall(r"(\w+)=True", message)
        getattr(fitted_to_table(), save)("own.pt2", **{setting: True})

    return apply


case("a model would replace a file", file_of_others("save"), overwrite("save"))
case("an export would replace a file", file_of_others("export"), overwrite("export"))
case(
    "an export has another extension",
    lambda: refusal(fitted_to_table().export, "own.onnx"),
    lambda message: fitted_to_table().export(named(r"Pass (\S+)\.", message)) and None,
)


def own_network(shape: Any, classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0], classes))


def model_of_own(name: str) -> Callable[[], str]:
    def provoke() -> str:
        Path("own_net.py").write_text(
            "from torch import nn\n"
            "def small(shape, classes):\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], classes))\n"
        )
        model = fitted_to_table()
        member = package.fitting.Network(own_network(model.shape, 2), model.members[0].normalise)
        replace(model, model=name, members=[member]).save("own.dilution")
        return refusal(package.load_model, "own.dilution")

    return provoke


def name_network(message: str) -> None:
    evaluated(function=own_network)(message)
    for option in re.findall(r"--model \w+:\w+", message):
        paste(f"dilution predict own.dilution own.csv {option}")


case("a model in a file is one of the user's own", model_of_own("own_net:small"), name_network)
case("a model in a file has no name to import", model_of_own("Small"), name_network)


def npz_of_models() -> str:
    np.savez("own.npz", pixels=PIXELS)
    return refusal(untrained(digits().train).predict, "own.npz")


def write_images(message: str) -> None:
    scope = {"numpy": np, "file": "other.npz", "images": digits().test.images.numpy()}
    for call in expressions(message):
        eval(call, scope | ({"file": "other.npy"} if ".save(" in call else {}))
    for file in ("other.npy", "other.npz"):
        assert len(untrained(digits().train).predict(file)) == len(digits().test)


case("a file of arrays has no images", npz_of_models, write_images)


# --- data and models of a program ---


def softmax_of(logits: Any) -> Callable[[str], None]:
    """Return the function that makes probabilities of logits as a message says, and diagnoses with them."""

    def apply(message: str) -> None:
        (remedy,) = re.findall(r"scipy[.]special[.]softmax[(][^)]*[)]", message)
        values = eval(remedy, {"scipy": SimpleNamespace(special=scipy_special), "logits": logits})
        execution = Execution(workers=0, progress=False)
        package.diagnose((ROWS, LABELS), pred_probs=values, n_bootstrap=20, execution=execution)

    return apply


def diagnosed_with(pred_probs: Any) -> Callable[[], str]:
    return lambda: refusal(package.diagnose, (ROWS, LABELS), pred_probs=pred_probs)


LOGITS = np.random.default_rng(5).normal(size=(40, 2))
case("pred_probs are logits", diagnosed_with(LOGITS), softmax_of(LOGITS))
case("pred_probs do not sum to 1", diagnosed_with(abs(LOGITS)), softmax_of(LOGITS))


def calibrated(message: str) -> None:
    (remedy,) = re.findall(r"sklearn[.]calibration[.]CalibratedClassifierCV[(]model[)]", message)
    scope = {
        "sklearn": SimpleNamespace(calibration=import_module("sklearn.calibration")),
        "model": LinearSVC(),
    }
    assert name_model(eval(remedy, scope))


def without_parameters(message: str) -> None:
    assert check_model_name(named(r"Give model='(\w+)'", message)) == "conv4"


def outside(message: str) -> None:
    out = Path(named(r"Give --out (\S+)[.]$", message))
    check_outside(out, "./photos")
    assert not out.exists()


def results_in_data() -> str:
    write_class_folders(Path("photos"), 1)
    return refusal(check_outside, Path("photos/results"), "./photos")


def claimed_by_plan() -> str:
    claim("results", ["index.html"], command="plan")
    write_output(Path("results/index.html"), b"a plan")
    return refusal(claim, "results", ["index.html"], command="diagnose")


def overwritten(message: str) -> None:
    ((name, value),) = arguments(message)
    claim("results", ["index.html"], command="diagnose", **{name: value})


def kept_trees(message: str) -> None:
    model = named(r"Use model='([\w:]+)'", message)
    (learner,) = select_learners(model, table_rows().arrays, None, "cpu")
    assert learner.name == model
    assert "joblib.dump(dilution.fit(" in message


def passed_classifier(message: str) -> None:
    __import__("sklearn.neighbors")
    model = eval(named(r"model=(sklearn[\w.]+[(][)])", message), {"sklearn": sys.modules["sklearn"]})
    (learner,) = select_learners(model, table_rows().arrays, None, "cpu")
    assert isinstance(learner, EstimatorLearner)


case(
    "a built-in model has parameters", lambda: refusal(check_model_name, "conv4(width=3)"), without_parameters
)
case("results would be in the folder of images", results_in_data, outside)
case("a folder has the page of another command", claimed_by_plan, overwritten)
case(
    "no file holds a classifier",
    lambda: cannot_save("m:f"),
    kept_trees,
)
case(
    "fit knows other classifiers by name",
    lambda: refusal(select_learners, "sklearn:knn", table_rows().arrays, None, "cpu"),
    passed_classifier,
)
case("a classifier has no probabilities", lambda: refusal(name_model, LinearSVC()), calibrated)


def four_channels() -> UnsplitData:
    return UnsplitData(Arrays(torch.zeros(8, 4, 20, 20, dtype=torch.uint8), torch.arange(8) % 2))


def table_rows() -> UnsplitData:
    return UnsplitData(Arrays(torch.zeros(8, 3, 1, 1), torch.arange(8) % 2))


def no_features(examples: Callable[[], UnsplitData], features: Any) -> Callable[[], str]:
    return lambda: refusal(FeatureSource(features, trains_here=True).find, "data", examples())


def without_features(examples: Callable[[], UnsplitData]) -> Callable[[str], None]:
    def apply(message: str) -> None:
        assert "--features (features=) out" in message
        assert FeatureSource(None, trains_here=True).find("data", examples())[0] is None

    return apply


def features_off(message: str) -> None:
    given = named(r"--features (\w+)", message)
    assert named(r"features='(\w+)'", message) == given
    assert FeatureSource(given, trains_here=True).find("data", four_channels()) == (None, ())


def of_photographs(given: str | None, **settings: bool) -> tuple[Any, tuple[str, ...]]:
    images = torch.randint(256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    examples = UnsplitData(Arrays(images, torch.arange(8) % 2))
    return FeatureSource(given, trains_here=False, **settings).find("data", examples)


def features_on(message: str) -> None:
    given = named(r"--features ([\w-]+)", message)
    assert named(r"features='([\w-]+)'", message) == given
    found, _ = of_photographs(given)
    assert found is not None
    assert len(found.values) == 8


def note_of_pixels() -> str:
    images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    (note,) = note_on_pixels(Arrays(images, torch.arange(8) % 2), takes_features=True)
    return note


def saved_features(message: str) -> None:
    remedy = named(r"Write it with (numpy[.]save[(]file, features[)])", message)
    eval(remedy, {"numpy": np, "file": "features.npy", "features": np.ones((8, 2))})
    found, _ = FeatureSource("features.npy", trains_here=True).find("data", four_channels())
    assert found is not None


def text_file() -> str:
    Path("features.npy").write_text("1,2")
    return no_features(four_channels, "features.npy")()


case("features of rows of a table", no_features(table_rows, len), without_features(table_rows))
case(
    "features of four channels",
    lambda: refusal(efficientnet_features, np.zeros((1, 4, 20, 20), np.uint8)),
    without_features(four_channels),
)
case("features are the default", lambda: describe_features(EFFICIENTNET)[0], features_off)
case(
    "a loss is named for photographs",
    lambda: of_photographs(None, names_loss=True)[1][0],
    features_on,
)
case("pixels of few photographs are learned", lambda: note_of_pixels(), features_on)
case("features are no .npy file", no_features(four_channels, Path("features.csv")), saved_features)
case("a .npy file of features is damaged", text_file, saved_features)


# --- fitting ---

SMALL_FIT = {"n_bootstrap": 2, "folds": 2, "execution": Execution(workers=0, progress=False)}


def fit_rows(n: int = 40, **settings: Any) -> None:
    package.fit((ROWS[:n], LABELS[:n]), **(SMALL_FIT | {"model": "sklearn:forest"} | settings))


def fit_digits(**settings: Any) -> None:
    data = digits().train.subset(torch.arange(60))
    small = replace(data, images=data.images[:, :, ::2, ::2])  # too small for a convolutional network
    package.fit(small, method="plain", **SMALL_FIT, **settings)


def fit_by_method(message: str) -> None:
    true = np.arange(160) % 2
    features = true[:, None] + np.random.default_rng(0).normal(0, 0.1, (160, 2))
    labels = np.where(np.arange(160) % 5 == 0, 1 - true, true)
    package.fit((features, labels), model="sklearn:logistic", **dict(arguments(message)), **SMALL_FIT)


def diverging_recipe() -> str:
    Path("r.toml").write_text("[recipe]\nlr = 1e30\n")
    return refusal(fit_rows, model="mlp1", method="plain", recipe="r.toml")


def classifier_of(labels: Any) -> Any:
    settings = {"method": "plain", "model": "sklearn:forest", "folds": 2, "n_bootstrap": 2, "random_state": 0}
    return package.NoisyLabelClassifier(**settings).fit(ROWS, labels)


DAYS = LABELS.astype("datetime64[D]")


def save_with_text(message: str) -> None:
    remedy = named(r"Fit the classifier to (\S+)\.$", message)
    assert classifier_of(eval(remedy, {"y": DAYS})).save("text.dilution").exists()


case_of_call("a method needs more examples", fit_rows, n=3, method="prune", model="sklearn:forest")
case_of_call("a method is of no use here", fit_rows, method="forward", model="sklearn:forest")
case_of_call("trees are asked for images", fit_digits, model="sklearn:forest")
case_of_call("trees are given a loss of networks", fit_rows, method="plain", loss="gce")
case("a loss needs a noise that is unknown", lambda: refusal(fit_rows, loss="forward"), fit_by_method)


def select_for_many_classes(model: str) -> None:
    classes = tuple(map(str, range(501)))
    rows = Arrays(torch.zeros(1002, 3, 1, 1), torch.arange(1002) % 501, classes)
    select_learners(model, rows, None, "cpu")


case_of_call("trees are asked for many classes", select_for_many_classes, model="sklearn:forest")
case(
    "a network diverges in a fit",
    diverging_recipe,
    lambda message: fit_rows(model="mlp1", method="plain", **dict(arguments(message))),
)
case("classes are days", lambda: refusal(classifier_of(DAYS).save, "days.dilution"), save_with_text)
case(
    "a model in a file is no classifier",
    lambda: refusal(package.NoisyLabelClassifier.load, untrained(digits().train).save("model.dilution")),
    evaluated(),
)


def features_of_own(name: str) -> Callable[[], str]:
    """Return a function that saves a model of features by a function of that name, and reads it."""

    def provoke() -> str:
        Path("mean_colours.py").write_text("def mean(images):\n    return images.mean(axis=(2, 3))\n")
        head = LinearHead(np.ones((3, 2)), np.zeros(2), np.array(False))
        extractor = Extractor(name, own_colours, 3)
        shape = (3, 8, 8)
        package.fitting.FittedModel("head", shape, torch.uint8, ("a", "b"), [head], extractor=extractor).save(
            "own.dilution"
        )
        np.save("new.npy", np.zeros((2, *shape), dtype=np.uint8))
        return refusal(package.load_model, "own.dilution")

    return provoke


def own_colours(images: Any) -> Any:
    return images.mean(axis=(2, 3))


def name_features(message: str) -> None:
    evaluated(function=own_colours)(message)
    for option in re.findall(r"--features \w+:\w+", message):
        paste(f"dilution predict own.dilution new.npy {option}")


case("features of a model are by a module of yours", features_of_own("mean_colours:mean"), name_features)
case("features of a model are by a function of yours", features_of_own("mean"), name_features)


# --- the rest ---

case(
    "labels of other images are counted",
    lambda: refusal(noisy(image_source="white_noise").histogram, torch.arange(3)),
    lambda message: train(image_source="white_noise", **dict(arguments(message))),
)


def take_index(message: str) -> None:
    (index,) = expressions(message)
    assert len(noisy().labels(eval(index, {"torch": torch}))) == 10


case("an index is no tensor", lambda: refusal(noisy().labels, "all"), take_index)


def copies_of_images() -> str:
    data = digits().train.subset(torch.arange(12))
    return refusal(
        confusability,
        Arrays(data.images, data.labels, data.classes, groups=torch.zeros(12, dtype=torch.int64)),
    )


case("images are too few beside copies", copies_of_images, apply_order)


def script_from_standard_input() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", SimpleNamespace(__file__="<stdin>", __spec__=None))
        return refusal(check_importable_script)


def run_without_workers(message: str) -> None:
    study_file()
    (execution,) = {call for call in expressions(message) if call.startswith("Execution")}
    assert len(run("study.toml", execution=eval(execution, {"Execution": Execution}))) == 4
    for option in re.findall(r"--workers 0", message):
        paste(f"dilution run study.toml --store other.sqlite {option}")


case("a script comes from standard input", script_from_standard_input, run_without_workers)
case(
    "a model cannot be sent to workers", lambda: refusal(pickle_setup, lambda: None, ()), run_without_workers
)


def failed_before() -> str:
    own_estimator()
    study_file(perceptron="own_broken:broken", **{'targets = "pooled"\nsteps = 2\n': ""})
    results = [dilution("run", "study.toml", "--workers", "0") for _ in range(2)]
    assert [result.exit_code for result in results] == [1, 1]
    return results[1].output


def retry_failed(message: str) -> None:
    (option,) = options(message)
    result = dilution("run", "study.toml", "--workers", "0", option)
    assert result.exit_code == 1  # they fail again
    assert "4 failed" in dilution("status").output


case("runs have failed before", failed_before, retry_failed)


# --- benchmarks ---

case_of_command(
    "a benchmark with one seed has no intervals",
    "dilution benchmark digits --methods gce --noises alpha-5 --seeds 1",
    with_options,
)

UNTRAINABLE = """
from pathlib import Path

from torch import nn


class Network(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))

    def forward(self, images):
        assert len(images) == 2 or Path("mended").exists(), "not mended"
        return super().forward(images)
"""


def benchmark_of_own_network(*more: str) -> Any:
    words = (
        "--noises",
        "alpha-5",
        "--seeds",
        "2",
        "--model",
        "own_network_to_mend:Network",
        "--workers",
        "0",
    )
    return dilution("benchmark", "digits", "--methods", "cross_entropy", *words, *more)


def benchmark_that_fails() -> str:
    Path("own_network_to_mend.py").write_text(UNTRAINABLE, "utf-8")
    result = benchmark_of_own_network()
    assert result.exit_code == 2, result.output
    return result.output


def mend_and_retry(message: str) -> None:
    Path("mended").touch()
    (option,) = options(message)
    result = benchmark_of_own_network(option)
    assert result.exit_code == 0, result.output


case("no run of a benchmark has finished", benchmark_that_fails, mend_and_retry)
case(
    "a method is neither a name nor settings",
    lambda: refusal(resolve_methods, {"mine": 3}),
    lambda message: check_resolved(
        resolve_methods({"mine": ast.literal_eval(named(r"such as (\{.*\})", message))})
    ),
)


def check_resolved(methods: list[Any]) -> None:
    assert [method.name for method in methods] == ["cross_entropy", "mine"]


def start_alone() -> str:
    # test_training_distributed trains in two processes; here they only must be started together
    Path("my script.py").write_text("import os\nassert os.environ['WORLD_SIZE'] == '2'\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", SimpleNamespace(__file__="my script.py"))
        return refusal(train, parallel=True)


def start_together(message: str) -> None:
    (command,) = commands(message)
    launcher = f"{shlex.quote(sys.executable)} -m torch.distributed.run --standalone"  # on any port
    subprocess.run(
        command.replace("torchrun", launcher), shell=True, check=True, timeout=120, capture_output=True
    )


case("processes are not started together", start_alone, start_together)
case(
    "a time limit is reached",
    lambda: dilution(*shlex.split("reproduce fig1 --workers 0 --time-limit 1s")).output,
    lambda message: [paste(command) for command in re.findall(r"Resume: (.*)", message)].index(None),
)


TWO_CLASSES = LossContext(("a", "b"), 10, np.eye(2), takes_weights=True, device=torch.device("cpu"))
SINGULAR = "backward(T=[[0.5, 0.5], [0.5, 0.5]])"


def with_transition() -> str:
    data = load("digits")
    noisy = Dilution(data.train, 1, n=50)
    task = TrainTask("mlp1", noisy, data.test, 0, 5, TrainConfig(loss="gce"), transition=torch.eye(10))
    return refusal(train_together, [task])


def mean_loss() -> str:
    Path("own_mean.py").write_text(
        "import torch\n\nclass Loss(torch.nn.CrossEntropyLoss):\n    linear = True\n", "utf-8"
    )
    return refusal(resolve_loss("own_mean:Loss").check, TWO_CLASSES)


def without_mean(message: str) -> None:
    argument = named(r"give (reduction='none')", message)
    resolve_loss(f"own_mean:Loss({argument})").check(TWO_CLASSES)


def one_label_loss() -> str:
    Path("own_loss.py").write_text("def make():\n    return lambda logits, labels: logits[:, 0]\n", "utf-8")
    return refusal(resolve_loss("own_loss:make").check, TWO_CLASSES)


def set_loss(message: str) -> None:
    settings = dict(arguments(message))
    assert settings, message
    TrainConfig(**settings)


def name_loss(message: str) -> None:
    for text in re.findall(r"'(gce[^']*)'", message.partition("such as")[2]):
        resolve_loss(text)


case("a loss needs the inverse of T", lambda: refusal(resolve_loss(SINGULAR).check, TWO_CLASSES), set_loss)
case("a loss has no parameters", lambda: refusal(resolve_loss, "mae(q=1)"), set_loss)


def name_noise(noise: str) -> None:
    canonical_noise(noise)


case_of_call("a noise has no parameters", name_noise, noise="observed(rate=0.4)")
case("a loss is no name", lambda: refusal(resolve_loss, 3), name_loss)
case("a parameter of a loss has no name", lambda: refusal(resolve_loss, "gce(0.3)"), name_loss)
case("a loss of one label gets several", one_label_loss, set_loss)
case("a loss is a mean", mean_loss, without_mean)
case("a loss and a transition matrix are given", with_transition, set_loss)
case_of_call("a strategy has a loss with a memory", TrainConfig, strategy="co_teaching", loss="elr")
case_of_call("a strategy has a loss of its own", TrainConfig, strategy="divide_mix", loss="gce")
case_of_call("a ramp is longer than the training", train, strategy="co_teaching")
case_of_call("a warm-up is longer than the training", train, strategy="divide_mix")


# --- optimizers, early stopping, saved weights ---

case_of_call(
    "a weight decay is given twice",
    TrainConfig,
    optimizer="torch.optim:SGD(weight_decay=0.1)",
    weight_decay=0.2,
)


def decays(weight_decay: float) -> None:
    resolve_optimizer("torch.optim:Rprop").check(weight_decay)


case_of_call("an optimizer has no weight decay", decays, weight_decay=0.1)


def train_on_weights(early_stopping: str) -> None:
    data = load("digits")
    config = TrainConfig(targets="pooled", steps=1, early_stopping=early_stopping)
    task = TrainTask("mlp1", Dilution(data.train, 1, n=50), data.test, 0, 5, config)
    train_together([replace(task, label_weights=torch.full((len(data.train), 10), 0.1))])


case_of_call("nothing is held out for early stopping", train_on_weights, early_stopping="noisy_val")

SAVED = {"dataset": "digits", "n": 50, "alpha": 1.0, "model": "mlp1", "steps": 2, "n_evals": 1}


def saved_key(store: str, **settings: Any) -> str:
    """Return the key of a run that is trained in a store, with weights or without."""
    execution = Execution(workers=0, progress=False, **settings)
    table = package.run(Study.of("saved", [Run.of(**SAVED)]), store=store, execution=execution)
    return str(table["key"].item())


def save_weights(message: str) -> None:
    """Run the study in another store in both ways that the message names."""
    execution = eval(named(r"(Execution\(.*\))", message), {"Execution": Execution})
    key = saved_key("other.sqlite", save_weights=execution.save_weights)
    assert package.load_weights(key, "other.sqlite").run.key == key
    lines = [f"{name} = {value!r}" for name, value in SAVED.items()]
    Path("saved.toml").write_text("\n".join(["[base]", *lines]), "utf-8")
    option = named(r"with (--save-weights best)", message).split()
    ended = dilution("run", "saved.toml", *option, "--store", "third.sqlite", "--workers", 0)
    assert ended.exit_code == 0, ended.output
    assert package.load_weights(key, "third.sqlite").run.key == key


def other_weights(message: str) -> None:
    ((name, value),) = [(key, value) for key, value in re.findall(r"(which)='(\w+)'", message)]
    package.load_weights(saved_key("s.sqlite"), "s.sqlite", **{name: value})


def weights_of_own_network() -> str:
    Path("own_saved.py").write_text(
        "from torch import nn\n\n\ndef net(shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))\n",
        "utf-8",
    )
    execution = Execution(workers=0, progress=False, save_weights="best")
    study = Study.of("own", [Run.of(**SAVED | {"model": "own_saved:net"})])
    table = package.run(study, store="s.sqlite", execution=execution)
    return refusal(package.load_weights, table["key"].item(), "s.sqlite")


def load_own_network(message: str) -> None:
    (call,) = expressions(message)
    assert eval(call, {"dilution": package}).run.model == "own_saved:net"


case(
    "no weights of a run were saved",
    lambda: refusal(package.load_weights, saved_key("s.sqlite"), "s.sqlite"),
    save_weights,
)
case(
    "other weights of a run were saved",
    lambda: refusal(package.load_weights, saved_key("s.sqlite", save_weights="last"), "s.sqlite"),
    other_weights,
)
case("the saved model of a run is one's own", weights_of_own_network, load_own_network)


def stop_sooner(message: str) -> None:
    rule = resolve_early_stopping("noisy_val")
    assert not rule.never_stops(240, int(named(r"n_evals=(\d+)", message)))
    sooner = resolve_early_stopping(named(r"or (noisy_val\(patience=\d+\))", message))
    assert not sooner.never_stops(240, 6)


case("no training stops early", lambda: resolve_early_stopping("noisy_val").never_stops(240, 6), stop_sooner)
case_of_call("a schedule has no drops", TrainConfig, schedule="step(drops=[])")

# --- results of studies for others ---


def added_run() -> str:
    """Return the key of a stored run with added labels."""
    store_file(filled=True)
    return KEYS[3]


case_of_command(
    "a run has several labels per image",
    f"dilution show run {KEYS[3]} --store 'my results.sqlite' --labels 'my labels.npy'",
    lambda command, message: [
        command.replace("my labels.npy", named(r"Write to (.*\.npz) instead", message))
    ],
    added_run,
)
for option, given in {"--labels": "gce", "--width": "3feet"}.items():
    case_of_command(
        f"a figure is given {option} {given}",
        f"dilution report --store 'my results.sqlite' {option} {given}",
        lambda command, message, option=option: [
            re.sub(rf"{option} \S+$", lambda _: value, command)  # noqa: B023
            for value in re.findall(rf"({option} (?:'[^']*'|[\d.]+[a-z]+))", message)
        ],
        lambda: store_file(filled=True),
    )

COMPARED = pd.DataFrame(
    [
        {"loss": loss, "lr": lr, "seed": seed, "state": "done", "test_acc_last": 0.5 + lr + 0.01 * seed}
        for loss in ("gce", "mae")
        for lr in (0.1, 0.2)
        for seed in range(3)
    ]
)
case_of_call("decimals of a table are negative", package.latex_table, table=COMPARED, decimals=-1)
case_of_call("rows of a table are a list", package.latex_table, table=COMPARED, rows=["loss"])
case_of_call("differences between seeds", package.differences, table=COMPARED, by="seed")
case_of_call("no named setting varies", package.differences, table=COMPARED[COMPARED["loss"] == "gce"])
APART = COMPARED[(COMPARED["loss"] == "gce") == (COMPARED["lr"] == 0.1)]


def compare_apart(message: str) -> None:
    compared = eval(
        named(r"Use (dilution\.compare\(.*\))\.$", message), {"dilution": package, "table": APART}
    )
    assert len(compared.pairs) == 3


case("no two runs are a pair", lambda: refusal(package.differences, APART, "loss"), compare_apart)


COUNTS = [[30.0, 10.0], [5.0, 15.0]]


def to_probabilities(message: str) -> None:
    changed = eval(named(r"with (T / .*)\.$", message), {"T": np.array(COUNTS)})
    package.transition(changed)


case("a noise matrix has counts", lambda: refusal(package.transition, COUNTS), to_probabilities)


def take_the_loss_of_the_label(message: str) -> None:
    scope = {"losses": torch.zeros(4, 3), "labels": torch.tensor([0, 2, 1, 0])}
    assert eval(named(r"that of the label: (.*)\.$", message), scope).shape == (4,)


def lose_every_class(module: str = "loses_every_class") -> str:
    Path(f"{module}.py").write_text(
        "def factory():\n    return lambda logits, labels: -logits.log_softmax(dim=1)\n"
    )
    data = package.load("digits")
    noisy = package.Dilution(data.train, alpha=0, n=40)
    return refusal(package.train, "mlp1", noisy, test=data.test, loss=f"{module}:factory", steps=1)


case("a loss has a value per class", lose_every_class, take_the_loss_of_the_label)


def name_columns(message: str) -> None:
    columns = ast.literal_eval(named(r"columns=(\[.*\])", message))
    assert "toprule" in package.latex_table(COMPARED, rows="loss", columns=columns)


case(
    "runs differ in more than a table shows",
    lambda: refusal(package.latex_table, COMPARED, rows="loss", columns=[]),
    name_columns,
)
RECORDED: dict[str, Any] = {
    "store": "recorded.sqlite",
    "settings": {"dataset": "digits", "model": "mine", "n": 100},
    "measures": {"test_acc_last": 0.5},
    "trained_by": "my loop",
}
case_of_call("a recorded run is of a figure", package.record, study="fig1/digits", **RECORDED)


def record_with(settings: dict[str, Any], **arguments: Any) -> None:
    """Record a run with an argument in place of the setting of its name."""
    settings = {key: value for key, value in settings.items() if key not in arguments}
    package.record(**RECORDED | {"study": "mine", "settings": settings} | arguments)


case_of_call(
    "the seed of a recorded run is among its settings",
    record_with,
    settings={**RECORDED["settings"], "seed": 3},
)
case_of_value(
    "a history is a data frame",
    package.record,
    "history",
    pd.DataFrame({"step": [1, 2], "test_acc": [0.1, 0.2]}),
    study="mine",
    **RECORDED,
)


SLOW = {
    "answers of a review are not used",
    "a stored run names code",
    "the data of a stored run are code",
    "label issues were edited",
    "a confidence is named without a policy",
    "columns of images are to be shown",
    "a folder has too many images for memory",
    "a pilot has many copies",
    "a pilot learns nothing",
    "a recipe is given to a search",
    "a store has no figure",
    "a store has no study",
    "advice counts too many labels",
    "runs fail",
    "runs of a pilot fail",
    "there is no store",
    "a time limit is reached",
    "an export has another extension",
    "an export would replace a file",
    "processes are not started together",
}
"""Cases that train, or start processes."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.trains] if name in SLOW else []) for name in CASES]
)
@pytest.mark.usefixtures("fetched")
def test_a_remedy_works_as_it_is_pasted(name: str) -> None:
    MESSAGES[name] = CASES[name].provoke()
    CASES[name].apply(MESSAGES[name])


# --- the source ---

NO_PASTE = re.compile(
    r"(?:another(?: with)?|other|fewer|smaller|file with|copy with|has it with) --[a-z-]+"
    r"(?: or DILUTION_DATA)?|--store names a file"
)
"""Options whose values only the user knows."""

PASTED_VALUE = re.compile(r"shown_path|name_with|with_suffix|shlex|inner_root|remedies")
"""Values in a text that are written to be pasted."""

PASTE = re.compile(
    r"`(?:dilution|tr|torchrun|python|ray|pip) |: (?:dilution|pip) [a-z]|(?<![\w-])--[a-z]"
    r"|\b\w+=(?:['\"\d\[(]|True|False|utf|\{)|\S#[\w{]|\w\.\w+\(|\w\[:|\[str\(|Did you mean"
    r"|\{[^}]*(?:" + PASTED_VALUE.pattern + r")|execution="
)
"""What can be pasted, in a text whose values are written as in an f-string."""


@dataclass(frozen=True)
class Text:
    """A text of the source that may become a part of a message.

    Parameters
    ----------
    place
        Module and function.
    source
        The text, its values as in an f-string.
    parts
        The text without its values: what stands before, between and behind them.
    """

    place: str
    source: str
    parts: tuple[str, ...]

    def is_in(self, message: str) -> bool:
        """Return whether a message has the parts one behind the other."""
        end = 0
        for part in self.parts:
            start = message.find(part, end)
            if start < 0:
                return False
            end = start + len(part)
        return True


def texts(path: Path) -> list[Text]:
    """Return the texts in a module that are neither documentation nor help."""
    module = ast.parse(path.read_text("utf-8"))

    def visit(node: ast.AST, place: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            place = f"{place}.{node.name}"
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).startswith("typer.")
            and "echo" not in ast.unparse(node.func)
        ):
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        if isinstance(node, ast.JoinedStr):
            found.append(Text(place, *_parts(node.values)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(Text(place, node.value, _fixed(node.value)))
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Name | ast.expr_context | ast.operator):
                continue  # most of the nodes, and without texts
            if not isinstance(node, ast.JoinedStr):
                visit(child, place)
            elif isinstance(child, ast.FormattedValue):
                visit(child.value, place)

    found: list[Text] = []
    visit(module, path.relative_to(SOURCE).with_suffix("").as_posix())
    return found


def _fixed(text: str) -> tuple[str, ...]:
    """Return the parts of a text in which names in braces are filled in later."""
    return tuple(re.split(r"\{[a-z_]+\}", text))


def _parts(values: list[ast.expr]) -> tuple[str, tuple[str, ...]]:
    source, parts = "", [""]
    for value in values:
        if isinstance(value, ast.Constant):
            source += str(value.value)
            first, *others = _fixed(str(value.value))
            parts = [*parts[:-1], parts[-1] + first, *others]
        else:
            assert isinstance(value, ast.FormattedValue)
            code = ast.unparse(value.value)
            source += "{" + (code if PASTED_VALUE.search(code) else "") + "}"
            parts.append("")
    return source, tuple(parts)


def remedies() -> list[Text]:
    """Return the texts of the source that hold something to paste."""
    return [
        text
        for path in sorted(SOURCE.rglob("*.py"))
        for text in texts(path)
        if PASTE.search(NO_PASTE.sub("", text.source)) and " " in text.source
    ]


EXEMPT: dict[str, str] = {
    "use it with --recipe": "a page, no message",
    "torchvision.transforms.ToTensor()": "torchvision is not installed with this package",
    "Give --dataset cifar10n/worse": "a data set that its licence forbids to download for the user",
    "pip install": "needs a package index",
    "pip install --upgrade": "needs a package index",
    "ray.shutdown()": "needs Ray",
    "ray start": "needs Ray",
    "torch.no_grad()": "says what a model must not do",
    "default_rng(seed), made in the method": "part of a method that tests/test_noise_own_noise.py has",
    "NoiseSummary(": "a repr",
    "structured(delta=": "a repr",
    ", include_true=True": "a repr",
    ", spread={}": "a repr",
    ", shared=True": "a repr",
    "dilution.data.with_label_file(data.train": "code that tests/test_study_noise_settings.py reads",
    "AccuracyLaw(": "a repr",
    "CrossValidation({}, loss=": "a repr",
    "NoiseFit(noise_rate=": "a repr",
    "PooledFit(noise_rate=": "a repr",
    "TrainTask(": "a repr",
    "With parameters: gce(q=0.3)": "a list, no message",
    "With parameters: symmetric(rate=0.4)": "a list, no message",
    "alpha or eta, delta, noise_order=": "a list, no message",
    "such as torch.optim:RMSprop(alpha=0.9)": "a list, no message",
    "dilution.load_weights({}, {}, which=": "code that tests/test_study_saved_weights.py runs",
    "With parameters: co_teaching(": "a list, no message",
    "--zoom": "a style sheet",
    "stroke-width": "a style sheet",
    "confusable = dilution.confusability": "code that tests/test_cli_show_run.py runs",
    "noise='structured' needs a delta": "says which setting is missing; its value is the user's",
    "noise_order goes with noise='structured'": "says which setting is missing; its value is the user's",
    "noise='matrix' needs a matrix": "says which setting is missing; its value is the user's",
    "a matrix goes with noise='matrix'": "says which setting the one received belongs to",
    "without its rows of seeds": "needs trials in a table of an earlier version",
    "with --retry-failed": "needs a worker that the system kills",
    "workers=0: this process": "needs a worker that the system kills",
    "as it started, often": "needs a worker that the system kills",
    "could not be set up": "needs a worker that cannot start",
    "a task called sys.exit": "a defect of a task, no remedy",
}
"""Texts that no case provokes: a part of the text, and the reason."""


@pytest.mark.trains
def test_each_remedy_in_the_source_has_a_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: list[str]
) -> None:
    messages = []
    for number, (name, remedied) in enumerate(CASES.items()):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        monkeypatch.setattr(sys, "path", [str(tmp_path / str(number)), *sys.path])
        messages.append(MESSAGES.get(name) or remedied.provoke())
    without = [text for text in remedies() if not any(text.is_in(message) for message in messages)]
    unexplained = [
        f"{text.place}: {text.source}" for text in without if not any(part in text.source for part in EXEMPT)
    ]
    assert not unexplained, "\n".join(unexplained)
    sources = [text.source for text in without]
    superfluous = [part for part in EXEMPT if not any(part in source for source in sources)]
    assert not superfluous, "\n".join(superfluous)


# --- proposals ---


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("split", ["val", "test", "valid", "validation", "Test"])
def test_no_message_proposes_the_test_split_for_training(split: str, *, beside: bool) -> None:
    root = folder_of_splits(split)
    if beside:
        write_class_folders(Path(root))
    assert data_names(refusal(load, root)) == []


@pytest.mark.parametrize(
    ("key", "proposed"),
    [
        ("train_labels", "labels"),
        ("train_images", "images"),
        ("training_features", "features"),
        ("label", "labels"),
        ("the_labels", "labels"),
        ("test_label", "test_labels"),
        ("tst_images", "test_images"),
        ("testlabels", "test_labels"),
        ("val_labels", "test_labels"),
        ("x_test", None),
        ("y_train", None),
    ],
)
def test_a_misspelt_key_is_taken_for_one_of_the_same_split(key: str, proposed: str | None) -> None:
    np.savez("a.npz", **{"images": PIXELS, "labels": LABELS, key: LABELS})
    message = refusal(load, "a.npz")
    assert hint(message) == proposed if proposed else "Did you mean" not in message


@pytest.mark.parametrize(
    "options_of_table", ["#widht", "#wieght", "#idd", "#emty", "#label,drop=specis,drop=lable"]
)
def test_no_message_proposes_a_column_that_is_no_label(options_of_table: str) -> None:
    table(rows(**COLUMNS | {"label": COLUMNS["species of it"]}))
    assert "Did you mean 'label'" not in (message := refusal(load, f"t.csv{options_of_table}"))
    if "drop" not in options_of_table:
        assert "Did you mean" not in message


def test_no_column_is_proposed_where_none_can_be_the_label() -> None:
    numbers = {name: COLUMNS[name] for name in ("id", "width", "weight")}
    assert data_names(refusal(load, table(rows(**numbers)))) == []
    lone = {"kind": lambda row: "a" if row else "b", "width": COLUMNS["width"]}
    assert data_names(refusal(load, table(rows(**lone)))) == []  # a class of one example is no class to learn
