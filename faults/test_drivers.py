"""Two drivers on one store: the second says so and stops, or both finish and no run is done twice."""

import json
import sqlite3
import subprocess
import sys

STUDY = """
name = "both"

[base]
dataset = "digits"
n = 200
model = "perceptron"
alpha = 1.0
steps = {steps}

[grid]
seed = [0, 1, 2, 3, 4, 5, 6, 7]
"""


def start(folder):
    command = [sys.executable, "-m", "dilution", "run", "study.toml", "--store", "s.sqlite", "--workers", "1"]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_two_drivers_at_once_do_no_run_twice(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(steps=2000))
    told = [(process, process.communicate(timeout=300)) for process in [start(tmp_path) for _ in range(3)]]
    ends = sorted(process.returncode for process, _ in told)
    assert ends[0] == 0
    assert ends[-1] == 2  # the first trains for seconds, and the others come within one
    for process, (_, error) in told:
        assert process.returncode in (0, 2)
        assert "Traceback" not in error
        if process.returncode == 2:
            assert "another process is writing to s.sqlite; wait until it ends" in error
    with sqlite3.connect(tmp_path / "s.sqlite") as connection:
        rows = connection.execute("SELECT state, result FROM runs").fetchall()
    assert len(rows) == 8
    assert all(state == "done" and json.loads(result)["steps_done"] == 2000 for state, result in rows)
