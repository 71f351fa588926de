"""Image folders: every kind of file, broken ones, resuming, and training from the pack."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import dilution
from dilution.data import folder as module
from dilution.data import load, pack_folder
from dilution.data.folder import decode, find
from dilution.errors import DataError, InputError


def picture(seed=0, size=(40, 30), mode="RGB"):
    """A picture that is red on the left half and noise on the right."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels[:, : size[0] // 2] = (255, 0, 0)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(10):
            picture(number).save(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        ("RGB", "jpg"),
        ("L", "jpg"),
        ("CMYK", "jpg"),
        ("RGBA", "png"),
        ("P", "png"),
        ("1", "png"),
        ("LA", "png"),
    ],
)
def test_every_kind_of_picture_becomes_three_channels(tmp_path, mode, ending):
    picture(mode=mode).save(tmp_path / f"a.{ending}")
    found = decode(tmp_path / f"a.{ending}", 16)
    assert found.shape == (3, 16, 16)
    assert found.dtype == np.uint8
    if mode in ("L", "LA", "1"):
        assert (found[0] == found[1]).all()
    else:
        assert found[0, :, :4].mean() > 200  # still red on the left
        assert found[1, :, :4].mean() < 60


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left becomes the top
    picture().save(tmp_path / "a.jpg", exif=exif)
    found = decode(tmp_path / "a.jpg", 16)
    assert found[0, :4].mean() > 200
    assert found[1, :4].mean() < 60


def test_the_square_is_cut_from_the_middle(tmp_path):
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, 20:40] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", 20).min() == 255


def test_a_folder_is_packed_and_holds_its_pictures(tmp_path, folder):
    made = pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    data = load(tmp_path / "p.pack")
    assert data.train.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (made.train, made.test) == (16, 4)
    listing = find(folder)
    for half, arrays in ((listing.train, data.train), (listing.test, data.test)):
        assert arrays.labels.tolist() == [label for _, label in half]
        wanted = np.stack([decode(folder / name, 16) for name, _ in half])
        assert (arrays.take(torch.arange(len(arrays))).numpy() == wanted).all()
    assert not list(tmp_path.glob(".p.pack*"))


def test_files_that_are_no_pictures_are_skipped_and_listed(tmp_path, folder):
    (folder / "cat" / "empty.jpg").write_bytes(b"")
    (folder / "cat" / "text.png").write_text("no picture")
    whole = tmp_path / "whole.jpg"
    picture(size=(200, 200)).save(whole)
    (folder / "dog" / "cut.jpg").write_bytes(whole.read_bytes()[:2000])
    (folder / "dog" / "notes.txt").write_text("not even an ending")
    made = pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert {name for name, _ in made.broken} == {"cat/empty.jpg", "cat/text.png", "dog/cut.jpg"}
    assert made.train + made.test == 20
    listed = (tmp_path / "p.pack.skipped.txt").read_text()
    assert all(f"{name}: {why}" in listed for name, why in made.broken)


def test_train_and_val_folders_are_the_halves(tmp_path, folder):
    root = tmp_path / "both"
    shutil.copytree(folder, root / "train")
    (root / "val" / "dog").mkdir(parents=True)
    picture(99).save(root / "val" / "dog" / "x.jpeg")
    made = pack_folder(root, tmp_path / "p.pack", 8, workers=0)
    assert (made.train, made.test) == (20, 1)
    (root / "val" / "fox").mkdir()
    with pytest.raises(DataError, match="'fox'"):
        find(root)


def test_packing_goes_on_where_it_was_stopped(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 4)
    whole = pack_folder(folder, tmp_path / "whole.pack", 16, workers=0)
    decoded, real = [], module.decode

    def stopping(path, size):
        if len(decoded) == 10:
            raise KeyboardInterrupt
        decoded.append(path)
        return real(path, size)

    monkeypatch.setattr(module, "decode", stopping)
    with pytest.raises(KeyboardInterrupt):
        pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert not (tmp_path / "p.pack").exists()
    again = []
    monkeypatch.setattr(module, "decode", lambda path, size: again.append(path) or real(path, size))
    said = []
    made = pack_folder(folder, tmp_path / "p.pack", 16, workers=0, say=said.append)
    assert said[0] == "2 of 5 chunks were decoded before"
    assert len(again) == 20 - 8
    assert (made.train, made.test) == (whole.train, whole.test)
    assert (tmp_path / "p.pack").read_bytes() == (tmp_path / "whole.pack").read_bytes()


def test_processes_decode_the_same(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 8)
    pack_folder(folder, tmp_path / "one.pack", 16, workers=0)
    pack_folder(folder, tmp_path / "two.pack", 16, workers=2)
    assert (tmp_path / "one.pack").read_bytes() == (tmp_path / "two.pack").read_bytes()


def test_one_picture_a_class_leaves_a_test_half(tmp_path):
    for number in range(10):
        (tmp_path / "all" / f"c{number}").mkdir(parents=True)
        picture(number).save(tmp_path / "all" / f"c{number}" / "x.png")
    made = pack_folder(tmp_path / "all", tmp_path / "p.pack", 8, workers=0)
    assert (made.train, made.test) == (8, 2)


def test_a_network_trains_from_a_packed_folder(tmp_path, folder):
    pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    data = dilution.load(tmp_path / "p.pack")
    noisy = dilution.Dilution(data.train, alpha=1)
    result = dilution.train("conv2", noisy, test=data.test, steps=3, batch=8)
    assert result.state == "done"


@pytest.mark.parametrize(("size", "error"), [(0, InputError), (-3, InputError)])
def test_a_size_must_be_positive(tmp_path, folder, size, error):
    with pytest.raises(error, match="1 pixel or more"):
        pack_folder(folder, tmp_path / "p.pack", size)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        find(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="0 pictures for training"):
        find(tmp_path / "empty")
