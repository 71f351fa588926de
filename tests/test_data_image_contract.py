"""What every reader of image folders must do with every kind of file: used as a person sees it, or noted."""

import io
import os
import socket
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from dilution.data import load, load_unsplit, pack_folder
from dilution.data.formats import image_decoding
from dilution.errors import DataError

SIDE = 24
RED, WHITE, BLACK = (200, 30, 30), (255, 255, 255), (0, 0, 0)
Read = tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.uint8], tuple[str, ...]]


def without_copies(notes: tuple[str, ...]) -> tuple[str, ...]:
    """Return notes without those on equal images, which are of the data set and not of its files."""
    return tuple(note for note in notes if "copies" not in note)


def read_split(folder: Path) -> Read:
    data = load(f"{folder}#{SIDE}")
    splits = data.train, data.test
    labels = np.concatenate([split.labels.numpy() for split in splits])
    images = np.concatenate([split.images for split in splits])
    return data.train.classes, labels, images, without_copies(data.notes)


def read_unsplit(folder: Path) -> Read:
    unsplit = load_unsplit(f"{folder}#{SIDE}")
    arrays = unsplit.arrays
    return arrays.classes, arrays.labels.numpy(), arrays.images.numpy(), without_copies(unsplit.notes)


def read_pack(folder: Path) -> Read:
    pack = folder.parent / "p.pack"
    packed = pack_folder(folder, pack, SIDE, workers=0)
    data = load(pack)
    splits = data.train, data.test
    labels = np.concatenate([split.labels.numpy() for split in splits])
    images = np.concatenate([split.take(torch.arange(len(split))) for split in splits])
    notes = without_copies(data.notes)
    assert notes == without_copies(packed.notes)
    return data.train.classes, labels, images, notes


READERS = [read_split, read_unsplit, read_pack]


@pytest.fixture(params=READERS, ids=["split", "unsplit", "pack"])
def read(request: pytest.FixtureRequest) -> Callable[[Path], Read]:
    return request.param


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with five images of a class called plain, and an empty one for a class called subject."""
    for number in range(5):
        (tmp_path / "data" / "plain").mkdir(parents=True, exist_ok=True)
        marked(picture(BLACK, BLACK), number).save(tmp_path / "data" / "plain" / f"{number}.png")
    (tmp_path / "data" / "subject").mkdir()
    return tmp_path / "data"


def picture(left: object, right: object, mode: str = "RGB") -> Image.Image:
    """Return an image whose halves have one colour each."""
    image = Image.new(mode, (SIDE, SIDE), left)
    image.paste(right, (SIDE // 2, 0, SIDE, SIDE))
    return image


def marked(image: Image.Image, number: int) -> Image.Image:
    """Return an image with a bar of its own, so that no two images are copies."""
    image.paste((0, 0, 250), (4 * number, 0, 4 * number + 4, SIDE))
    return image


def saved(image: Image.Image, format_: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, format_, **options)
    return content.getvalue()


def array(left: float, right: float, dtype: str) -> Image.Image:
    pixels = np.full((SIDE, SIDE), left, dtype=dtype)
    pixels[:, SIDE // 2 :] = right
    return Image.fromarray(pixels)


def oriented(format_: str, **options: object) -> bytes:
    """Return the picture stored as its mirror image, with metadata that say so."""
    exif = Image.Exif()
    exif[0x0112] = 2
    return saved(picture(WHITE, RED), format_, exif=exif, **options)


def animated(format_: str, image: Image.Image | None = None) -> bytes:
    first = picture(RED, WHITE) if image is None else image
    return saved(first, format_, save_all=True, append_images=[picture(BLACK, BLACK)])


def png(depth: int, colour_type: int, row: bytes, transparent: bytes) -> bytes:
    """Return a PNG of equal rows with one transparent colour; Pillow writes only some of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, colour_type, 0, 0, 0)
    pixels = zlib.compress((b"\0" + row) * SIDE)
    chunks = chunk(b"IHDR", header) + chunk(b"tRNS", transparent) + chunk(b"IDAT", pixels)
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def palette() -> Image.Image:
    """Return an image with a palette, whose colours are red and black."""
    image = Image.new("P", (SIDE, SIDE), 0)
    image.putpalette([*RED, *BLACK])
    image.paste(1, (SIDE // 2, 0, SIDE, SIDE))
    return image


HALF = SIDE // 2
ROTATED, CMYK, GREY = (
    "5 images are rotated or mirrored as metadata say (EXIF), the first is subject/0.",
    "5 images with colours in CMYK are converted to RGB, the first is subject/0.",
    "5 grey images are beside images with colours (5), and given three equal channels, the first is subject",
)
ON_WHITE, FRAMES, SCALED = (
    "5 images have transparent parts",
    "5 images have several frames",
    "scaled to 0 … 255",
)

# Name of the file, its content, the colours of the halves as a person sees them, and words of a note.
SEEN = {
    "png": ("png", saved(picture(RED, WHITE), "PNG"), RED, WHITE, ""),
    "jpeg": ("jpeg", saved(picture(RED, WHITE), "JPEG", quality=95), RED, WHITE, ""),
    "jfif": ("jfif", saved(picture(RED, WHITE), "JPEG", quality=95), RED, WHITE, ""),
    "webp": ("webp", saved(picture(RED, WHITE), "WEBP", lossless=True), RED, WHITE, "5 WebP"),
    "bmp": ("bmp", saved(picture(RED, WHITE), "BMP"), RED, WHITE, "5 BMP"),
    "tiff": ("tif", saved(picture(RED, WHITE), "TIFF"), RED, WHITE, "5 TIFF"),
    "tiff lzw": ("tiff", saved(picture(RED, WHITE), "TIFF", compression="tiff_lzw"), RED, WHITE, ""),
    "gif": ("gif", saved(picture(RED, WHITE), "GIF"), RED, WHITE, "5 GIF"),
    "upper case": ("PNG", saved(picture(RED, WHITE), "PNG"), RED, WHITE, ""),
    "upper case webp": ("WebP", saved(picture(RED, WHITE), "WEBP", lossless=True), RED, WHITE, ""),
    "wrong extension": ("jpg", saved(picture(RED, WHITE), "PNG"), RED, WHITE, ""),
    "gif called png": ("png", saved(picture(RED, WHITE), "GIF"), RED, WHITE, ""),
    "webp called jpg": ("jpg", saved(picture(RED, WHITE), "WEBP", lossless=True), RED, WHITE, ""),
    "grey": ("jpg", saved(picture(77, 255, "L"), "JPEG", quality=95), (77,) * 3, WHITE, GREY),
    "1 bit": ("png", saved(picture(0, 1, "1"), "PNG"), BLACK, WHITE, GREY),
    "1 bit tiff": ("tif", saved(picture(0, 1, "1"), "TIFF", compression="group4"), BLACK, WHITE, ""),
    "cmyk": ("jpg", saved(picture((0, 255, 255, 0), (0, 0, 0, 0), "CMYK"), "JPEG"), (255, 0, 0), WHITE, CMYK),
    "cmyk tiff": (
        "tif", saved(picture((0, 255, 255, 0), (0,) * 4, "CMYK"), "TIFF"), (255, 0, 0), WHITE, CMYK,
    ),
    "palette": ("png", saved(palette(), "PNG"), RED, BLACK, ""),
    "palette bmp": ("bmp", saved(palette(), "BMP"), RED, BLACK, ""),
    "rgba": ("png", saved(picture((*RED, 255), (0, 0, 0, 0), "RGBA"), "PNG"), RED, WHITE, ON_WHITE),
    "rgba webp": (
        "webp", saved(picture((*RED, 255), (0,) * 4, "RGBA"), "WEBP", lossless=True), RED, WHITE, ON_WHITE,
    ),
    "rgba tiff": ("tif", saved(picture((*RED, 255), (0,) * 4, "RGBA"), "TIFF"), RED, WHITE, ON_WHITE),
    "half opaque": (
        "png", saved(picture((0, 0, 0, 128), (0,) * 4, "RGBA"), "PNG"), (127,) * 3, WHITE, ON_WHITE,
    ),
    "opaque rgba": ("png", saved(picture((*RED, 255), (*WHITE, 255), "RGBA"), "PNG"), RED, WHITE, ""),
    "la": ("png", saved(picture((77, 255), (0, 0), "LA"), "PNG"), (77,) * 3, WHITE, ON_WHITE),
    "transparent palette": ("png", saved(palette(), "PNG", transparency=1), RED, WHITE, ON_WHITE),
    "palette with alpha": ("png", saved(palette(), "PNG", transparency=b"\xff\x00"), RED, WHITE, ON_WHITE),
    "transparent gif": ("gif", saved(palette(), "GIF", transparency=1), RED, WHITE, ON_WHITE),
    "transparent colour": (
        "png", saved(picture(RED, BLACK), "PNG", transparency=BLACK), RED, WHITE, ON_WHITE,
    ),
    "transparent grey": (
        "png", saved(picture(77, 9, "L"), "PNG", transparency=9), (77,) * 3, WHITE, ON_WHITE,
    ),
    "transparent 4 bits": (
        "png", png(4, 0, b"\x55" * (HALF // 2) + b"\x22" * (HALF // 2), b"\0\2"),
        (85,) * 3, WHITE, ON_WHITE,
    ),
    "transparent 1 bit": ("png", png(1, 0, b"\x00\x0f\xff", b"\0\1"), BLACK, WHITE, ON_WHITE),
    "transparent 16 bits": (
        "png", png(16, 0, b"\1\1\2\2" * (HALF // 2) + b"\3\3" * HALF, b"\3\3"), None, WHITE, ON_WHITE,
    ),
    "transparent colours of 16 bits": (
        "png", png(16, 2, b"\x14\1\x28\1\x3c\1" * HALF + b"\1\2\1\2\1\2" * HALF, b"\1\2\1\2\1\2"),
        (20, 40, 60), WHITE, ON_WHITE,
    ),
    "12 bits in 16": ("png", saved(array(0, 4095, "uint16"), "PNG"), BLACK, WHITE, "16-bit from 0 to 4,095"),
    "16 bits with an offset": ("png", saved(array(30000, 30100, "uint16"), "PNG"), BLACK, WHITE, SCALED),
    "16 bits tiff": ("tif", saved(array(0, 1000, "uint16"), "TIFF"), BLACK, WHITE, SCALED),
    "16 bits big endian": ("tif", saved(array(0, 1000, ">u2"), "TIFF"), BLACK, WHITE, SCALED),
    "32 bits": (
        "tif", saved(array(-1000, 3000, "int32"), "TIFF"), BLACK, WHITE, "32-bit from -1,000 to 3,000",
    ),
    "floats": ("tif", saved(array(0, 0.5, "float32"), "TIFF"), BLACK, WHITE, "float from 0 to 0.5"),
    "rotated jpeg": ("jpg", oriented("JPEG"), RED, WHITE, ROTATED),
    "rotated png": ("png", oriented("PNG"), RED, WHITE, ROTATED),
    "rotated webp": ("webp", oriented("WEBP"), RED, WHITE, ROTATED),
    "rotated tiff": ("tif", oriented("TIFF"), RED, WHITE, ROTATED),
    "rotated lzw": ("tif", oriented("TIFF", compression="tiff_lzw"), RED, WHITE, ROTATED),
    "animated gif": ("gif", animated("GIF"), RED, WHITE, FRAMES),
    "animated webp": ("webp", animated("WEBP"), RED, WHITE, FRAMES),
    "animated png": ("png", animated("PNG"), RED, WHITE, FRAMES),
    "pages of tiff": ("tiff", animated("TIFF"), RED, WHITE, FRAMES),
    "mpo": ("mpo", animated("MPO"), RED, WHITE, FRAMES),
}  # fmt: skip


@pytest.mark.parametrize("kind", SEEN)
def test_an_image_is_read_as_a_person_sees_it(read: Callable[[Path], Read], folder: Path, kind: str) -> None:
    suffix, content, left, right, words = SEEN[kind]
    for number in range(5):
        (folder / "subject" / f"{number}.{suffix}").write_bytes(content)
    classes, labels, images, notes = read(folder)
    assert classes == ("plain", "subject")
    assert np.bincount(labels).tolist() == [5, 5]
    for image in images[labels == 1].astype(int):
        for half, colour in ((image[:, :, : HALF - 2], left), (image[:, :, HALF + 2 :], right)):
            if colour is not None:
                assert abs(half - np.array(colour)[:, None, None]).max() < 12
    assert (words in " ".join(notes)) if words else not any("5 images" in note for note in notes)


def damaged(format_: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    content = saved(Image.fromarray(pixels), format_, **options)
    return content[: len(content) // 2]


def bomb(side: int = 30_000) -> bytes:
    """Return a PNG of a few hundred bytes that unpacks to 900 million pixels."""
    content = saved(Image.new("1", (8, 8)), "PNG")
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    chunks = [
        header + struct.pack(">I", zlib.crc32(header)),
        b"IDAT" + pixels + struct.pack(">I", zlib.crc32(b"IDAT" + pixels)),
    ]
    return content[:8] + b"".join(struct.pack(">I", len(chunk) - 8) + chunk for chunk in chunks)


SKIPPED = {
    "empty": ("png", b"", "1 file is skipped, the first is subject/x.png: it is empty"),
    "text": ("png", b"no image", "by its content it is not JPEG, PNG, BMP, GIF, WebP or TIFF"),
    "cut png": ("png", damaged("PNG"), "1 file is skipped, the first is subject/x.png: "),
    "cut jpeg": ("jpg", damaged("JPEG"), "1 file is skipped, the first is subject/x.jpg: "),
    "cut gif": ("gif", damaged("GIF"), "1 file is skipped, the first is subject/x.gif: "),
    "cut webp": ("webp", damaged("WEBP", lossless=True), "1 file is skipped, the first is subject/x.webp: "),
    "cut bmp": ("bmp", damaged("BMP"), "1 file is skipped, the first is subject/x.bmp: "),
    "cut tiff": ("tif", damaged("TIFF"), "1 file is skipped, the first is subject/x.tif: "),
    "cut lzw": ("tif", damaged("TIFF", compression="tiff_lzw"), "the first is subject/x.tif: "),
    "heic called jpg": ("jpg", b"\0\0\0\x18ftypheic\0\0\0\0", "by its content it is HEIC, which is not read"),
    "bomb": ("png", bomb(), "x.png: it has more than 89,478,485 pixels, the limit of PIL"),
    "avif": ("avif", b"\0\0\0\x18ftypavif\0\0\0\0", "1 image of a format that is not read (.avif)"),
    "heic": ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0", "1 image of a format that is not read (.heic)"),
    "svg": ("svg", b"<svg/>", "1 image of a format that is not read (.svg)"),
    "notes": ("txt", b"text", "1 file whose extension is not that of an image (.txt)"),
    "no extension": ("", saved(picture(RED, WHITE), "PNG"), "1 file whose extension is not that of an image"),
    "not a number": ("tif", saved(array(np.nan, np.nan, "float32"), "TIFF"), "no pixel that is opaque and"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SKIPPED)
def test_a_file_that_is_no_image_is_skipped_and_noted(
    read: Callable[[Path], Read], folder: Path, kind: str
) -> None:
    suffix, content, words = SKIPPED[kind]
    for number in range(5):
        marked(picture(RED, WHITE), number).save(folder / "subject" / f"{number}.png")
    (folder / "subject" / (f"x.{suffix}" if suffix else "x")).write_bytes(content)
    classes, labels, _, notes = read(folder)
    assert classes == ("plain", "subject")
    assert len(labels) == 10
    (note,) = notes
    assert words in note


def make_entry(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    else:
        path.symlink_to({"zero": "/dev/zero", "nowhere": "/not/mounted/x.png", "itself": path}[kind])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("pipe", "1 pipe, socket or device is not opened, the first is subject/x.png"),
        ("socket", "1 pipe, socket or device is not opened, the first is subject/x.png"),
        ("zero", "1 pipe, socket or device is not opened, the first is subject/x.png"),
        (
            "nowhere",
            "1 link is skipped, the first is subject/x.png: No such file or directory: /not/mounted/x.png",
        ),
        ("itself", "1 link is skipped, the first is subject/x.png: "),
    ],
)
def test_what_is_no_file_is_never_opened(
    read: Callable[[Path], Read], folder: Path, kind: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)  # names of sockets are short
    for number in range(5):
        marked(picture(RED, WHITE), number).save(folder / "subject" / f"{number}.png")
    make_entry(folder / "subject" / "x.png", kind)
    _, labels, _, notes = read(folder)
    assert len(labels) == 10
    (note,) = notes
    assert words in note


def test_a_pipe_is_not_opened_by_the_decoder_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")  # it took the place of a file that was listed
    with pytest.raises(DataError, match="it is no regular file"):
        image_decoding.decode_image(tmp_path / "x.png", 8)


def test_a_class_of_which_no_image_can_be_read_is_none(read: Callable[[Path], Read], folder: Path) -> None:
    for name in ("aaa", "zzz"):
        (folder / name).mkdir()
        picture(RED, WHITE).save(folder / name / "x.png")
        picture(RED, WHITE).save(folder / name / "y.png")
    for number in range(5):
        (folder / "subject" / f"{number}.png").write_text("no image")
    classes, labels, _, notes = read(folder)
    assert classes == ("aaa", "plain", "zzz")
    assert np.bincount(labels).tolist() == [2, 5, 2]
    assert "1 folder has no image that can be read and is no class, the first is subject" in notes


def test_one_range_is_used_for_all_images_of_more_than_8_bits(
    read: Callable[[Path], Read], folder: Path
) -> None:
    for number, greatest in enumerate((1000, 2000, 4000)):
        array(0, greatest, "uint16").save(folder / "subject" / f"{number}.png")
    array(0, 1, "float32").save(folder / "subject" / "3.tif")  # floats have a range of their own
    _, labels, images, notes = read(folder)
    greatest = sorted(images[labels == 1].max((1, 2, 3)).tolist())
    assert greatest == [63, 127, 255, 255]
    assert "(16-bit from 0 to 4,000; float from 0 to 1)" in notes[0]


def test_pixels_that_are_not_finite_are_noted(read: Callable[[Path], Read], folder: Path) -> None:
    for number in range(5):
        pixels = np.full((SIDE, SIDE), 0.25, np.float32)
        pixels[:, HALF:] = [np.nan, np.inf, 0.75][number % 3]
        pixels[0, 0] = 0.75
        Image.fromarray(pixels).save(folder / "subject" / f"{number}.tif")
    _, labels, images, notes = read(folder)
    right = images[labels == 1][:, 0, HALF:, HALF + 4 :].mean((1, 2)).round().tolist()
    assert sorted(right) == [0, 0, 255, 255, 255]
    assert any(note.startswith("4 images have pixels that are not finite") for note in notes)


def test_names_that_are_not_utf8_are_escaped_wherever_they_are_written(
    read: Callable[[Path], Read], folder: Path
) -> None:
    for number in range(5):
        picture(RED, WHITE).save(folder / "subject" / f"{number}.png")
    odd = Path(os.fsdecode(os.fsencode(folder / "subject") + b"/caf\xe9\x1b[31m\n.png"))
    (folder / "subject" / "3.png").rename(odd)
    Path(os.fsdecode(os.fsencode(folder / "subject") + b"/b\xe4h.png")).write_text("no image")
    (folder / "subject").rename(Path(os.fsdecode(os.fsencode(folder) + b"/s\xfcd")))
    classes, labels, _, notes = read(folder)
    assert classes == ("plain", r"s\xfcd")
    assert len(labels) == 10
    assert all(text.isprintable() for text in (*classes, *notes))
    assert r"s\xfcd/b\xe4h.png" in " ".join(notes)
    if read is read_unsplit:
        names = load_unsplit(folder).names
        assert names is not None
        assert names[9] == r"s\xfcd/caf\xe9\x1b[31m\x0a.png"
    if read is read_pack:
        listed = (folder.parent / "p.pack.skipped.txt").read_text("utf-8")
        assert listed.startswith(r"s\xfcd/b\xe4h.png: by its content")


def test_images_that_are_not_square_or_too_small_are_noted(
    read: Callable[[Path], Read], folder: Path
) -> None:
    sizes = [(SIDE, SIDE), (SIDE + 1, SIDE), (SIDE, 900), (SIDE - 1, SIDE - 1), (3, 1200)]
    for number, size in enumerate(sizes):
        marked(Image.new("RGB", size, RED), number).save(folder / "subject" / f"{number}.png")
    _, labels, _, notes = read(folder)
    assert len(labels) == 10
    assert notes == (
        "3 images are not square and are cut to the square in the middle, the first is subject/1.png (25 × "
        "24 pixels)",
        "2 images are smaller than the squares that models learn from and are enlarged, the first is "
        "subject/3.png (23 × 23 pixels)",
    )


def greys_noted(result: Read) -> tuple[str, ...]:
    return tuple(note for note in result[3] if "grey" in note)  # others are of copies and of the split


def test_greys_alone_are_not_noted(read: Callable[[Path], Read], folder: Path) -> None:
    for path in folder.glob("*/*.png"):
        path.unlink()
    for number in range(10):
        target = folder / ("plain", "subject")[number % 2] / f"{number}.png"
        picture(20 * number, 255, "L").save(target)
    assert greys_noted(read(folder)) == ()
    picture(RED, WHITE).save(folder / "plain" / "9.png")
    assert greys_noted(read(folder)) == (
        "10 grey images are beside images with colours (1), and given three equal channels, the first is "
        "plain/0.png",
    )


def test_a_class_whose_name_marks_missing_values_is_a_class_and_noted(
    read: Callable[[Path], Read], folder: Path
) -> None:
    for name in ("NA", "None"):
        (folder / name).mkdir()
        for number in range(3):
            marked(picture(RED, WHITE), number).save(folder / name / f"{number}.png")
    classes, labels, _, notes = read(folder)
    assert classes == ("NA", "None", "plain")
    assert np.bincount(labels).tolist() == [3, 3, 5]
    assert notes[1:] == (
        "6 labels read 'NA' or 'None', which are classes; only an empty cell is a missing label",
    )


@pytest.mark.parametrize(("names", "used"), [(("train", "val", "test"), "val"), (("train", "test"), "test")])
def test_the_split_for_testing_is_named_where_others_are_left_out(
    read: Callable[[Path], Read], folder: Path, names: tuple[str, ...], used: str
) -> None:
    root = folder.parent / "splits"
    for split, name in enumerate((*names, "Validation")):
        for class_number, class_name in enumerate("ab"):
            (root / name / class_name).mkdir(parents=True)
            for number in range(2):
                image = picture((0, 100 * class_number, 50 * split), (200 * number, 0, 0))
                image.save(root / name / class_name / f"{number}.png")
    _, labels, images, notes = read(root)
    assert len(labels) == 8
    assert set((images[:, 2, 0, 0]).tolist()) == {0, 50}
    (note,) = notes
    first = "Validation/a/0.png"
    assert note.startswith(
        f"{4 * len(names) - 4} images of splits that are not used are skipped, the first is {first}; of "
        f"several, {used!r} is the split for testing"
    )
    assert ("'test' often has no labels" in note) == (used == "val")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("pixels", [9_000, 14_000])  # a warning and an error of Pillow
def test_the_limit_of_pixels_is_that_of_pillow_and_needs_no_filter_of_warnings(
    tmp_path: Path, pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.png").write_bytes(bomb(pixels))
    monkeypatch.setattr(warnings, "simplefilter", lambda *_: None)  # as another thread could undo it
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 80_000_000)
    with pytest.raises(DataError, match="it has more than 80,000,000 pixels"):
        image_decoding.decode_image(tmp_path / "x.png", 8)


def test_libraries_write_nothing_to_the_terminal(
    read: Callable[[Path], Read], folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        picture(RED, WHITE).save(folder / "subject" / f"{number}.png")
    draw = np.random.default_rng(0)
    noise = Image.fromarray(draw.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    for compression in ("group4", "tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        image = noise.convert("1") if compression == "group4" else noise
        content = bytearray(saved(image, "TIFF", compression=compression))
        for place in draw.integers(200, len(content) - 200, 20):
            content[place] ^= 255
        (folder / "subject" / f"{compression}.tif").write_bytes(content)
    _, _, _, notes = read(folder)
    assert capfd.readouterr() == ("", "")
    assert any("skipped, the first is subject/" in note for note in notes)
