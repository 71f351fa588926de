import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from dilution.errors import DilutionError, InputError
from dilution.report.markdown import write_markdown
from dilution.report.marks import Mark
from dilution.report.page import Page, render, write
from dilution.report.provenance import busy_seconds
from dilution.report.section import Section
from dilution.report.tables import points_cells, runs_cells
from dilution.utils.output_folder import MARKER

EVIL = "<script>alert('class')</script>"
SVG = (
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="400pt" height="9pt" '
    'viewBox="0 0 400 9"><g id="a"/></svg>'
)


def claims(*verdicts: str) -> pd.DataFrame:
    return pd.DataFrame(
        [("fig1", f"claim {i}", "a > b", v, "1 of 2") for i, v in enumerate(verdicts)],
        columns=["figure", "claim", "rule", "verdict", "numbers"],
    )


def section(verdicts: Sequence[str] = ("reproduced",)) -> Section:
    return Section(
        name="fig1",
        title="Accuracy by noise",
        summary="It still learns.",
        svg=SVG,
        caption="Demo preset.",
        method="Trained once.",
        claims=claims(*verdicts),
        points=pd.DataFrame(
            {
                "alpha": [0.0, 2.5],
                "mean": [0.98765, 0.9],
                "low": [0.97, float("nan")],
                "high": [1.0049, float("nan")],
                "seeds": [3, 1],
            }
        ),
        runs=pd.DataFrame({"key": ["k1"], "test_acc_at_best_clean_val": [0.98765], "error": [None]}),
    )


def page(*sections: Section) -> Page:
    return Page("Noise", sections or (section(),), {"Command": "dilution reproduce fig1"})


class Reader(HTMLParser):
    """Tags, their attributes and the text of a page; fails on unbalanced tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and not {"style", "script"} & set(self.open):
            self.texts.append(" ".join(data.split()))


def scripts(html: str) -> list[str]:
    """Return the content of the script elements: the tooltips of each plot, and last the script."""
    return re.findall(r"<script[^>]*>(.*?)</script>", html, flags=re.DOTALL)


def test_the_page_makes_no_network_request() -> None:
    html = render(page())
    for _, attributes in Reader(html).tags:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith(("#", "data:"))
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    assert not re.search(
        r"\b(fetch|XMLHttpRequest|import|eval|innerHTML|insertAdjacentHTML)\b", scripts(html)[-1]
    )


def test_the_content_policy_allows_one_script_and_no_other() -> None:
    html = render(page(section(), section()))
    (policy,) = [a["content"] for _, a in Reader(html).tags if a.get("http-equiv")]
    script = scripts(html)[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert re.findall(r"script-src ([^;]*)", policy) == [f"'sha256-{digest}'"]
    kinds = [a.get("type") for tag, a in Reader(html).tags if tag == "script"]
    assert kinds == ["application/json", "application/json", None]
    assert not any(name.startswith("on") for _, a in Reader(html).tags for name in a)


def test_without_script_all_rows_are_visible_and_interactive_elements_are_hidden() -> None:
    html = render(page())
    for tag, attributes in Reader(html).tags:
        if tag == "button" or attributes.get("class") in {"search", "tip", "hint"}:
            assert "hidden" in attributes
        if tag in {"tr", "svg"}:
            assert "hidden" not in attributes


def test_a_tooltip_cannot_break_out_of_its_script() -> None:
    evil = "</script><script>alert(1)</script><!--"
    mark = Mark(1, 2, 0, evil, evil, "#0072B2", {evil: evil, "mean": 0.5})
    html = render(page(replace(section(), marks=(mark,))))
    assert len(scripts(html)) == 2
    (tooltip,) = json.loads(scripts(html)[0])
    assert tooltip["series"] == evil
    assert tooltip["rows"] == [[evil, evil]]


def test_text_of_every_kind_is_escaped() -> None:
    frame = pd.DataFrame({EVIL: [EVIL]})
    evil = Section(EVIL, EVIL, EVIL, SVG, EVIL, EVIL, claims("reproduced").assign(claim=EVIL), frame, frame)
    html = render(Page(EVIL, [replace(evil, claims=evil.claims.assign(figure=EVIL))], {EVIL: EVIL}))
    assert len(re.findall("<script", html)) == 2
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;") >= 14
    Reader(html)


def test_the_verdicts_come_first_each_in_words_and_as_a_symbol() -> None:
    verdicts = ("reproduced", "not reproduced", "not testable")
    html = render(page(section(verdicts)))
    texts = Reader(html).texts
    first_figure = texts.index("Accuracy by noise")
    for symbol, verdict in zip("✓✕?", verdicts, strict=True):
        place = texts.index(verdict)
        assert place < first_figure
        assert texts[place - 1] == symbol


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        (["reproduced"], "The claim is reproduced."),
        (["not reproduced"], "The claim is not reproduced."),
        (
            ["reproduced", "not testable"],
            "1 of 1 tested claims is reproduced. 1 more cannot be tested with these runs.",
        ),
        (
            ["reproduced", "reproduced", "not reproduced", "not testable"],
            "2 of 3 tested claims are reproduced. 1 more cannot be tested with these runs.",
        ),
        (["not testable"], "No claim can be tested with these runs."),
        ([], "This page makes no claims."),
    ],
)
def test_the_first_sentence_counts_the_verdicts(verdicts: list[str], sentence: str) -> None:
    assert sentence in Reader(render(page(section(verdicts)))).texts


def test_each_claim_links_to_the_figure_it_belongs_to() -> None:
    reader = Reader(render(page(section(), replace(section(), name="fig1-mnist-laptop"))))
    assert {"fig1", "fig1-mnist-laptop"} <= set(reader.texts[: reader.texts.index("Accuracy by noise")])
    tags = reader.tags
    links = [attributes["href"] for tag, attributes in tags if tag == "a"]
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert links == ["#figure-1", "#figure-2"]
    assert ids == ["figure-1", "figure-2"]  # a plot keeps no id without a reference


def test_a_plot_is_part_of_the_page_with_a_label_for_screen_readers() -> None:
    ((_, image),) = [tag for tag in Reader(render(page())).tags if tag[0] == "svg"]
    assert image["role"] == "img"
    assert image["aria-label"] == "Accuracy by noise. It still learns."
    assert image["style"] == "min-width: 320px"


def test_points_are_percent_with_one_decimal_and_unclipped_intervals() -> None:
    cells = points_cells(section().points, as_percent=True)
    assert cells.head == ["alpha", "mean (%)", "95 % interval (%)", "seeds"]
    assert cells.rows == [["0", "98.8", "97.0 to 100.5", "3"], ["2.5", "90.0", "–", "1"]]
    assert cells.numeric == [True, True, True, True]


def test_the_title_of_the_points_mentions_intervals_only_if_there_are_any() -> None:
    without = replace(section(), points=pd.DataFrame({"rank": [0, 1], "probability": [0.6, 0.4]}))
    assert "2 points, with 95 % intervals" in Reader(render(page())).texts
    html = render(page(without))
    assert "2 points" in Reader(html).texts
    assert "Student" not in html


def test_points_show_accuracies_beside_the_mean_in_percent_too() -> None:
    points = section().points.assign(val_acc_clean=[0.5, 0.25])
    cells = points_cells(points, as_percent=True)
    assert cells.head[-1] == "val_acc_clean (%)"
    assert [row[-1] for row in cells.rows] == ["50.0", "25.0"]


def test_points_that_are_not_fractions_keep_their_unit() -> None:
    points = pd.DataFrame({"alpha": [5], "mean": [1234.5], "low": [1000.0], "high": [1500.0]})
    cells = points_cells(points, as_percent=False)
    assert cells.head == ["alpha", "mean", "95 % interval"]
    assert cells.rows == [["5", "1234", "1000 to 1500"]]


def test_a_column_with_bounds_of_its_own_has_them_in_brackets_in_points_where_means_are_percent() -> None:
    gains = {"gain": [0.0282, None], "gain_low": [0.006, None], "gain_high": [0.051, None]}
    cells = points_cells(section().points.assign(**gains), as_percent=True)
    assert cells.head[-1] == "gain (points)"
    assert [row[-1] for row in cells.rows] == ["2.8 [0.6, 5.1]", "–"]
    assert cells.numeric[-1] is True
    cells = points_cells(section().points.assign(**gains), as_percent=False)
    assert (cells.head[-1], cells.rows[0][-1]) == ("gain", "0.0282 [0.006, 0.051]")


def test_findings_are_a_list_below_the_answer_and_below_the_summary(tmp_path: Path) -> None:
    shown = replace(
        page(replace(section(), findings=("clean: <b> 96.8 %",))), findings=("ELR gains 2 points.",)
    )
    reader = Reader(render(shown))
    assert [attributes["class"] for tag, attributes in reader.tags if tag == "ul"] == ["findings"] * 2
    answer, below = reader.texts.index("ELR gains 2 points."), reader.texts.index("clean: <b> 96.8 %")
    assert answer < reader.texts.index("It still learns.") < below
    write_markdown(shown, tmp_path)
    lines = (tmp_path / "README.md").read_text("utf-8").splitlines()
    assert "- ELR gains 2 points." in lines
    assert lines[lines.index("It still learns.") + 2] == "- clean: &lt;b&gt; 96.8 %"


def test_a_run_shows_its_accuracy_in_percent_and_a_dash_for_a_missing_value() -> None:
    cells = runs_cells(section().runs)
    assert cells.head == ["key", "test_acc_at_best_clean_val (%)", "error"]
    assert cells.rows == [["k1", "98.8", "–"]]
    assert cells.numeric == [False, True, False]


def test_the_example_of_the_search_is_of_the_table() -> None:
    issues = pd.DataFrame({"index": [4, 9], "id": ["row 5", "row 10"], "given_label": ["bee", "ant"]})
    html = render(page(replace(section(), runs=issues)))
    assert 'placeholder="Search: bee index=4"' in html
    assert "conv4" not in html


def test_the_example_of_the_search_has_two_short_words() -> None:
    long = "noise_rate_empirical"
    runs = pd.DataFrame(
        {"key": ["c" * 17], "loss": ["a b"], "note": ["cross_entropy"], long: [0.4512], "n": [9]}
    )
    assert 'placeholder="Search: cross_entropy n=9"' in render(page(replace(section(), runs=runs)))
    only_long = page(replace(section(), runs=runs[["key", long]]))
    assert 'placeholder="Search: "' in render(only_long)


def test_a_section_without_plot_claims_or_rows_still_renders() -> None:
    none = pd.DataFrame()
    html = render(page(replace(section(), svg="", claims=none, points=none, runs=none)))
    tags = {tag for tag, _ in Reader(html).tags}
    assert not {"svg", "table", "details", "button"} & tags


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(InputError, match="Did you mean 'reproduced'"):
        render(page(section(["reproducd"])))


def test_claims_without_a_column_are_refused() -> None:
    with pytest.raises(InputError, match="lacks rule, numbers"):
        render(page(replace(section(), claims=section().claims.drop(columns=["rule", "numbers"]))))


def test_a_page_is_written_whole_into_a_new_folder(tmp_path: Path) -> None:
    path = write(page(), tmp_path / "new" / "page.html")
    assert path.read_text("utf-8") == render(page())
    assert sorted(file.name for file in path.parent.iterdir()) == [MARKER, "page.html"]


def test_a_page_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(DilutionError, match=r"is a folder.*choose another name"):
        write(page(), tmp_path / "page.html")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_the_time_of_runs_is_that_in_which_one_of_them_trained() -> None:
    runs = pd.DataFrame(
        [
            ("2026-11-29T09:00:30+00:00", "2026-11-29T09:02:00+00:00"),
            ("2026-11-29T09:00:00+00:00", "2026-11-29T09:01:00+00:00"),  # overlaps with the first
            ("2026-11-29T09:01:00+00:00", "2026-11-29T09:01:30+00:00"),  # within the first
            ("2026-11-30T10:00:00.5+00:00", "2026-11-30T10:00:10.5+00:00"),  # of another day
        ],
        columns=["started", "finished"],
    )
    assert busy_seconds(runs) == 130.0
    assert busy_seconds(pd.concat([runs, runs.iloc[:2]])) == 130.0  # with row numbers twice
    assert busy_seconds(runs.iloc[:0]) == 0.0
