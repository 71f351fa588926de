"""Out of memory in a worker: the group is divided and tried again, and a run that is too large fails."""

from command import call

from dilution.study.results import table
from dilution.study.store import Store

LIMIT = 8 * 2**30  # bytes of addresses; torch alone takes two to four
STUDY = """
name = "memory"

[base]
dataset = "digits"
model = "conv4"
alpha = 1.0
n = 200
steps = 3

[[grids]]
batch_size = [16]
seed = [0, 1]

[[grids]]            # a map of this batch takes 16 GB; in bfloat16 it is not taken in slices
batch_size = [4_000_000]
precision = ["bfloat16"]
seed = [0, 1]
"""


def test_a_run_that_takes_too_much_memory_fails_with_that_reason_and_the_others_go_on(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    done = call(tmp_path, "run", "study.toml", "--store", "s.sqlite", "--workers", "2", memory=LIMIT)
    assert done.returncode == 1, done.stderr
    assert "2 of 4 runs failed. Show why: dilution status" in done.stderr
    with Store(tmp_path / "s.sqlite") as store:
        rows = table(store, "memory")
        assert store.crashes() == {}
    assert rows["state"].tolist() == ["done", "done", "failed", "failed"]
    for error in rows["error"].iloc[2:]:
        assert "memory" in error.lower()


TOGETHER = """
name = "together"

[base]
dataset = "digits"
alpha = 1.0
n = 200
steps = 1
n_evals = 1
batch_size = 200_000  # one of them fits, six do not
model = "mlp4"

[grid]
seed = [0, 1, 2, 3, 4, 5]
"""


def test_runs_that_are_too_large_together_are_trained_apart(tmp_path):
    (tmp_path / "study.toml").write_text(TOGETHER)
    done = call(tmp_path, "run", "study.toml", "--store", "s.sqlite", "--workers", "1", memory=LIMIT)
    assert done.returncode == 0, done.stderr
    assert "6 runs, up to 6 trained together" in done.stderr
    with Store(tmp_path / "s.sqlite") as store:
        rows = table(store, "together")
    assert rows["state"].tolist() == ["done"] * 6
    assert rows["group_size"].tolist() == [1] * 6
