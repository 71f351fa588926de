"""Parquet files whose cells do not fit into memory are refused by their metadata."""

import io
import resource
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dilution.data import load
from dilution.errors import DataError
from dilution.study.importing import import_table
from dilution.study.store import Store
from dilution.utils import available_memory as memory
from dilution.utils.available_memory import available_memory
from dilution.utils.parquet_size import check_fits


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A Parquet file of some kilobytes with 20 million rows."""
    part = pa.table({"a": np.zeros(4_000_000, np.int64), "label": np.zeros(4_000_000, np.int8)})
    path = tmp_path / "bomb.parquet"
    with pq.ParquetWriter(path, part.schema, compression="zstd") as file:
        for _ in range(5):
            file.write_table(part, row_group_size=4_000_000)
    return path


def test_a_table_that_does_not_fit_is_refused_with_both_sizes(
    bomb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dilution.utils.parquet_size.available_memory", lambda: 500_000_000)
    with pytest.raises(DataError, match=r"20,000,000 rows and 2 columns, which take 0\.6 GB .* 0\.5 GB"):
        load(f"{bomb}#label")
    with (
        Store(tmp_path / "s.sqlite") as store,
        pytest.raises(DataError, match=r"20,000,000 rows and 2 columns, which take 5\.1 GB"),
    ):
        import_table(bomb, store)


@pytest.fixture
def address_limit() -> Iterator[int]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = 1 << 45
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_the_smallest_limit_counts(
    address_limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < (available_memory() or 0) < address_limit
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert 0 < (available_memory() or 0) < address_limit
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:  4096 kB\n")
    assert available_memory() == 4096 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert available_memory() == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() == 4096 * 1024


def test_a_billion_rows_are_refused_by_what_the_file_says_of_itself(monkeypatch):
    column = SimpleNamespace(
        num_values=10**9, physical_type="INT64", total_uncompressed_size=9, path_in_schema="a"
    )
    group = SimpleNamespace(num_rows=10**9, num_columns=1, column=lambda _: column)
    described = SimpleNamespace(num_row_groups=1, row_group=lambda _: group, num_rows=10**9, num_columns=1)
    monkeypatch.setattr("dilution.utils.parquet_size.pq.read_metadata", lambda _: described)
    monkeypatch.setattr("dilution.utils.parquet_size.available_memory", lambda: 10**9)
    with pytest.raises(DataError, match="1,000,000,000 rows"):
        check_fits(Path("x"), io.BytesIO())
