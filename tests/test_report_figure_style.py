"""Figures for a paper: width, font, resolution and other names; defaults stay as they are."""

import re
from io import BytesIO

import matplotlib.image
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.errors import InputError
from dilution.report.figure_style import (
    FigureStyle,
    current_style,
    parse_labels,
    split_outside_brackets,
    using_style,
)
from dilution.report.section import study_section
from dilution.report.style import as_plot, legend_outside, line_with_interval, new_figure, save, style

POINTS = pd.DataFrame({"alpha": [0.0, 1.0], "mean": [0.9, 0.8], "low": [0.85, 0.7], "high": [0.95, 0.9]})


def draw():
    with style():
        figure, (axis,) = new_figure()
        line_with_interval(axis, POINTS, "alpha", "gce", 0)
        line_with_interval(axis, POINTS, "alpha", "mae, symmetric(rate=0.4)", 1)
        axis.set_xlabel("alpha")
        legend_outside(figure, title="loss")
    return figure


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_without_a_style_a_figure_has_the_same_bytes(tmp_path):
    save(draw(), tmp_path, "plain")
    with using_style(FigureStyle()):
        save(draw(), tmp_path, "styled")
    for ending in ("png", "svg", "pdf"):
        assert (tmp_path / f"plain.{ending}").read_bytes() == (tmp_path / f"styled.{ending}").read_bytes()


def test_width_and_resolution_determine_the_pixels(tmp_path):
    with using_style(FigureStyle(width="84mm", dpi=300)):
        save(draw(), tmp_path, "a", ["png"])
    image = matplotlib.image.imread(BytesIO((tmp_path / "a.png").read_bytes()))
    assert image.shape[1] == pytest.approx(84 / 25.4 * 300, abs=1)


@pytest.mark.parametrize(("font", "embedded"), [("serif", b"DejaVuSerif"), (None, b"DejaVuSans")])
def test_a_figure_is_written_in_its_font(tmp_path, font, embedded):
    with using_style(FigureStyle(font=font)):
        save(draw(), tmp_path, "a", ["pdf"])
    names = set(re.findall(rb"/BaseFont /(?:[A-Z]+\+)?([A-Za-z-]+)", (tmp_path / "a.pdf").read_bytes()))
    assert names == {embedded}


def test_a_style_ends_with_its_block():
    with using_style(FigureStyle(width=3.3)) as narrow:
        assert current_style() is narrow
        assert draw().get_figwidth() == 3.3
    assert current_style() == FigureStyle()
    assert draw().get_figwidth() == 5.6


def test_names_are_replaced_once_in_legends_axes_and_parts(tmp_path):
    labels = {"gce": "GCE", "symmetric(rate=0.4)": "40 %", "loss": "Loss", "alpha": "level", "GCE": "twice"}
    with using_style(FigureStyle(labels={**labels, "sce": "SCE"})) as chosen:
        figure = draw()
        save(figure, tmp_path, "a")
        as_plot(figure)
    assert legend_texts(figure) == ["GCE", "mae, 40 %"]
    assert figure.legends[0].get_title().get_text() == "Loss"
    assert figure.axes[0].get_xlabel() == "level"
    assert chosen.notes == [
        "the label 'GCE' is in no figure; names are those of its legend and axes",
        "the label 'sce' is in no figure; names are those of its legend and axes",
    ]


def test_names_of_rows_are_replaced(tmp_path):
    runs = pd.DataFrame(
        {"state": "done", "loss": ["gce", "mae"], "seed": 0, "test_acc_at_best_clean_val": [0.5, 0.6]}
    )
    with using_style(FigureStyle(font="serif", labels={"gce": "GCE", "test accuracy": "Accuracy"})) as chosen:
        study_section("mine", runs, tmp_path)
    assert chosen.notes == []


@given(
    st.lists(
        st.sampled_from(["gce", "f(a=1, b='x,y')", "m:[1, (2, 3)]"]), min_size=1, max_size=4, unique=True
    )
)
def test_labels_are_read_with_their_brackets(names):
    text = ", ".join(f"{name}=label {place}" for place, name in enumerate(names))
    assert parse_labels(text) == {name: f"label {place}" for place, name in enumerate(names)}


@given(st.text("ab,=()[]'\" ", max_size=20))
def test_parts_between_separators_give_the_text_back(text):
    assert ",".join(split_outside_brackets(text, ",")) == text


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FigureStyle(width="3 feet"), "width is '3 feet'; it must be a length from 1 to 40 inches"),
        (lambda: FigureStyle(width=0.1), "width is 0.1"),
        (lambda: FigureStyle(width="nan"), "width is 'nan'"),
        (lambda: FigureStyle(dpi=10), "dpi is 10; it must be a whole number from 50 to 1200"),
        (lambda: FigureStyle(dpi=300.0), "dpi is 300.0"),
        (lambda: FigureStyle(font="serf"), "font is 'serf'; .* Did you mean 'serif'"),
        (lambda: FigureStyle(labels={"a": ""}), "labels has 'a' → ''"),
        (lambda: FigureStyle(labels={"a": "b\nc"}), "texts on one line"),
        (lambda: FigureStyle(labels=["a"]), "it must map names in figures to other texts"),
        (lambda: parse_labels("gce"), "each part must be a name, an equals sign and a text"),
        (lambda: parse_labels("a=1,a=2"), "labels names 'a' twice"),
    ],
)
def test_what_breaks_a_rule_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_lengths_of_all_units_are_inches():
    widths = [FigureStyle(width=text).width for text in ("2.54cm", "25.4 mm", "72.27pt", "1in", "1")]
    assert widths == [1.0] * 5


def test_the_style_is_a_public_name():
    assert dilution.FigureStyle is FigureStyle


def test_panels_that_a_narrow_figure_has_no_room_for_are_stacked():
    with using_style(FigureStyle(width="3.3in")):
        figure, axes = new_figure(columns=3, height=3.0)
        assert len(axes) == len(figure.axes) == 3
        assert len({axis.get_subplotspec().rowspan.start for axis in axes}) == 3
    with using_style(FigureStyle(width=7)):
        figure, axes = new_figure(columns=2, rows=2)
        assert len({axis.get_subplotspec().rowspan.start for axis in axes}) == 2
        assert len(new_figure(columns=4)[0].axes) == 4


def test_names_without_room_give_a_note_and_no_warning(tmp_path):
    runs = pd.DataFrame(
        {"state": "done", "loss": ["x" * 59, "y" * 59], "seed": 0, "test_acc_at_best_clean_val": [0.5, 0.6]}
    )
    with using_style(FigureStyle(width=1)) as narrow:
        study_section("mine", runs, tmp_path)
    assert narrow.notes == [
        "a figure has no room for its names at this width; choose a larger width or shorter labels"
    ]
