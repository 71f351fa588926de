"""The sections of a user's own studies: their files have names of their own."""

import json
from pathlib import Path

import pandas as pd
import pytest

from dilution.figures import FIGURES, report
from dilution.report.study_section import file_names, study_section
from dilution.study import Grid
from dilution.study.store import Store

NAMES = [
    "a b", "a-b", "a-b-2", "研究", "实验", "fig1", "fig1-runs", "claims", "made_by", "made-by", "index",
    "README", "x-runs", "x", "x-runs-runs", "fig1-own-demo", "fig1/own demo/demo", "fig1/own-demo/demo",
]  # fmt: skip


def test_a_plain_name_is_kept_and_others_become_names_of_files() -> None:
    assert file_names(["noise", "Rates 0.5 & 1"]) == {"noise": "noise", "Rates 0.5 & 1": "rates-0.5-1"}


def test_the_later_of_two_studies_with_one_name_has_a_number() -> None:
    files = file_names(["a b", "a-b", "a-b-2", "研究", "实验"])
    assert list(files.values()) == ["a-b", "a-b-2", "a-b-2-2", "study", "study-2"]


@pytest.mark.parametrize("name", ["claims", "Index", "README", *FIGURES])
def test_no_study_has_the_name_of_a_figure_or_of_the_pages_own_files(name: str) -> None:
    assert file_names([name], taken=FIGURES) == {name: f"{name.lower()}-2"}


def test_no_two_studies_write_one_file() -> None:
    files = file_names(NAMES, taken=FIGURES)
    tables = {f"{file}{end}" for file in files.values() for end in ("", "-runs")}
    assert len(tables) == 2 * len(NAMES)
    assert not {"claims", "index", "readme", "made_by", "fig1", "fig1-runs"} & tables


def test_a_study_by_itself_spares_the_pages_own_files(tmp_path: Path) -> None:
    runs = pd.DataFrame({"model": ["mlp1"], "state": "queued", "matrix": None, "seed": 0})
    assert (
        study_section("claims", runs.assign(test_acc_at_best_clean_val=float("nan")), tmp_path).name
        == "claims-2"
    )
    assert not (tmp_path / "claims.csv").exists()


def test_a_report_keeps_the_tables_and_times_of_every_study(tmp_path: Path) -> None:
    names = [*NAMES, "fig5/digits/demo"]
    runs = list(Grid({"dataset": "digits", "n": 100, "model": "mlp1"}, {"alpha": list(range(len(names)))}))
    outcome = {"state": "done", "result": {"test_acc_at_best_clean_val": 0.5, "seconds": 60.0}}
    with Store(tmp_path / "s.sqlite") as store, store.writer():
        for name, run in zip(names, runs, strict=True):
            store.add(name, [run])
            store.start([run.key], host="h", versions={"torch": "2"}, at="2026-01-01T00:00:00.000+00:00")
            if not name.startswith("fig5"):
                store.finish({run.key: outcome}, at="2026-01-01T00:01:00.000+00:00")
    made = report(tmp_path / "s.sqlite", out=tmp_path / "out")
    tables = [pd.read_csv(path) for path in (tmp_path / "out").glob("*-runs.csv")]
    kept = [alpha for each in tables if "alpha" in each and "key" in each for alpha in each["alpha"]]
    assert sorted(kept) == list(range(len(names)))
    assert pd.read_csv(tmp_path / "out" / "fig5-runs.csv")["alpha"].to_list() == [len(NAMES)]
    claims = pd.read_csv(tmp_path / "out" / "claims.csv")
    assert claims["claim"].to_list() == made.claims["claim"].to_list()
    said = json.loads((tmp_path / "out" / "made_by.json").read_text("utf-8"))
    assert sum(name.endswith(" took") for name in said) == len(NAMES)
