"""Dates in tables are days, the same in every kind of table; forms that are ambiguous are named."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.data import load_unsplit, open_examples
from dilution.data.formats.table_dates import with_days
from dilution.data.formats.table_rows import TableRows

N = 12
TIMES = pd.Series(pd.date_range("2020-01-01", periods=N, freq="36h"))
DAYS = 18262 + 1.5 * np.arange(N)
FRAME = pd.DataFrame({"when": TIMES, "x": np.arange(N) % 5, "label": list("ab") * (N // 2)})


def write_csv(tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def write_parquet(tmp_path):
    FRAME.to_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


@pytest.mark.parametrize(
    "data",
    [
        write_csv,
        write_parquet,
        lambda _: FRAME,
        lambda _: FRAME.assign(when=TIMES.dt.strftime("%Y-%m-%dT%H:%MZ")),
        lambda _: FRAME.assign(when=TIMES.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")),
    ],
)
def test_dates_are_days_since_1970_and_said_to_be(tmp_path, data):
    examples = open_examples(data(tmp_path))
    np.testing.assert_allclose(examples.arrays.images[:, 0, 0, 0].numpy(), DAYS)
    assert "column 'when' of dates is read as days since 1970-01-01" in examples.notes


@given(st.lists(st.none() | st.dates(datetime.date(1800, 1, 1), datetime.date(2200, 1, 1)), min_size=1))
def test_text_and_objects_of_dates_are_the_same_days(dates):
    texts = [None if day is None else day.isoformat() for day in dates]
    frame = pd.DataFrame({"text": pd.Series(texts, dtype=object), "objects": pd.Series(dates, dtype=object)})
    rows = with_days(TableRows(frame, np.arange(len(frame))))
    if not any(dates):
        assert rows.notes == ()
        return
    expected = [np.nan if day is None else (day - datetime.date(1970, 1, 1)).days for day in dates]
    for name in frame:
        np.testing.assert_array_equal(rows.frame[name].to_numpy(dtype=float), expected)


def test_labels_that_look_like_dates_stay_labels(tmp_path):
    frame = FRAME.assign(label=["2020-01-01", "2021-01-01"] * (N // 2))
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert load_unsplit(tmp_path / "t.csv").arrays.classes == ("2020-01-01", "2021-01-01")


def test_dates_in_another_form_are_named(tmp_path):
    frame = FRAME.assign(when=TIMES.dt.strftime("%d/%m/%Y"))
    note = next(note for note in open_examples(frame).notes if "dates" in note)
    assert note == (
        "column 'when' looks like dates and is read as text: '01/01/2020' may be day or month first; dates "
        "such as 2024-05-31 are understood"
    )


def test_a_number_of_its_own_in_each_row_is_named_as_a_likely_id(tmp_path):
    frame = pd.DataFrame(
        {"customer": 100_000 + 7 * np.arange(30), "x": np.arange(30) % 4, "label": list("ab") * 15}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    (note,) = [note for note in load_unsplit(tmp_path / "t.csv").notes if "as an id has" in note]
    named = note.rpartition(": ")[2]
    examples = load_unsplit(named)
    assert examples.arrays.shape == (1, 1, 1)
    assert examples.names[:2] == ("100000", "100007")
    (note,) = [note for note in open_examples(frame).notes if "as an id has" in note]
    assert note.endswith("ids='customer'")
