"""Odd surroundings: a clock set back, decimal commas, paths of all kinds, a data folder that is read only."""

import itertools
import locale
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from command import done

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
