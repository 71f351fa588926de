"""Packing of image folders: skipped files, interrupted packing, worker processes, crops."""

import os
import signal

import numpy as np
import pytest
import torch
from photographs import decoded_squares, photograph, write_class_folders
from PIL import Image
from typer.testing import CliRunner

import dilution
from dilution.cli import app
from dilution.data import load, pack_folder
from dilution.data.formats import image_batch
from dilution.data.formats.image_listing import list_images
from dilution.data.pack import from_folder
from dilution.data.splits import stratified_split
from dilution.errors import DataError, InputError
from dilution.utils.file_lock import writing


@pytest.fixture
def folder(tmp_path):
    return write_class_folders(tmp_path / "images")


def divided(images, groups=None):
    """Return the train and the test images of a folder."""
    labels = np.array([label for _, label in images])
    return [[images[row] for row in rows] for rows in stratified_split(labels, groups)]


def test_a_folder_is_packed_and_holds_its_images(tmp_path, folder):
    packed = pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    data = load(tmp_path / "p.pack")
    assert data.train.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (packed.n_train, packed.n_test) == (16, 4)
    copies = np.arange(20) % 10  # both classes have the same photographs
    splits = divided(list_images(folder).train, copies)
    for images, arrays in zip(splits, (data.train, data.test), strict=True):
        assert arrays.labels.tolist() == [label for _, label in images]
        expected = np.concatenate([decoded_squares(folder / name, 16) for name, _ in images])
        assert (arrays.take(torch.arange(len(arrays))).numpy() == expected).all()
    assert not list(tmp_path.glob(".p.pack*"))


def test_files_that_are_no_images_are_skipped_and_listed(tmp_path, folder):
    (folder / "cat" / "empty.jpg").write_bytes(b"")
    (folder / "cat" / "text.png").write_text("no image")
    whole = tmp_path / "whole.jpg"
    photograph(size=(200, 200)).save(whole)
    (folder / "dog" / "cut.jpg").write_bytes(whole.read_bytes()[:2000])
    (folder / "dog" / "notes.txt").write_text("no suffix of an image")
    packed = pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert {name for name, _ in packed.skipped} == {"cat/empty.jpg", "cat/text.png", "dog/cut.jpg"}
    assert ("cat/text.png", "by its content it is not JPEG, PNG, BMP, GIF, WebP or TIFF") in packed.skipped
    assert packed.n_train + packed.n_test == 20
    listed = (tmp_path / "p.pack.skipped.txt").read_text()
    assert all(f"{name}: {reason}" in listed for name, reason in packed.skipped)


def test_interrupted_packing_resumes(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(from_folder, "_CHUNK", 4)
    whole = pack_folder(folder, tmp_path / "whole.pack", 16, workers=0)
    decoded, decode = [], image_batch.decode_image

    def interrupted(path, *options):
        if len(decoded) == 10:
            raise KeyboardInterrupt
        decoded.append(path)
        return decode(path, *options)

    monkeypatch.setattr(image_batch, "decode_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert not (tmp_path / "p.pack").exists()
    decoded_again = []
    monkeypatch.setattr(
        image_batch,
        "decode_image",
        lambda path, *options: decoded_again.append(path) or decode(path, *options),
    )
    messages = []
    packed = pack_folder(folder, tmp_path / "p.pack", 16, workers=0, log=messages.append)
    assert messages[0] == "2 of 5 chunks were decoded before"
    assert len(decoded_again) == 20 - 8
    assert (packed.n_train, packed.n_test) == (whole.n_train, whole.n_test)
    assert (tmp_path / "p.pack").read_bytes() == (tmp_path / "whole.pack").read_bytes()


def killed(job):
    if job[-1].name == "000003.npz":
        os.kill(os.getpid(), signal.SIGKILL)
    from_folder._decode_chunk(job)


@pytest.mark.trains
def test_a_second_packing_of_the_same_file_waits_for_no_one_and_touches_nothing(tmp_path, folder):
    target = tmp_path / "photos.pack"
    with (
        writing(target.with_name(".photos.pack")),
        pytest.raises(DataError, match="another process is packing"),
    ):
        pack_folder(folder, target, 8, workers=0)
    assert not target.exists()
    assert pack_folder(folder, target, 16, workers=0).path == target


def test_packing_resumes_after_a_killed_process_and_processes_decode_the_same(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(from_folder, "_CHUNK", 4)
    decode_chunk = from_folder._decode_chunk
    monkeypatch.setattr(from_folder, "_decode_chunk", killed)
    with pytest.raises(DataError, match=r"process was killed after .* fewer --workers; it resumes"):
        pack_folder(folder, tmp_path / "p.pack", 16, workers=1)
    monkeypatch.setattr(from_folder, "_decode_chunk", decode_chunk)
    messages = []
    packed = pack_folder(folder, tmp_path / "p.pack", 16, workers=0, log=messages.append)
    assert messages[0] == "3 of 5 chunks were decoded before"  # by the process
    assert packed.n_train + packed.n_test == 20
    pack_folder(folder, tmp_path / "inline.pack", 16, workers=0)
    assert (tmp_path / "p.pack").read_bytes() == (tmp_path / "inline.pack").read_bytes()


def test_a_model_trains_from_a_packed_folder(tmp_path, folder):
    pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    data = dilution.load(tmp_path / "p.pack")
    noisy = dilution.Dilution(data.train, alpha=1)
    result = dilution.train("conv2", noisy, test=data.test, steps=3, batch_size=8)
    assert result.state == "done"


def test_crops_of_a_photograph_are_in_one_split(tmp_path, folder):
    (folder / "dog" / "text.png").write_text("no image")
    packed = pack_folder(folder, tmp_path / "p.pack", 16, crops=3, workers=0)
    assert [name for name, _ in packed.skipped] == ["dog/text.png"]
    data, listing = load(tmp_path / "p.pack"), list_images(folder)
    assert (packed.n_train, packed.n_test) == (len(data.train), len(data.test))
    assert packed.n_train + packed.n_test == 3 * 20
    readable = [(name, label) for name, label in listing.train if name != "dog/text.png"]
    for images, arrays in zip(divided(readable), (data.train, data.test), strict=True):
        assert arrays.labels.tolist() == [label for _, label in images for _ in range(3)]
        expected = np.concatenate([decoded_squares(folder / name, 16, 3, name) for name, _ in images])
        assert (arrays.take(torch.arange(len(arrays))).numpy() == expected).all()


def test_chunks_of_other_crops_are_not_used(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(from_folder, "_CHUNK", 4)
    decode = image_batch.decode_image

    def interrupted(path, *options):
        if path.name == "9.png":
            raise KeyboardInterrupt
        return decode(path, *options)

    for crops in (None, 2):
        monkeypatch.setattr(image_batch, "decode_image", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pack_folder(folder, tmp_path / "p.pack", 16, crops=crops, workers=0)
    assert len(list(tmp_path.glob(".p.pack.*.parts"))) == 2
    monkeypatch.setattr(image_batch, "decode_image", decode)
    messages = []
    pack_folder(folder, tmp_path / "p.pack", 16, crops=2, workers=0, log=messages.append)
    assert "it is deleted once this pack is complete" in messages[0]  # chunks of one square per photograph
    assert "before" in messages[1]
    assert not list(tmp_path.glob(".p.pack*"))
    monkeypatch.setattr(from_folder, "_CHUNK", 256)
    pack_folder(folder, tmp_path / "whole.pack", 16, crops=2, workers=0)
    assert (tmp_path / "p.pack").read_bytes() == (tmp_path / "whole.pack").read_bytes()


@pytest.mark.parametrize("crops", [0, -1])
def test_crops_must_be_positive(tmp_path, folder, crops):
    with pytest.raises(InputError, match=f"crops is {crops}; it must be 1 or more"):
        pack_folder(folder, tmp_path / "p.pack", 16, crops=crops)


def test_the_command_cuts_crops(tmp_path, folder):
    options = ["--size", "8", "--workers", "0", "--crops", "5"]
    result = CliRunner().invoke(app, ["data", "pack", str(folder), str(tmp_path / "p.pack"), *options])
    assert result.exit_code == 0
    assert "80 + 20 images" in result.stdout


def test_crops_serve_as_images_for_another_data_set(tmp_path, folder):
    pack_folder(folder, tmp_path / "p.pack", 8, crops=4, workers=0)
    digits = dilution.load("digits").train
    noisy = dilution.Dilution(digits, alpha=1, n=40, image_source=dilution.load(tmp_path / "p.pack").train)
    assert noisy[79][0].shape == digits.shape


@pytest.mark.parametrize("size", [0, -3])
def test_the_size_must_be_positive(tmp_path, folder, size):
    with pytest.raises(InputError, match="1 pixel or more"):
        pack_folder(folder, tmp_path / "p.pack", size)


def test_chunks_of_other_packs_are_kept(tmp_path, folder):
    others = [tmp_path / f".{name}.0123456789abcdef.parts" for name in ("q.pack", "p.pack.pack", "pXpack")]
    for other in (*others, tmp_path / ".p.pack.0123456789abcdef.parts"):
        other.mkdir()
    messages = []
    pack_folder(folder, tmp_path / "p.pack", 16, workers=0, log=messages.append)
    assert sorted(tmp_path.glob(".*")) == sorted(others)
    assert len([line for line in messages if "it is deleted once" in line]) == 1


def test_the_list_of_skipped_files_is_deleted_when_nothing_is_skipped_any_more(tmp_path, folder):
    listed = tmp_path / "p.pack.skipped.txt"
    (folder / "cat" / "text.png").write_text("no image")
    pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert listed.exists()
    (folder / "cat" / "text.png").unlink()
    pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert not listed.exists()
    listed.mkdir()
    with pytest.raises(DataError, match=r"skipped\.txt could not be removed: .* Remove it yourself"):
        pack_folder(folder, tmp_path / "p.pack", 16, workers=0)


def write_copies(root, random):
    """Write photographs of which some are copies or near-copies, some of the other class."""
    photographs = [photograph(seed, (48, 40)) for seed in range(12)]
    for number in range(random.integers(12, 40)):
        target = root / ("cat", "dog", "fox")[random.integers(3)]
        target.mkdir(parents=True, exist_ok=True)
        image = photographs[random.integers(12)]
        if random.random() < 0.3:
            image.save(target / f"{number}.jpg", quality=int(random.integers(60, 95)))
        else:
            image.save(target / f"{number}.png")


@pytest.mark.parametrize("seed", range(8))
def test_a_pack_has_the_examples_groups_and_notes_of_the_folder_in_memory(tmp_path, seed, monkeypatch):
    monkeypatch.setattr(from_folder, "_CHUNK", 5)
    random = np.random.default_rng(seed)
    size = (16, 32, 40)[seed % 3]  # the last one is scaled down for the search of near-copies
    for split in [(), ("train", "test")][seed % 2] or ("",):
        write_copies(tmp_path / "mine" / split, random)
    loaded = load(f"{tmp_path / 'mine'}#{size}")
    pack_folder(tmp_path / "mine", tmp_path / "p.pack", size, workers=0)
    packed = load(tmp_path / "p.pack")
    assert packed.notes == loaded.notes
    assert any("copies of other images (equal pixels)" in note for note in packed.notes)
    for split, expected in ((packed.train, loaded.train), (packed.test, loaded.test)):
        assert split.labels.tolist() == expected.labels.tolist()
        assert torch.equal(split.take(torch.arange(len(split))), expected.images)
        assert torch.equal(split.pixel_sums, expected.pixel_sums)
    assert torch.equal(packed.train.split_groups, loaded.train.split_groups)


def test_squares_of_a_photograph_and_of_its_copy_share_a_side_of_every_split(tmp_path):
    for number in range(20):
        target = tmp_path / "mine" / ("cat", "dog")[number % 2]
        target.mkdir(parents=True, exist_ok=True)
        grey = 10 * (number // 4)  # all squares of a photograph are equal, and those of four photographs
        photograph(number).point(lambda _, grey=grey: grey).save(target / f"{number}.png")
    pack_folder(tmp_path / "mine", tmp_path / "p.pack", 16, crops=3, workers=0)
    data = load(tmp_path / "p.pack")
    assert len(data.train) + len(data.test) == 60
    greys = [
        set(split.take(torch.arange(len(split)))[:, 0, 0, 0].tolist()) for split in (data.train, data.test)
    ]
    assert greys[0] & greys[1] == set()
    assert data.train.split_groups.unique().tolist() == list(range(4))
    assert any("the first is square 2 of cat/0.png, equal to square 1" in note for note in data.notes)


def test_squares_of_one_photograph_are_a_group(tmp_path, folder):
    pack_folder(folder, tmp_path / "p.pack", 16, crops=2, workers=0)
    data = load(tmp_path / "p.pack")
    assert data.train.split_groups.tolist() == [number // 2 for number in range(32)]


def test_images_of_more_than_8_bits_are_scaled_before_copies_are_sought(tmp_path, monkeypatch):
    monkeypatch.setattr(from_folder, "_CHUNK", 3)
    draw = np.random.default_rng(0)
    for number in range(20):
        target = tmp_path / "mine" / ("cat", "dog")[number % 2]
        target.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 900 + number, (64, 64), dtype=np.uint16)
        for name in (f"{number}.png", f"{number} copy.png")[: 1 + (number < 4)]:
            Image.fromarray(pixels).save(target / name)
    loaded = load(f"{tmp_path / 'mine'}#48")
    packed = pack_folder(tmp_path / "mine", tmp_path / "p.pack", 48, workers=0)
    data = load(tmp_path / "p.pack")
    assert packed.notes == data.notes == loaded.notes
    assert data.notes[1].startswith("4 of the 24 images are copies of other images (equal pixels)")
    for split, expected in ((data.train, loaded.train), (data.test, loaded.test)):
        assert torch.equal(split.take(torch.arange(len(split))), expected.images)
        assert torch.equal(split.pixel_sums, expected.pixel_sums)


@pytest.mark.parametrize("skips", [False, True])
def test_a_list_of_somebody_else_is_refused_before_an_image_is_decoded(tmp_path, folder, skips, monkeypatch):
    if skips:
        (folder / "cat" / "text.png").write_text("no image")
    listed = tmp_path / "p.pack.skipped.txt"
    listed.write_text("mine\n")
    monkeypatch.setattr(image_batch, "decode_image", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match=r"skipped\.txt could not be removed: this program has"):
        pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert listed.read_text() == "mine\n"
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, listed.name}


def test_a_list_that_somebody_changed_is_theirs(tmp_path, folder):
    (folder / "cat" / "text.png").write_text("no image")
    for _ in range(2):  # an unchanged list is replaced
        pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    listed = tmp_path / "p.pack.skipped.txt"
    listed.write_text("looked at\n" + listed.read_text())
    with pytest.raises(DataError, match="it was changed since"):
        pack_folder(folder, tmp_path / "p.pack", 16, workers=0)


def test_of_chunks_nothing_but_chunks_is_deleted(tmp_path, folder):
    stale = tmp_path / ".p.pack.0123456789abcdef.parts"
    (stale / "000001.npz").mkdir(parents=True)
    for name in (
        "000000.npz",
        "000000.images.npy",
        "000002.scaled.77.npy",
        "notes.txt",
        "1.npz",
        "000000.x.npy",
    ):
        (stale / name).write_text(name)
    valuable = tmp_path / "valuable"
    valuable.mkdir()
    (valuable / "000000.npz").write_text("mine")
    (tmp_path / ".p.pack.aaaaaaaaaaaaaaaa.parts").symlink_to(valuable)
    messages = []
    pack_folder(folder, tmp_path / "p.pack", 16, workers=0, log=messages.append)
    assert sorted(path.name for path in stale.iterdir()) == [
        "000000.x.npy",
        "000001.npz",
        "1.npz",
        "notes.txt",
    ]
    assert (valuable / "000000.npz").read_text() == "mine"
    assert [line for line in messages if "holds other files, which are kept" in line]


def test_a_link_in_the_place_of_the_chunks_is_not_followed(tmp_path, folder, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    chunks = from_folder._Chunks(from_folder.list_images(folder), tmp_path / "p.pack", 16, None)
    chunks.folder.symlink_to(elsewhere)
    with pytest.raises(DataError, match="is a link, and chunks are written there"):
        pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert not list(elsewhere.iterdir())


def test_a_pipe_in_the_place_of_a_chunk_is_no_chunk(tmp_path, folder):
    chunks = from_folder._Chunks(from_folder.list_images(folder), tmp_path / "p.pack", 16, None)
    chunks.folder.mkdir()
    os.mkfifo(chunks.path(0))
    assert pack_folder(folder, tmp_path / "p.pack", 16, workers=0).n_train > 0


def test_a_link_in_the_place_of_a_chunk_is_replaced_and_not_followed(tmp_path, folder):
    chunks = from_folder._Chunks(from_folder.list_images(folder), tmp_path / "p.pack", 16, None)
    chunks.folder.mkdir()
    (tmp_path / "precious").write_text("kept")
    chunks.path(0).symlink_to(tmp_path / "precious")
    assert pack_folder(folder, tmp_path / "p.pack", 16, workers=0).n_train > 0
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_lock_that_holds_something_is_kept(tmp_path, folder):
    lock = tmp_path / "p.pack.lock"
    for path in (lock, tmp_path / ".p.pack.lock"):
        path.write_text("mine")
    pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert [path.read_text() for path in (lock, tmp_path / ".p.pack.lock")] == ["mine", "mine"]
