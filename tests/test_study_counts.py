"""Counts are known before anything is made: too much is refused with its number, within a second."""

import time
import tracemalloc

import pytest

import dilution
from dilution.errors import InputError
from dilution.study.grid import MAX_RUNS, MAX_SEEDS, Study, check_run_count
from dilution.training.config import TrainConfig

BASE = '[base]\ndataset = "digits"\nmodel = "mlp1"\nsteps = 5\nalpha = 1.0\n'


@pytest.fixture
def quick():
    """Fail a test that takes a second or 50 MB."""
    tracemalloc.start()
    start = time.perf_counter()
    yield
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 5
    assert peak < 50e6


def write(path, grids):
    path.write_text(BASE + "".join(grids))
    return path


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("tables", [1, 3])
def test_a_study_of_a_thousand_million_runs_is_refused_with_the_number(tmp_path, tables):
    thousand = list(range(1000))
    axes = f"seed = {thousand}\nn = {[100 + k for k in thousand]}\ndelta = {[k / 1000 for k in thousand]}\n"
    path = write(tmp_path / "s.toml", [f"[[grids]]\n{axes}"] * tables)
    with pytest.raises(
        InputError, match=rf"s\.toml: the study asks for {tables},000,000,000 runs; it may have"
    ):
        Study.from_toml(path)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seeds", [0, -1, MAX_SEEDS + 1, 10**9])
def test_too_many_seeds_are_refused_with_the_number(tmp_path, seeds):
    path = write(tmp_path / "s.toml", ["n = 100\n"])
    message = f"seeds is {seeds:,}; it must be a whole number from 1 to"
    with pytest.raises(InputError, match=message):
        dilution.run(path, seeds=seeds, store=tmp_path / "s.sqlite")
    with pytest.raises(InputError, match=message):
        dilution.reproduce("fig1", dataset="digits", preset="demo", seeds=seeds, store=tmp_path / "s.sqlite")
    assert not list(tmp_path.glob("*.sqlite"))


def test_runs_times_seeds_are_counted():
    check_run_count(MAX_RUNS // MAX_SEEDS, MAX_SEEDS)
    with pytest.raises(InputError, match="asks for 1,010,000 runs"):
        check_run_count(MAX_RUNS // MAX_SEEDS + 1, MAX_SEEDS)


def test_evaluations_are_limited():
    assert TrainConfig(n_evals=1_000_000).n_evals == 1_000_000
    with pytest.raises(ValueError, match="1000000"):
        TrainConfig(n_evals=10**12)
