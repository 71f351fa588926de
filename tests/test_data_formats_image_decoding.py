"""Decoding of photographs: kinds of images, rotation, squares, and which decoders a file can reach."""

import numpy as np
import pytest
from photographs import decoded_squares, photograph
from PIL import Image

from dilution.data.formats import image_decoding
from dilution.errors import DataError


@pytest.mark.parametrize(
    ("mode", "suffix"),
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
def test_every_kind_of_image_becomes_three_channels(tmp_path, mode, suffix):
    photograph(mode=mode).save(tmp_path / f"a.{suffix}")
    (square,) = decoded_squares(tmp_path / f"a.{suffix}", 16)
    assert square.shape == (3, 16, 16)
    assert square.dtype == np.uint8
    if mode in ("L", "LA", "1"):
        assert (square[0] == square[1]).all()
    else:
        assert square[0, :, :4].mean() > 200  # still red on the left
        assert square[1, :, :4].mean() < 60


def test_an_image_is_rotated_as_its_metadata_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise: the left becomes the top
    photograph().save(tmp_path / "a.jpg", exif=exif)
    (square,) = decoded_squares(tmp_path / "a.jpg", 16)
    assert square[0, :4].mean() > 200
    assert square[1, :4].mean() < 60


def test_the_square_is_cut_from_the_middle(tmp_path):
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, 20:40] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert decoded_squares(tmp_path / "a.png", 20).min() == 255


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_greys_of_16_bits_keep_their_upper_8_bits(tmp_path, dtype):
    greys = np.linspace(0, 65535, 64)[None].repeat(64, 0).astype(dtype)
    Image.fromarray(greys).save(tmp_path / "a.png")
    (square,) = decoded_squares(tmp_path / "a.png", 64)
    assert (square == greys // 256).all()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(greys).save(tmp_path / "b.png", exif=exif)
    assert (decoded_squares(tmp_path / "b.png", 64)[0] == (greys // 256).T).all()


@pytest.mark.parametrize("format_", ["EPS", "PPM", "PCX", "TGA", "ICO", "JPEG2000", "PDF"])
def test_only_the_decoders_of_six_formats_are_reached_whatever_the_name_of_a_file(
    tmp_path, format_, monkeypatch
):
    photograph().save(tmp_path / "a.jpg", format_)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("Ghostscript was executed"))
    with pytest.raises(DataError, match="by its content it is not JPEG, PNG, BMP, GIF, WebP or TIFF"):
        decoded_squares(tmp_path / "a.jpg", 16)


def test_the_content_of_a_file_decides_its_format_and_the_first_of_several_images_is_read(tmp_path):
    photograph().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[photograph(1)])
    photograph().save(tmp_path / "b.jpg", "PNG")
    photograph().save(tmp_path / "c.png", "JPEG")
    photograph().save(tmp_path / "d.JPEG", "PNG")  # ImageNet has such a file
    for name in ("a.jpg", "b.jpg", "c.png", "d.JPEG"):
        assert decoded_squares(tmp_path / name, 16)[0, 0, :, :4].mean() > 200


def test_crops_have_sides_from_half_to_the_whole_of_the_shorter_side(tmp_path):
    rows, columns = np.mgrid[:60, :90].astype(np.uint8)
    Image.fromarray(np.stack([columns, rows, rows * 0], axis=2)).save(tmp_path / "a.png")
    sides = []
    for square in decoded_squares(tmp_path / "a.png", 30, 64, "a.png").astype(int):
        # colours are coordinates far from the edge of the square, so that their steps give its side
        across = square[0, :, 24].mean() - square[0, :, 5].mean()
        down = square[1, 24, :].mean() - square[1, 5, :].mean()
        assert across == pytest.approx(down, abs=1.5)
        assert 0 <= square[0].min() <= square[0].max() < 90
        assert 0 <= square[1].min() <= square[1].max() < 60
        sides.append(across * 30 / 19)
    assert 29 <= min(sides) < 34
    assert 56 < max(sides) <= 61


def test_crops_depend_on_the_name_of_the_file_and_their_number_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    squares = decoded_squares(tmp_path / "a.png", 8, 12, "cat/a.png")
    assert squares.shape == (12, 3, 8, 8)
    assert len({square.tobytes() for square in squares}) == 12
    assert (decoded_squares(tmp_path / "a.png", 8, 5, "cat/a.png") == squares[:5]).all()
    assert (decoded_squares(tmp_path / "a.png", 8, 12, "dog/a.png") != squares).any()
    assert image_decoding._crop_box((60, 40), "cat/a.png/0") == (7, 13, 29, 35)  # the same on every machine


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3)])
def test_the_smallest_images_have_crops_too(tmp_path, size):
    photograph(size=size).save(tmp_path / "a.png")
    assert decoded_squares(tmp_path / "a.png", 4, 3, "a.png").shape == (3, 3, 4, 4)
