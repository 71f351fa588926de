"""The review page as text; test_review_browser.py has it in a browser."""

import base64
import hashlib
import html
import json
import re

import pytest
from reviews import EVIL, examples_of_images, label_issues, review_of_images, write_table

from dilution.data import UnsplitData
from dilution.errors import InputError
from dilution.review import write_review
from dilution.review.answers import AnswerTable
from dilution.review.items import collect_items
from dilution.review.page import render_page


def embedded(page: str, name: str) -> dict:
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*)</script>', page)[1])


def test_the_page_asks_nobody_for_anything():
    items, _ = review_of_images()
    page = render_page(items, AnswerTable())
    assert "default-src 'none'" in page
    assert "connect-src 'none'" in page
    assert "connect-src 'self'" in render_page(items, AnswerTable(), save_to="answers")
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "http" not in re.sub(r'<script type="application/json".*?</script>', "", page).replace(
        "http-equiv", ""
    )


def test_texts_of_strangers_are_data():
    items, _ = review_of_images(classes=(EVIL, "b\u202e\u2028", "-->"))
    page = render_page(items, AnswerTable(), command=EVIL)
    assert EVIL not in page
    assert page.count("<script") == 3
    assert embedded(page, "review-data")["classes"] == [EVIL, "b\u202e\u2028", "-->"]
    assert "\u202e" not in page


def test_ids_are_data_and_the_only_script_that_runs_is_named_by_its_hash():
    examples = UnsplitData(examples_of_images().arrays, (EVIL, "b\u202e", *map(str, range(10))))
    items, _ = collect_items(label_issues(examples), examples, name="x")
    page = render_page(items, AnswerTable())
    assert EVIL not in page
    assert "\u202e" not in page
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = html.unescape(re.search(r'Policy" content="([^"]*)', page)[1])
    assert re.findall(r"script-src ([^;]*)", policy) == [f"'sha256-{digest}'"]


def test_a_name_of_data_is_escaped_in_the_title():
    examples = examples_of_images()
    items, _ = collect_items(label_issues(examples), examples, name="<b>&")
    assert "<h1>Review of &lt;b&gt;&amp;</h1>" in render_page(items, AnswerTable())


def test_a_page_starts_with_the_answers_of_a_file(tmp_path):
    (tmp_path / "verified.csv").write_text("id,verified_label,by\n1,owl,Ann\n")
    examples = examples_of_images()
    path = write_review(
        label_issues(examples), examples, tmp_path / "review.html", answers=tmp_path / "verified.csv"
    )
    state = embedded(path.read_text("utf-8"), "review-state")
    assert state["answers"] == [[1, 2]]
    assert state["file_columns"][-1] == "by"
    assert state["rows"] == [["1", "owl", "", "", "", "", "Ann"]]


def test_a_file_that_exists_is_replaced_only_if_told_so(tmp_path):
    examples = write_table(tmp_path / "t.csv")
    issues, path = label_issues(examples), tmp_path / "review.html"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"review\.html exists"):
        write_review(issues, examples, path)
    assert path.read_text() == "mine"
    assert write_review(issues, examples, path, overwrite=True) == path
    assert path.read_text("utf-8").startswith("<!doctype html>")


def test_reviews_of_other_labels_have_another_key():
    assert review_of_images()[0].key == review_of_images()[0].key
    assert review_of_images()[0].key != review_of_images(n=11)[0].key
