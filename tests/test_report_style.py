import os
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dilution.errors import DilutionError, InputError
from dilution.report.style import (
    COLOURS,
    MARKERS,
    as_plot,
    legend,
    line_with_interval,
    new_figure,
    percent_axis,
    save,
    style,
)


def points(low: float = 0.05) -> pd.DataFrame:
    mean = np.array([0.7, 0.9, 0.8])
    return pd.DataFrame(
        {"alpha": [20, 0, 5], "mean": mean, "low": mean - low, "high": mean + low, "seeds": 3}
    )


def drawn() -> Figure:
    figure, (axis,) = new_figure()
    for index, name in enumerate(["conv4", "mlp1"]):
        line_with_interval(axis, points(), "alpha", name, index)
    percent_axis(axis)
    legend(axis, "model")
    return figure


def test_the_style_applies_only_within_its_block() -> None:
    with matplotlib.rc_context({"axes.spines.top": True, "font.size": 31}):
        with style():
            assert matplotlib.rcParams["axes.spines.top"] is False
            assert matplotlib.rcParams["font.size"] == 10
        assert matplotlib.rcParams["axes.spines.top"] is True
        assert matplotlib.rcParams["font.size"] == 31


def test_the_first_56_series_all_look_different() -> None:
    looks = {(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i in range(56)}
    assert len(looks) == 56


def test_new_figure_returns_its_panels_in_reading_order() -> None:
    figure, axes = new_figure(columns=2, rows=2)
    assert len(axes) == 4
    figure.canvas.draw()
    corners = [axis.get_position() for axis in axes]
    assert corners[0].x0 < corners[1].x0
    assert corners[0].y0 > corners[2].y0
    assert not axes[0].spines["top"].get_visible()


def test_a_line_is_drawn_through_the_means_in_order_with_its_interval() -> None:
    _, (axis,) = new_figure()
    line_with_interval(axis, points(), "alpha", "conv4", 1)
    (container,) = axis.containers
    assert isinstance(container, ErrorbarContainer)
    line, _, (bars,) = container.lines
    assert np.asarray(line.get_xdata()).tolist() == [0, 5, 20]
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert line.get_color() == COLOURS[1]
    assert line.get_marker() == MARKERS[1]
    assert bars.get_segments()[0][:, 1] == pytest.approx([0.85, 0.95])


def test_a_point_without_an_interval_is_a_marker_only() -> None:
    figure, (axis,) = new_figure()
    line_with_interval(axis, points(low=float("nan")), "alpha", "conv4", 0)
    figure.canvas.draw()
    (container,) = axis.containers
    assert isinstance(container, ErrorbarContainer)
    line, _, (bars,) = container.lines
    assert np.size(line.get_xdata()) == 3
    assert all(len(segment) == 0 for segment in bars.get_segments())


def test_percent_axis_shows_fractions_in_percent() -> None:
    _, (axis,) = new_figure()
    percent_axis(axis)
    assert axis.yaxis.get_major_formatter()(0.5) == "50 %"


def test_the_legend_has_one_plain_entry_for_each_series() -> None:
    (axis,) = drawn().axes
    shown = axis.get_legend()
    assert shown is not None
    assert [text.get_text() for text in shown.get_texts()] == ["conv4", "mlp1"]
    assert not shown.get_frame_on()


def test_saved_figures_are_small_undated_and_always_the_same_bytes(tmp_path: Path) -> None:
    first = save(drawn(), tmp_path / "a" / "b", "fig")
    second = save(drawn(), tmp_path, "fig")
    assert set(first) == {"png", "svg", "pdf"}
    for kind in first:
        content = first[kind].read_bytes()
        assert content == second[kind].read_bytes()
        assert len(content) < 200_000
        assert b"dc:date" not in content
        assert b"CreationDate" not in content


@pytest.mark.parametrize("date", ["abc", "0", "9" * 5000])
def test_the_date_of_another_tool_changes_no_file(
    date: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure, (axis,) = new_figure()
    axis.plot([1, 2], [3, 4])
    plain = save(figure, tmp_path, "plain")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
    dated = save(figure, tmp_path, "dated")
    assert all(plain[name].read_bytes() == dated[name].read_bytes() for name in plain)
    assert os.environ["SOURCE_DATE_EPOCH"] == date


def test_a_file_does_not_depend_on_the_other_formats(tmp_path: Path) -> None:
    figure = drawn()
    alone = save(figure, tmp_path, "alone", formats=("svg",))["svg"].read_bytes()
    together = save(figure, tmp_path, "together", formats=("png", "pdf", "svg"))["svg"].read_bytes()
    assert alone == together == as_plot(drawn()).svg.encode("utf-8")


def test_all_formats_share_one_layout_and_the_figure_keeps_its_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts = []
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda _, figure: layouts.append(figure))
    figure = drawn()
    save(figure, tmp_path, "name", formats=("png", "svg", "pdf"))
    assert layouts == [figure]
    assert isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DilutionError):
        save(figure, tmp_path / "file", "name")
    assert isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="figure format"):
        save(drawn(), tmp_path, "fig", formats=("png", "gif"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_reported_as_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DilutionError, match=r"fig\.png could not be written.*folder"):
        save(drawn(), tmp_path / "taken", "fig")
