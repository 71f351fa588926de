"""The plot of a study of one's own: every run is drawn, or the caption says which are not."""

import ast
from io import BytesIO

import pandas as pd
import pytest

from dilution.report.differences import differences_section
from dilution.report.lines import divide, setting_names
from dilution.report.section import study_section
from dilution.report.study_plot import plot_study
from dilution.study import Run
from dilution.study.importing import import_table
from dilution.study.results import table
from dilution.study.statistics import intervals
from dilution.study.store import Store

ACCURACY = "test_acc_at_best_clean_val"
NOW = "2026-01-01T00:00:00.000+00:00"


def study(**columns):
    return pd.DataFrame({"state": "done", "dataset": "digits", "seed": 0} | columns).assign(n_test=1000)


def grid(**axes):
    index = pd.MultiIndex.from_product(axes.values(), names=axes)
    return study(**index.to_frame(index=False).to_dict("list")).assign(**{ACCURACY: 0.5})


def plotted(runs, *varying):
    return plot_study(intervals(runs, list(varying), ACCURACY), varying, "test accuracy")


def overlaps(figure):
    """Return whether the legend covers a part of a panel."""
    figure.savefig(BytesIO())  # lays it out
    (legend,) = figure.legends
    box = legend.get_window_extent()
    return any(box.overlaps(axis.get_window_extent()) for axis in figure.axes if axis.get_visible())


def test_a_setting_that_few_points_have_is_no_axis():
    """Noises by name have no alpha: one noise that has it does not leave all others out of the plot."""
    named = grid(noise=["symmetric(rate=0.4)", "mine:make", "pair_flip(rate=0.2)"], seed=[0, 1])
    both = pd.concat([named, grid(noise=["matrix"], alpha=[1.0, 2.0], seed=[0, 1])], ignore_index=True)
    drawn = plotted(both, "noise", "alpha")
    assert drawn.runs == len(both)


@pytest.mark.parametrize("losses", [2, 7, 12])
def test_the_legend_of_a_study_covers_no_panel_and_lies_in_the_figure(losses):
    runs = grid(loss=[f"a_loss_with_a_name_{k}" for k in range(losses)], alpha=[0.0, 1.0], seed=[0, 1])
    drawn = plotted(runs, "loss", "alpha")
    assert drawn.runs == 4 * losses
    assert not overlaps(drawn.figure)
    box = drawn.figure.legends[0].get_window_extent()
    width, height = drawn.figure.bbox.size
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


def test_no_two_lines_look_alike():
    drawn = plotted(
        grid(loss=[f"loss{k}" for k in range(12)], alpha=[0.0, 1.0], seed=[0, 1]), "loss", "alpha"
    )
    lines = [bars.lines[0] for bars in drawn.figure.axes[0].containers]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len({(colour, style) for colour, _, style in looks}) == len(lines) == 12


def test_lines_that_are_too_many_for_one_panel_are_divided_among_panels():
    runs = grid(
        loss=[f"loss{k}" for k in range(6)], noise=["a", "b", "c", "d"], alpha=[0.0, 1.0], seed=[0, 1, 2]
    )
    drawn = plotted(runs, "loss", "noise", "alpha")
    titles = [axis.get_title("left") for axis in drawn.figure.axes if axis.get_visible()]
    assert titles == ["a", "b", "c", "d"]
    assert drawn.runs == len(runs) == 144
    assert not overlaps(drawn.figure)


def test_the_caption_counts_the_runs_that_are_drawn_and_names_the_others(tmp_path):
    runs = pd.concat(
        [grid(alpha=[0.0, 1.0], noise=["uniform"], seed=[0, 1]), grid(noise=["observed"], seed=[0, 1])]
    )
    caption = study_section("mine", runs, tmp_path).caption
    assert "Finished runs: 6 of 6, drawn: 4." in caption
    assert "Points without alpha, which the table has: 1. They are of 2 runs: observed." in caption


def test_the_axis_is_a_setting_that_all_points_have():
    runs = pd.concat([grid(alpha=[0.0, 1.0], lr=[0.1, 1.0]), grid(noise=["observed"], lr=[0.1, 1.0])])
    drawn = plotted(runs, "alpha", "noise", "lr")
    assert drawn.left_out == ""
    assert drawn.runs == 6
    assert drawn.figure.axes[0].get_xlabel() == "learning rate"
    assert drawn.figure.axes[0].get_xscale() == "log"


def test_noise_by_name_is_drawn_against_the_parameter_in_which_it_differs():
    noises = [f"symmetric(include_true=True, rate={rate})" for rate in (0.6, 0.2, 0.4)]
    drawn = plotted(grid(noise=noises, loss=["gce(q=0.3)", "gce(q=0.7)"], seed=[0, 1]), "noise", "loss")
    axis = drawn.figure.axes[0]
    assert axis.get_xlabel() == "rate of the noise symmetric"
    assert drawn.runs == 12
    assert [text.get_text() for text in drawn.figure.legends[0].get_texts()] == ["gce(q=0.3)", "gce(q=0.7)"]
    lines = [line.get_xdata() for line in axis.lines if len(line.get_xdata()) == 3]
    assert all(sorted(x) == [0.2, 0.4, 0.6] for x in lines)
    assert lines


@pytest.mark.parametrize(
    "noises",
    [
        ["symmetric(rate=0.2)", "pair_flip(rate=0.4)"],
        ["asymmetric(flips='mnist', rate=0.2)", "asymmetric(flips='cifar10', rate=0.2)"],
        ["symmetric(rate=0.2)", "symmetric(include_true=True, rate=0.2)"],
        ["asymmetric(flips='mnist', rate=0.2)", "asymmetric(flips='cifar10', rate=0.4)"],
        ["labels (copy).npy", "labels (2).npy"],
        ["a", "b"],
    ],
)
def test_noises_that_differ_in_more_than_a_number_are_rows(noises):
    axis = plotted(grid(noise=noises, seed=[0, 1]), "noise").figure.axes[0]
    assert sorted(text.get_text() for text in axis.get_yticklabels()) == sorted(noises)


def test_settings_with_equal_values_have_their_names():
    points = pd.DataFrame({"delta": [0.5, None], "eta": [None, 0.5]})
    assert setting_names(points, ["delta", "eta"]) == ["delta 0.5", "eta 0.5"]
    assert setting_names(points[:1], ["delta", "eta"]) == ["0.5"]


def test_runs_of_a_page_are_imported_with_their_matrices(tmp_path):
    halves = [[0.5 if j in (i, (i + 1) % 10) else 0.0 for j in range(10)] for i in range(10)]
    base = {"dataset": "digits", "n": 100, "model": "mlp1", "alpha": 1, "noise": "matrix"}
    runs = [Run.of(**base, matrix=halves, seed=seed) for seed in (0, 1)]
    outcome = {"state": "done", "result": {ACCURACY: 0.5, "n_test": 360}}
    with Store(tmp_path / "s.sqlite") as store, store.writer():
        store.add("m", runs)
        store.start([run.key for run in runs], host="h", versions={"torch": "2"}, at=NOW)
        store.finish({run.key: outcome for run in runs}, at=NOW)
        section = study_section("m", table(store, "m"), tmp_path)
    assert section.notes == (f"T1 is the matrix of run {runs[0].key}; m-runs.csv has it as a whole",)
    assert section.runs["matrix"].tolist() == ["T1", "T1"]
    written = pd.read_csv(tmp_path / "m-runs.csv")
    assert [list(row) for row in ast.literal_eval(written["matrix"][0])] == halves
    with Store(tmp_path / "second.sqlite") as store:
        assert import_table(tmp_path / "m-runs.csv", store) == 2


def test_differences_of_a_study_are_a_section_with_their_correction(tmp_path):
    runs = grid(loss=["cross_entropy", "gce", "mae"], noise=["a", "b"], seed=[0, 1, 2])
    spread = 0.01 * runs["seed"] + 0.003 * (runs["seed"] == 1) * (runs["loss"] == "gce")
    runs[ACCURACY] = 0.5 + 0.2 * (runs["loss"] == "gce") + spread
    section = differences_section("mine", runs, tmp_path, "mine-differences")
    assert section.points["loss"].tolist() == ["gce", "mae"] * 2
    assert "Of 4 differences from cross_entropy 2 are significant at 5 % (Holm)." in section.summary
    assert "is that of gce (noise a): +20.1 points" in section.summary
    assert "Holm (1979)" in section.method
    assert list(pd.read_csv(tmp_path / "mine-differences.csv"))[-2:] == ["p", "p_holm"]
    assert differences_section("mine", runs[runs["seed"] == 0], tmp_path, "x") is None
    assert differences_section("mine", runs.assign(loss="gce", noise="a"), tmp_path, "x") is None


def test_lines_are_divided_among_panels_by_the_setting_with_the_fewest_values():
    points = pd.DataFrame(
        [{"model": model, "alpha": float(alpha)} for model in ("mlp1", "conv2") for alpha in range(10)]
    )
    lines = divide(points, ["model", "alpha"])
    assert [title for title, _ in lines.panels] == ["mlp1", "conv2"]
    assert (lines.count, lines.settings, lines.are_too_many) == (10, ("alpha",), False)
    (number, label, part), *_ = lines.of_panel(points[lines.panels[1][1]].iloc[3:])
    assert (number, label, part["alpha"].tolist()) == (3, "3", [3.0])
    few = divide(points[points["alpha"] < 3], ["model", "alpha"])
    assert [title for title, _ in few.panels] == [""]
    numbers = divide(points.assign(model=points["model"].map({"mlp1": 1, "conv2": 2})), ["model", "alpha"])
    assert [title for title, _ in numbers.panels] == ["model 1", "model 2"]


def test_points_without_the_setting_of_the_panels_have_a_panel_of_their_own():
    skewed = [
        {"order": order, "delta": delta / 5} for order in ("near", "far", "any") for delta in range(1, 6)
    ]
    points = pd.DataFrame([{"order": None, "delta": None}, *skewed])
    lines = divide(points, ["order", "delta"])
    assert [title for title, _ in lines.panels] == ["near", "far", "any", "without order"]
    ((_, label, part),) = lines.of_panel(points[lines.panels[-1][1]])
    assert (label, len(part)) == ("not set", 1)
    assert divide(points.assign(seed=range(len(points))), ["order", "delta", "seed"]).are_too_many
