"""The numbers of docs/imagenet.md, from what benchmarks/imagenet.py has written and from Figure 3's own plan.

What was measured and what is estimated stand apart: no GPU was at hand, so its rate is a published figure
times a share that is assumed.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from table import RESULTS

from dilution.figures import fig3
from dilution.figures.base import Material
from dilution.training.config import default_validation

PAGE = Path(__file__).resolve().parent.parent / "docs" / "imagenet.md"
PART = re.compile(r"(<!-- numbers: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)

TRAIN, TEST, SIZE = 1_281_167, 50_000, 224
IMAGE = 3 * SIZE**2
CORES = (2, 8, 32)
RATES = {"H100 SXM": 989.0, "A100": 312.0}
"""Published dense bfloat16 rates in TFLOP/s."""
SHARES = (0.1, 0.2, 0.4)
"""Assumed shares of them that a training reaches."""
SIDE_BY_SIDE = 8


def read() -> pd.DataFrame:
    """Return what was measured."""
    return pd.read_csv(RESULTS / "imagenet.csv").fillna({"model": "", "precision": ""})


def one(found: pd.DataFrame, what: str, model: str = "") -> float:
    """Return the median of a quantity."""
    return float(found[(found["what"] == what) & (found["model"] == model)]["value"].median())


def training_rates(found: pd.DataFrame) -> pd.DataFrame:
    """Return what was measured of training, a row for each network, precision and turn."""
    trained = found[found["model"].str.startswith("resnet") & (found["precision"] != "")]
    return trained.pivot_table(index=["model", "precision", "turn"], columns="what", values="value")


def measured(found: pd.DataFrame) -> Iterator[str]:
    """Yield what packing and training took here."""
    cores = one(found, "cores")
    yield from ("| packing | measured |", "|---|---|")
    yield f"| files, of 1,000 classes | {one(found, 'files'):,.0f} |"
    yield f"| mean size of a file | {one(found, 'mean bytes of a file') / 1000:.0f} kB |"
    yield f"| images a second, {cores:.0f} cores | {one(found, 'packing, images a second'):,.0f} |"
    decoding = one(found, "decoding alone, images a second")
    yield f"| of it decoding alone, all cores | {decoding:,.0f} |"
    rest = one(found, "the rest, images a second")
    yield f"| the rest alone, one core: starting, and writing the pack | {rest:,.0f} |"
    photographs = one(found, "packing photographs, images a second")
    if not math.isnan(photographs):
        yield f"| the same for the photographs of `--photos` | {photographs:,.0f} |"
    yield f"| broken files, skipped and listed | {one(found, 'files skipped'):,.0f} |"
    kept = one(found, "share kept of a packing that was interrupted")
    yield f"| interrupted with Ctrl-C: share that the next call found done | {kept:.0%} |"
    over = one(found, "interrupted and resumed over in one go")
    yield f"| both calls together over one without a break, to the same bytes | {over:.2f} × |"
    drawn = one(found, "lr", "drawing")
    yield f"| shuffled images a second and core, from a pack in the system's memory | {drawn:,.0f} |"
    turns = found["turn"].nunique()
    yield from (
        "",
        f"Training from the pack at {SIZE} pixels, SGD with momentum, batch 32, one thread; medians of "
        f"{turns} alternations, each in a process of its own. The product of matrices was measured in the "
        "same process, so the share compares what stood side by side.",
        "",
        "| network | precision | GFLOP an image | images a second | GFLOP/s | product of matrices, "
        "GFLOP/s | share of it | peak memory, MB |",
        "|---|---|---|---|---|---|---|---|",
    )
    wide = training_rates(found)
    for (model, precision), each in wide.groupby(level=["model", "precision"], sort=False):
        work = one(found, "GFLOP an image, training", model)
        share = (each["lr"] * work / each["ceiling"]).median()
        middle = each.median()
        yield (
            f"| {model} | {precision} | {work:.1f} | {middle['lr']:.1f} | {middle['lr'] * work:.0f} "
            f"| {middle['ceiling']:.0f} | {share:.0%} | {each['peak_mb'].max():,.0f} |"
        )


def packing(found: pd.DataFrame) -> Iterator[str]:
    """Yield how large the pack is and how long packing takes."""
    total, cores = TRAIN + TEST, one(found, "cores")
    rate = one(found, "decoding alone, images a second") / cores
    rest = one(found, "the rest, images a second")
    yield f"The pack holds {total:,} images of {IMAGE:,} bytes: **{total * IMAGE / 1e9:.0f} GB**, and"
    yield "twice that while it is written, since what was decoded is kept until the pack is whole."
    yield from (
        "",
        f"One core decodes {rate:.0f} images a second; then one core writes {rest:,.0f} a second, however "
        "many there are.",
        "",
        "| cores | estimated hours |",
        "|---|---|",
    )
    for count in CORES:
        yield f"| {count} | {(total / rate / count + total / rest) / 3600:.1f} |"


def cost(found: pd.DataFrame) -> Iterator[str]:
    """Yield what Figure 3 at paper scale takes, computed from its own plan."""
    runs = fig3.FIGURE.plan(Material("imagenet.pack", TRAIN), "paper")
    run = runs[0]
    if run.steps is None or {(each.steps, each.batch, each.model) for each in runs} != {
        (run.steps, run.batch_size, run.model)
    }:
        raise ValueError("the runs of Figure 3 differ in length; the arithmetic here takes them to be equal")
    forward = one(found, "GFLOP an image, forward", run.model)
    work = one(found, "GFLOP an image, training", run.model)
    shown = run.steps * run.batch_size
    judged = run.n_evals * (TEST + default_validation(TRAIN))
    flop = (shown * work + judged * forward) * 1e9
    drawn = one(found, "lr", "drawing")
    rounds = -(-len(runs) // SIDE_BY_SIDE)
    wide = training_rates(found).loc[(run.model, "bfloat16")]
    reached = float((wide["lr"] * work / wide["ceiling"]).median())
    shares = {f"{share:.0%}": share for share in SHARES} | {f"{reached:.0%}, as measured here": reached}
    yield from (
        f"- Figure 3 at paper scale is {len(runs)} runs of {run.model}, {run.steps:,} steps of "
        f"{run.batch_size} images each: {shown:,} images.",
        f"- An image takes {work:.1f} GFLOP forward and back, {forward:.1f} forward alone (counted). With "
        f"{run.n_evals} evaluations a run takes {flop:.2g} FLOP, all runs {len(runs) * flop:.2g}.",
        f"- Eight GPUs train eight runs side by side, so {len(runs)} runs take {rounds} rounds. One run "
        "takes as long as on one GPU.",
        f"- A core draws {drawn:,.0f} shuffled images a second from a pack that the system holds in memory "
        "(measured here). Your disk must deliver what the last column says, for each GPU; a slower one sets "
        "the pace.",
        "",
        "| GPU | published bfloat16 rate, TFLOP/s | share of it | hours a run | days, one GPU "
        "| days, eight GPUs | images a second and GPU | GB/s and GPU |",
        "|---|---|---|---|---|---|---|---|",
    )
    for name, rate in RATES.items():
        for said, share in sorted(shares.items(), key=lambda each: each[1]):
            hours = flop / (rate * 1e12 * share) / 3600
            asked = shown / hours / 3600
            yield (
                f"| {name} | {rate:,.0f} | {said} | {hours:.1f} | {len(runs) * hours / 24:.1f} "
                f"| {rounds * hours / 24:.1f} | {asked:,.0f} "
                f"| {asked * IMAGE / 1e9:.2f} |"
            )


def filled(text: str) -> str:
    """Return the page with its numbers."""
    found = read()
    parts = {"measured": measured, "packing": packing, "cost": cost}
    return PART.sub(lambda at: at[1] + "\n".join([*parts[at[2]](found), ""]) + at[3], text)


def main() -> None:
    """Write the numbers into the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
