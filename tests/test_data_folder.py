"""Image folders: every kind of file, broken ones, resuming, and training from the pack."""

import os
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import dilution
from dilution.cli import app
from dilution.data import load, pack_folder
from dilution.data.formats import image_decoding
from dilution.data.formats.image_decoding import decode
from dilution.data.formats.image_listing import find
from dilution.data.pack import from_folder as module
from dilution.errors import DataError, InputError


def image(seed=0, size=(40, 30), mode="RGB"):
    """An image that is red on the left half and noise on the right."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels[:, : size[0] // 2] = (255, 0, 0)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(10):
            image(number).save(root / name / f"{number}.png")
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
def test_every_kind_of_image_becomes_three_channels(tmp_path, mode, ending):
    image(mode=mode).save(tmp_path / f"a.{ending}")
    (found,) = decode(tmp_path / f"a.{ending}", 16)
    assert found.shape == (3, 16, 16)
    assert found.dtype == np.uint8
    if mode in ("L", "LA", "1"):
        assert (found[0] == found[1]).all()
    else:
        assert found[0, :, :4].mean() > 200  # still red on the left
        assert found[1, :, :4].mean() < 60


def test_a_image_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left becomes the top
    image().save(tmp_path / "a.jpg", exif=exif)
    (found,) = decode(tmp_path / "a.jpg", 16)
    assert found[0, :4].mean() > 200
    assert found[1, :4].mean() < 60


def test_the_square_is_cut_from_the_middle(tmp_path):
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, 20:40] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", 20).min() == 255


def test_a_folder_is_packed_and_holds_its_images(tmp_path, folder):
    made = pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    data = load(tmp_path / "p.pack")
    assert data.train.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (made.train, made.test) == (16, 4)
    listing = find(folder)
    for half, arrays in ((listing.train, data.train), (listing.test, data.test)):
        assert arrays.labels.tolist() == [label for _, label in half]
        wanted = np.concatenate([decode(folder / name, 16) for name, _ in half])
        assert (arrays.take(torch.arange(len(arrays))).numpy() == wanted).all()
    assert not list(tmp_path.glob(".p.pack*"))


def test_files_that_are_no_images_are_skipped_and_listed(tmp_path, folder):
    (folder / "cat" / "empty.jpg").write_bytes(b"")
    (folder / "cat" / "text.png").write_text("no image")
    whole = tmp_path / "whole.jpg"
    image(size=(200, 200)).save(whole)
    (folder / "dog" / "cut.jpg").write_bytes(whole.read_bytes()[:2000])
    (folder / "dog" / "notes.txt").write_text("not even an ending")
    made = pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert {name for name, _ in made.broken} == {"cat/empty.jpg", "cat/text.png", "dog/cut.jpg"}
    assert ("cat/text.png", "by its content it is neither JPEG nor PNG") in made.broken
    assert made.train + made.test == 20
    listed = (tmp_path / "p.pack.skipped.txt").read_text()
    assert all(f"{name}: {why}" in listed for name, why in made.broken)


def test_train_and_val_folders_are_the_halves(tmp_path, folder):
    root = tmp_path / "both"
    shutil.copytree(folder, root / "train")
    (root / "val" / "dog").mkdir(parents=True)
    image(99).save(root / "val" / "dog" / "x.jpeg")
    made = pack_folder(root, tmp_path / "p.pack", 8, workers=0)
    assert (made.train, made.test) == (20, 1)
    (root / "val" / "fox").mkdir()
    with pytest.raises(DataError, match="'fox'"):
        find(root)


def test_packing_goes_on_where_it_was_stopped(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 4)
    whole = pack_folder(folder, tmp_path / "whole.pack", 16, workers=0)
    decoded, real = [], module.decode

    def stopping(path, *rest):
        if len(decoded) == 10:
            raise KeyboardInterrupt
        decoded.append(path)
        return real(path, *rest)

    monkeypatch.setattr(module, "decode", stopping)
    with pytest.raises(KeyboardInterrupt):
        pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert not (tmp_path / "p.pack").exists()
    again = []
    monkeypatch.setattr(module, "decode", lambda path, *rest: again.append(path) or real(path, *rest))
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


def dying(job):
    if job[-1].name == "000003.npz":
        os.kill(os.getpid(), signal.SIGKILL)
    module._decode_chunk(job)


def test_a_process_that_is_killed_ends_with_words_and_packing_goes_on(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 4)
    real = module._decode_chunk
    monkeypatch.setattr(module, "_decode_chunk", dying)
    with pytest.raises(DataError, match=r"ended from outside, after .* fewer --workers; it goes on"):
        pack_folder(folder, tmp_path / "p.pack", 16, workers=1)
    monkeypatch.setattr(module, "_decode_chunk", real)
    said = []
    made = pack_folder(folder, tmp_path / "p.pack", 16, workers=0, say=said.append)
    assert said[0] == "3 of 5 chunks were decoded before"
    assert made.train + made.test == 20


def test_what_a_file_is_shows_in_its_content_not_its_name(tmp_path):
    image().save(tmp_path / "a.JPEG", "PNG")  # ImageNet has such a file
    assert decode(tmp_path / "a.JPEG", 16)[0, 0, :, :4].mean() > 200


def test_one_image_a_class_leaves_a_test_half(tmp_path):
    for number in range(10):
        (tmp_path / "all" / f"c{number}").mkdir(parents=True)
        image(number).save(tmp_path / "all" / f"c{number}" / "x.png")
    made = pack_folder(tmp_path / "all", tmp_path / "p.pack", 8, workers=0)
    assert (made.train, made.test) == (8, 2)


def test_a_network_trains_from_a_packed_folder(tmp_path, folder):
    pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    data = dilution.load(tmp_path / "p.pack")
    noisy = dilution.Dilution(data.train, alpha=1)
    result = dilution.train("conv2", noisy, test=data.test, steps=3, batch_size=8)
    assert result.state == "done"


def test_crops_are_squares_of_half_to_the_whole_shorter_side(tmp_path):
    rows, columns = np.mgrid[:60, :90].astype(np.uint8)
    Image.fromarray(np.stack([columns, rows, rows * 0], axis=2)).save(tmp_path / "a.png")
    sides = []
    for square in decode(tmp_path / "a.png", 30, 64, "a.png").astype(int):
        # far from the edge of the square, colours are coordinates, so that their steps tell its side
        across = square[0, :, 24].mean() - square[0, :, 5].mean()
        down = square[1, 24, :].mean() - square[1, 5, :].mean()
        assert across == pytest.approx(down, abs=1.5)
        assert 0 <= square[0].min() <= square[0].max() < 90
        assert 0 <= square[1].min() <= square[1].max() < 60
        sides.append(across * 30 / 19)
    assert 29 <= min(sides) < 34
    assert 56 < max(sides) <= 61


def test_crops_follow_from_the_name_of_the_file_and_their_number_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    many = decode(tmp_path / "a.png", 8, 12, "cat/a.png")
    assert many.shape == (12, 3, 8, 8)
    assert len({square.tobytes() for square in many}) == 12
    assert (decode(tmp_path / "a.png", 8, 5, "cat/a.png") == many[:5]).all()
    assert (decode(tmp_path / "a.png", 8, 12, "dog/a.png") != many).any()
    assert image_decoding._box((60, 40), "cat/a.png/0") == (7, 13, 29, 35)  # the same on every machine


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3)])
def test_the_smallest_images_have_crops_too(tmp_path, size):
    image(size=size).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", 4, 3, "a.png").shape == (3, 3, 4, 4)


def test_crops_of_a_photograph_stay_in_its_half(tmp_path, folder):
    (folder / "dog" / "text.png").write_text("no image")
    made = pack_folder(folder, tmp_path / "p.pack", 16, crops=3, workers=0)
    assert [name for name, _ in made.broken] == ["dog/text.png"]
    data, listing = load(tmp_path / "p.pack"), find(folder)
    assert (made.train, made.test) == (len(data.train), len(data.test))
    assert made.train + made.test == 3 * 20
    for half, arrays in ((listing.train, data.train), (listing.test, data.test)):
        half = [(name, label) for name, label in half if name != "dog/text.png"]
        assert arrays.labels.tolist() == [label for _, label in half for _ in range(3)]
        wanted = np.concatenate([decode(folder / name, 16, 3, name) for name, _ in half])
        assert (arrays.take(torch.arange(len(arrays))).numpy() == wanted).all()


def test_what_was_decoded_for_other_crops_is_not_taken(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 4)
    real = module.decode

    def stopping(path, *rest):
        if path.name == "9.png":
            raise KeyboardInterrupt
        return real(path, *rest)

    for crops in (None, 2):
        monkeypatch.setattr(module, "decode", stopping)
        with pytest.raises(KeyboardInterrupt):
            pack_folder(folder, tmp_path / "p.pack", 16, crops=crops, workers=0)
    assert len(list(tmp_path.glob(".p.pack.*.parts"))) == 2
    monkeypatch.setattr(module, "decode", real)
    said = []
    pack_folder(folder, tmp_path / "p.pack", 16, crops=2, workers=2, say=said.append)
    assert "goes once this pack is whole" in said[0]  # what was decoded for one square each
    assert "before" in said[1]
    assert not list(tmp_path.glob(".p.pack*"))
    monkeypatch.setattr(module, "_CHUNK", 256)
    pack_folder(folder, tmp_path / "whole.pack", 16, crops=2, workers=0)
    assert (tmp_path / "p.pack").read_bytes() == (tmp_path / "whole.pack").read_bytes()


@pytest.mark.parametrize("crops", [0, -1])
def test_crops_must_be_positive(tmp_path, folder, crops):
    with pytest.raises(InputError, match=f"crops is {crops}; it must be 1 or more"):
        pack_folder(folder, tmp_path / "p.pack", 16, crops=crops)


def test_the_command_cuts_crops(tmp_path, folder):
    call = CliRunner()
    words = ["data", "pack", str(folder), str(tmp_path / "p.pack"), "--size", "8", "--workers", "0"]
    done = call.invoke(app, [*words, "--crops", "5"])
    assert done.exit_code == 0
    assert "80 + 20 images" in done.stdout
    wrong = call.invoke(app, ["data", "pack", "digits", str(tmp_path / "d.pack"), "--crops", "5"])
    assert "digits is no folder, nor is it there; --size, --crops and --workers" in str(wrong.exception)


def test_crops_are_foreign_images_of_another_data_set(tmp_path, folder):
    pack_folder(folder, tmp_path / "p.pack", 8, crops=4, workers=0)
    digits = dilution.load("digits").train
    noisy = dilution.Dilution(digits, alpha=1, n=40, image_source=dilution.load(tmp_path / "p.pack").train)
    assert noisy[79][0].shape == digits.shape


@pytest.mark.parametrize(("size", "error"), [(0, InputError), (-3, InputError)])
def test_a_size_must_be_positive(tmp_path, folder, size, error):
    with pytest.raises(error, match="1 pixel or more"):
        pack_folder(folder, tmp_path / "p.pack", size)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        find(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="0 images for training"):
        find(tmp_path / "empty")
