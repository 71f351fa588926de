"""Where the benchmarks write what they measured, and of which code: benchmarks/results/NAME.csv."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from dilution.revision import code_version

RESULTS = Path(__file__).resolve().parent / "results"


def write(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of equal keys. Rows that were measured before keep the column `code`."""
    RESULTS.mkdir(exist_ok=True)
    rows = [{"code": code_version()} | dict(row) for row in rows]
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
