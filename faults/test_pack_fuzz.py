"""300 hostile packs and 60 hostile folders of decoded images: read as they were written, or refused.

A pack is damaged at any place, or forged with checksums that fit: whoever writes a file can do so. Memory is
limited from outside, and so is the time of each command. What is read has the images that were packed.
"""

import hashlib
import io
import os
import random
import shutil
import struct
import zipfile

import numpy as np
import pytest
import torch
from forged_files import damaged, forged_npy, npy, zipped
from many_commands import ends_well, run_commands
from PIL import Image

from dilution.data import Arrays, load
from dilution.data.pack import from_folder
from dilution.data.pack.reader import HEADER, IMAGES_START, MAGIC
from dilution.data.pack.writer import write_pack
from dilution.errors import DilutionError

PACKS, CHUNKS = 300, 60
MEMORY, SECONDS = 3 << 30, 10.0
DIAGNOSE = ["--model", "sklearn:logistic", "--repeats", "1", "--folds", "2", "--n-bootstrap", "20"]
DIAGNOSE += ["--workers", "0"]
NUMBERS = [0, 1, -1, 59, 60, 64, 4095, 4096, 4097, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63), 10**15]
NAN = struct.unpack("<Q", struct.pack("<d", float("nan")))[0]
TYPES = ["<i4", "<u8", ">i8", "<f8", "|b1", "<c16", "<M8[s]", "<f2", "|S8", "<U8", "<u1", [("a", "<i8")]]


def sound_split(seed):
    """Return images of two classes that can be told apart."""
    labels = np.arange(60) % 2
    images = np.random.default_rng(seed).integers(0, 100, (60, 1, 4, 4), dtype=np.uint8)
    images += 100 * labels[:, None, None, None].astype(np.uint8)
    groups = torch.arange(60) // 2 * 2
    return Arrays(torch.from_numpy(images), torch.from_numpy(labels), ("a", "b"), groups=groups)


class Parts:
    """A sound pack taken apart.

    Parameters
    ----------
    path
        Where it is written.
    """

    def __init__(self, path):
        write_pack(path, [sound_split(0)], [sound_split(1)], ["a note"])
        self.content = path.read_bytes()
        _, self.start, self.length, _ = HEADER.unpack(self.content[: HEADER.size])
        self.images = self.content[IMAGES_START : self.start]
        with zipfile.ZipFile(io.BytesIO(self.content[self.start :])) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        self.arrays = {name: np.load(io.BytesIO(content)) for name, content in self.members.items()}

    def joined(self, index, images=None, start=None, length=None, digest=None):
        """Return a pack with another index, whose header fits it unless parts of it are given."""
        images = self.images if images is None else images
        header = HEADER.pack(
            MAGIC,
            (IMAGES_START + len(images) if start is None else start) % 2**64,
            (len(index) if length is None else length) % 2**64,
            hashlib.sha256(index).digest() if digest is None else digest,
        )
        return header.ljust(IMAGES_START, b"\0") + images + index


def damaged_pack(draw, parts):
    """Bytes that are changed, cut off, repeated or moved, under the checksums of the sound pack."""
    content, kind = parts.content, draw.randrange(6)
    if kind <= 1:
        return damaged(draw, content)
    if kind == 2:
        return content[: draw.randrange(len(content))]
    if kind == 3:
        return content + draw.choice([b"\0", content, bytes(1 << 20), content[-64:]])
    first, second = (draw.randrange(len(content) - 64) for _ in range(2))
    piece = content[first : first + draw.choice([1, 16, 64])]
    if kind == 4:  # images of another place, such as those of another class
        first, second = (IMAGES_START + 16 * draw.randrange(120) for _ in range(2))
        piece = content[first : first + 16]
    return content[:second] + piece + content[second + len(piece) :]


def forged_header(draw, parts):
    """A header that leads to the images, beyond the end or nowhere."""
    start = parts.start
    index = parts.content[start:]
    numbers = [*NUMBERS, NAN, start - 16, start + 16, len(parts.content), -start]
    kind = draw.randrange(4)
    if kind == 0:
        return parts.joined(index, start=draw.choice(numbers))
    if kind == 1:
        return parts.joined(index, length=draw.choice(numbers))
    if kind == 2:  # the index is among the images, and its checksum fits
        first = 16 * draw.randrange(120)
        among = parts.images[first : first + draw.choice([16, 160])]
        return parts.joined(
            index, start=IMAGES_START + first, length=len(among), digest=hashlib.sha256(among).digest()
        )
    more = draw.choice([parts.images[:16], parts.images[:-16], parts.images * 2, parts.images + bytes(1)])
    return parts.joined(index, images=more)


def forged_array(draw, array):
    """Return an array with other values, of another type or of another shape."""
    kind = draw.randrange(6)
    if kind == 0:
        return array.reshape(draw.choice([(*array.shape, 1), (1, *array.shape), array.shape[::-1], (-1,)]))
    if kind == 1:
        return np.zeros(array.shape, dtype=draw.choice(TYPES))
    if kind == 2:
        return array[: draw.choice([0, 1, -1])]
    if kind == 3:
        return np.repeat(array, 2, axis=0)
    if array.dtype.kind == "U":
        return np.array([draw.choice(["", "\n\x1b[2J", "x" * 10_000, "ä", "a"]) for _ in array.reshape(-1)])
    forged = array.copy()
    flat = forged.reshape(-1)
    for _ in range(draw.choice([1, 1, 5])):
        flat[draw.randrange(len(flat))] = np.array(draw.choice(NUMBERS)).astype(array.dtype)
    if kind == 5:
        draw.shuffle(flat)
    return forged


def forged_index(draw, parts):
    """An index with other arrays."""
    arrays, members = parts.arrays, dict(parts.members)
    for _ in range(draw.choice([1, 1, 2])):
        name = draw.choice(list(arrays))
        members[name] = npy(forged_array(draw, arrays[name]))
    return parts.joined(zipped(draw, members, zipfile.ZIP_STORED))


def forged_archive(draw, parts):
    """An index whose archive lies: entries twice, over one another, packed, missing, or too many."""
    members, names = dict(parts.members), list(parts.members)
    name, other = draw.sample(names, 2)
    kind = draw.randrange(8)
    if kind == 0:
        members[name] = forged_npy(draw, bytes(draw.choice([0, 480])))
    elif kind == 1:
        members[
            draw.choice(
                ["x.npy", "../labels.npy", "train_labels", "LABELS.npy", "a" * 60_000, "train_weights.npy"]
            )
        ] = members[name]
    elif kind == 2:
        del members[name]
    elif kind == 3:  # bombs: entries of no bytes, or one of many that are packed
        members |= {f"{number}.npy": b"" for number in range(draw.choice([200, 40_000]))}
    index = zipped(draw, members, zipfile.ZIP_DEFLATED if kind == 4 else zipfile.ZIP_STORED)
    if kind == 5:  # two entries share the bytes of one, or their sizes are those of another
        index = redirected(draw, index, name, other)
    elif kind == 6:
        index = damaged(draw, index)
    elif kind == 7:  # two entries of one name
        index = (
            index.replace(f"{name:12.12}".encode(), f"{other:12.12}".encode())
            if len(name) == len(other)
            else index * 2
        )
    return parts.joined(index)


def redirected(draw, index, name, other):
    """Return an archive in whose directory one entry leads to the bytes of another, or to anywhere."""
    with zipfile.ZipFile(io.BytesIO(index)) as archive:
        target, source = archive.getinfo(name), archive.getinfo(other)
        directory = archive.start_dir
    position = index.index(name.encode(), directory) - 46
    offsets = [
        source.header_offset,
        source.header_offset + 4,
        2**32 - 2,
        len(index),
        target.header_offset + 1,
    ]
    changes = [
        (42, offsets),
        (20, [0, source.compress_size, 2**31, 2**32 - 1]),
        (24, [0, source.file_size, 2**32 - 1]),
    ]
    content = bytearray(index)
    for place, numbers in draw.sample(changes, draw.choice([1, 1, 2])):
        struct.pack_into("<I", content, position + place, draw.choice(numbers))
    return bytes(content)


def giant_pack(draw, parts, path):
    """Write a pack that takes little room on the disk and much memory: giant images, or a giant index."""
    side = draw.choice([20_000, 60_000, 300_000])
    arrays = {
        name: array[:2] if name.startswith(("train_", "test_")) else array
        for name, array in parts.arrays.items()
    }
    arrays["shape.npy"] = np.array(draw.choice([[1, side, side], [side, side, 1], [side * side, 1, 1]]))
    channels = int(arrays["shape.npy"][0])
    for split in ("train", "test"):
        sums = np.zeros((2, 2, min(channels, 10**6)), np.int64)
        arrays[f"{split}_pixel_sums.npy"] = sums
        arrays[f"{split}_groups.npy"] = np.arange(2)
    index = zipped(draw, {name: npy(array) for name, array in arrays.items()}, zipfile.ZIP_STORED)
    start = IMAGES_START + 4 * side * side
    with path.open("wb") as file:
        file.write(HEADER.pack(MAGIC, start, len(index), hashlib.sha256(index).digest()))
        file.seek(start)
        file.write(index)


KINDS = [(damaged_pack, 80), (forged_header, 60), (forged_index, 80), (forged_archive, 70), (giant_pack, 10)]
BAD_IMAGES = (damaged_pack, forged_header, giant_pack)
"""Kinds of which no pack may be taken for whole, unless it is the very file."""


@pytest.mark.parametrize(("kind", "count"), KINDS)
def test_packs_are_read_as_they_were_written_or_refused(tmp_path, kind, count):
    parts, commands, same = Parts(tmp_path / "sound.pack"), [], []
    for number in range(count):
        draw = random.Random(f"{kind.__name__} {number}")
        folder = tmp_path / f"{number}"
        folder.mkdir()
        if kind is giant_pack:
            giant_pack(draw, parts, folder / "a.pack")
        else:
            (folder / "a.pack").write_bytes(kind(draw, parts))
        same.append(kind is not giant_pack and (folder / "a.pack").read_bytes() == parts.content)
        commands.append((folder, ["data", "check", "a.pack"]))
        if number % 4 == 0:
            commands.append((folder, ["diagnose", "a.pack", *DIAGNOSE]))
    ends = run_commands(tmp_path / "log", commands, memory=MEMORY, seconds=SECONDS)
    faults, refused = [], 0
    for (folder, words), ended in zip(commands, ends, strict=True):
        is_damaged = words[1] == "check" and ended.code == 1
        refused += is_damaged or ended.code == 2
        if wrong := None if is_damaged else ends_well(ended):
            faults.append(f"{kind.__name__} {folder.name} {words[0]}: {wrong}")
        if ended.code == 2 and len(ended.err) > 3000:
            faults.append(f"{kind.__name__} {folder.name}: a message of {len(ended.err):,} characters")
        if words[1] == "check" and ended.code == 0 and kind in BAD_IMAGES and not same[int(folder.name)]:
            faults.append(f"{kind.__name__} {folder.name}: it is taken for whole")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:20])
    assert refused > count // 2


@pytest.mark.parametrize("kind", [damaged_pack, forged_header])
def test_images_that_are_read_from_a_damaged_pack_are_those_that_were_packed(tmp_path, kind):
    parts, packed = Parts(tmp_path / "sound.pack"), (sound_split(0), sound_split(1))
    n_read = 0
    for number in range(150):
        path = tmp_path / f"{number}.pack"
        path.write_bytes(kind(random.Random(f"{kind.__name__} images {number}"), parts))
        try:
            data = load(path)
        except DilutionError:
            continue
        for split, expected in zip((data.train, data.test), packed, strict=True):
            assert torch.equal(split.labels, expected.labels)
            for row in range(len(split)):
                try:
                    image = split.take(torch.tensor([row]))
                except DilutionError:
                    continue
                assert torch.equal(image[0], expected.images[row])
                n_read += 1
    assert n_read > 0 or kind is forged_header


def test_the_packs_are_three_hundred():
    assert sum(count for _, count in KINDS) == PACKS


def write_images(folder):
    """Write a folder of images, some of 16 bits, one that cannot be read."""
    draw = np.random.default_rng(0)
    for number in range(40):
        target = folder / ("cat", "dog")[number % 2]
        target.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        if number % 10 == 0:
            pixels = draw.integers(0, 60_000, (48, 48), dtype=np.uint16)
        Image.fromarray(pixels).save(target / f"{number}.png")
    (folder / "cat" / "x.png").write_bytes(b"no image")


def forged_chunk(draw, folder):
    """Change what lies in a folder of decoded images."""
    files = sorted(folder.iterdir())
    path = draw.choice([path for path in files if path.suffix == draw.choice([".npz", ".npy"])])
    content, kind = path.read_bytes(), draw.randrange(7)
    if kind == 0:
        path.write_bytes(damaged(draw, content))
    elif kind == 1:
        path.write_bytes(
            content[: draw.randrange(len(content))] if draw.random() < 0.5 else content + bytes(9)
        )
    elif kind == 2:
        other = draw.choice([same for same in files if same.suffix == path.suffix])
        shutil.copyfile(other, path) if other != path else path.write_bytes(b"")
    elif kind == 3:
        path.unlink()
        target = draw.choice(["/dev/zero", files[0], "pipe", "folder"])
        if target == "pipe":
            os.mkfifo(path)
        elif target == "folder":
            path.mkdir()
        else:
            path.symlink_to(target)
    elif path.suffix == ".npy":
        path.write_bytes(
            draw.choice([forged_npy(draw, content[128:]), npy(np.zeros(3)), b"", bytes(len(content))])
        )
    else:
        arrays = dict(np.load(io.BytesIO(content)))
        name = draw.choice(list(arrays))
        if kind == 6:
            arrays.pop(name)
        else:
            arrays[name] = forged_array(draw, arrays[name]) if arrays[name].size else np.zeros((3, 3))
        with path.open("wb") as file:
            np.savez(file, **arrays)


def test_decoded_images_are_those_that_were_decoded_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(from_folder, "_CHUNK", 10)
    write_images(tmp_path / "photos")
    pack = ["data", "pack", "photos", "p.pack", "--size", "40", "--workers", "0"]
    listing = from_folder.list_images(tmp_path / "photos")
    chunks = from_folder._Chunks(listing, tmp_path / "p.pack", 40, None)
    chunks.prepare()
    for job in chunks.missing_jobs():
        from_folder._decode_chunk(job)
    sound = {path.name: path.read_bytes() for path in chunks.folder.iterdir()}
    assert {name.split(".")[1] for name in sound} == {"npz", "images", "deep", "scaled"}
    monkeypatch.undo()
    commands = []
    for number in range(CHUNKS + 1):  # the first one is not changed
        folder = tmp_path / f"{number}"
        shutil.copytree(tmp_path / "photos", folder / "photos", copy_function=shutil.copy2)
        parts = folder / chunks.folder.name
        parts.mkdir()
        for name, content in sound.items():
            (parts / name).write_bytes(content)
        if number:
            forged_chunk(random.Random(f"chunk {number}"), parts)
        commands.append((folder, pack))
    ends = run_commands(
        tmp_path / "log",
        commands,
        memory=MEMORY,
        seconds=SECONDS,
        before="from dilution.data.pack import from_folder; from_folder._CHUNK = 10",
    )
    assert ends[0].code == 0
    assert "chunks were decoded before" in ends[0].out + ends[0].err
    expected, faults = (tmp_path / "0" / "p.pack").read_bytes(), []
    for number, ended in enumerate(ends):
        path = tmp_path / f"{number}" / "p.pack"
        if wrong := ends_well(ended):
            faults.append(f"{number}: {wrong}")
        elif path.exists() != (ended.code == 0):
            faults.append(
                f"{number}: exit code {ended.code}, and the pack {'is' if path.exists() else 'is not'} there"
            )
        elif ended.code == 0 and path.read_bytes() != expected:
            faults.append(f"{number}: another pack")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:20])
    assert sum(ended.code == 2 for ended in ends) > CHUNKS // 2
