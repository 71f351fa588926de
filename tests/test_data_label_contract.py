"""The rule for labels, alike for every reader: which are missing, which are one class, in which order."""

import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dilution.data import Arrays, DataSet, UnsplitData, from_numpy, load, load_unsplit, write_pack
from dilution.data.class_names import normal_form, sort_names
from dilution.diagnosis.verified_labels import read_verified_labels
from dilution.errors import DilutionError, InputError

Labels = list[Any]
COPIES = 5  # of each label, so that all classes have examples for training and testing
SEMICOLONS: dict[str, Any] = {"sep": ";", "decimal": ",", "encoding": "utf-8-sig"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a folder of its own, where functions of the user are found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def column(labels: Labels) -> "pd.Series[Any]":
    """Return labels as a column of the type that fits them."""
    kinds = {type(label) for label in labels if label is not None}
    dtypes = {str: "string", bool: "boolean", int: "Int64", float: "float64"}
    return pd.Series(labels, dtype=dtypes[kinds.pop() if kinds else str])


def frame(labels: Labels) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(len(labels)), "label": column(labels)})


def rows(labels: Labels) -> Any:
    return np.arange(len(labels), dtype=np.float32)[:, None]


def from_csv(labels: Labels) -> str:
    frame(labels).to_csv("t.csv", index=False)
    return "t.csv"


def from_csv_with_semicolons(labels: Labels) -> str:
    frame(labels).to_csv("t.csv", index=False, **SEMICOLONS)
    return "t.csv"


def from_parquet(labels: Labels) -> str:
    frame(labels).to_parquet("t.parquet")
    return "t.parquet"


def from_parquet_categories(labels: Labels) -> str:
    frame(labels).astype({"label": "category"}).to_parquet("t.parquet")
    return "t.parquet"


def from_npz(labels: Labels) -> str:
    is_text = any(isinstance(label, str) for label in labels)
    missing = "" if is_text else float("nan")
    values = [missing if label is None else label for label in labels]
    np.savez("t.npz", features=rows(labels), labels=np.array(values))
    return "t.npz"


def save_image(path: Path, seed: int) -> None:
    """Save an image that is no copy of another one."""
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def from_folder(labels: Labels) -> str:
    for number, label in enumerate(labels):
        Path("t", str(label)).mkdir(parents=True, exist_ok=True)
        save_image(Path("t", str(label), f"{number:03}.png"), number)
    return "t#16"


def module(body: str) -> str:
    """Write a module of the user and return the name of its function."""
    name = f"own_labels_{zlib.crc32(str((Path.cwd(), body)).encode())}"
    Path(f"{name}.py").write_text(body, "utf-8")
    return f"{name}:f"


def from_function(labels: Labels) -> str:
    return module(
        f"import numpy as np\ninf = np.inf\ny = {labels!r}\n"
        "def f():\n    return np.arange(1.0 * len(y))[:, None], y\n"
    )


def from_torch_dataset(labels: Labels) -> str:
    return module(f"""
import torch
from math import inf
class f(torch.utils.data.Dataset):
    labels = {labels!r}
    def __len__(self):
        return len(self.labels)
    def __getitem__(self, index):
        label = self.labels[index]
        return torch.tensor([1.0 * index]), torch.tensor(label) if isinstance(label, int | float) else label
""")


Reader = Callable[[Labels], DataSet]


def by_name(write: Callable[[Labels], str]) -> Reader:
    """Return the reader of what a function writes; both ways to load the data must agree."""

    def read(labels: Labels) -> DataSet:
        name = write(labels)
        data, unsplit = load(name), load_unsplit(name)
        assert unsplit.arrays.classes == data.train.classes
        assert unsplit.notes[: len(data.notes)] == data.notes
        return data

    return read


def in_memory(convert: Callable[[Labels], Any]) -> Reader:
    return lambda labels: from_numpy(features=rows(labels), labels=convert(labels))


def with_unused_category(labels: Labels) -> "pd.Series[Any]":
    values, unused = column(labels).astype("category"), {bool: [], int: [77], float: [77.0]}
    return values.cat.add_categories(unused.get(type(labels[0]), ["z"]))


def masked(labels: Labels) -> Any:
    present = next((label for label in labels if label is not None), "")
    values = [present if label is None else label for label in labels]
    return np.ma.array(values, mask=[label is None for label in labels])


READERS: dict[str, Reader] = {
    "csv": by_name(from_csv),
    "csv with semicolons": by_name(from_csv_with_semicolons),
    "parquet": by_name(from_parquet),
    "parquet of categories": by_name(from_parquet_categories),
    "npz": by_name(from_npz),
    "folder": by_name(from_folder),
    "function": by_name(from_function),
    "torch dataset": by_name(from_torch_dataset),
    "series": in_memory(column),
    "series of arrow": in_memory(lambda labels: column(labels).convert_dtypes(dtype_backend="pyarrow")),
    "series of objects": in_memory(lambda labels: pd.Series(labels, dtype=object)),
    "frame of one column": in_memory(lambda labels: column(labels).to_frame()),
    "categories": in_memory(with_unused_category),
    "array of objects": in_memory(lambda labels: np.array(labels, dtype=object)),
    "array of shape (n, 1)": in_memory(lambda labels: np.array(labels, dtype=object)[:, None]),
    "masked array": in_memory(masked),
    "arrow": in_memory(pa.array),
    "list": in_memory(list),
}


@dataclass(frozen=True)
class Case:
    """Labels, their names under the rule (None: dropped), the classes in order, and a part of each note."""

    labels: Labels
    names: list[str | None]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def same(*labels: str, notes: tuple[str, ...] = ()) -> Case:
    """Return the case of texts that are classes as they are."""
    return Case(list(labels), list(labels), tuple(sorted(labels)), notes)


DROPPED = "no label and are dropped, the first is"
ALIKE = "look alike or are one number, and are kept apart, such as"
FRACTION = "whole numbers, some with a fraction of 0: '1.0' is read as '1'"
CASES = {
    "leading zeros": same("007", "7", "8", notes=(f"2 classes have names that {ALIKE} '007' and '7'",)),
    "powers of ten": same("1e2", "2e1", "100", notes=(f"2 classes have names that {ALIKE} '100' and '1e2'",)),
    "21 digits": Case(
        ["123456789012345678902", "123456789012345678901", "3"],
        ["123456789012345678902", "123456789012345678901", "3"],
        ("3", "123456789012345678901", "123456789012345678902"),
    ),
    "markers of missing values": same(
        "None", "NA", "nan", "b", notes=("15 labels read 'NA' or 'None' or 'nan', which are classes",)
    ),
    "missing text": Case(["b", None, "a"], ["b", None, "a"], ("a", "b"), (f"5 .*{DROPPED}",)),
    "blank text": Case(["b", "  ", "a"], ["b", None, "a"], ("a", "b"), (f"5 .*{DROPPED}",)),
    "blanks": Case(
        ["a ", "b", "a"], ["a", "b", "a"], ("a", "b"), ("2 spellings of labels are 1 class.*'a '",)
    ),
    "blanks everywhere": Case([" a", "b"], ["a", "b"], ("a", "b"), ("1 class name is written .*' a'",)),
    "forms of Unicode": Case(
        ["cafe\u0301", "caf\u00e9", "b"],
        ["caf\u00e9", "caf\u00e9", "b"],
        ("b", "caf\u00e9"),
        (r"2 spellings of labels are 1 class.*'cafe\\u0301'",),
    ),
    "upper and lower case": same("Cat", "cat", "b", notes=(f"2 classes .*{ALIKE} 'Cat' and 'cat'",)),
    "letters of two scripts": Case(
        ["cat", "\u0441at"], ["cat", "\u0441at"], ("cat", "\u0441at"), (rf"{ALIKE} 'cat' and '\\u0441at'",)
    ),
    "invisible letters": Case(
        ["cat", "cat\u200b"],
        ["cat", "cat\u200b"],
        ("cat", "cat\u200b"),
        (rf"{ALIKE} 'cat' and 'cat\\u200b'",),
    ),
    "signs of two kinds": same("-1", "\u22121", "1", notes=(rf"2 classes .*{ALIKE} '-1' and '\\u22121'",)),
    "dashes of two kinds": same("a-b", "a\u2013b", "c", notes=(rf"{ALIKE} 'a-b' and 'a\\u2013b'",)),
    "apostrophes of two kinds": same(
        "it's", "it\u2019s", "c", notes=(rf"{ALIKE} \"it's\" and 'it\\u2019s'",)
    ),
    "truth values as text": same("TRUE", "true", "no", notes=(f"2 classes .*{ALIKE} 'TRUE' and 'true'",)),
    "numbers from 1": Case([1, 2, 3], ["1", "2", "3"], ("1", "2", "3")),
    "numbers with gaps": Case([10, 2, -1], ["10", "2", "-1"], ("-1", "2", "10")),
    "numbers as text": Case(["10", "2", "-1"], ["10", "2", "-1"], ("-1", "2", "10")),
    "missing numbers": Case([5, None, 3], ["5", None, "3"], ("3", "5"), (f"5 .*{DROPPED}",)),
    "numbers beyond floats": Case(
        [2**53 + 1, 2**53, None],
        [str(2**53 + 1), str(2**53), None],
        (str(2**53), str(2**53 + 1)),
        (f"5 .*{DROPPED}",),
    ),
    "whole floats": Case([1.0, 12.0, 5.0], ["1", "12", "5"], ("1", "5", "12")),
    "floats with gaps": Case([1.0, None, 5.0], ["1", None, "5"], ("1", "5"), (f"5 .*{DROPPED}",)),
    "whole numbers as text of floats": Case(["1.0", "12.0", "1"], ["1", "12", "1"], ("1", "12"), (FRACTION,)),
    "fractions beside text": same("1.0", "2.0", "beta"),
    "truth values": Case([True, False], ["True", "False"], ("False", "True")),
    "missing truth values": Case([True, None, False], ["True", None, "False"], ("False", "True"), (DROPPED,)),
}
UNWRITABLE = {
    "npz": {"missing numbers", "missing truth values", "numbers beyond floats"},  # without Python objects
    "folder": {
        *("missing text", "blank text", "missing numbers", "floats with gaps", "missing truth values"),
        *("numbers beyond floats", "whole floats", "whole numbers as text of floats"),  # a name is no float
    },
}
"""Cases that a reader's files cannot hold."""


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reader", READERS)
def test_labels_have_one_rule_for_every_reader(reader: str, case: str) -> None:
    if case in UNWRITABLE.get(reader, ()):
        pytest.skip("the reader's files cannot hold these labels")
    expected = CASES[case]
    data = READERS[reader](expected.labels * COPIES)
    assert data.train.classes == data.test.classes == expected.classes
    labels = torch.cat([data.train.labels, data.test.labels]).tolist()
    names = [expected.classes[label] for label in labels]
    assert {name: names.count(name) for name in expected.classes} == {
        name: COPIES * expected.names.count(name) for name in expected.classes
    }
    notes = [note for note in data.notes if not note.startswith("column 'x'")]
    if reader == "folder":  # whose notes are about folders
        assert bool(notes) == bool(expected.notes)
        if case == "markers of missing values":
            assert [bool(re.match(*both)) for both in zip(expected.notes, notes, strict=True)] == [True]
        return
    numbers = torch.cat([data.train.images, data.test.images]).flatten().int().tolist()
    assert dict(zip(numbers, names, strict=True)) == {
        row: name for row, name in enumerate(expected.names * COPIES) if name is not None
    }
    if reader.startswith("csv"):  # where all labels are text
        notes = [note for note in notes if "fraction of 0" not in note or isinstance(expected.labels[0], str)]
    assert len(notes) == len(expected.notes)
    assert all(re.search(pattern, note) for pattern, note in zip(expected.notes, notes, strict=True)), notes


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("verify", ["csv", "semicolons", "mapping"])
def test_verified_labels_have_the_rule_of_labels(verify: str, case: str) -> None:
    labels, names, classes = CASES[case].labels, CASES[case].names, CASES[case].classes
    images = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    examples = UnsplitData(Arrays(images, torch.zeros(len(labels), dtype=torch.int64), classes))
    table = pd.DataFrame({"id": range(len(labels)), "verified_label": column(labels)})
    table.to_csv("verified.csv", index=False, **(SEMICOLONS if verify == "semicolons" else {}))
    verified = dict(enumerate(labels)) if verify == "mapping" else "verified.csv"
    found, notes = read_verified_labels(verified, examples)
    assert [None if number < 0 else classes[number] for number in found] == names
    present = [(label, name) for label, name in zip(labels, names, strict=True) if name is not None]
    is_converted = [str(label) != name and not isinstance(label, float) for label, name in present]
    assert bool(notes) >= any(is_converted)


FRACTIONS = [0.5, 1.0, 2.5]
REFUSED: dict[str, tuple[Labels, str]] = {
    "a quantity": (FRACTIONS, r" is (0\.5|0,5|2\.5); labels are classes.*pandas\.cut or numpy\.digitize"),
    "a quantity as text": (["0.5", "1", "2e-1"], r" is (0\.5|2e-1); labels are classes"),
    "infinity": ([0.0, float("inf"), 1.0], " is inf; labels are classes"),
    "no label": ([None, None], "has a label"),
    "one class": (["a", "a"], "at least 2|one class only"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("reader", READERS)
def test_labels_that_are_no_classes_are_refused_by_every_reader(reader: str, case: str) -> None:
    labels, message = REFUSED[case]
    if reader == "folder" and case != "one class":
        pytest.skip("names of folders are text and never missing")
    if case == "no label":
        labels = labels if reader != "npz" else [float("nan")] * 2
    with pytest.raises(DilutionError, match=message) as caught:
        READERS[reader](labels * COPIES)
    assert "\n" not in str(caught.value)


def test_the_remedy_for_a_quantity_works() -> None:
    values = np.linspace(0, 1, 30)
    for labels in (pd.cut(pd.Series(values), 3), np.digitize(values, [0.3, 0.6])):
        assert len(from_numpy(features=rows([0] * 30), labels=labels).train.classes) == 3


WITH_TEST_SPLIT: dict[str, Callable[[], DataSet]] = {
    "arrays": lambda: from_numpy(
        features=rows(TRAIN), labels=TRAIN, test_features=rows(TEST), test_labels=TEST
    ),
    "arrays with classes": lambda: from_numpy(
        *(None, TRAIN), features=rows(TRAIN), test_features=rows(TEST), test_labels=TEST, classes=list("abz")
    ),
    "npz": lambda: load(npz_with_test_split()),
    "unsplit npz": lambda: load_unsplit(npz_with_test_split()),
    "four arrays of a function": lambda: load(
        module(FUNCTION.format("np.ones((4, 1)), a, np.ones((2, 1)), b"))
    ),
    "dict of a function": lambda: load(
        module(
            FUNCTION.format("dict(features=[[1.0]] * 4, labels=a, test_features=[[1.0]] * 2, test_labels=b)")
        )
    ),
    "data set of a function": lambda: load(module(FUNCTION.format("DataSet('d', *splits)"))),
    "folder": lambda: load(folder_with_test_split()),
    "pack": lambda: load(pack_with_test_split()),
    "unsplit folder": lambda: load_unsplit(folder_with_test_split()),
}
TRAIN, TEST = ["a", "b", "a", "b"], ["a", "z"]
FUNCTION = """
import numpy as np, torch
from dilution.data import Arrays, DataSet
a, b = ["a", "b", "a", "b"], ["a", "z"]
def f():
    names, labels = ("a", "b", "z"), ([0, 1], [0, 2])
    splits = [Arrays(torch.zeros(2, 1, 1, 1), torch.tensor(y), names) for y in labels]
    return {}
"""


def npz_with_test_split() -> str:
    np.savez("t.npz", features=rows(TRAIN), labels=TRAIN, test_features=rows(TEST), test_labels=TEST)
    return "t.npz"


def pack_with_test_split() -> str:
    images = torch.arange(6, dtype=torch.uint8)[:, None, None, None]
    splits = [
        Arrays(images[rows], torch.tensor(labels), ("a", "b", "z"))
        for rows, labels in ((slice(4), [0, 1, 0, 1]), (slice(4, 6), [0, 2]))
    ]
    write_pack(Path("t.pack"), *([split] for split in splits))
    return "t.pack"


def folder_with_test_split() -> str:
    for number, name in enumerate(("train/a", "train/b", "test/a", "test/z")):
        Path("t", name).mkdir(parents=True)
        save_image(Path("t", name, "1.png"), number)
    return "t#16"


@pytest.mark.parametrize("way", WITH_TEST_SPLIT)
def test_a_class_in_the_test_split_alone_is_refused_in_every_way(way: str) -> None:
    with pytest.raises(DilutionError, match=r"'z'.*of which .* has no"):
        WITH_TEST_SPLIT[way]()


UNUSED = {
    "Arrays('x')": "Arrays(X[:, :, None, None], torch.arange(9) % 2 * 2 + 1, ('x', 'b', 'y', 'd'))",
    "Arrays": "Arrays(X[:, :, None, None], torch.arange(9) % 2 * 2 + 1)",
    "DataSet": "DataSet('d', *[Arrays(X[:, :, None, None], torch.arange(9) % 2 * 2 + 1)] * 2)",
    "dict": "dict(features=X, labels=torch.arange(9) % 2, classes=['b', 'd', 'x', 'y'])",
    "Dataset": "Items()",
}


@pytest.mark.parametrize("result", UNUSED)
def test_a_class_without_examples_that_a_function_names_is_left_out_with_a_note(result: str) -> None:
    name = module(f"""
import torch
from dilution.data import Arrays, DataSet
class Items(torch.utils.data.Dataset):
    classes = ["b", "d", "x", "y"]
    def __len__(self): return 9
    def __getitem__(self, index): return X[index], index % 2
X = torch.arange(9.0)[:, None]
def f():
    return {UNUSED[result]}
""")
    for data in (load(name).train, load_unsplit(name).arrays):
        assert data.classes == (("1", "3") if result in ("Arrays", "DataSet") else ("b", "d"))
        assert data.labels.unique().tolist() == [0, 1]
    for notes in (load(name).notes, load_unsplit(name).notes):
        first = "'0'" if result in ("Arrays", "DataSet") else "'x'"
        assert f"2 classes have no examples and are left out, the first is {first}" in notes


def test_names_of_a_torch_dataset_that_do_not_fit_are_noted() -> None:
    body = "import torch\nclass f(torch.utils.data.TensorDataset):\n    classes = ['b', 'd']\n"
    name = module(
        f"{body}    def __init__(self): super().__init__(torch.arange(9.0)[:, None], torch.arange(9) % 3)\n"
    )
    assert load(name).train.classes == ("0", "1", "2")
    assert load(name).notes == (
        "the attribute classes of f does not fit the labels and is not used",
        "the test split has no example of class '2': test accuracy does not measure it",
    )


def test_examples_are_named_by_their_rows_where_some_are_dropped() -> None:
    np.savez("t.npz", features=rows([0] * 6), labels=["a", "", "b", "a", "b", " "])
    unsplit = load_unsplit("t.npz")
    assert unsplit.names == ("0", "2", "3", "4")
    assert unsplit.arrays.images.flatten().tolist() == [0, 2, 3, 4]
    assert unsplit.notes == ("2 examples have no label and are dropped, the first is labels[1]",)


def test_an_example_without_an_observed_or_a_test_label_is_dropped_too() -> None:
    data = from_numpy(
        features=rows([0] * 6),
        labels=["a", "b", "a", "b", "a", "c"],
        noisy_labels=["a", "a", None, "b", "b", None],
        test_features=rows([0] * 3) + 0.5,
        test_labels=["a", "b", None],
    )
    assert (data.train.classes, len(data.train), len(data.test)) == (("a", "b"), 4, 2)
    assert data.notes == (
        "2 examples have no label and are dropped, the first is noisy_labels[2]",
        "1 test example has no label and is dropped, the first is test_labels[2]",
    )


def test_labels_of_several_kinds_are_refused() -> None:
    for labels in (["a", 1], [1, True], np.array(["a", 1, None], dtype=object)):
        with pytest.raises(InputError, match=r"hold .* and .*; all must be of one kind"):
            from_numpy(features=rows(list(labels)), labels=labels)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_the_remedy_for_labels_of_several_kinds_keeps_missing_labels_missing(missing: Any) -> None:
    labels = ["a", 1, True, missing] * COPIES
    with pytest.raises(InputError, match=r"labels are of type object and hold .* and ") as caught:
        from_numpy(features=rows(labels), labels=labels)
    remedy = str(caught.value).partition(", with ")[2].partition(", which leaves")[0]
    mended = eval(remedy, {"pandas": pd, "labels": labels})
    data = from_numpy(features=rows(labels), labels=mended)
    assert data.train.classes == ("1", "True", "a")
    assert "5 examples have no label and are dropped" in data.notes[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_floats_of_any_precision_are_labels_where_they_are_exact(dtype: torch.dtype) -> None:
    largest = int(2 / torch.finfo(dtype).eps) - 1
    labels = torch.tensor([largest, largest - 1] * COPIES, dtype=dtype)
    assert from_numpy(features=rows([0] * 10), labels=labels).train.classes == (
        str(largest - 1),
        str(largest),
    )
    with pytest.raises(InputError, match="cannot tell all whole numbers apart"):
        from_numpy(features=rows([0] * 10), labels=labels + 1)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint64"])
def test_integers_of_any_type_are_labels_up_to_the_ends_of_their_range(dtype: str) -> None:
    ends = [np.iinfo(dtype).min, np.iinfo(dtype).max]
    labels = np.array(ends * 100, dtype=dtype)
    assert from_numpy(features=rows([0] * 200), labels=labels).train.classes == tuple(map(str, ends))


BLANKS = st.text(" \t\u00a0\u2003", max_size=2)
TEXTS = st.tuples(BLANKS, st.text("aAe\u0301\u00e9\u0430 07.\u200b", min_size=1, max_size=4), BLANKS)


@given(st.lists(TEXTS.map("".join), min_size=2, max_size=12).map(lambda texts: ["x", "y"] * 6 + texts))
def test_classes_are_the_normal_forms_of_texts_in_order(labels: list[str]) -> None:
    data = from_numpy(features=rows(labels), labels=labels)
    forms = [normal_form(label) for label in labels]
    assert data.train.classes == sort_names(set(forms) - {""})
    numbers = torch.cat([data.train.images, data.test.images]).flatten().int().tolist()
    names = [data.train.classes[label] for label in torch.cat([data.train.labels, data.test.labels]).tolist()]
    assert dict(zip(numbers, names, strict=True)) == {row: form for row, form in enumerate(forms) if form}
    assert ("no label" in " ".join(data.notes)) == ("" in forms)
