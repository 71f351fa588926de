"""Parquet files whose metadata for pandas are damaged are refused, wherever a table is read."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.data.registry import load_unsplit
from dilution.errors import DataError, DilutionError
from dilution.study.importing import import_table
from dilution.study.store import Store
from dilution.utils.parquet_file import read_frame

ROWS = 40
FRAME = pd.DataFrame(
    {"a": np.arange(ROWS) % 7 / 2, "b": np.arange(ROWS) % 5 / 2, "label": np.arange(ROWS) % 2}
)
REMEDY = "Write it again."


def write(path: Path, metadata: bytes) -> Path:
    """Write a table with metadata for pandas."""
    table = pa.Table.from_pandas(FRAME).replace_schema_metadata({b"pandas": metadata})
    pq.write_table(table, path)
    return path


def counter(stop: object, step: object = 1) -> bytes:
    index = {"kind": "range", "name": None, "start": 0, "stop": stop, "step": step}
    return json.dumps({"index_columns": [index], "columns": [], "column_indexes": []}).encode()


def of_columns(numpy_type: str) -> bytes:
    column = {
        "name": None,
        "field_name": None,
        "pandas_type": "unicode",
        "numpy_type": numpy_type,
        "metadata": None,
    }
    return json.dumps({"index_columns": [], "columns": [], "column_indexes": [column]}).encode()


DAMAGED = {
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "no JSON": b"not JSON",
    "list": b"[1]",
    "digits": counter(0).replace(b'"stop": 0', b'"stop": ' + b"9" * 5000),
    "step": counter(ROWS, 0),
    "long": counter(10**23),
    "type": of_columns("nonsense"),
}


@pytest.mark.parametrize("metadata", DAMAGED.values(), ids=DAMAGED)
def test_damaged_metadata_are_one_error_for_data_and_for_runs(metadata: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", metadata)
    for read in (lambda: read_frame(path, REMEDY), lambda: load_unsplit(path)):
        with pytest.raises(DataError, match=r"t\.parquet cannot be read; it must be a whole Parquet file"):
            read()
    with Store(tmp_path / "s.sqlite") as store, pytest.raises(DataError, match=r"t\.parquet cannot be read"):
        import_table(path, store)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["a", "b", "label", "c", None])
TYPES = st.sampled_from(
    ["unicode", "int64", "datetimetz", "datetime64[ns]", "object", "categorical", "V0", "?"]
)


@st.composite
def metadata(draw: st.DrawFn) -> dict[str, Any]:
    """Return metadata in the form of those of pandas, with any values."""
    column = st.fixed_dictionaries(
        {
            "name": NAMES,
            "field_name": NAMES,
            "pandas_type": TYPES,
            "numpy_type": TYPES,
            "metadata": json_values,
        }
    )
    index = st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["range", "serialized"]),
            "name": NAMES | json_values,
            "start": st.integers(),
            "stop": st.integers() | st.just(ROWS),
            "step": st.integers(),
        }
    )
    tables = {
        "index_columns": st.lists(index | NAMES, max_size=2),
        "columns": st.lists(column, max_size=4),
        "column_indexes": st.lists(column, max_size=2),
        "partition_columns": json_values,
    }
    whole = st.fixed_dictionaries(tables)
    return draw(whole | st.fixed_dictionaries(tables | {"columns": json_values}) | json_values)


@given(metadata())
def test_a_table_of_any_metadata_is_read_or_refused(content: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = write(Path(name) / "t.parquet", json.dumps(content).encode())
        try:
            data = load_unsplit(path)
        except DilutionError:
            return
        assert len(data.arrays) <= ROWS
