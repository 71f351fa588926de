"""Packs: reading returns what was packed or raises an error, in training, studies and other processes."""

import hashlib
import io
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pandas as pd
import pytest
import torch
from commands import succeeded

from dilution.data import Arrays, check, fingerprint, load, write_pack
from dilution.data.pack.reader import HEADER
from dilution.errors import DataError
from dilution.noise import Dilution
from dilution.training import confusability, train


@pytest.fixture
def digits_pack(tmp_path: Path) -> Path:
    digits = load("digits")
    return write_pack(tmp_path / "mine.pack", [digits.train], [digits.test])


def flip_bit(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def test_a_pack_holds_what_was_packed(digits_pack: Path) -> None:
    data, digits = load(digits_pack), load("digits")
    assert data.name == "mine"
    for packed, original in ((data.train, digits.train), (data.test, digits.test)):
        assert packed.classes == original.classes
        assert torch.equal(packed.labels, original.labels)
        assert torch.equal(packed.pixel_sums, original.pixel_sums)
        assert torch.equal(packed.take(torch.arange(len(packed))), original.images)


def test_a_subset_of_a_subset_takes_the_right_images(digits_pack: Path) -> None:
    packed, images = load(digits_pack).train, load("digits").train.images
    subset = packed.subset(torch.tensor([5, 3, 900])).subset(torch.tensor([2, 0]))
    assert torch.equal(subset.take(torch.tensor([1, 0, 0])), images[[5, 900, 900]])
    assert torch.equal(subset.pixel_sums, load("digits").train.pixel_sums[:, [900, 5]])
    assert subset.take(torch.arange(0)).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("targets", ["sampled", "pooled"])
def test_training_from_a_pack_gives_the_bits_of_training_from_memory(digits_pack: Path, targets: str) -> None:
    results = []
    for data in (load(digits_pack), load("digits")):
        noisy = Dilution(data.train, 3, n=400, seed=1)
        results.append(train("mlp1", noisy, test=data.test, targets=targets, steps=40, batch_size=32))
    pd.testing.assert_frame_equal(results[0].history, results[1].history, check_exact=True)


@pytest.mark.parametrize("image_source", ["fresh", "white_noise", "external"])
def test_packs_are_image_sources(digits_pack: Path, image_source: str) -> None:
    index = torch.tensor([0, 150, 399, 299])
    drawn = []
    for data in (load(digits_pack), load("digits")):
        source = data.test if image_source == "external" else image_source
        drawn.append(Dilution(data.train, 3, n=100, image_source=source, seed=1).images(index))
    assert torch.equal(*drawn)


def test_images_of_a_pack_are_resized_for_another_data_set(digits_pack: Path) -> None:
    colour = Arrays(
        torch.zeros(4, 3, 12, 12, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), tuple("0123456789")
    )
    index = torch.tensor([0, 5, 6, 7])
    drawn = [
        Dilution(colour, 1, image_source=data.train, seed=1).images(index)
        for data in (load(digits_pack), load("digits"))
    ]
    assert drawn[0].shape == (4, 3, 12, 12)
    assert torch.equal(*drawn)


def test_confusability_is_measured_from_a_pack(digits_pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["dilution.training.confusability"]  # the function hides it in the package
    monkeypatch.setattr(module, "LARGEST", 60)
    tables = [confusability(load(name).train, model="perceptron") for name in (digits_pack, "digits")]
    assert (tables[0] == tables[1]).all()


def test_other_content_has_another_fingerprint(digits_pack: Path) -> None:
    before = fingerprint(digits_pack)
    digits = load("digits")
    changed = digits.train.images.clone()
    changed[7, 0, 0, 0] ^= 1
    write_pack(digits_pack, [Arrays(changed, digits.train.labels, digits.train.classes)], [digits.test])
    assert fingerprint(digits_pack) != before
    assert torch.equal(load(digits_pack).train.take(torch.tensor([7]))[0], changed[7])


def test_packed_images_can_be_pickled(digits_pack: Path) -> None:
    arrays = load(digits_pack).train.subset(torch.tensor([4, 2]))
    copy = pickle.loads(pickle.dumps(arrays))
    assert torch.equal(copy.take(torch.tensor([1])), arrays.take(torch.tensor([1])))


def test_a_changed_image_is_named_and_not_returned(digits_pack: Path) -> None:
    flip_bit(digits_pack, 4096 + 64 * 9 + 5)
    arrays = load(digits_pack).train
    assert arrays.take(torch.tensor([8, 10])).shape == (2, 1, 8, 8)
    with pytest.raises(DataError, match=r"image 9 of .*mine.pack does not match its checksum"):
        arrays.take(torch.tensor([8, 9]))
    (status,) = check(digits_pack)
    assert (status.state, status.damaged) == ("altered", ("train image 9",))


def test_an_image_that_changes_after_reading_is_noticed_when_the_pack_is_loaded_again(
    digits_pack: Path,
) -> None:
    arrays = load(digits_pack).train
    arrays.take(torch.arange(len(arrays)))
    flip_bit(digits_pack, 4096)
    with pytest.raises(DataError, match=r"image 0 of .* does not match its checksum"):
        load(digits_pack).train.take(torch.tensor([0]))


def test_a_changed_index_is_refused(digits_pack: Path) -> None:
    flip_bit(digits_pack, digits_pack.stat().st_size - 2000)
    with pytest.raises(DataError, match="its index does not match its checksum"):
        load(digits_pack)
    assert check(digits_pack)[0].state == "altered"


@pytest.mark.parametrize("length", [0, 40, 5000, -1])
def test_a_pack_cut_off_anywhere_is_refused(digits_pack: Path, length: int) -> None:
    digits_pack.write_bytes(digits_pack.read_bytes()[:length])
    with pytest.raises(DataError, match=r"no pack|cut off"):
        load(digits_pack)


def test_a_pack_cut_off_while_it_is_read_is_an_error(digits_pack: Path) -> None:
    arrays = load(digits_pack).test
    with digits_pack.open("r+b") as file:
        file.truncate(6000)
    with pytest.raises(DataError, match="ends before image 3"):
        arrays.take(torch.tensor([3]))


def test_a_missing_pack_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "none.pack")
    (tmp_path / "folder.pack").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "folder.pack")


def test_the_command_reports_damaged_images(digits_pack: Path) -> None:
    assert succeeded(commands.dilution("data", "check", digits_pack)).startswith("present")
    flip_bit(digits_pack, 4096)
    result = commands.dilution("data", "check", digits_pack)
    assert result.exit_code == 1
    assert "damaged: train image 0" in result.stdout


def forge(path: Path, save: Callable[..., None] = np.savez, **changes: Any) -> None:
    """Give a pack another index, with a matching checksum: whoever writes a file can do so."""
    content = path.read_bytes()
    magic, start, length, _ = HEADER.unpack(content[: HEADER.size])
    with np.load(io.BytesIO(content[start : start + length])) as loaded:
        index = {key: entry for key, entry in (dict(loaded) | changes).items() if entry is not None}
    buffer = io.BytesIO()
    save(buffer, **index)
    packed_index = buffer.getvalue()
    header = HEADER.pack(magic, start, len(packed_index), hashlib.sha256(packed_index).digest())
    path.write_bytes(header + content[HEADER.size : start] + packed_index)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": np.array([1, 8, 9])}, "are not 115008 bytes"),
        ({"shape": np.array([-1, -8, 8])}, "three whole numbers"),
        ({"classes": np.array([["a"], ["b"]])}, "no text"),
        ({"train_labels": np.full(1437, 10)}, "no numbers of classes"),
        ({"train_labels": np.zeros(1437)}, "no whole numbers"),
        ({"train_checksums": np.zeros(3, np.uint32)}, "one per image"),
        ({"test_pixel_sums": np.zeros((360, 2, 3), np.int64)}, "two per image"),
        ({"test_labels": None}, "test_labels"),
        ({"classes": np.array([{}], dtype=object)}, "pickle"),
        ({"notes": np.zeros(3)}, "the notes are no text"),
        ({"train_groups": np.zeros(3, np.int64)}, "train groups are not one per image"),
        ({"test_groups": np.zeros(360)}, "test groups are not one per image"),
        ({"train_weights": np.zeros(1437)}, "train_weights, which this version does not know"),
        ({"train_pixel_sums": np.full((1437, 2, 1), -1)}, "not those of pixels from 0 to 255"),
        ({"train_pixel_sums": np.full((1437, 2, 1), 2**62)}, "not those of pixels from 0 to 255"),
        ({"test_pixel_sums": np.full((360, 2, 1), 64 * 255)}, "not those of pixels from 0 to 255"),
    ],
)
def test_a_forged_index_is_refused(digits_pack: Path, changes: dict[str, Any], message: str) -> None:
    forge(digits_pack, **changes)
    with pytest.raises(DataError, match=f"is no valid pack .*{message}"):
        load(digits_pack)


def test_sums_that_are_those_of_other_images_are_found_by_a_check(digits_pack: Path) -> None:
    sums = load("digits").train.pixel_sums.transpose(0, 1).numpy().copy()
    sums[[3, 4]] = sums[[4, 3]]
    forge(digits_pack, train_pixel_sums=sums)
    assert check(digits_pack)[0].damaged == ("pixel sums of train image 3", "pixel sums of train image 4")


def test_sums_of_the_darkest_and_the_brightest_images_are_sums(tmp_path: Path) -> None:
    images = torch.tensor([0, 255, 7, 255], dtype=torch.uint8)[:, None, None, None].expand(4, 2, 3, 5)
    split = Arrays(images.contiguous(), torch.tensor([0, 1, 0, 1]))
    path = write_pack(tmp_path / "flat.pack", [split], [split])
    assert torch.equal(load(path).train.pixel_sums, split.pixel_sums)
    assert check(path)[0].state == "present"


@pytest.mark.parametrize("shape", [(1, 10**6, 10**6), (10**12, 1, 1)])
def test_images_of_which_one_does_not_fit_in_memory_are_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """The file takes no room on the disk: its images are a hole."""
    labels = np.array([0, 1])
    sums = np.zeros((2, 2, min(shape[0], 1)), np.int64)
    index = {"shape": np.array(shape), "classes": np.array(["a", "b"])}
    for split in ("train", "test"):
        index |= {
            f"{split}_labels": labels,
            f"{split}_checksums": np.zeros(2, np.uint32),
            f"{split}_pixel_sums": sums,
        }
    buffer = io.BytesIO()
    np.savez(buffer, **index)
    path, start = tmp_path / "giant.pack", 4096 + 4 * 10**12
    with path.open("wb") as file:
        file.write(
            HEADER.pack(
                b"dilution pack 1\n",
                start,
                len(buffer.getvalue()),
                hashlib.sha256(buffer.getvalue()).digest(),
            )
        )
        file.seek(start)
        file.write(buffer.getvalue())
    message = "of which one takes 5,000.0 GB while it is read" if shape[0] == 1 else "is no valid pack"
    with pytest.raises(DataError, match=message):
        load(path)


def test_bytes_after_the_end_are_refused(digits_pack: Path) -> None:
    digits_pack.write_bytes(digits_pack.read_bytes() + b"x")
    with pytest.raises(DataError, match="is damaged: 1 bytes follow its end"):
        load(digits_pack)


def test_a_changed_byte_between_header_and_images_is_found(digits_pack: Path) -> None:
    flip_bit(digits_pack, 4000)
    with pytest.raises(DataError, match="its header has more than it may have"):
        load(digits_pack)


def test_an_index_that_could_unpack_to_any_size_is_refused(digits_pack: Path) -> None:
    forge(digits_pack, np.savez_compressed)
    with pytest.raises(DataError, match="its index is compressed"):
        load(digits_pack)


def test_a_header_that_announces_more_than_the_file_holds_is_refused(digits_pack: Path) -> None:
    content = digits_pack.read_bytes()
    magic, start, _, digest = HEADER.unpack(content[: HEADER.size])
    digits_pack.write_bytes(HEADER.pack(magic, start, 2**63, digest) + content[HEADER.size :])
    with pytest.raises(DataError, match="is cut off"):
        load(digits_pack)


def test_classes_without_images_in_an_old_pack_are_left_out_with_a_note(digits_pack: Path) -> None:
    digits = load("digits")
    forge(
        digits_pack,
        classes=np.array(["@eaDir", *digits.train.classes, "__MACOSX"]),
        train_labels=digits.train.labels.numpy() + 1,
        test_labels=digits.test.labels.numpy() + 1,
    )
    data = load(digits_pack)
    assert data.train.classes == data.test.classes == digits.train.classes
    assert torch.equal(data.train.labels, digits.train.labels)
    assert torch.equal(data.train.take(torch.arange(9)), digits.train.images[:9])
    assert data.notes == ("2 classes have no examples and are left out, the first is '@eaDir'",)


def test_names_and_notes_of_a_strangers_pack_are_printable(digits_pack: Path) -> None:
    forge(digits_pack, notes=np.array(["a\x1b[2Jb"]), classes=np.array([f"\n{n}" for n in range(10)]))
    data = load(digits_pack)
    assert data.notes == (r"a\x1b[2Jb",)
    assert data.train.classes[3] == r"\x0a3"


def test_equal_names_of_classes_do_not_break_a_pack(digits_pack: Path) -> None:
    forge(digits_pack, classes=np.array(["a"] * 11))
    assert load(digits_pack).notes == ("1 class has no example and is left out, the first is 'a'",)
