"""The section of docs/performance.md on many machines: what was measured, and an estimate for 1,000 GPUs."""

from collections.abc import Iterable

import pandas as pd
from counting import BATCH_SIZE, RESULTS

N_GPUS, N_RUNS = 1_000, 1_000_000
GROUP_SIZE = 32  # runs per group on a GPU, as in the benchmark whose throughput the estimate uses
STEPS = 2_000  # per run; MNIST with preset laptop has 500 to 4,000
PREPARATION = ("making runs of a grid", "adding them to the store", "grouping runs")
GPUS_PER_NODE = 8
LINK = 10e9 / 8  # bytes per second of the network of a node
DATA = 150e6  # bytes of CIFAR-10


def measurements(table: pd.DataFrame) -> Iterable[str]:
    """Yield the table of what was measured."""
    yield from ("| what | median | lowest | highest |", "|---|---|---|---|")
    statistics = table.groupby("what", sort=False)["value"].agg(["median", "min", "max", "count"])
    for what, row in statistics.iterrows():
        low, high = (f"{row[end]:,.4g}" if row["count"] > 1 else "" for end in ("min", "max"))
        yield f"| {what} | {row['median']:,.4g} | {low} | {high} |"


def hosts() -> Iterable[str]:
    """Yield the comparison of two hosts with one machine."""
    if not (RESULTS / "hosts.csv").exists():
        return
    for row in pd.read_csv(RESULTS / "hosts.csv").to_dict(orient="records"):
        imported = row["one_machine"] == "imported"
        other = "another machine on another day" if imported else "this machine with executor `processes`"
        yield (
            f"Figure 8 on {row['dataset']}, preset {row['preset']}, {row['runs']} runs, was trained on two "
            "simulated hosts (two raylets of one core each). All measures of "
            f"{row['runs'] - row['runs_that_differ']} of {row['runs']} runs equal, bit for bit, those of the "
            f"same runs trained on {other} (dilution {row['code']})."
        )
        yield ""


def estimate(value: pd.Series, steps: float) -> Iterable[str]:
    """Yield the estimate for 1,000 GPUs and a million runs.

    Parameters
    ----------
    value
        Medians of what was measured, by name.
    steps
        Steps of one model per second on one GPU.
    """
    per_second = {name: value[f"{name}, empty runs per second"] for name in ("driver and store alone", "ray")}
    record_s = value["recording in groups of 8, µs per run"] / 1e6
    dispatch_s = 1 / per_second["ray"] - record_s  # per group; recording counts for each of its runs
    driver = GROUP_SIZE / (dispatch_s + GROUP_SIZE * record_s)
    trained = N_GPUS * steps / STEPS
    preparation = sum(value[f"{name}, µs per run"] for name in PREPARATION) / 1e6 * N_RUNS / 60
    nodes = N_GPUS // GPUS_PER_NODE
    if driver < trained:
        bottleneck = "the driver"
        busy = (
            f"the GPUs are busy {driver / trained:.0%} of the time. With more than "
            f"{N_GPUS * steps / driver:,.0f} steps per run they would be busy all the time"
        )
    else:
        bottleneck, busy = "the GPUs", f"the driver is busy {trained / driver:.0%} of the time"
    finished = min(driver, trained)
    run_bytes = value["store, bytes per run"]
    yield from (
        f"### Estimate for {N_GPUS:,} GPUs and {N_RUNS:,} runs",
        "",
        "This is not measured: it is computed from the table above and the GPU table below, for Conv-4 in "
        f"bfloat16 and runs of {STEPS:,} steps of batch size 128 in groups of {GROUP_SIZE}.",
        "",
        f"- **GPUs.** Each does {steps:,.0f} steps per second, so all finish {trained:,.0f} runs, or "
        f"{trained / GROUP_SIZE:,.0f} groups, per second. Evaluations are not included.",
        f"- **Driver.** It spends {1000 * dispatch_s:.1f} ms per group on sending it to Ray and receiving "
        f"the results, and {1000 * record_s:.2f} ms per run on recording: at most {driver:,.0f} runs per "
        f"second. The store alone would accept {1 / record_s:,.0f}. In the measurement the tasks ran on the "
        "driver's two cores; a driver with its own cores is faster. But only four tasks were pending at a "
        "time, not two per GPU, which is more work for Ray.",
        f"- **Bottleneck**: {bottleneck}. {N_RUNS:,} runs take {N_RUNS / finished / 60:,.0f} minutes, and "
        f"{busy}.",
        f"- **Preparation.** Making, storing and grouping the runs takes {preparation:.1f} minutes on one "
        "core before the first run starts.",
        f"- **Data.** The driver sends {DATA / 1e6:.0f} MB (CIFAR-10) once to each of {nodes} nodes of "
        f"{GPUS_PER_NODE} GPUs; with {LINK * 8 / 1e9:.0f} Gbit/s this takes at most "
        f"{nodes * DATA / LINK:.0f} s.",
        f"- **Store.** It grows to {run_bytes * N_RUNS / 1e9:.1f} GB, by {run_bytes * finished / 1e6:.1f} MB "
        "per second, which is no bottleneck.",
        "",
    )


def cluster() -> Iterable[str]:
    """Yield the section on many machines."""
    table = pd.read_csv(RESULTS / "dispatch.csv")
    (code,), (machine,) = table["code"].unique(), table["machine"].unique()
    yield from (
        "## Many machines",
        "",
        "An empty run trains nothing: 10,000 of them, each a group of its own, return the result of a real "
        "run, which the store keeps. Real runs are 100 steps on digits, with both executors in turn. The "
        f"time to start an executor is not included. Measured with dilution {code} on {machine}.",
        "",
        *measurements(table),
        "",
        *hosts(),
    )
    gpu = pd.read_csv(RESULTS / "gpu.csv")
    conv4 = gpu[(gpu["model"] == "conv4") & (gpu["what"] == "dilution, bfloat16")]
    steps = conv4["throughput"].median() / BATCH_SIZE
    yield from estimate(table.groupby("what")["value"].median(), steps)
