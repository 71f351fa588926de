"""Odd surroundings: a clock set back, other locales and terminals, paths of all kinds, threads and daemons.

And folders that are read only or missing, the home folder among them.
"""

import fcntl
import itertools
import locale
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from command import call, done
from compared import finished
from processes import children, command_line, is_alive

import dilution
from dilution.data import load
from dilution.study import Execution, Run, Study, scheduler
from dilution.study.scheduler import run_study
from dilution.study.store import Store

INLINE = Execution(executor="inline", progress=False)
STUDY = """
name = "odd"

[base]
dataset = "{data}"
n = 200
model = "mlp1"
alpha = 1.5
steps = 20

[grid]
seed = [0, 1]
"""


def test_a_clock_that_is_set_back_while_a_study_runs(tmp_path, monkeypatch):
    hours = itertools.count()
    start = datetime(2026, 1, 2, tzinfo=UTC)
    monkeypatch.setattr(scheduler, "_now", lambda: (start - timedelta(hours=next(hours))).isoformat())
    base = {"dataset": "digits", "n": 200, "model": "mlp1", "alpha": 1, "steps": 5}
    runs = [Run.of(**base, seed=seed, batch_size=16 + seed) for seed in range(3)]
    with Store(tmp_path / "s.sqlite") as store:
        run_study(Study.of("s", runs[:2]), store, INLINE)
        with store.writer():
            store.add("s", runs)
            store.start([runs[2].key], host="h", versions={}, at=scheduler._now())
        run_study(Study.of("s", runs), store, INLINE)
        assert store.counts() == {"s": {"done": 3}}
    assert "page" in done(tmp_path, "report", "--store", "s.sqlite", "--out", "page")


@pytest.mark.parametrize("name", ["with spaces and 'quotes'", "Büro mit Ümläuten", "日本語", "per%cent&amp"])
def test_paths_of_all_kinds(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    digits = load("digits").train
    np.savez(folder / f"{name}.npz", images=digits.images.numpy()[:400], labels=digits.labels.numpy()[:400])
    text = STUDY.format(data=f"{name}.npz")
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    words = ["--store", f"{name}.sqlite", "--workers", "2"]
    done(folder, "run", f"{name}.toml", *words)
    assert "2 done" in done(folder, "status", "--store", f"{name}.sqlite")
    done(folder, "export", f"{name}.csv", "--store", f"{name}.sqlite")
    done(folder, "report", "--store", f"{name}.sqlite", "--out", f"{name} page")
    assert (folder / f"{name} page" / "index.html").exists()


def commas():
    """Return a locale of this machine that writes 0,5; None where it has none."""
    before = locale.setlocale(locale.LC_NUMERIC)
    try:
        for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "es_ES.UTF-8"):
            with suppress(locale.Error):
                locale.setlocale(locale.LC_NUMERIC, name)
                return name
        return None
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)


@pytest.mark.skipif(commas() is None, reason="needs a locale with decimal commas")
def test_a_locale_with_decimal_commas(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(data="digits"))
    accuracies = {}
    for language in ("C.UTF-8", commas()):
        store = ["--store", f"{language}.sqlite"]
        done(tmp_path, "run", "study.toml", *store, "--workers", "2", LC_ALL=language)
        done(tmp_path, "export", f"{language}.csv", *store, LC_ALL=language)
        lines = (tmp_path / f"{language}.csv").read_text("utf-8").splitlines()
        column = lines[0].split(",").index("test_acc_at_best_clean_val")
        accuracies[language] = [line.split(",")[column] for line in lines[1:]]
    assert accuracies["C.UTF-8"] == accuracies[commas()]
    assert all(0 < float(accuracy) < 1 for accuracy in accuracies["C.UTF-8"])


def test_a_data_folder_that_is_read_only_is_only_read(tmp_path):
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    work.mkdir()
    digits = load("digits").train
    np.savez(data / "mine.npz", images=digits.images.numpy()[:400], labels=digits.labels.numpy()[:400])
    (work / "study.toml").write_text(STUDY.format(data=data / "mine.npz"))
    before = {path: path.stat().st_mtime_ns for path in [data, *data.iterdir()]}
    data.chmod(0o555)
    try:
        done(work, "run", "study.toml", "--store", "s.sqlite", "--workers", "2", DILUTION_DATA=str(data))
        done(work, "diagnose", str(data / "mine.npz"), "--model", "mlp1", "--repeats", "1", "--workers", "0")
    finally:
        data.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in [data, *data.iterdir()]} == before  # also for root


RUNS = [Run.of(dataset="digits", n=60, model="mlp1", steps=3, alpha=1.0, seed=seed) for seed in range(3)]
DIAGNOSE = ["diagnose", "digits", "--model", "sklearn:logistic", "--repeats", "1", "--folds", "2"]
DIAGNOSE += ["--n-bootstrap", "20", "--workers", "0"]
WITHOUT_PASSWD_ENTRY = """
import pwd

def missing(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = missing
from dilution.cli import main
main()
"""


@pytest.mark.parametrize("home", ["/proc", None])
def test_a_command_runs_without_a_home_folder(tmp_path, home):
    removed = ("HOME", "USER", "LOGNAME", "DILUTION_CACHE", "DILUTION_DATA", "XDG_CACHE_HOME", "MPLCONFIGDIR")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    environment |= {} if home is None else {"HOME": home}
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_PASSWD_ENTRY, *DIAGNOSE],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "diagnosis" / "index.html").exists()
    assert "Traceback" not in result.stderr
    assert "matplotlib" not in result.stderr.lower()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "iso8859-9"])
def test_a_terminal_that_lacks_characters_loses_nothing(tmp_path, encoding):
    rows = np.random.default_rng(0).integers(0, 3, 300)
    names = np.array(["猫", "ğ", "dog"])[rows]
    lines = [
        f"{row + 0.1 * number % 1},{number % 7},{name}"
        for number, (row, name) in enumerate(zip(rows, names, strict=True))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,label", *lines]), "utf-8")
    words = ["diagnose", "t.csv", *DIAGNOSE[2:]]
    result = subprocess.run(
        [sys.executable, "-m", "dilution", *words],
        cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr
    assert b"Warning" not in result.stderr
    assert "page: " in result.stdout.decode(encoding)
    assert "猫" in (tmp_path / "diagnosis" / "label_issues.csv").read_text("utf-8")


def test_a_closed_pipe_loses_nothing(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "dilution", *DIAGNOSE],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    process.stdout.close()
    assert process.wait(300) in (0, 141)
    assert (tmp_path / "diagnosis" / "index.html").exists()
    assert (tmp_path / "diagnosis" / "label_issues.csv").exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_workers_of_a_diagnosis_end_with_it(tmp_path, number):
    words = ["diagnose", "digits", "--model", "mlp1", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dilution", *words],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    workers, deadline = [], time.monotonic() + 120
    while len(workers) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        workers = [pid for pid in children(process.pid) if "spawn_main" in command_line(pid)]
    time.sleep(2)
    workers = [pid for pid in children(process.pid) if "spawn_main" in command_line(pid)]
    assert len(workers) == 2
    process.send_signal(number)
    process.communicate(timeout=60)
    time.sleep(2)
    assert not any(map(is_alive, workers))


def test_a_closed_terminal_loses_no_finished_run(tmp_path):
    many = (
        STUDY.format(data="digits")
        .replace("[0, 1]", str(list(range(400))))
        .replace("steps = 20", "steps = 400")
    )
    (tmp_path / "study.toml").write_text(many)
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dilution", "run", "study.toml", "--store", "s.sqlite", "--workers", "2"],
        cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(terminal)
    deadline = time.monotonic() + 300
    while finished(tmp_path / "s.sqlite") < 8 and time.monotonic() < deadline:
        if select.select([controller], [], [], 0.05)[0]:
            os.read(controller, 65536)
    workers = [pid for pid in children(process.pid) if "spawn_main" in command_line(pid)]
    before = finished(tmp_path / "s.sqlite")
    os.close(controller)
    assert process.wait(60) == 130
    assert 8 <= before <= finished(tmp_path / "s.sqlite") < 400
    time.sleep(2)
    assert len(workers) == 2
    assert not any(map(is_alive, workers))


def test_diagnoses_in_threads_have_the_results_of_a_diagnosis_alone():
    def diagnose():
        return dilution.diagnose(
            "digits", model="sklearn:logistic", repeats=1, folds=2, n_bootstrap=20,
            execution=Execution(workers=0, progress=False),
        )  # fmt: skip

    alone, together = diagnose().noise_rate, []
    threads = [threading.Thread(target=lambda: together.append(diagnose().noise_rate)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone, alone]


def run_in_folder(folder):
    os.chdir(folder)
    states = dilution.run(Study.of("s", RUNS), store="s.sqlite", execution=Execution(workers=2))["state"]
    sys.exit(0 if (states == "done").all() else 1)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_daemonic_process_runs_a_study_by_itself(tmp_path, method):
    process = multiprocessing.get_context(method).Process(target=run_in_folder, args=(tmp_path,), daemon=True)
    process.start()
    process.join(120)
    assert process.exitcode == 0


RAISING = """
from torch import nn

class Raising(nn.Module):
    def __init__(self, inputs, classes, error):
        super().__init__()
        self.layer, self.error = nn.Linear(inputs, classes), error

    def forward(self, x):
        if self.training and len(x) > 2:  # not the two images that check the model
            raise self.error
        return self.layer(x.flatten(1))

def value_error(shape, classes):
    return Raising(shape[0] * shape[1] * shape[2], classes, ValueError("this model cannot be trained"))

def system_exit(shape, classes):
    return Raising(shape[0] * shape[1] * shape[2], classes, SystemExit(3))
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_that_raises_fails_alone_with_and_without_workers(tmp_path, workers):
    (tmp_path / "nets.py").write_text(RAISING)
    study = STUDY.format(data="digits").replace('model = "mlp1"\n', "")
    models = ["mlp1", "nets:value_error", "perceptron", "nets:system_exit"]
    (tmp_path / "study.toml").write_text(study.replace("seed = [0, 1]", f"model = {models}"))
    ended = call(tmp_path, "run", "study.toml", "--store", "s.sqlite", "--workers", workers)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "2 of 4 runs failed" in ended.stderr
    status = done(tmp_path, "status", "--store", "s.sqlite")
    assert "2 done, 2 failed" in status
    assert "this model cannot be trained" in status
    assert "SystemExit: 3" in status
