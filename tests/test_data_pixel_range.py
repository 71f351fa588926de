"""The rule for the range of pixels, alike for every reader of a user's arrays."""

import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import dilution
from dilution.data import DataSet, load
from dilution.errors import DilutionError, InputError

Images = NDArray[np.generic]
LABELS = np.arange(20) % 2
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 4, 5), dtype=np.uint8)
PIXELS[0, 0, :2] = 0, 255
UNIT = (PIXELS / 255).astype(np.float32)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def from_npz(images: Images) -> DataSet:
    np.savez("t.npz", images=images, labels=LABELS)
    return load("t.npz")


def from_function(body: str) -> Callable[[Images], DataSet]:
    def read(images: Images) -> DataSet:
        np.save("images.npy", images)
        name = f"own_pixels_{zlib.crc32(str((Path.cwd(), body)).encode() + images.tobytes())}"
        Path(f"{name}.py").write_text(
            "import numpy as np, torch\nfrom torch.utils.data import TensorDataset\n"
            f"y = np.arange(20) % 2\ndef f():\n    x = np.load('images.npy')\n    return {body}\n"
        )
        return load(f"{name}:f")

    return read


READERS: dict[str, Callable[[Images], DataSet]] = {
    "arrays": lambda images: dilution.from_numpy(images, LABELS),
    "test split": lambda images: dilution.from_numpy(PIXELS, LABELS, test_images=images, test_labels=LABELS),
    "npz": from_npz,
    "pair of a function": from_function("x, y"),
    "dict of a function": from_function("dict(images=x, labels=y)"),
    "torch dataset": from_function("TensorDataset(torch.from_numpy(x), torch.from_numpy(y))"),
}

REFUSED: dict[str, tuple[Images, str]] = {
    "normalised": (UNIT * 2 - 1, "images run from -1 to 1; floats must lie in .* undo any normalisation"),
    "not divided": (UNIT * 255, "images run from 0 to 255; floats must lie in"),
    "divided twice": (UNIT / 255, r"images run from 0 to 0.00392.* twice. Pass (test_)?images \* 255"),
    "complex": (UNIT.astype(np.complex64), "complex64"),
    "not finite": (np.where(PIXELS == 255, np.float32("nan"), UNIT), "NaN or infinite"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("reader", READERS)
def test_pixels_out_of_range_are_refused_by_every_reader(reader: str, case: str) -> None:
    images, message = REFUSED[case]
    with pytest.raises(DilutionError, match=message):
        READERS[reader](images)


@pytest.mark.parametrize("reader", READERS)
def test_uint8_of_zeros_and_ones_is_said_by_every_reader(reader: str) -> None:
    binary = (PIXELS > 99).astype(np.uint8)
    notes = READERS[reader](binary).notes
    assert sum("hold only 0 and 1, which are both nearly black" in note for note in notes) == 1
    for bright in (binary * 255, binary.astype(np.float32), np.maximum(binary, PIXELS // 100)):
        assert not any("nearly black" in note for note in READERS[reader](bright).notes)


@pytest.mark.parametrize("reader", READERS)
def test_floats_of_256_levels_have_the_pixels_of_uint8(reader: str) -> None:
    exact, floats = (READERS[reader](images) for images in (PIXELS, UNIT))
    for split in ("train", "test"):
        first, second = (getattr(data, split) for data in (exact, floats))
        pixels = [arrays.images.float() / arrays.unit for arrays in (first, second)]
        assert np.allclose(*pixels, atol=1e-6)
    for data in (exact, floats):
        assert [note for note in data.notes if "copies of training examples" not in note] == []


@pytest.mark.parametrize("reader", [name for name in READERS if name != "torch dataset"])
def test_floats_between_the_levels_are_rounded_with_a_word(reader: str) -> None:
    (note,) = [note for note in READERS[reader](UNIT * 0.1 + 0.001).notes if "rounded" in note]
    assert "between the 256 levels" in note
    assert "their range has 27 of the levels" in note


@pytest.mark.parametrize(
    ("images", "remedy"),
    [
        (UNIT / 255, "images * 255"),
        (PIXELS > 99, "images.astype('float32')"),
        ((PIXELS > 99).astype(int), "images.astype('float32')"),
        (PIXELS.astype(int), "images.astype('uint8')"),
        (PIXELS.astype(int) * 16, "images / 4080"),
        (UNIT * 1j, "abs(images) / abs(images).max()"),
    ],
)
def test_the_remedy_for_pixels_gives_what_a_person_sees(images: Images, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        dilution.from_numpy(images, LABELS)
    assert remedy in str(caught.value)
    mended = eval(remedy, {"images": images})
    data = dilution.from_numpy(mended, LABELS)
    assert max(int(split.images.max()) for split in (data.train, data.test)) == 255


def test_a_complex_table_is_refused_in_words() -> None:
    features = np.random.default_rng(0).normal(size=(20, 3)) * (1 + 1j)
    with pytest.raises(InputError, match="complex; they must be real numbers") as caught:
        dilution.from_numpy(features=features, labels=LABELS)
    remedy = str(caught.value).partition("Pass both parts, ")[2].rstrip(".")
    mended = eval(remedy, {"features": features, "numpy": np})
    assert dilution.from_numpy(features=mended, labels=LABELS).train.shape == (6, 1, 1)
    with pytest.raises(InputError, match=r"labels are of type complex128.* Pass labels.real"):
        dilution.from_numpy(PIXELS, LABELS + 0j)
