"""A remedy in a message works as it is pasted: each is taken out of the message by code, and run.

A case provokes a message in an empty folder and applies what it says. The last tests read the source:
each text in it with something to paste is the message of a case, or is exempt with a reason.
"""

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import remedies_of_images  # noqa: F401
import remedies_of_models  # noqa: F401
import remedies_of_programs  # noqa: F401
import remedies_of_results  # noqa: F401
import remedies_of_studies  # noqa: F401
import remedies_of_tables  # noqa: F401
import remedies_of_training  # noqa: F401
from photographs import write_class_folders
from remedies import (
    CASES,
    COLUMNS,
    LABELS,
    MESSAGES,
    PIXELS,
    SOURCE,
    data_names,
    folder_of_splits,
    hint,
    refusal,
    rows,
    table,
)

from dilution.data import load


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, svg_alone: None) -> None:
    """Change to an empty folder, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of data sets that are fetched; nothing is downloaded."""
    names: list[str] = []
    monkeypatch.setattr("dilution.data.fetch", lambda name, _root=None: names.append(name) or [])
    return names


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
def test_a_remedy_works_as_it_is_pasted(name: str, tmp_path: Path) -> None:
    try:
        MESSAGES[name] = CASES[name].provoke()
        CASES[name].apply(MESSAGES[name])
    finally:
        forget_modules_of(tmp_path)


def forget_modules_of(folder: Path) -> None:
    """Take the modules that were imported from a folder out of this process, as its end would."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


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
    "importlib.import_module({": "code that tests/test_models_model_objects.py runs",
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
    "such as pilot_alphas=[2, 5]": "code that tests/test_wrong_types.py runs",
    "it must be a list of runs, such as": "code that tests/test_wrong_types.py runs",
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
        forget_modules_of(tmp_path)  # cases have modules of the same name
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
