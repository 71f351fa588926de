"""Points of a plot: their places and tooltips, and the plot as part of a page."""

import gc
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from dilution.figures import FIGURES, PAPER_FIGURES
from dilution.figures.base import Figure as PaperFigure
from dilution.report import marks as marks_module
from dilution.report.marks import Mark, Plot, mark_points
from dilution.report.style import (
    COLOURS,
    as_plot,
    legend,
    line_with_interval,
    new_figure,
    percent_axis,
    publish,
    quoted_mark,
)
from dilution.report.svg import QUOTED, inline_svg, tooltips
from dilution.study.statistics import common_settings


def points() -> pd.DataFrame:
    mean = np.array([0.7, 0.9, 0.8])
    return pd.DataFrame(
        {"alpha": [20, 0, 5], "n": 100, "mean": mean, "low": mean - 0.05, "high": mean + 0.05, "seeds": 3}
    )


def drawn() -> Figure:
    figure, (axis,) = new_figure()
    line_with_interval(axis, points(), "alpha", "conv4", 0)
    line_with_interval(axis, points(), "alpha", "mlp1", 1, shift=0.5)
    axis.set_ylabel("test accuracy")
    axis.set_ylim(0, 1.02)
    percent_axis(axis)
    legend(axis, "model")
    return figure


def markers(svg: str) -> set[tuple[float, float]]:
    """Return the places of the symbols of an SVG: of its series, its ticks and its error bars."""
    places = re.findall(r'<use xlink:href="#m\w+" x="([\d.]+)" y="([\d.]+)"', svg)
    return {(round(float(x), 1), round(float(y), 1)) for x, y in places}


def test_every_mark_is_at_the_place_of_its_marker_in_the_svg() -> None:
    plot = as_plot(drawn())
    assert len(plot.marks) == 6
    assert {(round(m.x, 1), round(m.y, 1)) for m in plot.marks} <= markers(plot.svg)


def test_points_stand_in_order_with_series_settings_and_colour() -> None:
    marks = as_plot(drawn()).marks
    assert [m.row["alpha"] for m in marks] == [0, 5, 20, 0, 5, 20]
    assert [m.line for m in marks] == [0, 0, 0, 1, 1, 1]
    assert [m.series for m in marks[2:4]] == ["model: conv4", "model: mlp1"]
    assert marks[3].colour == COLOURS[1]
    assert marks[0].measure == "test accuracy"
    assert [m.x for m in marks[:3]] == sorted(m.x for m in marks[:3])


def test_marks_do_not_change_the_files(tmp_path: Path) -> None:
    without, (axis,) = new_figure()
    axis.plot([0, 1], [0, 1])
    plain = publish(without, tmp_path / "a", "fig")
    marked, (axis,) = new_figure()
    axis.plot([0, 1], [0, 1])
    mark_points(axis, pd.DataFrame({"n": [1]}), [1], [1], "a series", "#000000")
    with_marks = publish(marked, tmp_path / "b", "fig")
    assert plain == Plot(with_marks.svg, ())
    assert len(with_marks.marks) == 1
    for kind in ("png", "pdf", "svg"):
        assert (tmp_path / f"a/fig.{kind}").read_bytes() == (tmp_path / f"b/fig.{kind}").read_bytes()


def test_a_point_outside_its_panel_has_no_mark() -> None:
    figure, (axis,) = new_figure()
    rows = pd.DataFrame({"n": [1, 2, 3]})
    mark_points(axis, rows, [0.5, 0.5, 0.5], [0.5, 2.0, float("nan")], "a series", "#000000")
    assert [mark.row for mark in as_plot(figure).marks] == [{"n": 1}]


def test_the_marks_of_a_deleted_figure_are_freed() -> None:
    gc.collect()
    before = len(marks_module._SERIES)
    figure = drawn()
    assert len(marks_module._SERIES) == before + 1
    del figure
    gc.collect()
    assert len(marks_module._SERIES) <= before


def test_a_tooltip_has_mean_interval_seeds_and_settings() -> None:
    row = {"alpha": 5.0, "val_acc_clean": 0.9, "mean": 0.98765, "low": 0.97, "high": 1.0049, "seeds": 3}
    mark = Mark(1.5, 2.5, 0, "model: conv4", "test accuracy", COLOURS[0], row)
    (tooltip,) = tooltips((mark,), as_percent=True)
    assert (tooltip["series"], tooltip["value"], tooltip["measure"]) == (
        "model: conv4",
        "98.8 %",
        "test accuracy",
    )
    assert tooltip["interval"] == "95 % interval 97.0 to 100.5 %, 3 seeds"
    assert tooltip["rows"] == [("alpha", "5"), ("val_acc_clean", "90.0 %")]
    assert (tooltip["x"], tooltip["y"], tooltip["colour"], tooltip["note"]) == (1.5, 2.5, COLOURS[0], "")


@pytest.mark.parametrize(
    ("low", "high", "seeds", "text"),
    [
        (float("nan"), float("nan"), 1, "no interval, 1 seed"),
        (12.0, float("inf"), 4, "95 % interval 12 to ∞, 4 seeds"),
        (1234.5, 23456.7, 2, "95 % interval 1234 to 23457, 2 seeds"),
    ],
)
def test_an_interval_that_is_missing_unbounded_or_not_a_fraction(low, high, seeds, text) -> None:
    row = {"mean": 100.0, "low": low, "high": high, "seeds": seeds}
    (tooltip,) = tooltips((Mark(0, 0, 0, "", "", "#000000", row),), as_percent=False)
    assert tooltip["interval"] == text
    assert tooltip["value"] == "100"


def test_the_tooltip_of_a_number_of_the_paper_says_that_it_is_quoted() -> None:
    figure, (axis,) = new_figure()
    values = {"test accuracy": "91 %"}
    quoted_mark(axis, 0.5, 0.5, "paper's ConvNet, quoted", values, COLOURS[3])
    plot = as_plot(figure)
    (tooltip,) = tooltips(plot.marks, as_percent=True)
    assert tooltip["note"] == QUOTED
    assert (tooltip["value"], tooltip["interval"], tooltip["rows"]) == ("", "", [("test accuracy", "91 %")])
    assert tooltip["colour"] == COLOURS[3].lower()
    assert (round(tooltip["x"], 1), round(tooltip["y"], 1)) in markers(plot.svg)


def invented_points(name: str) -> pd.DataFrame:
    """Return invented points with the columns that a figure draws."""
    alpha = [0.0, 5.0, 10.0]
    values = {"mean": 0.8, "low": 0.7, "high": 0.9, "seeds": 3}
    columns = {
        "fig1": {"dataset": "mnist", "targets": "pooled", "n": 60_000, "model": "conv4", "alpha": [0, 100]},
        "fig2": {"dataset": "cifar10", "model": "conv4", "alpha": alpha},
        "fig3": {"measure": "test_acc_at_best_clean_val", "alpha": alpha},
        "fig5": {"noise_order": "random", "delta": [0.0, 0.5, 1.0]},
        "fig6": {"source": "same", "alpha": alpha},
        "fig7": {"image_source": "same", "alpha": alpha},
        "fig8": {"dataset": "mnist", "alpha": 10.0, "n": [250, 2_000, 16_000]},
        "fig9": {"found_by": "search", "level": 0.9, "alpha": alpha, "training_images": 9},
        "fig10": {
            **{"budget": "equal examples", "schedule": "constant"},
            **{"batch": "128", "alpha": alpha, "best_lr": 0.1},
        },
        "fig11": {"alpha": 0.0, "lr": [0.1, 0.5, 2.0], "val_acc_clean": [0.7, 0.8, 0.9]},
    }
    return pd.DataFrame({**columns[name], **values})


@pytest.mark.parametrize("name", PAPER_FIGURES)
def test_every_point_of_every_figure_has_a_mark_and_quotations_are_marked_as_such(name: str) -> None:
    figure: PaperFigure = FIGURES[name]
    rows = figure.aggregate(pd.DataFrame()) if name == "fig4" else invented_points(name)
    plot = as_plot(figure.draw(rows))
    assert sum(not mark.quoted for mark in plot.marks) == len(rows)
    assert sum(mark.quoted for mark in plot.marks) == {"fig1": 1, "fig2": 1, "fig8": 1}.get(name, 0)


def test_a_legend_lists_series_first_and_then_quotations_once() -> None:
    _, (axis,) = new_figure()
    for x in (1, 2):
        quoted_mark(axis, x, 0.5, "paper's, quoted", {}, COLOURS[0])
    line_with_interval(axis, points(), "alpha", "conv4", 0)
    assert [text.get_text() for text in legend(axis).get_texts()] == ["conv4", "paper's, quoted"]


def test_an_inlined_plot_keeps_its_ids_to_itself() -> None:
    svg = as_plot(drawn()).svg
    inlined = inline_svg(svg, "plot-7", "a label")
    root = ElementTree.fromstring(inlined)
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert ids
    assert len(ids) == len(set(ids))
    assert all(str(i).startswith("plot-7-") for i in ids)
    links = re.findall(r'href="#([^"]+)"', inlined) + re.findall(r"url\(#([^)]+)\)", inlined)
    assert set(links) == set(ids)


def test_an_inlined_plot_follows_the_theme_and_has_no_style_element() -> None:
    svg = as_plot(drawn()).svg
    inlined = inline_svg(svg, "p", "a label")
    assert {"var(--ink)", "var(--card)", "var(--grid)", "var(--axis)"} <= set(
        re.findall(r"var\(.*?\)", inlined)
    )
    colours = set(re.findall(r"#[0-9a-f]{6}", inlined))
    assert colours == {COLOURS[0].lower(), COLOURS[1].lower()}
    assert {e.tag for e in ElementTree.fromstring(inlined).iter()} <= {
        "svg",
        "g",
        "path",
        "use",
        "defs",
        "clipPath",
        "rect",
    }
    assert len(inlined) < len(svg)


def test_lines_and_symbols_keep_their_size_in_a_zoomed_plot() -> None:
    root = ElementTree.fromstring(inline_svg(as_plot(drawn()).svg, "p", "a label"))
    symbols = [e.get("style") or "" for e in root.findall(".//defs/path[@style]")]
    assert symbols
    assert all("scale(var(--zoom))" in style for style in symbols)
    lines = [e.get("style") or "" for e in root.findall(".//g/path[@style]")]
    assert all("* var(--zoom)" in style for style in lines if "stroke-width" in style)


def test_an_inlined_plot_has_a_label_for_screen_readers() -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="400pt" height="9pt" viewBox="0 0 400 9"/>'
    root = ElementTree.fromstring(inline_svg(svg, "p", '<b> & "quotes"'))
    assert root.get("aria-label") == '<b> & "quotes"'
    assert root.get("role") == "img"
    assert root.get("style") == "min-width: 320px"
    assert root.get("viewBox") == "0 0 400 9"
    assert root.get("width") is None


def test_tooltips_name_the_settings_that_all_runs_share() -> None:
    runs = pd.DataFrame(
        {"model": "conv4", "alpha": [0.0, 5.0], "lr": 0.001, "hflip": False, "steps": None, "seed": 0}
    )
    assert common_settings(runs) == "model conv4, lr 0.001"
    marks = as_plot(drawn()).marks
    assert {tooltip["note"] for tooltip in tooltips(marks, True, "All runs: model conv4.")} == {
        "All runs: model conv4."
    }
