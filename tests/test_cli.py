"""The command line as a user meets it: what it prints, and how it says no."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from dilution.cli import app

STUDY = """
name = "short"
[base]
dataset = "digits"
n = 100
model = "perceptron"
targets = "pooled"
steps = 2
[grid]
alpha = [0.0, 1.0]
seed = [0, 1]
"""


def dilution(*words, cwd=None, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "dilution", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a small study has been run."""
    path = tmp_path_factory.mktemp("study")
    (path / "short.toml").write_text(STUDY)
    done = dilution("run", "short.toml", "--workers", 0, cwd=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == 4
    return path


def refused(done, *words):
    """Check that a command ended with one message, exit code 2 and no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    return True


def test_a_study_runs_and_resumes(folder):
    dilution("export", "before.csv", cwd=folder)
    again = dilution("run", "short.toml", "--workers", 0, cwd=folder)
    assert again.returncode == 0
    assert "4 of 4 runs are in the store already" in again.stderr
    assert again.stdout.count("done") == 4
    dilution("export", "after.csv", cwd=folder)
    assert (folder / "before.csv").read_bytes() == (folder / "after.csv").read_bytes()


@pytest.mark.parametrize("device", ["gpu", *([] if torch.cuda.is_available() else ["cuda"])])
def test_a_device_that_is_not_there_is_refused(folder, device):
    done = dilution("run", "short.toml", "--device", device, cwd=folder)
    assert refused(done, device, "cpu")


def test_a_study_finds_its_device(folder):
    done = dilution("run", "short.toml", "--device", "auto", "--store", "auto.sqlite", cwd=folder)
    assert done.returncode == 0, done.stderr
    dilution("export", "devices.csv", "--store", "auto.sqlite", cwd=folder)
    here = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    assert set(pd.read_csv(folder / "devices.csv")["device"]) == {here}


def test_status_counts_the_states(folder):
    assert dilution("status", cwd=folder).stdout == "short: 4 done\n"


def test_status_tells_a_study_that_was_cut_off(folder, tmp_path):
    shutil.copy(folder / "results.sqlite", tmp_path)
    with sqlite3.connect(tmp_path / "results.sqlite") as connection:
        connection.execute("UPDATE runs SET state = 'running' WHERE rowid = 1")
    connection.close()
    shown = dilution("status", cwd=tmp_path).stdout
    assert shown.startswith("short: 1 running, 3 done, cut off while running")


def test_a_precision_on_the_command_line_goes_before_that_of_the_file(folder):
    given = ["--precision", "bfloat16", "--store", "bf.sqlite", "--workers", 0]
    assert dilution("run", "short.toml", *given, cwd=folder).returncode == 0
    dilution("export", "bf.csv", "--store", "bf.sqlite", cwd=folder)
    assert set(pd.read_csv(folder / "bf.csv")["precision"]) == {"bfloat16"}
    wrong = dilution("run", "short.toml", "--precision", "half", "--store", "half.sqlite", cwd=folder)
    assert refused(wrong, "half", "bfloat16")
    assert not (folder / "half.sqlite").exists()


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("t.csv", pd.read_csv),
        ("t.parquet", pd.read_parquet),
        ("t.jsonl", lambda p: pd.read_json(p, lines=True)),
    ],
)
def test_export_writes_one_row_a_run(folder, name, read):
    assert dilution("export", name, "--study", "short", cwd=folder).returncode == 0
    assert read(folder / name)["state"].tolist() == ["done"] * 4


def test_report_writes_a_page(folder):
    done = dilution("report", "--out", "page", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "page" / "index.html").exists()


def test_show_noise_prints_the_distribution():
    shown = dilution("show", "noise", "--alpha", 20, "--delta", 1).stdout
    assert "14.29% of the labels are right, noise rate 0.8571" in shown
    assert "false 1  14.29%" in shown


def test_data_list_and_check(tmp_path):
    assert "mnist" in dilution("data", "list").stdout
    missing = dilution("data", "check", "mnist", "--data-root", tmp_path)
    assert missing.returncode == 1
    assert missing.stdout.count("missing") == 4


def test_help_needs_neither_torch_nor_pandas():
    code = (
        "import sys; from dilution.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print({'torch', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("reproduce fig99", ["'fig99' is not a figure", "Did you mean"]),
        ("reproduce fig1 --preset huge", ["'huge' is not a scale"]),
        ("reproduce fig1 --dataset mnst", ["Did you mean 'mnist'"]),
        ("show noise --alpha -1", ["alpha is -1", "must be"]),
        ("show noise --alpha nan", ["alpha is nan"]),
        ("show noise --alpha many", ["--alpha", "valid number"]),
        ("show noise --delta 1.4", ["delta is 1.4; it must lie in [0, 1]"]),
        ("status --store nowhere.sqlite", ["there is no store at nowhere.sqlite"]),
        ("export table.xlsx", ["there is no store"]),
        ("run missing.toml", ["missing.toml cannot be read"]),
        ("reprduce fig1", ["reprduce"]),
    ],
)
def test_a_mistake_gets_the_value_the_rule_and_the_remedy(tmp_path, line, words):
    assert refused(dilution(*line.split(), cwd=tmp_path), *words)


def test_an_unknown_export_format_and_study_are_named(folder):
    assert refused(dilution("export", "t.xlsx", cwd=folder), "'.xlsx' is not a format", ".csv")
    assert refused(dilution("export", "t.csv", "--study", "shrt", cwd=folder), "Did you mean 'short'")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("alpha = [-1.0]", ["alpha is -1.0; it must be"]),
        ("alpha = [nan]", ["alpha is nan"]),
        ('alpha = ["much"]', ["alpha is 'much'"]),
        ("alpha = [1.0]\nnetwrk = ['conv4']", ["'netwrk' is not a setting. Did you mean 'model'?"]),
        ("alpha = 1.0", ["must be a list"]),
        ("alpha = [1.0]\nnoise = ['structured']\ndelta = [1.4]", ["delta is 1.4"]),
    ],
)
def test_a_mistake_in_a_study_names_the_file_and_the_setting(tmp_path, line, words):
    head = STUDY.partition("[grid]")[0]
    (tmp_path / "bad.toml").write_text(f"{head}[grid]\n{line}\n")
    assert refused(dilution("run", "bad.toml", cwd=tmp_path), "bad.toml", *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"perceptron"', '"conv3"', ["'conv3' is not a network. Did you mean 'conv"]),
        ('"digits"', '"digit"', ["'digit' is not a data set. Did you mean 'digits'?"]),
        ("n = 100", "n = 5000", ["n is 5000", "1437"]),
        ("n = 100", "n = 100\nimages = 'fresh'", ["order is 'pooled'", "Give targets='sampled'"]),
        (
            'n = 100\nnetwork = "perceptron"\norder = "pooled"',
            'n = 1437\nnetwork = "perceptron"\nimages = "fresh"',
            ["0 fresh images"],
        ),
        ('order = "pooled"', "images = 'whitenoise'", ["Did you mean 'white_noise'"]),
        ("n = 100", "n = 100\nnoise = 'matrix'\nmatrix = [[1.0]]", ["matrix has 1 row"]),
        ("n = 100", "n = 100\nnoise = 'matrix'\nmatrix = [[0.5, 0.6], [0.5, 0.5]]", ["row 0", "1.1"]),
    ],
)
def test_what_no_run_could_do_is_refused_before_the_first_one_starts(tmp_path, old, new, words):
    (tmp_path / "s.toml").write_text(STUDY.replace(old, new))
    assert refused(dilution("run", "s.toml", "--workers", 0, cwd=tmp_path), *words)
    assert not (tmp_path / "results.sqlite").exists()


def test_a_failed_run_is_recorded_reported_and_told_by_the_exit_code(tmp_path, monkeypatch):
    def failing(runs, *rest):
        return [{"state": "failed", "error": "Traceback\nMemoryError: too large"} for _ in runs]

    monkeypatch.setattr("dilution.study.executors.workers.execute", failing)
    (tmp_path / "s.toml").write_text(STUDY)
    files = [str(tmp_path / "s.toml"), "--store", str(tmp_path / "s.sqlite")]
    done = CliRunner().invoke(app, ["run", *files, "--workers", "0"])
    assert done.exit_code == 1
    assert done.stdout.count("failed") == 4
    assert "perceptron, alpha 0, seed 0: failed: MemoryError: too large" in done.stderr
    assert "4 of 4 runs failed; `dilution status` says why" in done.stderr
    assert "4 failed" in dilution("status", "--store", "s.sqlite", cwd=tmp_path).stdout


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "new.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert refused(dilution("status", "--store", "new.sqlite", cwd=tmp_path), "version 99", "pip install")


def test_interrupting_keeps_finished_runs_and_leaves_no_worker(tmp_path):
    many = STUDY.replace("steps = 2", "steps = 300").replace("[0, 1]", str(list(range(200))))
    (tmp_path / "s.toml").write_text(many)
    process = subprocess.Popen(
        [sys.executable, "-m", "dilution", "run", "s.toml", "--workers", "1"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # a test run in the background inherits SIGINT as ignored; a user's terminal does not
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    done = 0
    for _ in range(600):
        time.sleep(0.1)
        done = _count(tmp_path / "results.sqlite", "done")
        if done:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finished runs are kept" in errors
    assert "Traceback" not in errors
    assert done <= _count(tmp_path / "results.sqlite", "done") < 400


def _count(store: Path, state: str) -> int:
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
            found = connection.execute("SELECT count(*) FROM runs WHERE state = ?", (state,)).fetchone()[0]
        connection.close()
    except sqlite3.OperationalError:  # not made yet
        return 0
    return int(found)


def test_version_names_the_package():
    assert dilution("--version").stdout.startswith("dilution 0.")


def test_show_noise_says_what_it_leaves_out():
    shown = dilution("show", "noise", "--classes", 100).stdout
    assert "more false classes" in shown
    assert shown.count("false ") == 20 + 1


def test_an_output_folder_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert refused(dilution("reproduce", "fig1", "--out", "file", cwd=tmp_path), "file cannot be written to")
    assert not (tmp_path / "results.sqlite").exists()
