"""A disk that is full, a real one: one clear line, the store stays valid, nothing half-written is left."""

import json
import shlex
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from command import done
from compared import results, same
from PIL import Image

from dilution.data import load, write_pack
from dilution.study.store import Store
from dilution.training.checkpoint import Checkpoint
from dilution.utils.output_folder import MARKER

STUDY = """
name = "disk"

[base]
dataset = "digits"
n = 200
model = "{model}"
alpha = 1.0
steps = {steps}
n_evals = {n_evals}
batch_size = 16

[grid]
seed = {seeds}
"""


def shell(folder, script):
    """Run lines of the shell in a folder, as root of its own mounts."""
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    return subprocess.run(inside, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def can_mount():
    if shutil.which("unshare") is None:
        return False
    return shell("/", "mount -t tmpfs -o size=64k none /mnt").returncode == 0


pytestmark = pytest.mark.skipif(not can_mount(), reason="needs Linux and the right to mount a small disk")


def on_small_disk(folder, small, size, *words):
    """Run the command line in a folder of which a part is on a disk of so many kB.

    Its exit code, and what it said. What was on that disk is then under `left`.
    """
    (folder / small).mkdir(exist_ok=True)
    shutil.rmtree(folder / "left", ignore_errors=True)
    command = shlex.join([sys.executable, "-m", "dilution", *words])
    ended = shell(
        folder,
        f"mount -t tmpfs -o size={size}k none {small} || exit 99; {command}; code=$?; "
        f"cp -r {small} left; exit $code",
    )
    assert ended.returncode != 99, ended.stderr
    return ended


def said_once(ended, words):
    """Check that a command ended with one line that holds these words."""
    *_, last = ended.stderr.splitlines()
    assert ended.returncode == 2, ended.stderr
    assert words in last
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count(words) == 1


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A folder with a study and its store, written to a disk with room."""
    folder = tmp_path_factory.mktemp("undisturbed")
    study = STUDY.format(model="mlp1", steps=60, n_evals=60, seeds=list(range(24)))
    (folder / "study.toml").write_text(study)
    done(folder, "run", "study.toml", "--store", "s.sqlite", "--workers", "2")
    return folder


@pytest.mark.parametrize("size", [40, 120, 300])
def test_the_store_stays_valid_and_the_study_goes_on_when_there_is_room(tmp_path, undisturbed, size):
    shutil.copy(undisturbed / "study.toml", tmp_path)
    ended = on_small_disk(
        tmp_path, "small", size, "run", "study.toml", "--store", "small/s.sqlite", "--workers", "2"
    )
    said_once(ended, "disk is full" if size > 40 else "small/s.sqlite")
    left = tmp_path / "left" / "s.sqlite"
    if left.exists() and left.stat().st_size:
        with sqlite3.connect(left) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    done(tmp_path, "run", "study.toml", "--store", "left/s.sqlite", "--workers", "2")
    same(results(left, "disk"), results(undisturbed / "s.sqlite", "disk"))


@pytest.fixture(scope="module")
def written_page(tmp_path_factory):
    """A folder with a store and its page, written to a disk with room."""
    folder = tmp_path_factory.mktemp("page")
    study = STUDY.format(model="perceptron", steps=20, n_evals=5, seeds=[0, 1, 2])
    study = study.replace("alpha = 1.0", "").replace("[grid]", "[grid]\nalpha = [0.0, 1.0]")
    (folder / "study.toml").write_text(study)
    done(folder, "run", "study.toml", "--store", "s.sqlite", "--workers", "0")
    done(folder, "report", "--store", "s.sqlite", "--out", "page")
    return folder


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_page_is_whole_or_not_there(tmp_path, written_page, share):
    shutil.copytree(written_page, tmp_path, dirs_exist_ok=True)
    whole = {path.name: path.stat().st_size for path in (tmp_path / "page").iterdir()}
    assert any(name.endswith(".png") for name in whole)
    size = int(share * sum(-(-each // 4096) * 4 for each in whole.values()))
    ended = on_small_disk(
        tmp_path, "small", max(size, 4), "report", "--store", "s.sqlite", "--out", "small/page"
    )
    said_once(ended, "No space left on device")
    found = list((tmp_path / "left" / "page").iterdir()) if (tmp_path / "left" / "page").exists() else []
    assert {path.name for path in found} < set(whole)
    for path in found:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
        elif path.suffix == ".csv":
            assert len(pd.read_csv(path)) == len(pd.read_csv(tmp_path / "page" / path.name))
        elif path.name == MARKER:  # it lists the files that were written before the disk was full
            assert set(json.loads(path.read_text())["files"]) < set(whole)
        else:
            assert path.stat().st_size > 0.95 * whole[path.name]  # it names the folder it was written to


def test_a_pack_is_whole_or_not_there(tmp_path):
    for number in range(40):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    ended = on_small_disk(
        tmp_path, "small", 100, "data", "pack", "photos", "small/photos.pack", "--size", "64"
    )
    said_once(ended, "No space left on device")
    assert [path.name for path in (tmp_path / "left").rglob("*.pack")] == []
    done(tmp_path, "data", "pack", "photos", "photos.pack", "--size", "64")
    assert len(load(tmp_path / "photos.pack").train) == 32

    digits = load("digits")
    whole = write_pack(tmp_path / "digits.pack", [digits.train], [digits.test])
    size = whole.stat().st_size // 2048
    said_once(
        on_small_disk(tmp_path, "small", size, "data", "pack", "digits", "small/d.pack"),
        "No space left on device",
    )
    assert list((tmp_path / "left").iterdir()) == []


@pytest.mark.parametrize("size", [500, 1500])
def test_a_training_goes_on_without_the_checkpoint_that_has_no_room(tmp_path, size):
    study = STUDY.format(model="mlp2", steps=200, n_evals=10, seeds=[0])
    (tmp_path / "study.toml").write_text(study)
    words = ["run", "study.toml", "--workers", "1", "--checkpoint-minutes", "0", "--checkpoints", "small"]
    ended = on_small_disk(tmp_path, "small", size, *words, "--store", "s.sqlite")  # one takes 1,028 kB
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("No space left on device") == 1
    assert "The training continues without checkpoints" in ended.stderr
    assert list((tmp_path / "left").iterdir()) == []
    done(tmp_path, "run", "study.toml", "--store", "undisturbed.sqlite", "--workers", "1")
    same(results(tmp_path / "s.sqlite", "disk"), results(tmp_path / "undisturbed.sqlite", "disk"))


def test_a_checkpoint_on_a_full_disk_is_the_last_whole_one(tmp_path):
    study = STUDY.format(model="mlp2", steps=200_000, n_evals=400, seeds=[0])
    (tmp_path / "study.toml").write_text(study)
    words = ["run", "study.toml", "--workers", "1", "--checkpoint-minutes", "0", "--checkpoints", "small"]
    (tmp_path / "small").mkdir()
    command = shlex.join([sys.executable, "-m", "dilution", *words, "--store", "s.sqlite"])
    script = (  # killed once a checkpoint could not be written
        f"mount -t tmpfs -o size=1500k none small; {command} 2> said & "
        "for i in $(seq 2400); do grep -q 'continues without checkpoints' said && break; "
        "kill -0 $! || break; sleep 0.1; done; "
        "pkill -9 -P $!; kill -9 $!; cp -r small left"
    )
    shell(tmp_path, script)
    assert "No space left on device" in (tmp_path / "said").read_text()
    (only,) = [path for path in (tmp_path / "left").iterdir() if path.suffix == ".pt"]
    with Store(tmp_path / "s.sqlite") as store:
        (key,) = [row["key"] for row in store.rows()]
    state = Checkpoint(only, key).load()
    assert state is not None
    assert 0 < state["step"] < 200_000
