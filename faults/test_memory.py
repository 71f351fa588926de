"""Out of memory in a worker: its pack is divided and tried again, the run at fault fails with that reason."""

import resource
import subprocess
import sys

from dilution.study.store import Store
from dilution.study.table import table

LIMIT = 8 * 2**30  # bytes of addresses; torch alone takes two to four
STUDY = """
name = "memory"

[base]
dataset = "digits"
network = "conv4"
alpha = 1.0
n = 200
steps = 3

[[grids]]
batch = [16]
seed = [0, 1]

[[grids]]            # a map of this batch takes 16 GB; in bfloat16 it is not taken in slices
batch = [4_000_000]
precision = ["bfloat16"]
seed = [0, 1]
"""


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def test_a_run_that_takes_too_much_memory_fails_with_that_reason_and_the_others_go_on(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    command = [sys.executable, "-m", "dilution", "run", "study.toml", "--store", "s.sqlite", "--workers", "2"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, preexec_fn=limit, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "2 of 4 runs failed; `dilution status` says why" in done.stderr
    with Store(tmp_path / "s.sqlite") as store:
        rows = table(store, "memory")
        assert store.crashes() == {}
    assert rows["state"].tolist() == ["done", "done", "failed", "failed"]
    for error in rows["error"].iloc[2:]:
        assert "memory" in error.lower()
