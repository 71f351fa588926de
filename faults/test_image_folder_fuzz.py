"""1,000 generated image folders: packed or refused with a message, no traceback, every file used or noted."""

import io
import os
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dilution.cli import main
from dilution.data import load, load_unsplit

FOLDERS = 1000
SIZES = [8, 8, 8, 20]  # near-copies are sought from 16 on
CLASSES = [
    "cat",
    "dog",
    "Cat",
    "caf\udce9",
    "e\u0301",
    "\u00e9",
    " fox ",
    "日本",
    "a\nb",
    "1",
    "-x",
    "=1+1",
    "#x",
]
FILES = [
    "{}",
    "{}.x",
    "img {}",
    "{}\udcff",
    "{}\x1b[2J",
    "日{}",
    "{}\n",
    "-{}",
    "{}#8",
    "'{}'",
    "%s{}",
    "{}{{}}",
]
FOREIGN = ["__MACOSX", "@eaDir", ".ipynb_checkpoints", ".git", "#recycle", "lost+found", "$RECYCLE.BIN"]
HIDDEN = [".DS_Store", "._0.png", "Thumbs.db", "desktop.ini", ".hidden.jpg"]
TEXTS = ["labels.csv", "README", "x.html", "pets.zip", "x.py", "x.heic", "x.AVIF", "x.svg", "x.mp4", "png"]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"]
WRITERS = {
    "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "BMP": ["1", "L", "P", "RGB", "RGBA"],
    "GIF": ["L", "P", "RGB", "RGBA"],
    "WEBP": ["RGB", "RGBA"],
    "TIFF": MODES,
}
SUFFIXES = ["jpg", "jpeg", "JPG", "png", "PNG", "bmp", "gif", "webp", "WebP", "tif", "tiff"]
SKIPS = re.compile(r"^note: ([\d,]+) .*(?:skipped|not opened), the first is", re.MULTILINE)


def contents():
    """Return the bytes of small images of every format and mode, some with several frames or rotated."""
    draw = np.random.default_rng(0)
    files = []
    for format_, modes in WRITERS.items():
        for mode in modes:
            pixels = draw.integers(0, 256, (9, 12, 4), dtype=np.uint8)
            if mode in ("I", "I;16", "F"):
                deep = pixels[..., 0].astype({"I": "int32", "I;16": "uint16", "F": "float32"}[mode])
                image = Image.fromarray(deep * 100)
            else:
                image = Image.fromarray(pixels, "RGBA").convert(
                    "RGB" if mode in ("CMYK", "YCbCr") else "RGBA"
                )
                image = image.convert("RGB").convert(mode) if mode in ("P", "1") else image.convert(mode)
            exif = Image.Exif()
            exif[0x0112] = int(draw.integers(1, 9))
            compressions = (
                ["tiff_lzw", "tiff_adobe_deflate"] if format_ == "TIFF" and mode in ("L", "RGB") else []
            )
            compressions += ["group4"] if format_ == "TIFF" and mode == "1" else []
            variants = [{}] if format_ in ("BMP", "GIF") else [{}, {"exif": exif}]
            if format_ in ("GIF", "WEBP", "TIFF", "PNG"):
                variants.append({"save_all": True, "append_images": [image, image]})
            for options in [*variants, *({"compression": name} for name in compressions)]:
                file = io.BytesIO()
                image.save(file, format_, **options)
                files.append(file.getvalue())
    return files


class Folder:
    """A generated folder that counts its files, and what stands for several: foreign folders and links."""

    def __init__(self, root, number, images):
        self.root, self.draw, self.images, self.count = root, random.Random(number), images, 0
        self.elsewhere = root.with_name(f"{root.name} elsewhere")
        root.mkdir()
        folders = [root]
        if self.draw.random() < 0.3:
            names = self.draw.choice(
                [("train", "val"), ("train", "test"), ("train", "val", "test"), ("train",)]
            )
            folders = [root / name for name in names]
        classes = self.draw.sample(CLASSES, self.draw.choice([1, 2, 2, 3, 3, 4, 6]))
        for folder in folders:
            for name in classes if self.draw.random() < 0.9 else classes[1:]:
                self.fill(folder / name, self.draw.choice([0, 1, 2, 4, 4, 4, 6]))
        for _ in range(self.draw.choice([0, 1, 2, 4])):
            self.add_odd_entry(self.draw.choice([root, *root.rglob("*")]))

    def fill(self, folder, count):
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            name = self.draw.choice(FILES).format(number) if self.draw.random() < 0.2 else str(number)
            self.write(folder / f"{name}.{self.draw.choice(SUFFIXES)}", self.content())

    def content(self):
        content = self.draw.choice(self.images)
        damage = self.draw.random()
        if damage < 0.05:
            return content[: self.draw.randrange(len(content))]
        if damage < 0.15:
            altered = bytearray(content)
            for _ in range(self.draw.randint(1, 8)):
                altered[self.draw.randrange(len(altered))] = self.draw.randrange(256)
            return bytes(altered)
        return content

    def write(self, path, content):
        if not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self.count += 1

    def link(self, path, target, count):
        if not os.path.lexists(path):
            path.symlink_to(target)
            self.count += count

    def add_odd_entry(self, place):
        folder = place if place.is_dir() and not place.is_symlink() else place.parent
        if any(part in FOREIGN for part in folder.relative_to(self.root).parts):
            folder = self.root
        kind = self.draw.randrange(9)
        if kind == 0:
            foreign = folder / self.draw.choice(FOREIGN)
            if not foreign.exists():
                foreign.mkdir()
                (foreign / "cat").mkdir()
                (foreign / "cat" / "0.png").write_bytes(self.images[0])
                self.count += 1  # the folder stands for its files
        elif kind == 1:
            self.write(folder / self.draw.choice(HIDDEN), b"\0")
        elif kind == 2:
            self.write(folder / self.draw.choice(TEXTS), b"text")
        elif kind == 3:
            self.link(folder / "dangling.png", "/not/mounted/x.png", 1)
        elif kind == 4:
            self.link(folder / "loop", self.draw.choice([folder, self.root, self.root.parent, Path("/")]), 1)
        elif kind == 5:
            self.link(folder / "zero.png", "/dev/zero", 1)
        elif kind == 6 and not (folder / "pipe.png").exists():
            os.mkfifo(folder / "pipe.png")
            self.count += 1
        elif kind == 7:
            self.fill(folder / "deep" / "er", 2)
        elif kind == 8 and not self.elsewhere.exists():
            self.elsewhere.mkdir()
            (self.elsewhere / "0.png").write_bytes(self.images[0])
            (self.elsewhere / "1.png").symlink_to("0.png")
            self.link(folder / "linked", self.elsewhere, 2)


def run(monkeypatch, *words):
    """Run a command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["dilution", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_every_file_of_a_generated_folder_is_used_or_noted(tmp_path, monkeypatch, capfd):
    images, packed = contents(), 0
    for number in range(FOLDERS):
        folder, pack = Folder(tmp_path / f"{number}", number, images), tmp_path / f"{number}.pack"
        size = SIZES[number % len(SIZES)]
        code = run(monkeypatch, "data", "pack", folder.root, pack, "--size", size, "--workers", 0)
        printed = capfd.readouterr()
        if code:
            assert code == 2, (number, printed)
            assert printed.err.startswith("error: "), (number, printed)
            assert "Traceback" not in printed.err, (number, printed)
            assert 20 < len(printed.err) < 5000, (number, printed)
            assert not pack.exists(), number
            continue
        packed += 1
        assert printed.err == "", (number, printed)  # nor do libraries write there
        assert all(line.isprintable() for line in printed.out.splitlines()), (number, printed)
        opened, loaded = load(pack), load(f"{folder.root}#{size}")
        used = len(opened.train) + len(opened.test)
        noted = sum(int(count.replace(",", "")) for count in SKIPS.findall(printed.out))
        assert used + noted == folder.count, (number, printed.out)
        assert opened.notes == loaded.notes, number
        assert list(opened.notes) == re.findall("^note: (.*)", printed.out, re.MULTILINE), number
        assert opened.train.classes == loaded.train.classes, number
        counts = np.zeros(len(opened.train.classes), dtype=int)
        for pack_split, split in ((opened.train, loaded.train), (opened.test, loaded.test)):
            assert pack_split.labels.tolist() == split.labels.tolist(), number
            assert (pack_split.take(torch.arange(len(split))) == split.images).all(), number
            counts += np.bincount(split.labels, minlength=len(counts))
        groups = [data.train.split_groups for data in (opened, loaded)]
        assert (groups[0] is None) == (groups[1] is None), number
        assert groups[0] is None or torch.equal(*groups), number
        assert counts.all(), (number, opened.train.classes)
        unsplit = load_unsplit(f"{folder.root}#{size}")
        assert len(unsplit.arrays) == used, number
        assert all(name.isprintable() for name in unsplit.names), number
    assert packed > FOLDERS / 2
