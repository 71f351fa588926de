import base64
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from dilution.errors import DilutionError, InputError
from dilution.report.page import Page, Section, render, write
from dilution.report.tables import points_cells, runs_cells

EVIL = "<script>alert('class')</script>"
SVG = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="400pt"><g id="a"/></svg>'


def claims(*verdicts: str) -> pd.DataFrame:
    return pd.DataFrame(
        [("fig1", f"claim {i}", "a > b", v, "1 of 2") for i, v in enumerate(verdicts)],
        columns=["figure", "claim", "rule", "verdict", "numbers"],
    )


def section(verdicts: Sequence[str] = ("reproduced",)) -> Section:
    return Section(
        name="fig1",
        title="Accuracy by noise",
        finding="It still learns.",
        svg=SVG,
        caption="Scale: demo.",
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
        runs=pd.DataFrame({"key": ["k1"], "test_clean": [0.98765], "error": [None]}),
    )


def page(*sections: Section) -> Page:
    return Page("Noise", sections or (section(),), {"Command": "dilution reproduce fig1"})


class Reader(HTMLParser):
    """Collects tags, their attributes and the text of a page; fails on unbalanced tags."""

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
        if tag not in {"meta", "link", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and "style" not in self.open:
            self.texts.append(" ".join(data.split()))


def test_the_page_asks_nothing_of_the_network_and_runs_no_script() -> None:
    html = render(page())
    tags = Reader(html).tags
    assert "script" not in {tag for tag, _ in tags}
    for _, attributes in tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert not re.search(r"https?://|@import|url\(", html)


def test_text_of_every_kind_is_escaped() -> None:
    frame = pd.DataFrame({EVIL: [EVIL]})
    evil = Section(EVIL, EVIL, EVIL, SVG, EVIL, EVIL, claims("reproduced").assign(claim=EVIL), frame, frame)
    html = render(Page(EVIL, [replace(evil, claims=evil.claims.assign(figure=EVIL))], {EVIL: EVIL}))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 14
    Reader(html)


def test_the_verdicts_come_first_and_each_says_itself_in_words_and_symbol() -> None:
    verdicts = ("reproduced", "not reproduced", "not testable at this scale")
    html = render(page(section(verdicts)))
    texts = Reader(html).texts
    first_figure = texts.index("Accuracy by noise")
    for symbol, verdict in zip("✓✕?", verdicts, strict=True):
        at = texts.index(verdict)
        assert at < first_figure
        assert texts[at - 1] == symbol


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        (["reproduced"], "Of the one claim tested here, 1 is reproduced."),
        (["not reproduced"], "Of the one claim tested here, none is reproduced and 1 is not."),
        (
            ["reproduced", "reproduced", "not reproduced", "not testable at this scale"],
            "Of the 3 claims tested here, 2 are reproduced and 1 is not. "
            "One more cannot be tested at this scale.",
        ),
        (["not testable at this scale"], "No claim of this report can be tested at this scale."),
        ([], "This report makes no claims."),
    ],
)
def test_the_first_sentence_counts_the_verdicts(verdicts: list[str], sentence: str) -> None:
    assert sentence in Reader(render(page(section(verdicts)))).texts


def test_each_claim_links_to_the_figure_it_belongs_to() -> None:
    tags = Reader(render(page(section(), section()))).tags
    links = [attributes["href"] for tag, attributes in tags if tag == "a"]
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert links == ["#figure-1", "#figure-2"]
    assert ids == ["figure-1", "figure-2"]  # and no id of any plot


def test_a_plot_is_carried_in_the_page_with_a_text_for_those_who_cannot_see_it() -> None:
    ((_, image),) = [tag for tag in Reader(render(page())).tags if tag[0] == "img"]
    kind, _, content = (image["src"] or "").partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content).decode() == SVG
    assert image["alt"] == "Accuracy by noise. It still learns."
    assert image["style"] == "min-width: 320px"


def test_points_are_percent_with_one_decimal_and_unclipped_intervals() -> None:
    cells = points_cells(section().points, shares=True)
    assert cells.head == ["alpha", "mean (%)", "95 % interval (%)", "seeds"]
    assert cells.rows == [["0", "98.8", "97.0 to 100.5", "3"], ["2.5", "90.0", "–", "1"]]
    assert cells.numeric == [True, True, True, True]


def test_points_that_are_no_shares_keep_their_unit() -> None:
    points = pd.DataFrame({"alpha": [5], "mean": [1234.5], "low": [1000.0], "high": [1500.0]})
    cells = points_cells(points, shares=False)
    assert cells.head == ["alpha", "mean", "95 % interval"]
    assert cells.rows == [["5", "1234", "1000 to 1500"]]


def test_a_run_shows_its_accuracy_in_percent_and_a_dash_where_nothing_is() -> None:
    cells = runs_cells(section().runs)
    assert cells.head == ["key", "test_clean (%)", "error"]
    assert cells.rows == [["k1", "98.8", "–"]]
    assert cells.numeric == [False, True, False]


def test_a_section_without_plot_claims_or_rows_still_renders() -> None:
    none = pd.DataFrame()
    html = render(page(replace(section(), svg="", claims=none, points=none, runs=none)))
    tags = {tag for tag, _ in Reader(html).tags}
    assert not {"img", "table", "details"} & tags


def test_an_invented_verdict_is_refused() -> None:
    with pytest.raises(InputError, match="Did you mean 'reproduced'"):
        render(page(section(["reproducd"])))


def test_claims_without_a_column_are_refused() -> None:
    with pytest.raises(InputError, match="lacks rule, numbers"):
        render(page(replace(section(), claims=section().claims.drop(columns=["rule", "numbers"]))))


def test_a_page_is_written_whole_into_a_new_folder(tmp_path: Path) -> None:
    path = write(page(), tmp_path / "new" / "page.html")
    assert path.read_text("utf-8") == render(page())
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(DilutionError, match="choose the name of a file"):
        write(page(), tmp_path / "page.html")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
