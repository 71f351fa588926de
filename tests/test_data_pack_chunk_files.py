"""Chunks of decoded images: lazy images are those that were written, whatever is taken."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import photograph
from PIL import Image

from dilution.data.arrays import Arrays
from dilution.data.formats.image_batch import ImageBatch, decode_images, pixel_ranges
from dilution.data.near_copies import scale_down
from dilution.data.pack.chunk_files import open_chunk, save_chunk
from dilution.data.pack.chunk_images import ChunkImages
from dilution.errors import DataError

SIZE = 40


@pytest.fixture(params=[True, False], ids=["scaled", "not scaled"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ChunkImages, torch.Tensor]:
    """Lazy images of four chunks, some of more than 8 bits, one chunk without any; and the same in memory."""
    draw, batches, chunks, listed = np.random.default_rng(0), [], [], []
    for number, kinds in enumerate(["cdc", "x", "ddd", "ccccc"]):
        names = []
        for place, kind in enumerate(kinds):
            names.append((f"{number}{place}.png", place % 2))
            path = tmp_path / names[-1][0]
            if kind == "x":
                path.write_text("no image")
            elif kind == "c":
                photograph(10 * number + place).save(path)
            else:
                deep = draw.integers(0, 5000 * (number + 1), (50, 60), dtype=np.uint16)
                Image.fromarray(deep).save(path)
        listed.append(names)
        for same in (batches, chunks):
            same.append(decode_images(tmp_path, names, SIZE))
        save_chunk(chunks[-1], tmp_path / f"{number}.npz", scaled=request.param)
    opened = [open_chunk(tmp_path / f"{number}.npz", listed[number], SIZE) for number in range(4)]
    ranges = pixel_ranges(batch.info for batch in batches)
    return ChunkImages(opened, SIZE), torch.cat([torch.from_numpy(b.filled(ranges)) for b in batches])


def test_any_images_are_taken_in_any_order(images: tuple[ChunkImages, torch.Tensor]) -> None:
    lazy, expected = images
    assert lazy.shape == tuple(expected.shape) == (11, 3, SIZE, SIZE)
    for rows in (torch.arange(11), torch.tensor([10, 0, 4, 4, 1]), torch.tensor([], dtype=torch.int64)):
        assert torch.equal(lazy.take(rows), expected[rows])
        if len(rows):
            assert torch.equal(lazy.take_scaled(rows), scale_down(expected[rows]))
    subset = lazy.subset(torch.tensor([7, 1, 3])).subset(torch.tensor([2, 1]))
    assert subset.shape == (2, 3, SIZE, SIZE)
    assert torch.equal(subset.take(torch.tensor([1, 0])), expected[[1, 3]])
    assert torch.equal(subset.take_scaled(torch.tensor([1, 0])), scale_down(expected[[1, 3]]))


def test_sums_are_those_of_the_scaled_images(images: tuple[ChunkImages, torch.Tensor]) -> None:
    lazy, expected = images
    sums = Arrays(expected, torch.zeros(11, dtype=torch.int64)).pixel_sums
    assert torch.equal(lazy.pixel_sums, sums)
    assert torch.equal(lazy.subset(torch.tensor([9, 1])).pixel_sums, sums[:, [9, 1]])


def test_a_chunk_keeps_what_is_known_of_its_images(tmp_path: Path) -> None:
    for name in ("a", "b"):
        photograph().convert("CMYK").save(tmp_path / f"{name}.tif")
    (tmp_path / "c.png").write_text("no image")
    names = [("a.tif", 1), ("b.tif", 0), ("c.png", 0)]
    batch: ImageBatch = decode_images(tmp_path, names, 8, crops=2)
    save_chunk(batch, tmp_path / "x.npz")
    info = open_chunk(tmp_path / "x.npz", names, 8, squares=2).info
    assert info.labels.tolist() == [1, 1, 0, 0]
    for field in ("names", "skipped", "converted", "depths", "formats"):
        assert getattr(info, field) == getattr(batch.info, field)
    (event,) = info.converted
    assert (event.name, event.detail, event.number) == ("a.tif", "CMYK", 2)
    assert sorted(path.name for path in tmp_path.glob("*x*")) == ["x.images.npy", "x.npz"]


LISTED = [("a.png", 0)]


def one_chunk(folder: Path) -> Path:
    """Write a chunk of one photograph and return its file."""
    photograph(0).save(folder / "a.png")
    save_chunk(decode_images(folder, LISTED, SIZE), folder / "c.npz")
    return folder / "c.npz"


@pytest.mark.parametrize("images", [b"", b"no array", np.zeros((2, 3, SIZE, SIZE), np.uint8), np.zeros(3)])
def test_chunks_of_somebody_else_are_refused_in_a_sentence(tmp_path: Path, images: object) -> None:
    path = one_chunk(tmp_path)
    other = path.with_suffix(".images.npy")
    other.write_bytes(images) if isinstance(images, bytes) else np.save(other, images)
    with pytest.raises(DataError, match="is no chunk of decoded images"):
        open_chunk(path, LISTED, SIZE)
    path.write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="is no chunk of decoded images"):
        open_chunk(path, LISTED, SIZE)


def test_links_in_the_place_of_the_files_of_a_chunk_are_replaced_and_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    for name in ("c.npz", "c.images.npy", f"c.{os.getpid()}.npz", f"c.images.{os.getpid()}.npy"):
        (tmp_path / name).symlink_to(precious)
    path = one_chunk(tmp_path)
    assert precious.read_text() == "kept"
    assert not path.is_symlink()
    assert len(open_chunk(path, LISTED, SIZE).info.labels) == 1


CHANGES = {
    "labels": [np.array([1]), np.array([-1]), np.array([2**62]), np.array([0.0]), np.array([0, 0])],
    "sums": [np.zeros((2, 2, 3), np.int64), np.zeros((2, 1, 3))],
    "files": [np.array([["b.png", "PNG"]]), np.array(["a.png"]), np.zeros((1, 2))],
    "skipped": [np.array([["a.png", "x"]]), np.array([["../a.png", "x"]]), np.array([["", ""]])],
    "converted": [
        np.array([["x", "a.png", "", "1"]]),
        np.array([["more than 8 bits", "a.png", "16-bit", "1"]]),
        np.array([["not square", "a.png", "", "-1"]]),
        np.array([["not square", "a.png", "", "9" * 5000]]),
    ],
    "deep_rows": [np.array([0]), np.array([-1]), np.array([[0]])],
    "depth_kinds": [np.array([["16-bit"]]), np.array(["16-bit"])],
    "depth_ranges": [np.zeros((1, 2)), np.full((0, 2), 1, np.float32)],
    "checksums": [np.array([0, -1]), np.array([-1, -1, -1]), np.array([0, 0, -1]), np.array([0, -1, 0.5])],
}  # fmt: skip


@pytest.mark.parametrize(("name", "array"), [(name, array) for name in CHANGES for array in CHANGES[name]])
def test_a_chunk_whose_entries_are_not_those_of_its_images_is_refused(
    tmp_path: Path, name: str, array: np.ndarray
) -> None:
    path = one_chunk(tmp_path)
    with np.load(path) as arrays:
        changed = dict(arrays) | {name: array}
    np.savez(path, **changed)
    with pytest.raises(
        DataError, match=r"c\.npz is no chunk of decoded images .* run the same command again"
    ):
        open_chunk(path, LISTED, SIZE)


def test_a_chunk_of_other_images_is_refused(tmp_path: Path) -> None:
    path = one_chunk(tmp_path)
    for listed, squares in (
        ([("b.png", 0)], 1),
        ([("a.png", 1)], 1),
        ([*LISTED, ("b.png", 0)], 1),
        (LISTED, 2),
    ):
        with pytest.raises(DataError, match="is no chunk of decoded images"):
            open_chunk(path, listed, SIZE, squares)


@pytest.mark.parametrize("kind", ["images", "scaled"])
def test_an_image_that_has_changed_is_not_returned(tmp_path: Path, kind: str) -> None:
    path = one_chunk(tmp_path)
    with path.with_suffix(f".{kind}.npy").open("r+b") as file:
        file.seek(200)
        file.write(b"\xff\x01")
    images = ChunkImages([open_chunk(path, LISTED, SIZE)], SIZE)
    with pytest.raises(DataError, match=rf"c\.{kind}\.npy does not match its checksum"):
        images.take(torch.tensor([0])) if kind == "images" else images.take_scaled(torch.tensor([0]))


@pytest.mark.parametrize("place", ["link", "pipe", "folder"])
def test_a_chunk_whose_images_are_no_file_is_refused(tmp_path: Path, place: str) -> None:
    path = one_chunk(tmp_path)
    images = path.with_suffix(".images.npy")
    moved = images.rename(tmp_path / "moved")
    if place == "link":
        images.symlink_to(moved)
    elif place == "pipe":
        os.mkfifo(images)
    else:
        images.mkdir()
    with pytest.raises(DataError, match="is no chunk of decoded images"):
        open_chunk(path, LISTED, SIZE)
