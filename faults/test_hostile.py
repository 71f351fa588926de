"""Files and names made to harm: refused or escaped, and nothing in them is executed."""

import html
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from command import call

from dilution.data import load
from dilution.errors import DataError
from dilution.study.results import table
from dilution.study.store import Store
from dilution.training.checkpoint import Checkpoint

SCRIPT = '"><script>document.title="executed"</script>&amp;<b>'


class Evil:
    """Executes a command where it is unpickled."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


@pytest.fixture
def proof(tmp_path):
    """A file that exists once something was executed."""
    return tmp_path / "executed"


def dilution(folder, *words, **more):
    """Run the command line in a folder, which is that of its data."""
    return call(folder, *words, DILUTION_DATA=str(folder), **more)


def refused(done, *parts):
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    for part in parts:
        assert part in done.stderr


STUDY = """
name = "s"
[base]
dataset = "{data}"
model = "perceptron"
n = {n}
alpha = 1.0
steps = 5
batch_size = 8
"""


def run_on(folder, data):
    (folder / "study.toml").write_text(STUDY.format(data=data, n=4))
    return dilution(folder, "run", "study.toml", "--store", "s.sqlite", "--workers", "0")


def test_the_trap_works(proof):
    pickle.loads(pickle.dumps(Evil(proof)))
    assert proof.exists()


def test_a_malicious_pickle_in_the_place_of_cifar_is_refused(tmp_path, proof):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        (folder / name).write_bytes(pickle.dumps({"data": Evil(proof), "labels": [0]}, 2))
    refused(run_on(tmp_path, "cifar10"), "data_batch_1", "names posix.system")
    assert not proof.exists()


@pytest.mark.parametrize("name", ["CIFAR-10_human.pt", "CIFAR-10_human.npz", "clean_label.npy"])
def test_malicious_human_labels_are_refused(tmp_path, proof, name):
    folder = tmp_path / "cifar10n"
    folder.mkdir()
    path = folder / name
    if path.suffix == ".pt":
        torch.save({"clean_label": Evil(proof), "worse_label": Evil(proof)}, path)
    elif path.suffix == ".npz":
        np.savez(path, clean_label=np.array([Evil(proof)], dtype=object))
    else:
        for file in (path, folder / "worse_label.npy"):
            np.save(file, np.array([Evil(proof)], dtype=object), allow_pickle=True)
    refused(run_on(tmp_path, "cifar10n/worse"), path.name)
    assert not proof.exists()


def test_an_npz_file_with_objects_is_refused(tmp_path, proof):
    np.savez(tmp_path / "mine.npz", images=np.array([Evil(proof)] * 4, dtype=object), labels=[0, 1, 0, 1])
    refused(run_on(tmp_path, "mine.npz"), "mine.npz holds Python objects under images")
    assert not proof.exists()


def test_a_checkpoint_with_objects_is_refused_even_if_its_checksum_fits(tmp_path, proof):
    checkpoint = Checkpoint(tmp_path / "c.pt", "mine")
    checkpoint.save({"step": 1, "evil": Evil(proof)})
    with pytest.raises(DataError, match=r"c\.pt does not contain a saved training"):
        checkpoint.load()
    assert not proof.exists()


def test_a_table_of_runs_with_code_in_its_cells_executes_nothing(tmp_path, proof):
    (tmp_path / "study.toml").write_text(STUDY.format(data="digits", n=100))
    assert dilution(tmp_path, "run", "study.toml", "--store", "s.sqlite").returncode == 0
    assert dilution(tmp_path, "export", "runs.csv", "--store", "s.sqlite").returncode == 0
    text = (tmp_path / "runs.csv").read_text("utf-8")
    evil = f"__import__('os').system('touch {proof}')"
    (tmp_path / "runs.csv").write_text(text.replace("perceptron", f'"{evil}"'), "utf-8")
    refused(dilution(tmp_path, "import", "runs.csv", "--store", "t.sqlite"), "runs.csv")
    assert not proof.exists()


@pytest.mark.parametrize(
    "name", ["../escaped", "/tmp/escaped-from-dilution", "cifar-10-batches-py/../../escaped"]
)
def test_an_archive_whose_names_lead_out_of_it_writes_nothing_there(tmp_path, name):
    inside = tmp_path / "data"
    inside.mkdir()
    with tarfile.open(inside / "cifar-10-python.tar.gz", "w:gz") as archive:
        body = b"escaped"
        entry = tarfile.TarInfo(name)
        entry.size = len(body)
        archive.addfile(entry, io.BytesIO(body))
    done = run_on(inside, "cifar10")
    refused(done, "cifar-10-python.tar.gz")
    assert list(tmp_path.rglob("escaped*")) == []
    assert not Path("/tmp/escaped-from-dilution").exists()


def test_a_zip_whose_names_lead_out_of_it_writes_nothing_there(tmp_path):
    inside = tmp_path / "data"
    inside.mkdir()
    with zipfile.ZipFile(inside / "mine.npz", "w") as packed:
        for name in ("../escaped.npy", "images.npy", "labels.npy"):
            content = io.BytesIO()
            np.save(
                content, np.zeros((4, 8, 8), dtype=np.uint8) if "l" not in name else np.array([0, 1, 0, 1])
            )
            packed.writestr(name, content.getvalue())
    done = run_on(inside, "mine.npz")
    assert done.returncode in (0, 2)  # nothing is unpacked to disk, so the member outside may be ignored
    assert "Traceback" not in done.stderr
    assert list(tmp_path.rglob("escaped*")) == []


def png_bomb(side):
    """Return a small PNG file of side × side black pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8) * 1000) for _ in range(side // 1000))
    body = rows + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_an_image_that_unpacks_to_gigabytes_is_named_and_not_unpacked(tmp_path):
    from PIL import Image

    for number in range(20):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    bomb = png_bomb(160_000)
    assert len(bomb) < 5_000_000  # of 3 gigabytes as a bitmap, 77 in colour
    (tmp_path / "photos" / "cat" / "bomb.png").write_bytes(bomb)
    done = dilution(tmp_path, "data", "pack", "photos", "photos.pack", "--size", "32", memory=6 * 2**30)
    assert "Traceback" not in done.stderr
    assert "bomb.png" in done.stdout + done.stderr
    if done.returncode == 0:  # the bomb was skipped
        data = load(tmp_path / "photos.pack")
        assert len(data.train) + len(data.test) == 20
    else:
        assert done.returncode == 2


def test_an_npz_file_that_unpacks_to_gigabytes_is_refused_or_read_within_its_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        with packed.open("images.npy", "w", force_zip64=True) as entry:
            head = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                head, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 100, 100)}
            )
            entry.write(head.getvalue())
            for _ in range(200):  # 2 GB of zeros; the header says ten
                entry.write(bytes(10**7))
        labels = io.BytesIO()
        np.save(labels, np.zeros(10**6, dtype=np.int64))
        packed.writestr("labels.npy", labels.getvalue())
    assert (tmp_path / "bomb.npz").stat().st_size < 10_000_000
    (tmp_path / "study.toml").write_text(STUDY.format(data="bomb.npz", n=100))
    words = ["run", "study.toml", "--store", "s.sqlite", "--workers", "0"]
    done = dilution(tmp_path, *words, memory=6 * 2**30)
    refused(done, "bomb.npz")


def test_html_in_the_names_of_classes_and_studies_is_text_on_the_page(tmp_path):
    digits = load("digits").train
    names = np.array([f"{digit}{SCRIPT}" for digit in range(10)])
    np.savez(
        tmp_path / "mine.npz",
        images=digits.images.numpy()[:400],
        labels=digits.labels.numpy()[:400],
        classes=names,
    )
    name = json.dumps(f"study {SCRIPT}")
    (tmp_path / "study.toml").write_text(STUDY.format(data="mine.npz", n=200).replace('"s"', name, 1))
    assert dilution(tmp_path, "run", "study.toml", "--store", "s.sqlite", "--workers", "0").returncode == 0
    done = dilution(tmp_path, "report", "--store", "s.sqlite", "--out", "page")
    assert done.returncode == 0, done.stderr
    done = dilution(
        tmp_path,
        "diagnose",
        "mine.npz",
        "--model",
        "mlp1",
        "--repeats",
        "1",
        "--workers",
        "0",
        "--out",
        "d",
    )
    assert done.returncode == 0, done.stderr
    pages = [*tmp_path.glob("page/*.html"), *tmp_path.glob("d/*.html")]
    assert len(pages) == 2
    for page in pages:
        text = page.read_text("utf-8")
        assert SCRIPT not in text
        assert '<script>document.title="executed"' not in text
    assert html.escape(f"study {SCRIPT}") in pages[0].read_text("utf-8").replace("&#34;", "&quot;")
    for path in [*tmp_path.glob("page/*.md"), *tmp_path.glob("d/*.md")]:
        assert "<script>" not in path.read_text("utf-8")
    with Store(tmp_path / "s.sqlite") as store:
        assert len(table(store, f"study {SCRIPT}")) == 1
