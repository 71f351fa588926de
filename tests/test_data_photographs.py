"""Folders of photographs from anywhere: odd files, halves that are missing, and what earlier packs left."""

import shutil

import numpy as np
import pytest
from PIL import Image

from dilution.data import pack_folder
from dilution.data.formats.image_decoding import decode
from dilution.data.formats.image_listing import find
from dilution.errors import DataError


def image(seed=0, size=(40, 30)):
    """An image that is red on the left half and noise on the right."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels[:, : size[0] // 2] = (255, 0, 0)
    return Image.fromarray(pixels)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(5):
            image(number).save(root / name / f"{number}.png")
    return root


def test_the_folders_of_another_pack_stay_when_one_is_whole(tmp_path, folder):
    others = [tmp_path / f".{name}.0123456789abcdef.parts" for name in ("q.pack", "p.pack.pack", "pXpack")]
    for other in (*others, tmp_path / ".p.pack.0123456789abcdef.parts"):
        other.mkdir()
    said = []
    pack_folder(folder, tmp_path / "p.pack", 16, workers=0, say=said.append)
    assert sorted(tmp_path.glob(".*")) == sorted(others)
    assert len([line for line in said if "goes once" in line]) == 1


def test_the_list_of_skipped_files_goes_when_nothing_is_skipped_any_more(tmp_path, folder):
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


@pytest.mark.parametrize("mode", ["<u2", ">u2"])
def test_greys_of_16_bits_keep_their_steps(tmp_path, mode):
    greys = np.linspace(0, 65535, 64)[None].repeat(64, 0).astype(mode)
    Image.fromarray(greys).save(tmp_path / "a.png")
    (found,) = decode(tmp_path / "a.png", 64)
    assert (found == greys // 256).all()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(greys).save(tmp_path / "b.png", exif=exif)
    assert (decode(tmp_path / "b.png", 64)[0] == (greys // 256).T).all()


@pytest.mark.parametrize("kind", ["EPS", "TIFF", "GIF", "BMP", "PPM"])
def test_only_the_decoders_of_jpeg_and_png_are_reached_whatever_a_file_is_called(
    tmp_path, folder, kind, monkeypatch
):
    image().save(folder / "cat" / "e.jpg", kind)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("Ghostscript was run"))
    made = pack_folder(folder, tmp_path / "p.pack", 16, workers=0)
    assert made.broken == (("cat/e.jpg", "by its content it is neither JPEG nor PNG"),)


def test_jpegs_of_several_images_and_files_with_the_other_ending_are_read(tmp_path):
    image().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[image(1)])
    image().save(tmp_path / "b.jpg", "PNG")
    image().save(tmp_path / "c.png", "JPEG")
    for name in ("a.jpg", "b.jpg", "c.png"):
        assert decode(tmp_path / name, 16)[0, 0, :, :4].mean() > 200


@pytest.mark.parametrize(
    ("names", "lacks"),
    [
        (["train"], "'val' or 'test'"),
        (["val"], "'train'"),
        (["test", "val"], "'train'"),
        (["train", "n_val"], "'val' or 'test'"),
    ],
)
def test_a_half_alone_is_not_taken_for_a_class(tmp_path, folder, names, lacks):
    root = tmp_path / "halves"
    for name in names:
        shutil.copytree(folder, root / name)
    (root / "notes").mkdir()
    found = " and ".join(map(repr, names))
    with pytest.raises(DataError, match=rf"images in {found} only and lacks {lacks}; .*{names[0]}, to"):
        find(root)
    assert find(root / names[0]).classes == ("cat", "dog")  # what the message advises


def test_a_single_class_is_refused(tmp_path, folder):
    shutil.rmtree(folder / "dog")
    with pytest.raises(DataError, match="one class only, 'cat'; it needs two or more"):
        find(folder)
    for half in ("train", "val"):
        shutil.copytree(folder / "cat", tmp_path / "halves" / half / "cat")
    with pytest.raises(DataError, match="one class only, 'cat'"):
        find(tmp_path / "halves")


def test_a_class_may_be_called_train(tmp_path, folder):
    (folder / "dog").rename(folder / "train")
    assert find(folder).classes == ("cat", "train")
