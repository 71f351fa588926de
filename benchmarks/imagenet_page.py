"""The numbers of docs/imagenet.md, from benchmarks/results/imagenet.csv and the runs of Figure 3.

Measurements and estimates are separate: ImageNet was not trained on, so the throughput of a GPU is a
published figure times an assumed share.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from table import RESULTS

from dilution.figures import fig3
from dilution.figures.base import FigureInputs
from dilution.training.config import default_n_val

PAGE = Path(__file__).resolve().parent.parent / "docs" / "imagenet.md"
PART = re.compile(r"(<!-- numbers: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)

N_TRAIN, N_TEST, SIDE = 1_281_167, 50_000, 224
IMAGE_BYTES = 3 * SIDE**2
CORES = (2, 8, 32)
PEAKS = {"H100 SXM": 989.0, "A100": 312.0}
"""Published dense bfloat16 throughput in TFLOP/s."""
SHARES = (0.1, 0.2, 0.4)
"""Assumed shares of it that a training reaches."""
N_GPUS = 8


def read() -> pd.DataFrame:
    """Return what was measured."""
    return pd.read_csv(RESULTS / "imagenet.csv").fillna({"model": "", "precision": ""})


def median(table: pd.DataFrame, what: str, model: str = "") -> float:
    """Return the median of a quantity."""
    return float(table[(table["what"] == what) & (table["model"] == model)]["value"].median())


def training_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Return what was measured of training, one row per model, precision and turn."""
    trained = table[table["model"].str.startswith("resnet") & (table["precision"] != "")]
    return trained.pivot_table(index=["model", "precision", "turn"], columns="what", values="value")


def measured(table: pd.DataFrame) -> Iterator[str]:
    """Yield the measurements of packing and training."""
    cores = median(table, "cores")
    rest = median(table, "the rest, images per second")
    yield from ("| packing | measured |", "|---|---|")
    yield f"| files, of 1,000 classes | {median(table, 'files'):,.0f} |"
    yield f"| mean size of a file | {median(table, 'mean bytes per file') / 1000:.0f} kB |"
    yield f"| images per second, {cores:.0f} cores | {median(table, 'packing, images per second'):,.0f} |"
    decoding = median(table, "decoding alone, images per second")
    yield f"| decoding alone, all cores, images per second | {decoding:,.0f} |"
    yield f"| starting and writing the pack alone, one core, images per second | {rest:,.0f} |"
    photographs = median(table, "packing photographs, images per second")
    if not math.isnan(photographs):
        yield f"| photographs of `--photos`, images per second, {cores:.0f} cores | {photographs:,.0f} |"
    yield f"| broken files, skipped and listed | {median(table, 'files skipped'):,.0f} |"
    kept = median(table, "share kept of an interrupted packing")
    yield f"| interrupted with Ctrl-C: share that the next command did not decode again | {kept:.0%} |"
    ratio = median(table, "interrupted and resumed over uninterrupted")
    yield f"| time of both commands over that of an uninterrupted one, to the same bytes | {ratio:.2f} × |"
    drawn = median(table, "throughput", "drawing")
    yield f"| shuffled images per second and core, from a pack in the page cache | {drawn:,.0f} |"
    yield from (
        "",
        f"Training from the pack at {SIDE} pixels, SGD with momentum, batch size 32, one thread; medians of "
        f"{table['turn'].nunique()} alternations, each in a process of its own. The matrix product was "
        "measured in the same process.",
        "",
        "| model | precision | GFLOP per image | images per second | GFLOP/s | matrix product, GFLOP/s "
        "| share of it | peak memory, MB |",
        "|---|---|---|---|---|---|---|---|",
    )
    for (model, precision), runs in training_runs(table).groupby(level=["model", "precision"], sort=False):
        gflop = median(table, "GFLOP per image, training", model)
        share = (runs["throughput"] * gflop / runs["ceiling"]).median()
        middle = runs.median()
        yield (
            f"| {model} | {precision} | {gflop:.1f} | {middle['throughput']:.1f} "
            f"| {middle['throughput'] * gflop:.0f} | {middle['ceiling']:.0f} | {share:.0%} "
            f"| {runs['peak_mb'].max():,.0f} |"
        )


def packing(table: pd.DataFrame) -> Iterator[str]:
    """Yield the size of the pack and the time of packing."""
    total = N_TRAIN + N_TEST
    decoded = median(table, "decoding alone, images per second") / median(table, "cores")
    written = median(table, "the rest, images per second")
    size = total * IMAGE_BYTES / 1e9
    yield f"The pack holds {total:,} images of {IMAGE_BYTES:,} bytes: **{size:.0f} GB**, and needs twice that"
    yield "while it is written, because decoded images are kept until the pack is complete."
    yield from (
        "",
        f"Each core decodes {decoded:.0f} images per second; then a single core writes {written:,.0f} per "
        "second.",
        "",
        "| cores | estimated hours |",
        "|---|---|",
    )
    for cores in CORES:
        yield f"| {cores} | {(total / decoded / cores + total / written) / 3600:.1f} |"


def cost(table: pd.DataFrame) -> Iterator[str]:
    """Yield the estimated cost of Figure 3 with preset paper, computed from its runs."""
    runs = fig3.FIGURE.plan(FigureInputs("imagenet.pack", N_TRAIN, shape=(3, 224, 224)), "paper")
    run = runs[0]
    lengths = {(other.steps, other.batch_size, other.model) for other in runs}
    if run.steps is None or len(lengths) > 1:
        raise ValueError("the runs of Figure 3 differ in length; this estimate takes them to be equal")
    forward = median(table, "GFLOP per image, forward", run.model)
    training = median(table, "GFLOP per image, training", run.model)
    n_trained = run.steps * run.batch_size
    n_evaluated = run.n_evals * (N_TEST + default_n_val(N_TRAIN))
    flop = (n_trained * training + n_evaluated * forward) * 1e9
    drawn = median(table, "throughput", "drawing")
    rounds = -(-len(runs) // N_GPUS)
    measured_runs = training_runs(table).loc[(run.model, "bfloat16")]
    reached = float((measured_runs["throughput"] * training / measured_runs["ceiling"]).median())
    shares = {f"{share:.0%}": share for share in SHARES} | {f"{reached:.0%}, as measured here": reached}
    yield from (
        f"- Figure 3 with preset paper is {len(runs)} runs of {run.model}, each {run.steps:,} steps of "
        f"{run.batch_size} images: {n_trained:,} images.",
        f"- An image takes {training:.1f} GFLOP forward and backward, {forward:.1f} forward alone (counted). "
        f"With {run.n_evals} evaluations a run takes {flop:.2g} FLOP, all runs {len(runs) * flop:.2g}.",
        f"- Eight GPUs train eight runs at a time, so {len(runs)} runs take {rounds} rounds. One run takes "
        "as long as on one GPU.",
        f"- A core draws {drawn:,.0f} shuffled images per second from a pack in the page cache (measured "
        "here). The disk must deliver the throughput of the last column per GPU; a slower disk determines "
        "the time.",
        "",
        "| GPU | published bfloat16 peak, TFLOP/s | share of it | hours per run | days, one GPU "
        "| days, eight GPUs | images per second and GPU | GB/s per GPU |",
        "|---|---|---|---|---|---|---|---|",
    )
    for name, peak in PEAKS.items():
        for label, share in sorted(shares.items(), key=lambda item: item[1]):
            hours = flop / (peak * 1e12 * share) / 3600
            images = n_trained / hours / 3600
            yield (
                f"| {name} | {peak:,.0f} | {label} | {hours:.1f} | {len(runs) * hours / 24:.1f} "
                f"| {rounds * hours / 24:.1f} | {images:,.0f} | {images * IMAGE_BYTES / 1e9:.2f} |"
            )


def filled(text: str) -> str:
    """Return the page with its numbers."""
    table = read()
    parts = {"measured": measured, "packing": packing, "cost": cost}
    return PART.sub(lambda match: match[1] + "\n".join([*parts[match[2]](table), ""]) + match[3], text)


def main() -> None:
    """Write the numbers into the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
