"""What the project set out to reach, beside what was measured: the first table of docs/performance.md."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from counting import BATCH, LOOP, OURS, RESULTS, flops, span

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Target(NamedTuple):
    """A wish, what was measured, and whether that fulfils it."""

    what: str
    wanted: str
    measured: str
    met: bool


THROUGHPUT = {"perceptron": (8.0, None), "mlp2": (3.0, 0.8), "conv2": (1.6, 0.6), "conv4": (1.5, 0.7)}


def throughput() -> Iterator[Target]:
    """Yield what was wanted of the rates of training."""
    turns = pd.read_csv(RESULTS / "throughput.csv").pivot_table(
        index=["model", "turn"], columns="contender", values="rate"
    )
    over = turns[OURS] / turns[LOOP]
    ceiling = turns.filter(like="ceiling").max(axis=1)
    for model, (times, share) in THROUGHPUT.items():
        found = over[model]
        yield Target(
            f"{model}, over the DataLoader loop", f"≥ {times:g} ×", f"{span(found, '.2f')} ×",
            found.median() >= times,
        )  # fmt: skip
        if share is not None:
            reached = turns.loc[model, OURS] * flops(model) / 1e9 / ceiling[model]
            yield Target(
                f"{model}, share of the measured ceiling", f"≥ {share:.0%}", span(reached),
                reached.median() >= share,
            )  # fmt: skip
    for model, share in drawing().items():
        yield Target(f"drawing a batch, of a step of {model}", "< 3%", f"{share:.1%}", share < 0.03)


def drawing() -> dict[str, float]:
    """Return what drawing a batch with its labels takes of a step, by network."""
    flat = pd.read_csv(RESULTS / "flat.csv")
    seconds = flat[flat["alpha"] > 0]["batch_s"].median()
    found = pd.read_csv(RESULTS / "throughput.csv")
    ours = found[found["contender"] == OURS].groupby("model", sort=False)
    steps = ours["rate"].median() / ours["processes"].max() / BATCH
    return {str(name): float(seconds * rate) for name, rate in steps.items()}


def headline() -> Iterator[Target]:
    """Yield what was wanted of the paper's headline."""
    found = pd.read_csv(RESULTS / "headline.csv")
    seconds, accuracy = found["seconds"].median(), found["test_acc_at_best_clean_val"]
    yield Target(
        "Conv-4 at alpha = 100 on all of MNIST", "above 90% in ≤ 180 s",
        f"{accuracy.min():.1%} to {accuracy.max():.1%} in {seconds:.0f} s",
        bool(seconds <= 180 and accuracy.min() > 0.9),
    )  # fmt: skip


def flat() -> Iterator[Target]:
    """Yield what was wanted of growing noise."""
    found = pd.read_csv(RESULTS / "flat.csv").set_index(["turn", "alpha"]).select_dtypes("number")
    over = (found / found.xs(0, level="alpha")).groupby("alpha").median()
    epoch, peak = over.loc[100, "epoch_s"], over.loc[1000, "peak_mb"]
    yield Target("an epoch at alpha = 100, over alpha = 0", "≤ 1.1 ×", f"{epoch:.3f} ×", bool(epoch <= 1.1))
    yield Target(
        "peak memory at alpha = 1000, over alpha = 0", "within 2%", f"{peak - 1:+.1%}",
        bool(abs(peak - 1) <= 0.02),
    )  # fmt: skip


def overhead() -> Iterator[Target]:
    """Yield what was wanted of everything around the training."""
    found = pd.read_csv(RESULTS / "overhead.csv").set_index("what")["value"]
    limits = {
        "study machinery, ms a run": 5.0,
        "open a store of a million runs, s": 5.0,
        "resume a finished study of 1,000 runs in it, s": 5.0,
        "dilution status of it, s": 5.0,
        "make demo, after the installation, s": 30.0,
    }
    for what, limit in limits.items():
        if what in found:
            yield Target(what, f"≤ {limit:g}", f"{found[what]:.3g}", bool(found[what] <= limit))
    most = max(share for _, share in shares())
    yield Target("study machinery, of any committed figure", "< 2%", f"at most {most:.3%}", most < 0.02)


def shares() -> Iterator[tuple[str, float]]:
    """Yield for each committed figure what the study machinery took of its time."""
    machinery = pd.read_csv(RESULTS / "overhead.csv").set_index("what")["value"]["study machinery, ms a run"]
    for path in sorted((DOCS / "results").glob("*/*-runs.csv")):
        runs = pd.read_csv(path)
        share = len(runs) * machinery / 1000 / runs["seconds"].sum()
        yield f"{len(runs)} runs of {path.name.removesuffix('-runs.csv')}, {path.parent.name}", share


def larger() -> Iterator[Target]:
    """Yield what was wanted of data larger than memory."""
    found = pd.read_csv(RESULTS / "larger.csv")
    turns = found.pivot_table(index="turn", columns="what", values="rate")
    cold, warm = turns["cold"] / turns["disk, in sequence, cold"], turns["warm"] / turns["memory"]
    peak = found[found["what"] == "cold"]["peak_mb"].max()
    yield Target("training from a cold disk, of its rate", "never < 50%", span(cold), bool(cold.min() >= 0.5))
    yield Target("training from a warm pack, of from memory", "≥ 100%", span(warm), bool(warm.median() >= 1))
    yield Target("peak memory with a pack of 20 GB", "< 2,000 MB", f"{peak:,.0f} MB", bool(peak < 2000))


GPU = (
    ("all MNIST figures at paper scale, 5 seeds", "≤ 10 min"),
    ("conv4 on a GPU, over the DataLoader loop there", "≥ 30 ×"),
    ("conv4 on a GPU, share of its bfloat16 ceiling", "≥ 25%"),
)


def gpu() -> Iterator[Target]:
    """Yield what was wanted of a GPU."""
    path, figures = RESULTS / "gpu.csv", RESULTS / "gpu-figures.csv"
    measured = ["not measured"] * 3
    met = [False] * 3
    if path.exists():
        rates = pd.read_csv(path).fillna({"model": ""}).groupby(["model", "what"])["rate"].median()
        ours = rates["conv4"].filter(like="dilution").max()
        over, share = ours / rates["conv4", LOOP], ours * flops("conv4") / 1e9
        share /= rates["", "ceiling, torch.bfloat16"]
        measured[1:], met[1:] = [f"{over:.1f} ×", f"{share:.0%}"], [over >= 30, share >= 0.25]
    if figures.exists():
        minutes = pd.read_csv(figures)["minutes"].sum()
        measured[0], met[0] = f"{minutes:.1f} min", minutes <= 10
    for (what, wanted), found, good in zip(GPU, measured, met, strict=True):
        yield Target(what, wanted, found, bool(good))


def table() -> Iterable[str]:
    """Yield the lines of the table, what was missed first."""
    found: list[Target] = []
    for name, part in {
        "throughput": throughput, "headline": headline, "flat": flat, "overhead": overhead, "larger": larger,
    }.items():  # fmt: skip
        if (RESULTS / f"{name}.csv").exists():
            found += part()
    found += gpu()
    missed = sum(not each.met for each in found)
    yield from (
        "## Targets",
        "",
        f"Set before anything was measured. {len(found) - missed} of {len(found)} are reached; the {missed} "
        "that are not stand first. What was tried for them is in the [log](log.md).",
        "",
        "| what | target | measured | reached |",
        "|---|---|---|---|",
    )
    for each in sorted(found, key=lambda target: target.met):
        yield f"| {each.what} | {each.wanted} | {each.measured} | {'yes' if each.met else '**no**'} |"
    yield ""
