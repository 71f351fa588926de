"""The Markdown page: text from names is text for every reader of Markdown."""

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dilution.report.markdown import _escape, _escape_brackets

MARKS = st.text(st.sampled_from("[](){}!*_~`#<>&|\\:-+=1. ax\n"), max_size=30)


@given(MARKS | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30))
def test_no_text_becomes_markup(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("strikethrough").parse(f"Text: {_escape(text)}.")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == f"Text: {' '.join(text.split())}."


@given(MARKS)
def test_a_text_at_the_beginning_of_a_line_is_no_list_heading_or_definition(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"{_escape(text)}x\n\n[a]\n")
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    assert all(child.type != "link_open" for token in tokens for child in token.children or [])


@given(MARKS)
def test_any_text_can_describe_an_image(text: str) -> None:
    _, inline, _ = MarkdownIt("commonmark").parse(f"![{_escape_brackets(text)}](plot.png)")
    (image,) = inline.children or []
    assert image.attrs["src"] == "plot.png"


def test_usual_sentences_stay_as_they_are() -> None:
    for text in ("94.6 % [94.4, 94.9] on MNIST", "test_acc and 10-20 × 3.5 at α = 10", "0.795", "a | b"):
        assert _escape(text) == text
