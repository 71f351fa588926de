"""Fonts of a plot: every text is drawn, with a font that has its characters or as a number with a key."""

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from dilution.report import fonts
from dilution.report.style import as_plot, new_figure, save, style

CHINESE = ["猫", "狗", "鸟"]


def named(names: list[str], title: str = "") -> Figure:
    with style():
        figure, (axis,) = new_figure()
        axis.set_xticks(range(len(names)), names)
        axis.plot([0, 1], label=f"of {names[0]}")
        axis.legend(title=title)
        axis.set_title(title)
    return figure


def tick_labels(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


@pytest.fixture
def only_own_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the fonts of this machine; those that matplotlib brings remain."""
    own = matplotlib.get_data_path()
    bundled = [font for font in fonts.fontManager.ttflist if font.fname.startswith(own)]
    monkeypatch.setattr(fonts.fontManager, "ttflist", bundled)


@settings(max_examples=8)
@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=4), st.text(max_size=5)
)
def test_no_text_makes_a_warning(names: list[str], title: str) -> None:
    as_plot(named(names, title))  # warnings are errors


def test_characters_of_another_font_are_drawn_with_it(only_own_fonts: None) -> None:
    figure = named(["Ⓐ", "cat"])  # DejaVu Sans has no circled letters, STIX has
    plot = as_plot(figure)
    assert plot.notes == ()
    assert tick_labels(figure) == ["Ⓐ", "cat"]
    assert "STIXGeneral" in figure.axes[0].get_xticklabels()[0].get_fontfamily()


def test_names_without_a_font_are_numbers_with_a_key(only_own_fonts: None) -> None:
    figure = named([*CHINESE, "cat", "狗"])
    plot = as_plot(figure)
    assert tick_labels(figure) == ["#1", "#2", "#3", "cat", "#2"]
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["#4"]
    (note,) = plot.notes
    assert note.endswith("no font of this machine has: #1 = 猫, #2 = 狗, #3 = 鸟, #4 = of 猫.")


def test_every_format_of_a_figure_has_the_same_numbers(only_own_fonts: None, tmp_path) -> None:
    figure = named(CHINESE)
    save(figure, tmp_path, "plot")
    assert as_plot(figure).notes == fonts.key(figure)
    assert tick_labels(figure) == ["#1", "#2", "#3"]


def test_a_plot_in_latin_letters_keeps_its_texts_and_its_font() -> None:
    figure = named(["café", "η = 0.5", "−1"], "naïve")
    before = figure.axes[0].get_xticklabels()[0].get_fontfamily()
    assert as_plot(figure).notes == ()
    assert tick_labels(figure) == ["café", "η = 0.5", "−1"]
    assert figure.axes[0].get_xticklabels()[0].get_fontfamily() == before
