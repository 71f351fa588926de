"""Several processes that run one study on one store: one trains, the others are refused."""

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


def test_processes_at_once_train_no_run_twice(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(steps=2000))
    processes = [start(tmp_path) for _ in range(3)]
    outputs = [(process, process.communicate(timeout=300)) for process in processes]
    exit_codes = sorted(process.returncode for process in processes)
    assert exit_codes[0] == 0
    assert exit_codes[-1] == 2  # the first trains for seconds, and the others start within one
    for process, (_, error) in outputs:
        assert process.returncode in (0, 2)
        assert "Traceback" not in error
        if process.returncode == 2:
            assert "another process is writing to s.sqlite; wait until it ends" in error
    with sqlite3.connect(tmp_path / "s.sqlite") as connection:
        rows = connection.execute("SELECT state, result FROM runs").fetchall()
    assert len(rows) == 8
    assert all(state == "done" and json.loads(result)["steps_done"] == 2000 for state, result in rows)
