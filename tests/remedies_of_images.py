"""Remedies in messages on folders of images, packs and arrays."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution
from photographs import photograph, write_class_folders
from remedies import (
    LABELS,
    PIXELS,
    ROWS,
    case,
    case_of_command,
    case_of_data,
    case_of_value,
    commands,
    expressions,
    folder_of_splits,
    named,
    paste,
    refusal,
    with_options,
    without_options,
)
from reviews import label_issues, write_diagnosis, write_table

import dilution as package
from dilution.data import Arrays, from_numpy, load
from dilution.data.registry import load_unsplit
from dilution.study import Execution, run
from dilution.study.run_spec import Run
from dilution.study.store import Store

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
