"""dilution compare-runs, and the options of report for papers."""

import pytest
from commands import dilution, refused, succeeded

from dilution.study import Grid
from dilution.study.store import Store

NOW = "2026-01-01T00:00:00.000+00:00"
RUNS = list(
    Grid(
        {"dataset": "digits", "n": 100, "model": "mlp1"},
        {"loss": ["cross_entropy", "gce(q=0.3)"], "alpha": [1.0, 5.0], "seed": [0, 1, 2]},
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("compared")
    with Store(path / "results.sqlite") as store, store.writer():
        store.add("mine", RUNS)
        store.start([run.key for run in RUNS], host="h", versions={"torch": "2"}, at=NOW)
        for place, run in enumerate(RUNS):
            accuracy = 0.5 + 0.1 * (run.loss != "cross_entropy") + 0.01 * run.seed + 0.001 * place
            result = {"test_acc_last": accuracy, "test_acc_at_best_clean_val": accuracy, "n_test": 360}
            store.finish({run.key: {"state": "done", "result": result}}, at=NOW)
    return path


def compare(folder, *words):
    return dilution("compare-runs", "mine", *words, cwd=folder)


def test_two_settings_are_compared_in_a_sentence_and_by_seed(folder):
    printed = succeeded(compare(folder, "--a", "loss=gce(q=0.3)", "--b", "loss=cross_entropy"))
    assert printed.startswith("test_acc_last: loss gce(q=0.3) − loss cross_entropy is +10.60 points [")
    assert "(3 seeds, 2 settings each" in printed
    assert len(printed.splitlines()) == 5


def test_numbers_and_several_settings_are_compared(folder):
    words = ["--a", "loss=gce(q=0.3)", "--a", "alpha=1", "--b", "loss=cross_entropy", "--b", "alpha=5.0"]
    printed = succeeded(compare(folder, *words, "--measure", "test_acc_at_best_clean_val"))
    assert "loss gce(q=0.3), alpha 1.0 − loss cross_entropy, alpha 5.0" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--a", "loss", "--b", "loss=gce"], "--a is 'loss'; it must name a setting and its value"),
        (["--a", "alpha=1", "--a", "alpha=5", "--b", "alpha=1"], "--a names 'alpha' twice; a side has one"),
        (["--a", "los=gce", "--b", "loss=gce"], "'los' is not a setting of the table. Did you mean 'loss'"),
        (["--a", "loss=sce", "--b", "loss=gce"], "no run has loss 'sce'; the table has 'cross_entropy'"),
        (["--a", "alpha=7", "--b", "alpha=1"], "no run has alpha 7.0; the table has 1.0, 5.0"),
        (["--a", "alpha=1", "--b", "alpha=5", "--measure", "loss"], "'loss' is not a measure"),
    ],
)
def test_what_is_not_there_is_refused(folder, words, message):
    refused(compare(folder, *words), message)


def test_an_unknown_study_is_refused(folder):
    words = ["--a", "alpha=1", "--b", "alpha=5"]
    refused(dilution("compare-runs", "mines", *words, cwd=folder), "Did you mean 'mine'")


@pytest.mark.trains
def test_a_report_for_a_paper_has_latex_differences_and_its_own_style(folder):
    words = [
        "--latex",
        "--width",
        "3.3in",
        "--font",
        "serif",
        "--dpi",
        "300",
        "--labels",
        "gce(q=0.3)=GCE,x=y",
    ]
    result = dilution("report", "--out", "paper", *words, cwd=folder)
    succeeded(result)
    assert "note: the label 'x' is in no figure" in result.stderr
    table = (folder / "paper" / "mine.tex").read_text()
    assert "loss & alpha 1 & alpha 5 \\\\" in table
    assert "GCE & $" in table
    page = (folder / "paper" / "README.md").read_text("utf-8")
    assert "## mine-differences: mine: differences" in page
    assert " p_holm |" in page
    assert "--width 3.3in" in page
    refused(dilution("report", "--out", "b", "--width", "3feet", cwd=folder), "width is '3feet'")
    assert not (folder / "b").exists()
    refused(dilution("report", "--out", "b", "--labels", "gce", cwd=folder), "--labels 'gce=GCE,mae=MAE'")


def test_a_report_shows_the_studies_and_the_accuracy_that_are_asked_for(folder):
    words = ["report", "--study", "mine", "--measure", "test_acc_last", "--latex", "--out", "last"]
    succeeded(dilution(*words, cwd=folder))
    page = (folder / "last" / "README.md").read_text("utf-8")
    assert "Mean test accuracy over seeds, after the last step." in page
    assert "Differences of test_acc_last from that of loss" in page
    assert "mean test_acc_last, in percent" in (folder / "last" / "mine.tex").read_text()
    refused(dilution("report", "--study", "mien", "--out", "b", cwd=folder), "Did you mean 'mine'?")
    refused(
        dilution("report", "--measure", "seconds", "--out", "b", cwd=folder),
        "'seconds' is not a test accuracy",
    )
    assert not (folder / "b").exists()
