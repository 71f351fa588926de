"""The panel of a study on memorisation."""

import pandas as pd
import pytest

import dilution
from dilution.report.memorisation import memorisation_section

INLINE = dilution.Execution(workers=0, progress=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("memorisation") / "runs.sqlite"
    base = {"dataset": "digits", "n": 200, "model": "mlp1", "optimizer": "adam", "epochs": 4, "n_evals": 2}
    grid = dilution.Grid(
        base={**base, "noise": "symmetric(rate=0.4)"},
        axes={"loss": ["cross_entropy", "gce"], "seed": [0, 1]},
    )
    dilution.run(dilution.Study("losses", grid), store=path, execution=INLINE)
    return path


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_the_page_of_a_study_has_the_panel_and_its_table(store, tmp_path):
    from dilution.figures.store_report import report

    report(store, out=tmp_path / "page")
    points = pd.read_csv(tmp_path / "page" / "losses-memorisation.csv")
    assert set(points["measure"]) == {"memorised", "recovered"}
    assert sorted(points["epoch"].unique()) == [2, 4]
    assert set(points["loss"]) == {"cross_entropy", "gce"}
    assert (points["seeds"] == 2).all()
    page = (tmp_path / "page" / "index.html").read_text()
    assert "losses: memorisation" in page
    assert "wrong labels that they were trained on" in page
    assert (tmp_path / "page" / "losses-memorisation.svg").stat().st_size
    assert (tmp_path / "page" / "losses.svg").stat().st_size  # settings that are no numbers are drawn by name


@pytest.mark.trains
def test_the_points_are_the_measures_of_the_runs(store, tmp_path):
    from dilution.study.results import histories, table
    from dilution.study.store import Store

    with Store(store) as opened:
        runs, history = table(opened, "losses"), histories(opened, "losses")
    section = memorisation_section("losses", runs, history, tmp_path, "file")
    assert section is not None
    last = section.points[(section.points["measure"] == "memorised") & (section.points["epoch"] == 4)]
    expected = runs.groupby("loss")["memorised_last"].mean()
    assert last.set_index("loss")["mean"].to_dict() == pytest.approx(expected.to_dict())
    low, high = runs["memorised_last"].min(), runs["memorised_last"].max()
    assert f"{100 * low:.0f} to {100 * high:.0f} %" in section.summary or low == high


EARLY = {
    "key": ["a", "b", "c"],
    "seed": [0, 1, 2],
    "model": "mlp1",
    "state": ["done", "done", "diverged"],
    "stopped_at": [None, 8, None],
    "epochs": 4.0,
    "n": 220,
    "n_val": 20,
    "batch_size": 100,
    "alpha_expected": 1.0,
    "noise_rate_expected": 0.45,
    "label_mode": "added",
    "targets": "sampled",
}


@pytest.mark.parametrize(
    ("changes", "last"),
    [({}, 16), ({"targets": "pooled"}, 8), ({"label_mode": "replaced"}, 8), ({"n_val": 120}, 8)],
)
def test_epochs_of_runs_that_ended_early_are_those_of_the_steps_that_were_planned(tmp_path, changes, last):
    runs = pd.DataFrame(EARLY | changes)
    steps = {
        "a": range(last // 4, last + 1, last // 4),
        "b": range(last // 4, last // 2 + 1, last // 4),
        "c": [last // 4],
    }
    history = pd.DataFrame(
        [{"key": key, "step": step, "memorised": 0.1} for key, taken in steps.items() for step in taken]
    )
    section = memorisation_section("s", runs, history, tmp_path, "f")
    assert section.points[["epoch", "seeds"]].to_numpy().tolist() == [[1, 3], [2, 2], [3, 1], [4, 1]]


def test_steps_are_drawn_where_the_epochs_of_a_recorded_run_are_unknown(tmp_path):
    runs = pd.DataFrame(EARLY | {"batch_size": None, "trained_by": "mine"})
    history = pd.DataFrame({"key": ["a", "b", "c"], "step": [16, 8, 4], "memorised": 0.1})
    section = memorisation_section("s", runs, history, tmp_path, "f")
    assert section.points["step"].tolist() == [4, 8, 16]


def test_runs_with_wrong_labels_that_were_not_measured_are_counted(tmp_path):
    runs = pd.DataFrame(EARLY | {"noise_rate_expected": [0.4, 0.4, 0.0]})
    history = pd.DataFrame({"key": ["a"], "step": [16], "memorised": 0.1})
    caption = memorisation_section("s", runs, history, tmp_path, "f").caption
    assert "such as imported ones: 1, left out." in caption
    every = pd.DataFrame({"key": ["a", "b"], "step": 16, "memorised": 0.1})
    assert "Left out" not in memorisation_section("s", runs, every, tmp_path, "f").caption


def test_a_study_that_did_not_measure_it_has_no_panel(tmp_path):
    runs = pd.DataFrame({"key": ["a"], "seed": [0], "epochs": [1.0]})
    assert memorisation_section("s", runs, pd.DataFrame({"key": ["a"], "step": [1]}), tmp_path, "f") is None
