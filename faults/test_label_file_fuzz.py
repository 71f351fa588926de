"""300 hostile files of labels, texts of losses and texts of noise each: read or refused in a short message.

Memory and processor time are limited from outside.
"""

import io
import os
import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from test_archive_fuzz import damaged, forged_npy, forged_pickle, npy

CASES = 300
MEMORY, SECONDS = 6 << 30, 240
CLASSES = ("cat", "dog", "=1+1")
CELLS = [
    "0",
    "1",
    "dog",
    "=1+1",
    "'=1+1",
    "9" * 30,
    "9" * 5000,
    "-1",
    "1.0",
    "",
    " ",
    "\x1b[31m",
    "\0",
    "x" * 131_000,
]
CELLS += ["²", "١", '"', '""', "nan", "caf\xe9"]
_DRIVER = """
import json, os, sys
from pathlib import Path
import torch
from dilution.data import Arrays, read_label_file
from dilution.errors import DilutionError
from dilution.noise import canonical_noise
from dilution.training.losses import resolve_loss

data = Arrays(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.arange(6) % 3, ("cat", "dog", "=1+1"))
reads = {"label": lambda path: read_label_file(path, data),
         "loss": lambda path: resolve_loss(path.read_text()),
         "noise": lambda path: canonical_noise(path.read_text())}
refused = 0
for path in sorted(Path(".").glob("case*")):
    print(path.name, flush=True)
    try:
        reads[sys.argv[1]](path)
    except DilutionError as error:
        refused += 1
        assert len(str(error)) < 3000, f"{path}: a message of {len(str(error)):,} characters"
Path("refused").write_text(str(refused))
"""


def torch_case(draw: random.Random) -> bytes:
    """Return a file of torch.save with forged parts, entries or bytes."""
    buffer = io.BytesIO()
    torch.save(
        torch.tensor([1, 1, 2, 2, 0, 0], dtype=draw.choice([torch.int64, torch.uint8, torch.float32])), buffer
    )
    kind = draw.randrange(4)
    if kind == 0:
        return damaged(draw, buffer.getvalue())
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = next(name for name in members if name.endswith("data.pkl"))
    if kind == 1:
        members[description] = forged_pickle(draw)
    elif kind == 2:
        members[description] = damaged(draw, members[description])
    else:
        shared = b")" + b"2\x86" * 40
        part = draw.choice([b"X\x01\x00\x00\x000", b"ctorch\nLongStorage\n", b"K\x06\x85", b"K\x01\x85"])
        members[description] = members[description].replace(
            part, draw.choice([shared, b"N", b"r\xff\xff\xff\x7f"])
        )
    other = io.BytesIO()
    with zipfile.ZipFile(
        other, "w", draw.choice([zipfile.ZIP_STORED] * 3 + [zipfile.ZIP_DEFLATED])
    ) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if draw.random() < 0.2:
            archive.writestr(f"other/{description.rpartition('/')[2]}", b"x")
    return other.getvalue()


def csv_case(draw: random.Random) -> bytes:
    """Return a table of labels with odd cells, columns and lengths."""
    header = draw.choice(
        [
            "noisy_label",
            "label,noisy_label",
            "label_noisy",
            "a,b",
            "",
            "h" * 100_000,
            "noisy_label,noisy_label",
        ]
    )
    row = ",".join(["0"] * (header.count(",") + 1))
    rows = [row] * draw.choice([6, 6, 6, 5, 0, 200_000])
    for _ in range(draw.randint(0, 3) if rows else 0):
        rows[draw.randrange(min(6, len(rows)))] = draw.choice([*CELLS, "0,0,0"])
    return "\n".join([header, *rows]).encode(draw.choice(["utf-8", "utf-8", "utf-16", "latin1"]), "replace")


def npy_case(draw: random.Random) -> bytes:
    """Return an array with a forged header, or of texts that are numbers."""
    if draw.random() < 0.5:
        return forged_npy(draw, bytes(draw.choice([0, 48])))
    return npy(np.array([draw.choice(CELLS) for _ in range(6)]))


def call_case(draw: random.Random, names: list[str]) -> bytes:
    """Return a name with parameters that are no literals, too many, too deep or too large."""
    key = draw.choice(["q", "rate", "T", "k" * 10_000, "**a", "", "ｑ", "lambda"])
    value = draw.choice([
        "0.3", "-1", "1e999", "0x" + "f" * 10_000, "9" * 5000, "[" * 5000, "-" * 100_000 + "1",
        "1+" * 50_000 + "1", "open('x')", "__import__('os').system('touch ran')", "f'{1}'",
        "'\\0'", "'/dev/zero'", "'~nobody9/T.npy'", "[[1]]", "[[1, 2], [3]]", "True", "None", "b'x'",
        "{}", "1j", "'" + "x" * 900_000 + "'", "'\x1b[31m'",
    ])  # fmt: skip
    more = ",".join(f"a{number}=1" for number in range(draw.choice([0, 0, 0, 20_000])))
    end = draw.choice([")", ")", "", ")+1", ");x"])
    return f"{draw.choice(names)}({key}={value}{',' + more if more else ''}{end}".encode()


def names_of(kind: str) -> list[str]:
    """Return names of losses or noises, and others."""
    known = {
        "loss": ["gce", "sce", "forward", "mae"],
        "noise": ["symmetric", "pair_flip", "locally_concentrated"],
    }
    return [*known[kind], "os:system", "x" * 10_000, "", "\x1b[31m", "../x"]


@pytest.mark.parametrize("kind", ["label", "loss", "noise"])
def test_hostile_labels_and_calls_are_read_or_refused_within_their_limits(tmp_path: Path, kind: str) -> None:
    for seed in range(CASES):
        draw = random.Random(f"{kind} {seed}")
        if kind == "label":
            suffix, case = draw.choice([(".pt", torch_case), (".csv", csv_case), (".npy", npy_case)])
            content = case(draw)
        else:
            suffix, content = ".txt", call_case(draw, names_of(kind))
        (tmp_path / f"case{seed:03}{suffix}").write_bytes(content)
    before = sorted(path.name for path in tmp_path.iterdir())

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    ended = subprocess.run(
        [sys.executable, "-P", "-c", _DRIVER, kind], cwd=tmp_path, preexec_fn=limit, text=True,
        capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{ended.stdout.splitlines()[-1:]}: {ended.stderr[-2000:]}"
    assert int((tmp_path / "refused").read_text()) > CASES // 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *before,
        "refused",
    ]  # nothing ran or was written
