"""One data argument: the same examples in every form have the same labels, classes, positions and ids."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

import dilution
from dilution.data import Arrays, UnsplitData, open_examples
from dilution.errors import InputError

N = 24
UNLABELLED = 5
FRAME = pd.DataFrame(
    {
        "x": np.random.default_rng(0).normal(size=N).astype(np.float32),
        "y": np.random.default_rng(1).normal(size=N).astype(np.float32),
        "verdict": [None if k == UNLABELLED else "cat" if k % 3 else "dog" for k in range(N)],
        "patient": [f"p{k}" for k in range(N)],
    }
)
X, LABELS, IDS = FRAME[["x", "y"]].to_numpy().copy(), FRAME["verdict"].tolist(), FRAME["patient"].tolist()


class Items(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return N

    def __getitem__(self, k: int) -> tuple[torch.Tensor, Any]:
        return torch.from_numpy(X[k]), LABELS[k]


class Methods:
    """The methods of a map-style Dataset, without its base class."""

    __len__, __getitem__ = Items.__len__, Items.__getitem__


class HuggingFace:
    """A stand-in for ``datasets.Dataset``: features by name, rows and columns by index."""

    def __init__(self, columns: dict[str, list[Any]], **features: Any) -> None:
        self._columns = columns
        self.column_names = list(columns)
        self.features = {name: features.get(name, SimpleNamespace()) for name in columns}

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, key: Any) -> Any:
        return self._columns[key] if isinstance(key, str) else {k: v[key] for k, v in self._columns.items()}

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame(self._columns)


CLASS_LABEL = SimpleNamespace(names=["cat", "dog"])
NUMBERS = [CLASS_LABEL.names.index(label) if isinstance(label, str) else -1 for label in LABELS]
IN_COLUMNS = {"label": "verdict", "ids": "patient"}


def hugging_face() -> HuggingFace:
    columns = {name: FRAME[name].tolist() for name in FRAME}
    return HuggingFace(columns | {"verdict": NUMBERS}, verdict=CLASS_LABEL)


def csv_file() -> str:
    FRAME.to_csv("t.csv", index=False)
    return "t.csv"


def parquet_file() -> Path:
    FRAME.to_parquet("t.parquet")
    return Path("t.parquet")


FORMS: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "csv": lambda: (csv_file(), IN_COLUMNS),
    "csv with options": lambda: (f"{csv_file()}#verdict", {"ids": "patient"}),
    "parquet": lambda: (parquet_file(), IN_COLUMNS),
    "DataFrame": lambda: (FRAME, IN_COLUMNS),
    "categories": lambda: (FRAME.astype({"verdict": "category"}), IN_COLUMNS),
    "pyarrow": lambda: (pa.Table.from_pandas(FRAME), IN_COLUMNS),
    "DataFrame and Series": lambda: ((FRAME[["x", "y"]], FRAME["verdict"]), {"ids": IDS}),
    "DataFrame with index": lambda: (FRAME.set_index("patient"), {"label": "verdict"}),
    "arrays": lambda: ((X, np.array(LABELS, dtype=object)), {"ids": IDS}),
    "tensor and list": lambda: ((torch.from_numpy(X), LABELS), {"ids": np.array(IDS)}),
    "dict": lambda: ({"features": X, "labels": LABELS}, {"ids": IDS}),
    "torch Dataset": lambda: (Items(), {"ids": IDS}),
    "methods of a Dataset": lambda: (Methods(), {"ids": IDS}),
    "Hugging Face": lambda: (hugging_face(), IN_COLUMNS),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_gives_the_same_examples(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, columns = FORMS[form]()
    examples = open_examples(data, **columns)
    kept = [k for k in range(N) if k != UNLABELLED]
    assert examples.arrays.classes == ("cat", "dog")
    assert [examples.arrays.classes[k] for k in examples.arrays.labels] == [LABELS[k] for k in kept]
    assert examples.positions.tolist() == kept
    assert examples.names == tuple(IDS[k] for k in kept)
    np.testing.assert_allclose(examples.arrays.images[:, :, 0, 0].numpy(), X[kept], atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.arange(12) % 3, ("0", "1", "2")),
        (np.arange(12) % 2 == 0, ("False", "True")),
        (pd.Categorical(["u", "v"] * 6), ("u", "v")),
        (["u", "v"] * 6, ("u", "v")),
    ],
)
def test_labels_may_be_of_any_kind(labels, classes):
    features = np.random.default_rng(0).normal(size=(12, 2))
    assert open_examples((features, labels)).arrays.classes == classes
    frame = pd.DataFrame(features, columns=["a", "b"]).assign(label=labels)
    assert open_examples(frame).arrays.classes == classes


def test_a_dilution_brings_its_labels_and_the_true_ones():
    noisy = dilution.Dilution(dilution.load("digits").train, eta=0.3, label_mode="replaced", n=200)
    arrays = open_examples(noisy).arrays
    index = torch.arange(len(noisy))
    assert torch.equal(arrays.observed, noisy.labels(index))
    assert torch.equal(arrays.labels, noisy.true_labels(index))
    assert torch.equal(arrays.images, noisy.images(index))


def test_two_columns_of_labels_are_true_and_observed_ones():
    frame = FRAME.dropna().assign(noisy=["cat", "dog"] * 11 + ["cat"])
    by_column = open_examples(frame, label="verdict", noisy_label="noisy", ids="patient").arrays
    pair = open_examples((frame[["x", "y"]], frame["verdict"]), noisy_label=frame["noisy"]).arrays
    for arrays in (by_column, pair):
        assert [arrays.classes[k] for k in arrays.observed] == frame["noisy"].tolist()
        assert [arrays.classes[k] for k in arrays.labels] == frame["verdict"].tolist()


def test_images_of_hugging_face_are_pixels_with_names_of_classes():
    pixels = np.random.default_rng(0).integers(0, 256, (10, 12, 9), dtype=np.uint8)
    columns = {"img": list(map(Image.fromarray, pixels)), "label": [0, 1] * 4 + [1, -1], "noisy": [1] * 10}
    image = type("Image", (), {})()
    data = HuggingFace(columns, img=image, label=CLASS_LABEL, noisy=CLASS_LABEL)
    examples = open_examples(data, noisy_label="noisy")
    assert examples.arrays.shape == (3, 12, 9)
    assert torch.equal(examples.arrays.images[:, 1], torch.from_numpy(pixels[:9]))
    assert examples.arrays.labels.tolist() == [0, 1] * 4 + [1]
    assert examples.arrays.observed.tolist() == [1] * 9


def test_ids_and_groups_count_what_was_left_out():
    examples = open_examples((X, LABELS), ids=IDS, group=[k // 2 for k in range(N)])
    assert len(examples.names) == N - 1
    assert examples.arrays.split_groups.unique().numel() == N // 2
    given = UnsplitData(
        Arrays(torch.zeros(4, 2, 1, 1), torch.tensor([0, 1, 0, 1])), positions=np.array([0, 2, 5, 6])
    )
    assert open_examples(given, ids=list("abcd")).positions.tolist() == [0, 2, 5, 6]


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        (
            3,
            {},
            r"the type of the data is int; it must be the name of a data set, or a path; a pair \(X, y\)",
        ),
        ([1, 2, 3], {}, "is list of 3"),
        (X, {}, "is ndarray"),
        (FRAME, {}, "the DataFrame has no column 'label'.* Pass label="),
        (FRAME, {"label": "verdct"}, "label is 'verdct'.*Did you mean 'verdict'"),
        (FRAME, {"label": "verdict", "ids": "person"}, "ids is 'person'"),
        (FRAME, {"label": "verdict", "ids": IDS[:3]}, "ids have shape"),
        ((X, LABELS), {"ids": ["p"] * N}, "has the id 'p' in example 0 and in example 1"),
        ((X, LABELS), {"ids": [None, *IDS[1:]]}, "no id of example 0"),
        ((X, LABELS), {"label": "verdict"}, "label is 'verdict'; it names a column"),
        ((X, LABELS), {"ids": "patient"}, "ids is 'patient'; it names a column"),
        ((FRAME[["x"]], LABELS), {"label": "verdict"}, "the labels are the second of the pair"),
        ((FRAME[["x"]], LABELS[:3]), {}, "3 labels for 24 examples"),
        ("digits", {"label": "verdict"}, "label is 'verdict', a column of a table, and digits is no table"),
        ({"train": hugging_face()}, {}, r"pass one of them, such as data\['train'\]"),
        (Items(), {"noisy_label": LABELS}, "noisy_label goes with a table or a pair"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_does_not_fit_is_refused_with_a_remedy(data, columns, message):
    with pytest.raises(InputError, match=message):
        open_examples(data, **columns)


def test_a_column_has_one_role(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for columns, message in (
        ({"label": "patient"}, "'verdict' and 'patient' are both named as the label"),
        ({"ids": "verdict"}, "is the column of ids, and a label"),
    ):
        with pytest.raises(InputError, match=message):
            open_examples(f"{csv_file()}#verdict", **columns)


def test_data_that_do_not_fit_into_memory_are_refused_before_they_are_read(monkeypatch):
    memory = sys.modules["dilution.data.formats.memory_images"]
    monkeypatch.setattr(memory, "available_memory", lambda: N * 2 * 4)
    with pytest.raises(InputError, match=r"of the 0[.]0 GiB of memory"):
        open_examples(Items())
