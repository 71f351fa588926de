"""100 hostile archives and files of data: read or refused with one message, in seconds and little memory.

Memory is limited from outside, and so is the time of each command.
"""

import gzip
import hashlib
import io
import json
import pickle
import random
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from forged_files import damaged, forged_npy, npy, zipped
from many_commands import ends_well, run_commands

from dilution.data import Arrays
from dilution.data.builtin.cifar import CIFAR10
from dilution.data.pack.reader import HEADER, MAGIC
from dilution.data.pack.writer import write_pack

CASES = 100
MEMORY, SECONDS = 3 << 30, 20.0
DIAGNOSE = ["--model", "sklearn:logistic", "--repeats", "1", "--folds", "2", "--n-bootstrap", "20"]
DIAGNOSE += ["--workers", "0"]
STUDY = 'name = "s"\n[base]\ndataset = "mnist"\nmodel = "perceptron"\nalpha = 1\nn = 100\nsteps = 2\n'
ZEROS = bytes(1 << 20)


def sound_arrays():
    """Return images and labels of two classes that can be told apart."""
    labels = np.arange(60) % 2
    images = np.random.default_rng(0).integers(0, 100, (60, 4, 4), dtype=np.uint8)
    return {"images": images + 100 * labels[:, None, None].astype(np.uint8), "labels": labels}


def bomb(n_bytes, write):
    """Write zeros in parts."""
    for _ in range(n_bytes >> 20):
        write(ZEROS)


def npz_case(draw, folder):
    """A ``.npz`` file: forged headers, objects, nested archives, bombs."""
    members = {f"{name}.npy": npy(array) for name, array in sound_arrays().items()}
    kind = draw.randrange(8)
    if kind <= 2:
        members[draw.choice(["images.npy", "labels.npy", "classes.npy", "groups.npy", "x.npy"])] = forged_npy(
            draw, bytes(draw.choice([0, 960]))
        )
    elif kind == 3:
        members["labels.npy"] = npy(np.array([{}, []] * 30, dtype=object))
    elif kind == 4:
        members["images.npy"] = zipped(draw, members)
    elif kind == 5:
        members = {f"{number}.npy": npy(np.zeros(1)) for number in range(200)}
    content = zipped(draw, members)
    if kind == 6:
        content = damaged(draw, content)
    if kind == 7:  # its header says what it holds: 5 GB
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open("images.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array_header_1_0(
                    entry, {"descr": "|u1", "fortran_order": False, "shape": (5 << 20, 32, 32)}
                )
                bomb(64 << 20, entry.write)  # the rest is only said
            archive.writestr("labels.npy", members["labels.npy"])
        content = file.getvalue().replace(
            struct.pack("<Q", (64 << 20) + 128), struct.pack("<Q", (5 << 30) + 128)
        )
    (folder / "a.npz").write_bytes(content)
    return ["diagnose", "a.npz", *DIAGNOSE]


def pack_case(draw, folder):
    """A pack whose index lies, with a checksum that fits."""
    arrays = sound_arrays()
    images, labels = map(torch.from_numpy, (arrays["images"][:, None], arrays["labels"]))
    split = Arrays(images, labels, ("a", "b"))
    path = write_pack(folder / "a.pack", [split], [split])
    content = path.read_bytes()
    _, start, _, _ = HEADER.unpack(content[: HEADER.size])
    with zipfile.ZipFile(io.BytesIO(content[start:])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    kind = draw.randrange(5)
    name = draw.choice([*members, "notes.npy", "train_groups.npy"])
    if kind <= 1:
        members[name] = forged_npy(draw)
    elif kind == 2:
        members[name] = draw.choice(
            [b"", b"text", npy(np.array([None] * 60)), npy(np.full(60, 2**62)), zipped(draw, members)]
        )
    elif kind == 3:
        members.pop(name, None)
    index = zipped(draw, members, draw.choice([0, 0, 0, 8]))
    if kind == 4:
        index = damaged(draw, index)
    digest = hashlib.sha256(index).digest()
    lie = draw.choice([0, 0, 0, 1, 10**15, -1])
    header = HEADER.pack(MAGIC, start, (len(index) + lie) % 2**64, digest)
    with path.open("wb") as file:
        file.write(header + content[HEADER.size : start] + index)
        if draw.random() < 0.3:  # a file of 50 GB that takes no room
            file.truncate(50 << 30)
            file.seek(0)
            file.write(HEADER.pack(MAGIC, start, (50 << 30) - start, digest))
    return draw.choice([["diagnose", "a.pack", *DIAGNOSE], ["data", "check", "a.pack"]])


def mnist_case(draw, folder):
    """Files of MNIST: bombs, and headers that lie."""
    inside = folder / "mnist"
    inside.mkdir()
    for file in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        with gzip.open(inside / f"{file}.gz", "wb", compresslevel=1) as packed:
            packed.write(
                b"\0\0\x08"
                + bytes([draw.choice([1, 3, 255])])
                + struct.pack(">I", draw.choice([60_000, 2**32 - 1]))
            )
            bomb(draw.choice([0, 1 << 20, 200 << 20]), packed.write)
        if draw.random() < 0.5:
            path = inside / f"{file}.gz"
            path.write_bytes(draw.choice([damaged(draw, path.read_bytes()), path.read_bytes() * 20]))
        if draw.random() < 0.3:
            with (inside / file).open("wb") as plain:
                plain.truncate(50 << 30)
            (inside / f"{file}.gz").unlink()
    return draw.choice(
        [["diagnose", "mnist", *DIAGNOSE, "--data-root", "."], ["run", "s.toml", "--data-root", "."]]
    )


def forged_pickle(draw):
    """Return a pickle that would take time or memory."""
    shared = b"("
    for _ in range(draw.choice([40, 400])):
        shared = b")" + shared + b"\x85" if draw.random() < 0.1 else shared + b"2\x86"
    array = pickle.dumps(
        {"data": np.zeros((5, 3072), np.uint8), "labels": [0] * 5, b"clean_label": np.zeros(5, int)}, 2
    )
    return draw.choice(
        [
            b"\x80\x02" + b")" + b"2\x86" * 60 + b".",
            b"\x80\x02}" + shared + b"Ns.",
            b"\x80\x02" + b"(" * 10**6 + b".",
            b"\x80\x02}(" + b"K\x01K\x01" * 2_000_000 + b"u.",
            b"\x80\x02r\xff\xff\xff\x7f.",
            b"\x80\x04\x8d" + b"\xff" * 8 + b".",
            b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".",
            b"cos\nsystem\n(S'true'\ntR.",
            damaged(draw, array),
            array,
            b"",
            array.replace(b"u1", b"V0"),
            b"\x80\x02\x8b\xff\xff\xff\x7f.",
            b"\x80\x02L" + b"9" * 10**6 + b"L\n.",
        ]
    )


def cifar_case(draw, folder):
    """Batches of CIFAR, and human labels."""
    inside = folder / "cifar-10-batches-py"
    inside.mkdir()
    for file in CIFAR10.md5:
        (inside / file).write_bytes(forged_pickle(draw))
    if draw.random() < 0.3:
        with (inside / "data_batch_1").open("wb") as file:
            file.truncate(50 << 30)
    return ["diagnose", "cifar10", *DIAGNOSE, "--data-root", "."]


def human_case(draw, folder):
    """Human labels of CIFAR in each of their formats."""
    inside = folder / "cifar10n"
    inside.mkdir()
    kind = draw.choice(["pt", "npz", "npy"])
    if kind == "pt":
        content = zipped(
            draw, {draw.choice(["a/data.pkl", "../data.pkl"]): forged_pickle(draw), "a/data/0": b"x"}
        )
        (inside / "CIFAR-10_human.pt").write_bytes(draw.choice([content, damaged(draw, content)]))
    elif kind == "npz":
        (inside / "CIFAR-10_human.npz").write_bytes(
            zipped(draw, {"clean_label.npy": forged_npy(draw), "worse_label.npy": forged_npy(draw)})
        )
    else:
        for name in ("clean_label", "worse_label"):
            (inside / f"{name}.npy").write_bytes(forged_npy(draw, bytes(480)))
    return ["diagnose", "cifar10n/worse", *DIAGNOSE, "--data-root", "."]


def parquet_case(draw, folder):
    """Parquet files that unpack to more than memory, or are damaged."""
    kind, path = draw.randrange(5), folder / "a.parquet"
    labels = pa.array(["u", "v"] * 30)
    table = pa.table({"a": np.random.default_rng(0).normal(size=60), "label": labels})
    if kind == 0:  # one text of a megabyte in every row
        row = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["x" * (1 << 20)])
        table = pa.table({"a": row, "label": ["u", "v"] * 5_000})
    elif kind == 1:  # lists of a billion numbers
        lists = pa.ListArray.from_arrays(
            pa.array(np.arange(61) * 300_000, pa.int32()), np.zeros(18_000_000, np.int8)
        )
        table = pa.table({"a": lists, "label": labels})
    elif kind == 2:
        table = pa.table({"a": np.zeros(30_000_000, np.int8), "label": np.zeros(30_000_000, np.int8)})
    elif kind == 3:
        nested = pa.array([[[[[1]]]]] * 60)
        table = pa.table({"a": nested, "b": pa.array([{"x": {"y": 1}}] * 60), "label": labels})
    pq.write_table(table, path, compression="zstd", store_schema=draw.random() < 0.5)
    if kind == 4:
        path.write_bytes(damaged(draw, path.read_bytes()))
    return draw.choice(
        [["diagnose", "a.parquet", *DIAGNOSE], ["import", "a.parquet"], ["data", "check", "a.parquet"]]
    )


def lines_case(draw, folder):
    """Tables of runs, one object of JSON a line, and recipes."""
    deep = draw.choice(
        [
            "[" * 200_000,
            '{"a":' * 100_000,
            "1" * 10_000,
            '{"key": 1}\n' * 100_000,
            '{"key": NaN}',
            "[]",
            json.dumps({"k" * 9: "x"}),
        ]
    )
    (folder / "a.jsonl").write_text(deep)
    return ["import", "a.jsonl"]


KINDS = [
    (npz_case, 24),
    (pack_case, 24),
    (mnist_case, 12),
    (cifar_case, 10),
    (human_case, 14),
    (parquet_case, 12),
    (lines_case, 4),
]


@pytest.mark.parametrize(("case", "count"), KINDS)
def test_archives_are_read_or_refused_within_their_limits(tmp_path, case, count):
    commands = []
    for seed in range(count):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        (folder / "s.toml").write_text(STUDY)
        commands.append((folder, case(random.Random(f"{case.__name__} {seed}"), folder)))
    ends, faults = run_commands(tmp_path / "log", commands, memory=MEMORY, seconds=SECONDS), []
    for (folder, words), ended in zip(commands, ends, strict=True):
        is_damaged = words[:2] == ["data", "check"] and ended.code == 1
        if wrong := None if is_damaged else ends_well(ended):
            faults.append(f"{case.__name__} {folder.name} {' '.join(words[:2])}: {wrong}")
        if ended.code == 2 and len(ended.err) > 3000:
            faults.append(f"{case.__name__} {folder.name}: a message of {len(ended.err):,} characters")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:20])
    assert sum(ended.code == 2 for ended in ends) > count // 3


def test_the_cases_are_a_hundred():
    assert sum(count for _, count in KINDS) == CASES
