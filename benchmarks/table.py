"""Where the benchmarks write their tables: benchmarks/results/NAME.csv, with the code and the machine."""

import csv
import io
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from dilution.utils.atomic import write_atomic
from dilution.utils.machine import processor_name
from dilution.utils.process_pool import available_cores
from dilution.utils.version import code_version

RESULTS = Path(__file__).resolve().parent / "results"


def write(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of equal keys. Rows of an earlier measurement keep their columns `code` and `machine`.

    A reader finds a whole table at any time: a lent machine may go away while it is written.
    """
    provenance = {"code": code_version(), "machine": machine()}
    rows = [provenance | dict(row) for row in rows]
    content = io.StringIO(newline="")
    writer = csv.DictWriter(content, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(RESULTS / f"{name}.csv", content.getvalue().encode())


def machine() -> str:
    """Return the number of cores and the name of the processor."""
    return f"{available_cores()} cores, {processor_name() or platform.machine()}"
