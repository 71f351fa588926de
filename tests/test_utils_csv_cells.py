"""Texts of strangers in CSV files: no spreadsheet computes them, and reading brings them back."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.utils.csv_cells import csv_bytes, neutralise_text, restore_text

TEXTS = st.text(alphabet=st.sampled_from("=+-@\t\r'aA1.e0 \"\n,"), max_size=8)


@given(text=TEXTS)
def test_a_text_comes_back_and_is_no_formula(text):
    written = str(neutralise_text(text))
    assert restore_text(written) == text
    if written and written[0] in "=+-@\t\r":
        float(written)  # a number, and nothing else


@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_a_table_comes_back(texts):
    table = pd.DataFrame({"=name": texts, "number": range(len(texts))})
    header, *rows = csv.reader(io.StringIO(csv_bytes(table).decode(), newline=""))
    assert [restore_text(cell) for cell in header] == ["=name", "number"]
    assert [restore_text(row[0]) for row in rows] == texts


@pytest.mark.parametrize("text", ["-0.5", "+1e5", "-3", "2026-11-28", "cat", "a=b", "it's"])
def test_numbers_and_plain_texts_stay_as_they_are(text):
    assert neutralise_text(text) == text


def test_missing_cells_numbers_and_categories_are_written_as_pandas_does():
    table = pd.DataFrame(
        {"x": [1.5, None], "text": ["=1", None], "kind": pd.Categorical(["@a", None]), "n": [-1, 2]}
    )
    assert csv_bytes(table) == b"x,text,kind,n\n1.5,'=1,'@a,-1\n,,,2\n"
    assert table["text"].iloc[0] == "=1"  # the table itself is unchanged
