"""The first table of docs/performance.md: the targets of the project and what was measured."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from counting import (
    BATCH_SIZE,
    CEILING,
    COMPILED,
    DILUTION,
    LOOP,
    RESULTS,
    flops,
    median_and_range,
)
from loss_page import LIMIT, loss_costs

from dilution.report.provenance import busy_seconds

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Target(NamedTuple):
    """A target, what was measured, and whether it was reached."""

    what: str
    goal: str
    measured: str
    reached: bool


THROUGHPUT = {"perceptron": (8.0, None), "mlp2": (3.0, 0.8), "conv2": (1.6, 0.6), "conv4": (1.5, 0.7)}
"""Model → throughput over the DataLoader loop, and share of the ceiling."""


def throughput() -> Iterator[Target]:
    """Yield the targets of training throughput."""
    turns = pd.read_csv(RESULTS / "throughput.csv").pivot_table(
        index=["model", "turn"], columns="contender", values="throughput"
    )
    speedup = turns[DILUTION] / turns[LOOP]
    ceiling = turns.filter(like="ceiling").max(axis=1)
    for model, (least_speedup, least_share) in THROUGHPUT.items():
        yield Target(
            f"{model}, over the DataLoader loop",
            f"≥ {least_speedup:g} ×",
            f"{median_and_range(speedup[model], '.2f')} ×",
            speedup[model].median() >= least_speedup,
        )
        if least_share is not None:
            share = turns.loc[model, DILUTION] * flops(model) / 1e9 / ceiling[model]
            yield Target(
                f"{model}, share of the measured ceiling",
                f"≥ {least_share:.0%}",
                median_and_range(share),
                share.median() >= least_share,
            )
    for model, share in batch_drawing().items():
        yield Target(f"drawing a batch, share of a step of {model}", "< 3%", f"{share:.1%}", share < 0.03)


def batch_drawing() -> dict[str, float]:
    """Return model → share of a step that drawing a batch with its labels takes."""
    flat = pd.read_csv(RESULTS / "flat.csv")
    seconds = flat[flat["alpha"] > 0]["batch_s"].median()
    table = pd.read_csv(RESULTS / "throughput.csv")
    models = table[table["contender"] == DILUTION].groupby("model", sort=False)
    steps_per_second = models["throughput"].median() / models["processes"].max() / BATCH_SIZE
    return {str(model): float(seconds * steps) for model, steps in steps_per_second.items()}


def headline() -> Iterator[Target]:
    """Yield the target of the paper's headline."""
    table = pd.read_csv(RESULTS / "headline.csv")
    seconds, accuracy = table["seconds"].median(), table["test_acc_at_best_clean_val"]
    yield Target(
        "Conv-4 at alpha = 100 on all of MNIST",
        "above 90% in ≤ 180 s",
        f"{accuracy.min():.1%} to {accuracy.max():.1%} in {seconds:.0f} s",
        bool(seconds <= 180 and accuracy.min() > 0.9),
    )


def flat() -> Iterator[Target]:
    """Yield the targets of cost as alpha grows."""
    table = pd.read_csv(RESULTS / "flat.csv").set_index(["turn", "alpha"]).select_dtypes("number")
    ratio = (table / table.xs(0, level="alpha")).groupby("alpha").median()
    epoch, peak = ratio.loc[100, "epoch_s"], ratio.loc[1000, "peak_mb"]
    yield Target("an epoch at alpha = 100, over alpha = 0", "≤ 1.1 ×", f"{epoch:.3f} ×", bool(epoch <= 1.1))
    yield Target(
        "peak memory at alpha = 1000, over alpha = 0",
        "within 2%",
        f"{peak - 1:+.1%}",
        bool(abs(peak - 1) <= 0.02),
    )


def overhead() -> Iterator[Target]:
    """Yield the targets of everything around the training."""
    measured = pd.read_csv(RESULTS / "overhead.csv").set_index("what")["value"]
    limits = {
        "overhead of a study, ms per run": 5.0,
        "opening a store of a million runs, s": 5.0,
        "resuming a finished study of 1,000 runs in it, s": 5.0,
        "dilution status of it, s": 5.0,
        "make demo after the installation, s": 30.0,
    }
    for what, limit in limits.items():
        if what in measured:
            yield Target(what, f"≤ {limit:g}", f"{measured[what]:.3g}", bool(measured[what] <= limit))
    largest = max(overhead_shares())
    yield Target(
        "overhead of a study, share of the time of any committed figure",
        "< 2%",
        f"at most {largest:.3%}",
        largest < 0.02,
    )


def overhead_shares() -> Iterator[float]:
    """Yield for each committed table of runs the share of its time that the overhead of a study takes."""
    overhead_ms = pd.read_csv(RESULTS / "overhead.csv").set_index("what")["value"][
        "overhead of a study, ms per run"
    ]
    for path in sorted((DOCS / "results").glob("*/*-runs.csv")):
        runs = pd.read_csv(path)
        yield len(runs) * overhead_ms / 1000 / runs["seconds"].sum()


def losses() -> Iterator[Target]:
    """Yield the target of the cost of losses, which the upper bound of the slowest decides."""
    costs = loss_costs()
    slowest = costs.loc[costs["high"].idxmax()]
    yield Target(
        "the slowest loss, Conv-4, over cross entropy: upper bound",
        f"≤ {1 + LIMIT:.2f} ×",
        f"{1 + slowest['high']:.3f} × ({slowest.name})",
        bool(slowest["high"] <= LIMIT),
    )


def larger() -> Iterator[Target]:
    """Yield the targets of data larger than memory."""
    table = pd.read_csv(RESULTS / "larger.csv")
    turns = table.pivot_table(index="turn", columns="what", values="throughput")
    cold = turns["training, cold disk"] / turns["sequential read, cold disk"]
    warm = turns["training, warm pack"] / turns["training, memory"]
    peak = table[table["what"] == "training, cold disk"]["peak_mb"].max()
    yield Target(
        "training from a cold disk, over its sequential throughput",
        "never < 50%",
        median_and_range(cold),
        bool(cold.min() >= 0.5),
    )
    yield Target(
        "training from a warm pack, over training from memory",
        "≥ 100%",
        median_and_range(warm),
        bool(warm.median() >= 1),
    )
    yield Target("peak memory with a pack of 20 GB", "< 2,000 MB", f"{peak:,.0f} MB", bool(peak < 2000))


class GpuTarget(NamedTuple):
    """A model on a GPU: its throughput over another contender, or its share of the measured product."""

    what: str
    model: str
    over: str
    goal: float


GPU_TARGETS = (
    GpuTarget("conv4 on a GPU, over the DataLoader loop there", "conv4", LOOP, 30),
    GpuTarget("conv4 on a GPU, share of its bfloat16 ceiling", "conv4", CEILING, 0.25),
    GpuTarget("conv4 on a GPU, over one compiled network of the total batch", "conv4", COMPILED, 1.6),
    GpuTarget("conv6 on 3×32×32 on a GPU, share of its bfloat16 ceiling", "conv6", CEILING, 0.30),
    GpuTarget("mlp2 on a GPU, over the DataLoader loop there", "mlp2", LOOP, 100),
    GpuTarget("perceptron on a GPU, over the DataLoader loop there", "perceptron", LOOP, 100),
)


def gpu() -> Iterator[Target]:
    """Yield the targets of a GPU."""
    turns = pd.DataFrame()
    if (RESULTS / "gpu.csv").exists():
        table = pd.read_csv(RESULTS / "gpu.csv").fillna({"model": ""})
        turns = table.pivot_table(index="turn", columns=["model", "what"], values="throughput")
    for target in GPU_TARGETS:
        share = target.over == CEILING
        pair = (target.model, "dilution, bfloat16"), ("" if share else target.model, target.over)
        goal = f"≥ {target.goal:.0%}" if share else f"≥ {target.goal:g} ×"
        if not set(pair) <= set(turns.columns):
            yield Target(target.what, goal, "not measured", False)
            continue
        ratio = turns[pair[0]].dropna() / (turns[pair[1]].median() if share else turns[pair[1]])
        if share:
            ratio *= flops(target.model) / 1e9
        text = median_and_range(ratio) if share else f"{median_and_range(ratio, '.1f')} ×"
        yield Target(target.what, goal, text, bool(ratio.median() >= target.goal))
    rest, small = "not measured", False
    path = RESULTS / "figure-time.csv"
    timed = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["preset", "complete"])
    timed = timed[(timed["preset"] == "paper") & timed["complete"].astype(bool)].reset_index(drop=True)
    if len(timed):
        shares = 1 - timed["seconds_of_steps"] / timed["seconds"]
        worst = shares.idxmax()
        rest = f"{shares[worst]:.1%} ({timed.loc[worst, 'figure']} on {timed.loc[worst, 'dataset']})"
        small = bool(shares[worst] <= 0.1)
    yield Target("everything but the steps of a paper-scale figure on a GPU", "≤ 10%", rest, small)
    minutes, quick = "not measured", False
    if (RESULTS / "gpu-figures.csv").exists():
        total = pd.read_csv(RESULTS / "gpu-figures.csv")["minutes"].sum()
        minutes, quick = f"{total:.1f} min", bool(total <= 60)
    yield Target("all MNIST figures on a GPU, preset paper, 5 seeds", "≤ 60 min", minutes, quick)


BENCHMARKS = {
    "benchmark-mnist": ("the benchmark of MNIST, preset laptop, two cores", 30.0),
    "benchmark-cifar10": ("the benchmark of CIFAR-10, preset laptop, two cores", 30.0),
    "benchmark-cifar10-paper": ("the benchmark of CIFAR-10, preset paper, one GPU", 12.0),
}
"""Folder of results → what was trained, and the minutes that it may take."""


def benchmarks() -> Iterator[Target]:
    """Yield the targets of whole tables of methods: the minutes in which a training was going on."""
    for folder, (what, limit) in BENCHMARKS.items():
        path = DOCS / "results" / folder / "runs.csv"
        if not path.exists():
            yield Target(what, f"≤ {limit:g} min", "not measured", False)
            continue
        runs = pd.read_csv(path).drop_duplicates("key").dropna(subset=["started", "finished"])
        minutes = busy_seconds(runs) / 60
        text = f"{minutes:.1f} min in which a training was going on, {runs['key'].nunique()} trainings"
        yield Target(what, f"≤ {limit:g} min", text, bool(minutes <= limit))


def table() -> Iterable[str]:
    """Yield the lines of the table; targets that were not reached come first."""
    targets: list[Target] = []
    for name, section in {
        "throughput": throughput, "headline": headline, "flat": flat, "losses": losses, "overhead": overhead,
        "larger": larger,
    }.items():  # fmt: skip
        if (RESULTS / f"{name}.csv").exists():
            targets += section()
    targets += [*benchmarks(), *gpu()]
    missed = sum(not target.reached for target in targets)
    yield from (
        "## Targets",
        "",
        f"The targets were set before anything was measured. {len(targets) - missed} of {len(targets)} are "
        f"reached; the {missed} others come first. The [log](log.md) says what was tried for them.",
        "",
        "| what | target | measured | reached |",
        "|---|---|---|---|",
    )
    for target in sorted(targets, key=lambda target: target.reached):
        yes = "yes" if target.reached else "**no**"
        yield f"| {target.what} | {target.goal} | {target.measured} | {yes} |"
    yield ""
