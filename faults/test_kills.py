"""kill -9 of workers, of the scheduler and of Ray, fifty times: the table is that of an undisturbed study.

Kills are timed by the progress of the study, so that all of them happen on a quick machine too.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec

import pytest
from compared import finished, results, same
from processes import children, command_line, is_alive

from dilution.study.store import Store

STUDY = """
name = "kills"

[base]
dataset = "digits"
n = 200
model = "perceptron"
targets = "pooled"
steps = 200
n_evals = 2
batch_size = 32

[grid]
alpha = [0.0, 1.0, 2.0, 5.0]
seed = {seeds}
"""
RUNS = 320  # in groups of 8: two for each of 20 kills
LIMIT = 600  # seconds for a study to complete, however often it is disturbed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("kills")
    (path / "study.toml").write_text(STUDY.format(seeds=list(range(RUNS // 4))))
    return path


def start(folder, store, *options):
    """Start the command that trains the study."""
    command = [sys.executable, "-m", "dilution", "run", "study.toml", "--store", store, *options]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def undisturbed(folder):
    process = start(folder, "undisturbed.sqlite", "--workers", "2")
    _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, error
    rows, evaluations = results(folder / "undisturbed.sqlite", "kills")
    assert (rows["state"] == "done").all()
    assert len(rows) == RUNS
    return rows, evaluations


def done(path):
    """Return time, result and history of each run that is done, by its key."""
    if not path.exists():
        return {}
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT key, finished, result, history FROM runs WHERE state = 'done'")
        return {key: rest for key, *rest in rows}


def kill(pid, process):
    """Kill a process and wait until it has ended; return whether it was alive."""
    if not is_alive(pid):
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    while is_alive(pid):
        time.sleep(0.005)
        process.poll()
    return True


def wait_for_a_moment(process, path, draw):
    """Wait for a random moment: in most cases after runs have ended, else perhaps before anything trains.

    It is over once further runs have ended. When the study is nearly finished there is no wait.
    """
    before = finished(path)
    if before > 0.8 * RUNS:
        return
    seconds = draw.uniform(0.0, 2.0)
    if draw.random() < 0.7:
        waited = time.monotonic()
        while process.poll() is None and finished(path) == before:
            time.sleep(0.01)
        before = finished(path)
        seconds = draw.uniform(0.0, 0.2) * min(time.monotonic() - waited, 2.0)
    moment = time.monotonic() + seconds
    while process.poll() is None and finished(path) == before and time.monotonic() < moment:
        time.sleep(0.01)


def disturb(folder, store, victims, *options, seed):
    """Train the study while victims die at random moments; return how many did.

    Parameters
    ----------
    victims
        Per kill a function of the process of the scheduler → processes of which one is killed.
    """
    draw, waiting, error = random.Random(seed), list(victims), ""
    before = {}
    for _ in range(len(victims) + 1):  # each kill may end a scheduler, and nothing else may
        process = start(folder, store, *options)
        while waiting and process.poll() is None:
            wait_for_a_moment(process, folder / store, draw)
            candidates = waiting[0](process)
            if candidates and kill(draw.choice(candidates), process):
                waiting.pop(0)
            else:
                time.sleep(0.01)
        _, error = process.communicate(timeout=LIMIT)
        now = done(folder / store)
        assert now.items() >= before.items()  # finished runs are kept, and were not trained again
        before = now
        if process.returncode == 0:
            return len(victims) - len(waiting)
    raise AssertionError(error)


def workers(process):
    """Return the processes that train: those named by Ray, or spawned by Python."""
    descendants = children(process.pid)
    return [
        pid
        for pid, name in descendants.items()
        if name.startswith("ray::") or "spawn_main" in command_line(pid)
    ]


def the_scheduler(process):
    return [process.pid]


def the_raylet(process):
    return [pid for pid, name in children(process.pid).items() if name == "raylet"]


def check(folder, store, undisturbed):
    with Store(folder / store) as opened:
        assert sum(1 for _ in opened.rows()) == RUNS
    same(results(folder / store, "kills"), undisturbed)


def test_kills_of_workers(folder, undisturbed):
    killed = disturb(folder, "workers.sqlite", [workers] * 20, "--workers", "2", seed=1)
    assert killed == 20
    check(folder, "workers.sqlite", undisturbed)


def test_kills_of_the_scheduler(folder, undisturbed):
    killed = disturb(folder, "scheduler.sqlite", [the_scheduler] * 20, "--workers", "2", seed=2)
    assert killed == 20
    check(folder, "scheduler.sqlite", undisturbed)


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")
def test_kills_of_ray(folder, undisturbed):
    victims = [workers, the_raylet, the_scheduler, workers, the_raylet] * 2
    killed = disturb(folder, "ray.sqlite", victims, "--executor", "ray", "--workers", "2", seed=3)
    assert killed == 10
    check(folder, "ray.sqlite", undisturbed)
