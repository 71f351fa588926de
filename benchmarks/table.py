"""Where the benchmarks write what they measured, and of which code: benchmarks/results/NAME.csv."""

import csv
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from dilution.utils.version import code_version

RESULTS = Path(__file__).resolve().parent / "results"


def write(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of equal keys. Rows that were measured before keep their columns `code` and `machine`."""
    RESULTS.mkdir(exist_ok=True)
    rows = [{"code": code_version(), "machine": machine()} | dict(row) for row in rows]
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def machine() -> str:
    """Return what the system says of its cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    about = Path("/proc/cpuinfo")
    lines = about.read_text("utf-8").splitlines() if about.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{cores} cores, {models[0] if models else platform.machine()}"
