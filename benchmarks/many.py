"""The part of docs/performance.md on many machines: what was measured, and what would saturate first."""

from collections.abc import Iterable

import pandas as pd
from counting import RESULTS

GPUS, RUNS = 1_000, 1_000_000
PACK = 32  # runs of a pack on a GPU, as in the benchmark whose rate the estimate takes
STEPS = 2_000  # of a run: MNIST at laptop scale has 500 to 4,000
BEFORE = ("making runs of a grid", "entering them into the store", "planning packs")
NODE, LINK, DATA = 8, 10e9 / 8, 150e6  # GPUs of a machine, bytes a second of its network, bytes of CIFAR-10


def measured(found: pd.DataFrame) -> Iterable[str]:
    """Yield the table of what was measured."""
    yield from ("| what | median | lowest | highest |", "|---|---|---|---|")
    rows = found.groupby("what", sort=False)["value"].agg(["median", "min", "max", "count"])
    for what, row in rows.iterrows():
        spread = [f"{row[each]:,.4g}" if row["count"] > 1 else "" for each in ("min", "max")]
        yield f"| {what} | {row['median']:,.4g} | {spread[0]} | {spread[1]} |"


def hosts() -> Iterable[str]:
    """Yield what two hosts gave."""
    if not (RESULTS / "hosts.csv").exists():
        return
    for row in pd.read_csv(RESULTS / "hosts.csv").to_dict(orient="records"):
        way = "on one machine on another day" if row["local"] == "imported" else "by `local` here"
        yield (
            f"Two hosts, simulated as two raylets of one core each, made Figure 8 from {row['dataset']} at "
            f"{row['scale']} scale, {row['runs']} runs. Compared seed for seed with the runs that were "
            f"trained {way}, all that is measured of a run is equal, bit for bit, in "
            f"{row['runs'] - row['runs_that_differ']} of {row['runs']} of them (dilution {row['code']})."
        )
        yield ""


def estimate(value: pd.Series, steps: float) -> Iterable[str]:
    """Yield the estimate for a thousand GPUs and a million runs."""
    rate = {name: value[f"{name}, empty runs a second"] for name in ("driver and store alone", "ray")}
    record = value["recording in packs of 8, µs a run"] / 1e6
    carry = 1 / rate["ray"] - record  # of a pack; what is recorded counts for each of its runs
    driver = PACK / (carry + PACK * record)
    trained = GPUS * steps / STEPS
    before = sum(value[f"{name}, µs a run"] for name in BEFORE) / 1e6 * RUNS / 60
    nodes = GPUS // NODE
    if driver < trained:
        first, busy = "the driver", f"the GPUs are busy {driver / trained:.0%} of the time. From"
        busy += f" {GPUS * steps / driver:,.0f} steps a run on they would be busy always"
    else:
        first, busy = "the GPUs", f"the driver is busy {trained / driver:.0%} of the time"
    ended = min(driver, trained)
    size = value["store, bytes a run"]
    yield from (
        f"### {GPUS:,} GPUs and {RUNS:,} runs, on paper",
        "",
        "Not measured: an estimate from the numbers above and from the GPU table below, for Conv-4 in "
        f"bfloat16 and runs of {STEPS:,} steps of 128 in packs of {PACK}.",
        "",
        f"- **The GPUs** each do {steps:,.0f} steps a second, so that all end {trained:,.0f} runs a second: "
        f"{trained / PACK:,.0f} packs. Evaluations come on top and are left out.",
        f"- **The driver** spends {1000 * carry:.1f} ms on a pack that goes to Ray and comes back, and "
        f"{1000 * record:.2f} ms on recording each run: at most {driver:,.0f} runs a second, of which the "
        f"store alone would take {1 / record:,.0f}. Here the tasks ran on the same two cores, and a driver "
        "with cores of its own is faster; but four of them were under way at a time and not two for each "
        "GPU, which Ray has to look through.",
        f"- **Saturated first**: {first}. {RUNS:,} runs take {RUNS / ended / 60:,.0f} minutes, and {busy}.",
        f"- **Before the first run** making, entering and planning them takes {before:.1f} minutes on one "
        "core, while the GPUs wait.",
        f"- **Data** go from the driver to {nodes} machines of {NODE} GPUs once: {DATA / 1e6:.0f} MB "
        f"(CIFAR-10) to each through {LINK * 8 / 1e9:.0f} Gbit/s take at most {nodes * DATA / LINK:.0f} s.",
        f"- **The store** grows to {size * RUNS / 1e9:.1f} GB, and {size * ended / 1e6:.1f} MB a second come "
        "in: no limit.",
        "",
    )


def many() -> Iterable[str]:
    """Yield the lines on many machines."""
    found = pd.read_csv(RESULTS / "dispatch.csv")
    (code,), (machine,) = found["code"].unique(), found["machine"].unique()
    yield from (
        "## Many machines",
        "",
        "Empty runs train nothing: each is a pack of its own, 10,000 of them, with the outcome of a real "
        "run, which the store keeps. Real runs are of digits, 100 steps, on both engines in turn. The start "
        f"of an engine does not count. Measured: dilution {code} on {machine}.",
        "",
        *measured(found),
        "",
        *hosts(),
    )
    gpu = pd.read_csv(RESULTS / "gpu.csv")
    steps = gpu[(gpu["model"] == "conv4") & (gpu["what"] == "steps: branches, bfloat16")]["lr"].median()
    yield from estimate(found.groupby("what")["value"].median(), steps)
