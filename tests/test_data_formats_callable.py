"""Data sets that a function of the user returns."""

import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
from commands import refused, succeeded

from dilution.data import check, fingerprint, load, load_unsplit
from dilution.errors import InputError

HEADER = """
import numpy as np, torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset
from dilution.data import Arrays, from_numpy
X = np.arange(60, dtype=np.float32).reshape(20, 3)
P = np.arange(180, dtype=np.uint8).reshape(20, 3, 3)
Y = np.arange(20) % 2
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Write]:
    """Write the module of a test to the current folder: from the body of a function to its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # Python takes the bytecode of a file that was written within the same second and has as many letters.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = f"own_data_{zlib.crc32(request.node.name.encode())}"

    def write_module(body: str) -> str:
        lines = body if body.startswith("\n") else f"\ndef f():\n    {body}\n"
        (tmp_path / f"{module}.py").write_text(HEADER + lines)
        return f"{module}:f"

    yield write_module
    sys.modules.pop(module, None)


@pytest.mark.parametrize(
    ("body", "shape", "sizes"),
    [
        ("return X, Y", (3, 1, 1), (16, 4)),
        ("return P, Y", (1, 3, 3), (16, 4)),
        ("return torch.from_numpy(X).requires_grad_(), torch.from_numpy(Y)", (3, 1, 1), (16, 4)),
        ("return X, Y, X[:6], Y[:6]", (3, 1, 1), (20, 6)),
        ("return dict(images=P, labels=Y, classes=['u', 'v'])", (1, 3, 3), (16, 4)),
        ("return dict(features=X, labels=Y, test_features=X[:2], test_labels=Y[:2])", (3, 1, 1), (20, 2)),
        ("return from_numpy(P, Y)", (1, 3, 3), (16, 4)),
        ("return Arrays(torch.from_numpy(P)[:, None], torch.from_numpy(Y))", (1, 3, 3), (16, 4)),
        ("return TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))", (3, 1, 1), (16, 4)),
        ("return TensorDataset(torch.from_numpy(P), torch.from_numpy(Y))", (1, 3, 3), (16, 4)),
        ("d = TensorDataset(torch.from_numpy(P), torch.from_numpy(Y)); return d, d", (1, 3, 3), (20, 20)),
        ("return TensorDataset(torch.ones(20, 2, 5, 4).double(), torch.from_numpy(Y))", (2, 5, 4), (16, 4)),
    ],
)  # fmt: skip
def test_every_form_of_data_is_converted(
    write: Write, body: str, shape: tuple[int, int, int], sizes: tuple[int, int]
) -> None:
    name = write(body)
    data = load(name)
    assert data.train.shape == shape
    assert (len(data.train), len(data.test)) == sizes
    assert data.train.dtype == (torch.uint8 if shape == (1, 3, 3) else torch.float32)
    assert data.train.labels.unique().tolist() == [0, 1]
    assert load(name) is data
    unsplit = load_unsplit(name)
    assert unsplit.names is None
    assert len(unsplit.arrays) == (20 if "from_numpy(P, Y)" not in body else 16)


def test_a_map_style_dataset_keeps_values_labels_and_class_names(write: Write) -> None:
    name = write("""
class Mine(Dataset):
    classes = ["no", "yes"]
    def __len__(self):
        return 10
    def __getitem__(self, k):
        return torch.full((2, 3), k / 16), k % 2
f = Mine
""")
    arrays = load_unsplit(name).arrays
    assert arrays.shape == (1, 2, 3)
    assert arrays.images[:, 0, 0, 0].tolist() == [k / 16 for k in range(10)]
    assert arrays.labels.tolist() == [0, 1] * 5
    assert arrays.classes == ("no", "yes")


ITEMS = """
class Mine(Dataset):
    def __len__(self):
        return 3
    def __getitem__(self, k):
        {}
f = Mine
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('boom')", "called without arguments it raised ValueError: boom"),
        ("raise SystemExit(3)", "raised SystemExit"),
        ("return 3", "its type is int; it must be a pair"),
        ("return None", "its type is NoneType"),
        ("return X, Y, X", "its type is tuple of 3"),
        ("return dict(image=P, labels=Y)", "'image' is not an argument of from_numpy. Did you mean 'images'"),
        ("return X, Y[:3]", "3 labels for 20 examples"),
        ("return X, Y * 0 + 1", r"there is 1 class \(1\)"),
        ("return Arrays(torch.zeros(3, 1, 2, 2), torch.zeros(3).long(), ('a', 'b'))", "all 3 labels are 'a'"),
        ("\ndef f(x):\n    return X, Y\n", "raised TypeError"),
        ("\nf = 3\n", "which is an int; it must be a function"),
        ("\ng = 3\n", "has no 'f'"),
        ("\nraise KeyError('x')\n", "importing .* raised KeyError"),
        ("\nimport no_such_module_at_all\n", "raised ModuleNotFoundError: No module named 'no_"),
        ("\nclass f(IterableDataset):\n    __iter__ = None\n", "f has no length; a torch Dataset must be"),
        ("return TensorDataset(torch.zeros(0, 3), torch.zeros(0))", "has 0 items"),
        ("return TensorDataset(torch.zeros(3, 3), torch.full((3,), 0.5))", "label of item 0 is 0.5; labels"),
        ("return TensorDataset(torch.zeros(3, 3).long(), torch.arange(3))", "item 0 is torch.int64"),
        ("return TensorDataset(torch.zeros(3, 1, 1, 2, 2), torch.arange(3))", r"item 0 has shape \(1, 1, 2,"),
        ("return TensorDataset(torch.zeros(3, 3))", "item 0 is a tuple; items must be pairs"),
        (ITEMS.format("return 'image', 0"), "item 0 holds a str; .*ToTensor"),
        (ITEMS.format("return torch.zeros(k + 1, 2), k"), r"item 1 is torch.float32 of shape \(1, 2, 2\)"),
        (ITEMS.format("raise OSError('gone')"), "item 0 of Mine raised OSError: gone"),
    ],
)  # fmt: skip
def test_a_function_that_returns_no_data_is_refused(write: Write, body: str, message: str) -> None:
    name = write(body)
    with pytest.raises(InputError, match=message) as caught:
        load(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_module_is_refused() -> None:
    with pytest.raises(
        InputError, match="data set is 'no_such_module:f', and there is no module no_such_module"
    ):
        load("no_such_module:f")


def test_the_returned_data_identify_a_data_set_not_the_source_of_the_function(write: Write) -> None:
    first = fingerprint(name := write("return X, Y"))
    assert fingerprint(write("return X + 0, Y  # the same")) == first
    others = {fingerprint(write(body)) for body in ("return X + 1, Y", "return X, 1 - Y", "return P, Y")}
    assert len({first, *others}) == 4
    (status,) = check(name)
    assert (status.state, status.file.suffix) == ("present", ".py")


def test_a_function_that_returns_different_data_at_each_call_is_refused(write: Write) -> None:
    name = write("return np.random.default_rng().normal(size=(20, 3)), Y")
    assert len(load(name).train) == 16
    with pytest.raises(InputError, match=r"called twice it returned different data.*fixed seed"):
        fingerprint(name)


@pytest.mark.trains
def test_the_command_line_finds_a_function_in_the_current_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in ("", str(tmp_path))])
    assert succeeded(commands.dilution("data", "check", write("return X, Y"))).startswith("present")


def test_the_command_line_refuses_a_missing_function(write: Write) -> None:
    name = write("return X, Y").replace(":f", ":g")
    refused(commands.dilution("data", "check", name), "error: ", "'g' is not a function or class in own_data")


def test_float_images_of_a_dataset_keep_their_values(write: Write) -> None:
    name = write("return TensorDataset(torch.linspace(0, 1, 120).view(20, 1, 2, 3), torch.arange(20) % 2)")
    images = load_unsplit(name).arrays.images
    assert np.allclose(images.flatten(), np.linspace(0, 1, 120), atol=1e-6)


NAMED = """
class Named(TensorDataset):
    classes = ["cat", "dog"]
class Flipped(TensorDataset):
    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return (image.flip(-1) if torch.rand(()) < 0.5 else image), label
def images(n):
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(n))
"""


def test_a_pair_of_datasets_is_a_train_and_a_test_split_with_the_names_of_their_classes(write: Write) -> None:
    test = "Named(images(6), torch.ones(6).long())"
    body = f"def f():\n    return Named(images(20), torch.arange(20) % 2), {test}\n"
    data = load(name := write(NAMED + body))
    assert (len(data.train), len(data.test), data.test.classes) == (20, 6, ("cat", "dog"))
    assert data.test.labels.tolist() == [1] * 6
    assert load_unsplit(name).notes[-1] == "6 examples of the test split are left out"


def test_three_datasets_are_refused_with_the_forms_that_are_read(write: Write) -> None:
    body = "def f():\n    return (Named(images(20), torch.arange(20) % 2),) * 3\n"
    with pytest.raises(InputError, match=r"tuple of 3; it must be .*the second of them the test split"):
        load(write(NAMED + body))


@pytest.mark.parametrize(("kind", "is_random"), [("Flipped", True), ("Named", False)])
def test_random_transforms_of_a_dataset_are_said_wherever_it_is_read(
    kind: str, is_random: bool, write: Write
) -> None:
    name = write(f"{NAMED}def f():\n    return {kind}(images(40), torch.arange(40) % 2)\n")
    for data in (load(name), load_unsplit(name)):
        assert any("one random draw of each is kept" in note for note in data.notes) == is_random
    if is_random:
        with pytest.raises(InputError, match="called twice it returned different data"):
            fingerprint(name)
    else:
        fingerprint(name)
