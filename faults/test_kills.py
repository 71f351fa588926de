"""kill -9 of workers, of the driver and of Ray, fifty times: the table is that of an undisturbed study."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from compared import results, same

from dilution.study.store import Store

STUDY = """
name = "kills"

[base]
dataset = "digits"
n = 200
model = "perceptron"
targets = "pooled"
steps = 400
n_evals = 2
batch_size = 32

[grid]
alpha = [0.0, 1.0, 2.0, 5.0]
seed = {seeds}
"""
RUNS = 200
LIMIT = 600  # seconds for a study to complete, however often it is disturbed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("kills")
    (made / "study.toml").write_text(STUDY.format(seeds=list(range(RUNS // 4))))
    return made


def driver(folder, store, *options):
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
    process = driver(folder, "undisturbed.sqlite", "--workers", "2")
    _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, error
    rows, n_evals = results(folder / "undisturbed.sqlite", "kills")
    assert (rows["state"] == "done").all()
    assert len(rows) == RUNS
    return rows, n_evals


def children(pid):
    """Return the processes below one, of all generations, with their names."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            text = (place / "stat").read_text()
        except OSError:  # it ended meanwhile
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        found[int(place.name)] = (int(text[text.rindex(")") + 2 :].split()[1]), name)
    below, more = {}, {pid}
    while more:
        more = {each for each, (parent, _) in found.items() if parent in more}
        below |= {each: found[each][1] for each in more}
    return below


def finished(path):
    """Return how many runs are done, asked as anyone could."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM runs WHERE state = 'done'").fetchone()[0]
    except sqlite3.Error:
        return 0


def done(path):
    """Return when each run that is done had ended, and what came of it."""
    if not path.exists():
        return {}
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT key, finished, result, history FROM runs WHERE state = 'done'")
        return {key: rest for key, *rest in rows}


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_for_a_moment(process, path, draw):
    """Wait for a random moment: in most cases after a run has ended, else perhaps before anything trains."""
    began, progress = finished(path), draw.random() < 0.7
    while progress and process.poll() is None and finished(path) <= began:
        time.sleep(0.02)
    moment = time.monotonic() + draw.uniform(0.0, 0.5 if progress else 4.0)
    while process.poll() is None and time.monotonic() < moment:
        time.sleep(0.02)


def disturb(folder, store, victims, *options, seed):
    """Train the study while victims die at random moments; return how many did.

    Parameters
    ----------
    victims
        For each kill a function of the driver's process → processes of which one is killed.
    """
    draw, waiting, error = random.Random(seed), list(victims), ""
    before = {}
    for _ in range(len(victims) + 1):  # each kill may end a driver, and nothing else may
        process = driver(folder, store, *options)
        while waiting and process.poll() is None:
            wait_for_a_moment(process, folder / store, draw)
            found = waiting[0](process)
            if found and kill(draw.choice(found)):
                waiting.pop(0)
        _, error = process.communicate(timeout=LIMIT)
        now = done(folder / store)
        assert now.items() >= before.items()  # what was done is there, and was not done again
        before = now
        if process.returncode == 0:
            return len(victims) - len(waiting)
    raise AssertionError(error)


def workers(process):
    """Return the processes that train: Ray names its own so, ours are those that Python has spawned."""
    below = children(process.pid)
    return [pid for pid, name in below.items() if name.startswith("ray::") or "spawn_main" in words(pid)]


def words(pid):
    """Return the command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def the_driver(process):
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


def test_kills_of_the_driver(folder, undisturbed):
    killed = disturb(folder, "driver.sqlite", [the_driver] * 20, "--workers", "2", seed=2)
    assert killed == 20
    check(folder, "driver.sqlite", undisturbed)


@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")
def test_kills_of_ray(folder, undisturbed):
    victims = [workers, the_raylet, the_driver, workers, the_raylet] * 2
    killed = disturb(folder, "ray.sqlite", victims, "--executor", "ray", "--workers", "2", seed=3)
    assert killed == 10
    check(folder, "ray.sqlite", undisturbed)
