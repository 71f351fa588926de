"""Pages that are written from measurements say what was measured."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

from dilution.errors import TimeLimitReached

DOCS = Path(__file__).resolve().parent.parent / "docs"
FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def test_the_numbers_of_the_imagenet_page_are_those_of_its_measurements(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module("imagenet_page")
    text = page.PAGE.read_text("utf-8")
    assert len(page.PART.findall(text)) == 3
    assert page.filled(text) == text, "run: python benchmarks/imagenet_page.py"


def test_a_time_that_was_cut_short_replaces_no_complete_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    with_row = importlib.import_module("figure_time").with_row
    key = {"figure": "fig7", "dataset": "mnist", "preset": "paper", "precision": "bfloat16"}
    other, whole, short = (
        key | {"figure": "fig1", "complete": "True"},
        key | {"complete": "True"},
        key | {"complete": False},
    )
    assert with_row([other, whole], short) == [other, whole]
    assert with_row([other, short], key | {"complete": True}) == [other, key | {"complete": True}]
    assert with_row([other], short) == [other, short]


def test_the_page_of_the_strategies_says_what_its_table_holds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    strategies = importlib.import_module("strategies")
    text = (strategies.FOLDER / "README.md").read_text("utf-8")
    assert strategies.page(pd.read_csv(strategies.TABLE)) == text, "run: python benchmarks/strategies.py"


def test_the_performance_page_says_what_the_tables_of_the_benchmarks_hold(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    page = importlib.import_module("page")
    assert (DOCS / "performance.md").read_text("utf-8") == page.text(), "run: python benchmarks/page.py"


def test_the_page_on_diagnoses_says_what_its_tables_hold(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    diagnosis = importlib.import_module("diagnosis")
    text = (diagnosis.FOLDER / "README.md").read_text("utf-8")
    assert diagnosis.page() == text, "run: python benchmarks/diagnosis.py --page"


def test_a_figure_that_is_cut_short_is_timed_until_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(str(FOLDER))
    figure_time = importlib.import_module("figure_time")

    def reproduce(*_, **__):
        raise TimeLimitReached("the time limit is reached")

    written = []
    monkeypatch.setattr("sys.argv", ["figure_time.py", "fig7", "--store", str(tmp_path / "s.sqlite")])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("dilution.Execution", lambda **_: None)
    monkeypatch.setattr("dilution.reproduce", reproduce)
    monkeypatch.setattr(figure_time, "device_title", lambda _: "a GPU")
    monkeypatch.setattr(figure_time, "RESULTS", tmp_path)
    monkeypatch.setattr(figure_time, "write", lambda _, rows: written.extend(rows))
    with pytest.raises(SystemExit, match=r"^75$"):
        figure_time.main()
    (row,) = written
    assert (row["figure"], row["complete"], row["runs"]) == ("fig7", False, 0)
