"""The sections of a user's own studies, and their unique file names."""

import json
from pathlib import Path

import pandas as pd
import pytest

from dilution.figures import FIGURES, report
from dilution.report.marks import Plot
from dilution.report.section import file_names, study_section
from dilution.study import Grid
from dilution.study.store import Store

NAMES = [
    "a b", "a-b", "a-b-2", "研究", "实验", "fig1", "fig1-runs", "claims", "made_by", "made-by", "index",
    "README", "x-runs", "x", "x-runs-runs", "fig1-own-demo", "fig1/own demo/demo", "fig1/own-demo/demo",
]  # fmt: skip


def test_a_plain_name_is_kept_and_other_names_become_file_names() -> None:
    assert file_names(["noise", "Rates 0.5 & 1"]) == {"noise": "noise", "Rates 0.5 & 1": "rates-0.5-1"}


def test_the_later_of_two_studies_with_one_file_name_gets_a_number() -> None:
    files = file_names(["a b", "a-b", "a-b-2", "研究", "实验"])
    assert list(files.values()) == ["a-b", "a-b-2", "a-b-2-2", "study", "study-2"]


@pytest.mark.parametrize("name", ["claims", "Index", "README", *FIGURES])
def test_no_study_has_the_file_name_of_a_figure_or_of_the_page(name: str) -> None:
    file = file_names([name], taken=FIGURES)[name]
    assert file not in FIGURES
    assert file == (name.replace("_", "-") if "_" in name else f"{name.lower()}-2")


def test_no_two_studies_write_one_file() -> None:
    files = file_names(NAMES, taken=FIGURES)
    tables = {f"{file}{end}" for file in files.values() for end in ("", "-runs")}
    assert len(tables) == 2 * len(NAMES)
    assert not {"claims", "index", "readme", "made_by", "fig1", "fig1-runs"} & tables


def test_a_single_study_does_not_overwrite_the_files_of_the_page(tmp_path: Path) -> None:
    runs = pd.DataFrame({"model": ["mlp1"], "state": "queued", "matrix": None, "seed": 0})
    assert (
        study_section("claims", runs.assign(test_acc_at_best_clean_val=float("nan")), tmp_path).name
        == "claims-2"
    )
    assert not (tmp_path / "claims.csv").exists()


@pytest.mark.trains
def test_a_report_keeps_the_tables_and_times_of_every_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("dilution.report.section", "dilution.report.memorisation", "dilution.figures.section"):
        monkeypatch.setattr(f"{module}.publish", lambda *_: Plot("", ()))  # the plots are not looked at
    names = [*NAMES, "fig5/digits/demo"]
    runs = list(Grid({"dataset": "digits", "n": 100, "model": "mlp1"}, {"alpha": list(range(len(names)))}))
    outcome = {"state": "done", "result": {"test_acc_at_best_clean_val": 0.5, "seconds": 60.0}}
    with Store(tmp_path / "s.sqlite") as store, store.writer():
        for name, run in zip(names, runs, strict=True):
            store.add(name, [run])
            store.start([run.key], host="h", versions={"torch": "2"}, at="2026-01-01T00:00:00.000+00:00")
            if not name.startswith("fig5"):
                store.finish({run.key: outcome}, at="2026-01-01T00:01:00.000+00:00")
    result = report(tmp_path / "s.sqlite", out=tmp_path / "out")
    tables = [pd.read_csv(path) for path in (tmp_path / "out").glob("*-runs.csv")]
    alphas = [alpha for table in tables if {"alpha", "key"} <= set(table) for alpha in table["alpha"]]
    assert sorted(alphas) == list(range(len(names)))
    assert pd.read_csv(tmp_path / "out" / "fig5-runs.csv")["alpha"].to_list() == [len(NAMES)]
    claims = pd.read_csv(tmp_path / "out" / "claims.csv")
    assert claims["claim"].to_list() == result.claims["claim"].to_list()
    made_by = json.loads((tmp_path / "out" / "made_by.json").read_text("utf-8"))
    assert sum(name.startswith("runs of ") for name in made_by) == len(NAMES)


def study(**columns: object) -> pd.DataFrame:
    table = pd.DataFrame({"state": "done", "dataset": "digits", "matrix": None, "seed": 0} | columns)
    return table.assign(n_test=1000)


def test_the_summary_of_a_study_leads_with_the_best_accuracy_and_its_settings(tmp_path: Path) -> None:
    runs = study(model=["mlp1", "conv2"], alpha=1.0, test_acc_at_best_clean_val=[0.5, 0.75])
    assert study_section("s", runs, tmp_path).summary == (
        "Mean test accuracy is 75.0 % at best (model conv2) and 50.0 % at worst (model mlp1). State of the 2 "
        "runs: 2 done."
    )


def test_validation_sizes_that_follow_n_do_not_split_the_lines_of_a_plot(tmp_path: Path) -> None:
    runs = study(
        model=["mlp1", "mlp1", "conv2", "conv2"],
        n=[100, 200, 100, 200],
        n_val=[10, 20, 10, 20],
        test_acc_at_best_clean_val=[0.5, 0.6, 0.7, 0.8],
    )
    marks = study_section("s", runs, tmp_path).marks
    assert [mark.series for mark in marks] == ["model: conv2"] * 2 + ["model: mlp1"] * 2


def test_a_study_whose_labels_are_too_long_for_a_plot_has_a_table_only(tmp_path: Path) -> None:
    runs = study(
        model=["mlp1", f"{'long' * 20}:net"], alpha=[0.0, 1.0], test_acc_at_best_clean_val=[0.5, 0.6]
    )
    section = study_section("s", runs, tmp_path)
    assert not section.svg
    assert len(section.points) == 2


def test_reprs_are_short(tmp_path: Path) -> None:
    runs = study(model=["mlp1", "conv2"], test_acc_at_best_clean_val=[0.5, 0.75])
    section = study_section("my study", runs, tmp_path)
    assert repr(section) == "Section('my-study', 'my study': 2 points, 2 rows in the table of runs)"
    assert repr(FIGURES["fig4"]) == "Figure('fig4', 'Label distributions of structured noise')"
    assert repr(Plot("<svg/>", ())) == "Plot(6 characters of SVG, 0 marks)"
