"""Other tools' settings and files, other processes: they change no result, and nothing is mixed."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from command import call, done
from compared import finished
from many_commands import read_text

from dilution.data import load
from dilution.study.store import Store

DIAGNOSE = ["--model", "sklearn:logistic", "--repeats", "1", "--folds", "2", "--n-bootstrap", "20"]
DIAGNOSE += ["--workers", "0"]
FILES = (
    "index.html",
    "diagnosis.json",
    "diagnosis.svg",
    "per_class.csv",
    "transition.csv",
    "label_issues.csv",
)
STUDY = """
name = "s"
[base]
dataset = "digits"
n = {n}
model = "{model}"
alpha = 1.0
steps = {steps}
[grid]
{grid}
"""
FOREIGN = {
    "PYTHONWARNINGS": "always", "MPLBACKEND": "no_such_backend", "PANDAS_OPTIONS": "display.max_rows=1",
    "OMP_NUM_THREADS": "1", "LC_ALL": "C", "LANG": "C", "COLUMNS": "20", "LINES": "3", "NO_COLOR": "1",
    "FORCE_COLOR": "1", "TERM": "dumb", "PYTHONHASHSEED": "7", "GIT_DIR": "/nowhere", "PYTHONOPTIMIZE": "1",
    "SOURCE_DATE_EPOCH": "abc",
}  # fmt: skip


def diagnosed(folder, **environment):
    """Return what a diagnosis prints on standard output, and its files."""
    out = done(folder, "diagnose", "digits", *DIAGNOSE, "--out", "d", **environment)
    return out, {name: read_text(folder / "d" / name) for name in FILES}


def test_settings_of_other_tools_change_neither_results_nor_what_is_said(tmp_path):
    plain, odd = tmp_path / "plain", tmp_path / "odd"
    plain.mkdir()
    odd.mkdir()
    (odd / "matplotlibrc").write_text(
        "figure.dpi: 30\nsvg.fonttype: none\nfont.size: 40\ntext.usetex: True\n"
    )
    subprocess.run(["git", "init", "-q", str(odd)], check=True)
    (odd / "setup.cfg").write_text("[pytest]\n")
    first, second = diagnosed(plain), diagnosed(odd, **FOREIGN)
    assert first[1] == second[1]
    assert first[0].isascii() or second[0]  # LC_ALL=C may transliterate what is printed
    for number in ("0.", "label issues: d"):
        assert number in second[0]


@pytest.mark.parametrize("kind", ["wide", "long"])
def test_very_wide_tables_and_very_long_names_make_a_page_that_opens(tmp_path, kind):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 10
    if kind == "wide":
        columns, names = [f"column {number}" for number in range(5000)], [str(k) for k in range(10)]
    else:
        columns, names = ["p" * 10_000, "q"], [letter * 10_000 for letter in "abcdefghij"]
    values = rng.normal(size=(200, len(columns)))
    values[:, 0] += 5 * labels
    frame = pd.DataFrame(values.round(3), columns=columns).assign(label=[names[k] for k in labels])
    frame.to_csv(tmp_path / "t.csv", index=False)
    ended = call(tmp_path, "diagnose", "t.csv", *DIAGNOSE, "--out", "d")
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout) < 10_000
    assert (tmp_path / "d" / "index.html").stat().st_size < 5_000_000


def together(folder, *commands):
    """Run commands at once and return how each ended."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "dilution", *words], cwd=folder, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for words in commands
    ]  # fmt: skip
    return [(process.communicate(timeout=300), process.returncode) for process in processes]


def test_two_packs_and_two_exports_at_once_do_not_mix(tmp_path):
    from PIL import Image

    rng = random.Random(0)
    for number in range(600):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.frombytes("RGB", (8, 8), rng.randbytes(192)).save(folder / f"{number}.png")
    pack = ["data", "pack", "photos", "--size", "8", "--workers", "0"]
    done(tmp_path, *pack[:3], "alone.pack", *pack[3:])
    ends = together(tmp_path, *[[*pack[:3], "p.pack", *pack[3:]]] * 2)
    for (_, error), code in ends:
        assert code in (0, 2), error
        assert "Traceback" not in error
    assert 0 in [code for _, code in ends]
    assert (tmp_path / "p.pack").read_bytes() == (tmp_path / "alone.pack").read_bytes()
    (tmp_path / "s.toml").write_text(STUDY.format(n=60, model="perceptron", steps=2, grid="seed = [0, 1]"))
    done(tmp_path, "run", "s.toml", "--store", "s.sqlite", "--workers", "0")
    done(tmp_path, "export", "alone.csv", "--store", "s.sqlite")
    for (_, error), code in together(tmp_path, *[["export", "runs.csv", "--store", "s.sqlite"]] * 2):
        assert code == 0, error
    assert (tmp_path / "runs.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert len(load(tmp_path / "p.pack").train) > 400


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_signal_from_outside_is_not_counted_against_a_run(tmp_path, number, workers):
    (tmp_path / "s.toml").write_text(
        STUDY.format(n=500, model="mlp2", steps=3000, grid="batch_size = [30, 31, 32, 33, 34, 35]")
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "dilution", "run", "s.toml", "--store", "s.sqlite", "--workers", workers],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while finished(tmp_path / "s.sqlite") < 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    done(tmp_path, "status", "--store", "s.sqlite")
    with Store(tmp_path / "s.sqlite") as store:
        assert store.crashes() == {}
        assert store.runs_that_crashed() == set()
        assert store.failures() == []
