"""The script for some minutes on a lent GPU, in a dry run on the CPU: it returns its results in any case."""

import ast
import contextlib
import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu_window.sh"
RUNS = 300  # with 20,000 steps each they do not end before they are exported
FILES = {"runs.csv.gz", "logs.tgz"}  # the tables of benchmarks are measured on a GPU alone

pytestmark = pytest.mark.trains


@contextlib.contextmanager
def started(folder, **settings):
    """Start the script with a small study of digits on the CPU, and end it at the end."""
    study = folder / "many.toml"
    study.write_text(
        'name = "many"\n[base]\ndataset = "digits"\nmodel = "perceptron"\nn = 100\nalpha = 0.0\n'
        f"steps = 20_000\n[grid]\nseed = {list(range(RUNS))}\n"
    )
    variables = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
        "FOLDER": str(folder / "work"), "RESULTS": str(folder / "results"), "STUDY": str(study),
        "DEVICE": "cpu", "PRESET": "demo", "DATASET": "digits", "PRECISION": "float32", **settings,
    }  # fmt: skip
    (folder / "work").mkdir()
    with subprocess.Popen(
        ["bash", SCRIPT], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as window:
        try:
            yield window
        finally:
            window.terminate()


def path_with_python(folder, cases):
    """Return a PATH whose python3 decides by its words; a start of the real one imports torch, some seconds.

    Whether there are a GPU and data is asked by the first start, which has other tests; here it is passed.
    """
    (folder / "bin").mkdir()
    python = folder / "bin" / "python3"
    python.write_text(
        f'#!/bin/bash\ncase "$*" in\n"- "*) ;;\n{cases}*) exec "{sys.executable}" "$@" ;;\nesac\n'
    )
    python.chmod(0o755)
    return f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"


def names_in(folder):
    """Return the names of the files of a folder, hidden ones too."""
    return {path.name for path in folder.iterdir()}


def runs_of(folder):
    """Return the exported runs, which a gzip file that was cut short would not give."""
    return pd.read_csv(io.BytesIO(gzip.decompress((folder / "results" / "runs.csv.gz").read_bytes())))


def logs_of(folder):
    """Return the names of the logs."""
    with tarfile.open(folder / "results" / "logs.tgz") as archive:
        return {name for name in archive.getnames() if not name.startswith("export")}


def test_a_window_ends_with_its_results_and_nothing_else(tmp_path):
    labels = np.arange(60) % 2
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(  # a figure whose steps are as many as there are images for
        tmp_path / "few.npz", images=images, labels=labels, test_images=images, test_labels=labels
    )
    settings = {"DATASET": str(tmp_path / "few.npz"), "FIGURES": "fig3", "MINUTES": "2"}
    with started(tmp_path, STEPS="figures", **settings) as window:
        printed, _ = window.communicate(timeout=600)
    assert window.returncode == 0, printed
    assert names_in(tmp_path / "results") == FILES
    assert logs_of(tmp_path) == {"figures.txt"}
    assert set(runs_of(tmp_path)["state"]) <= {"done", "queued", "running"}, printed


def test_a_window_that_is_ended_in_the_middle_has_its_results_too(tmp_path):
    path = path_with_python(tmp_path, "")
    with started(tmp_path, STEPS="study", MINUTES="9", EXPORT_EVERY="2", PATH=path) as window:
        end = time.monotonic() + 500
        while not (tmp_path / "results" / "runs.csv.gz").exists():  # the first export in the background
            assert window.poll() is None, window.communicate()
            assert time.monotonic() < end, "nothing was exported while the study trained"
            time.sleep(0.2)
        window.send_signal(signal.SIGTERM)
        printed, _ = window.communicate(timeout=300)  # also its background has closed the output
    assert window.returncode == 143, printed
    assert names_in(tmp_path / "results") == FILES
    assert logs_of(tmp_path) == {"study.txt"}
    states = runs_of(tmp_path)["state"]
    assert len(states) == RUNS
    assert (states != "done").any(), printed


def test_steps_that_are_not_known_are_refused_before_anything_runs(tmp_path):
    with started(tmp_path, STEPS="study figure") as window:
        printed, _ = window.communicate(timeout=300)
    assert window.returncode == 2
    assert "STEPS has figure" in printed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": ""}, "not started: torch finds no GPU"),
        ({"DATASET": "nothing"}, "not started: "),
    ],
    ids=["no GPU", "no data"],
)
def test_a_window_without_what_it_needs_ends_at_once(tmp_path, settings, message):
    with started(tmp_path, STEPS="time figures", **settings) as window:
        printed, _ = window.communicate(timeout=300)
    assert window.returncode == 1
    assert message in printed
    assert names_in(tmp_path / "results") == set()


def test_an_error_of_one_figure_does_not_keep_others_from_training(tmp_path):
    path = path_with_python(  # figures end at once: fig2 with an error, fig3 at the time limit
        tmp_path,
        f'*reproduce*) echo "$4 $5" | sed "s/ --.*//" >>"{tmp_path}/trained"\n'
        '    [[ "$*" == *fig2* ]] && exit 1; [[ "$*" == *fig3* ]] && exit 75; exit 0 ;;\n',
    )
    with started(tmp_path, STEPS="figures", FIGURES="fig2 fig1 fig3 fig5", PATH=path) as window:
        printed, _ = window.communicate(timeout=300)
    assert window.returncode == 1, printed
    assert (tmp_path / "trained").read_text().split("\n")[:-1] == ["fig2 fig1", "fig2", "fig1", "fig3"]


def test_tests_that_need_a_gpu_have_it_in_their_names():
    """The script chooses them by it."""
    files = [
        ROOT / "tests" / f"test_training_{name}.py"
        for name in (
            "device",
            "ensemble_step",
            "losses_training",
            "optimizers",
            "predicted_probabilities",
            "strategies",
        )
    ]
    for path in files:
        tests = [
            node
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef)
            and any(
                ast.unparse(mark) == "gpu" or "skipif(not torch.cuda" in ast.unparse(mark)
                for mark in node.decorator_list
            )
        ]
        assert tests, path
        assert [test.name for test in tests if "a_gpu" not in test.name] == []
