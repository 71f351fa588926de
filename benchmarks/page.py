"""Write docs/performance.md and its plot from the tables of the benchmarks."""

from collections.abc import Iterable

import pandas as pd
from cluster_page import cluster
from counting import BATCH_SIZE, CEILING, DILUTION, LOOP, RESULTS, SINGLE, flops, median_and_range, provenance
from loss_page import losses
from matplotlib.ticker import MaxNLocator
from targets import DOCS, THROUGHPUT, batch_drawing, overhead_shares
from targets import table as targets

from dilution.report.style import new_figure, save, style
from dilution.study.statistics import intervals
from dilution.training.config import default_n_val

CONTENDERS = (
    DILUTION, "dilution, bfloat16", "dilution, one process", SINGLE, LOOP, "Keras on JAX", "Keras on torch",
    "JAX scan", "ceiling, one process", "ceiling, one process per core",
)  # fmt: skip


def by_contender(table: pd.DataFrame) -> pd.DataFrame:
    """Return median and range of the throughput by model and contender."""
    order = pd.CategoricalDtype(CONTENDERS, ordered=True)
    table = table.assign(contender=table["contender"].astype(order)).sort_values("contender", kind="stable")
    groups = table.groupby(["model", "contender"], sort=False, observed=True)
    statistics = groups["throughput"].agg(["median", "min", "max", "count"])
    return statistics.join(groups[["peak_mb", "processes", "group_size"]].max())


def throughput() -> Iterable[str]:
    """Yield the section on throughput."""
    measured = pd.read_csv(RESULTS / "throughput.csv")
    table = by_contender(measured)
    ceilings = table[table.index.get_level_values(1).str.startswith("ceiling")]
    ceiling = ceilings["median"].groupby("model").max()
    turns = measured.pivot_table(index=["model", "turn"], columns="contender", values="throughput")
    speedup, single_speedup = turns[DILUTION] / turns[LOOP], turns[SINGLE] / turns[LOOP]
    highest = turns.filter(like="ceiling").max(axis=1)
    yield from (
        "## Throughput",
        "",
        f"Examples per second at batch size {BATCH_SIZE}, on random images of the shape of MNIST, with Adam "
        f"and sampled targets; medians of at least {table['count'].min()} alternations of all contenders. "
        "*dilution* trains as a study does, with the processes and the models per group of the table below. "
        "The ceiling is a large float32 matrix product, on all cores or one per core, whichever is faster in "
        "the same turn; other load on the machine can slow it more than the training. Operations include "
        "those of convolutions with the zero padding.",
        "",
        "| model | over the DataLoader loop | one model alone, over the loop | share of the ceiling | "
        "ceiling, GFLOP/s |",
        "|---|---|---|---|---|",
    )
    for model in THROUGHPUT:
        if model in speedup:
            share = turns.loc[model, DILUTION] * flops(model) / 1e9 / highest[model]
            yield (
                f"| {model} | {median_and_range(speedup[model], '.2f')} × | "
                f"{median_and_range(single_speedup[model], '.2f')} × | {median_and_range(share)} | "
                f"{ceiling[model]:.0f} |"
            )
    listed = ", ".join(f"{name} {share:.1%}" for name, share in batch_drawing().items())
    yield from ("", f"Share of a step that drawing a batch with its labels takes: {listed}.")
    yield from (
        "",
        "![Examples per second by model and contender](performance.png)",
        "",
        "Bars are medians; dark lines show the range of the alternations.",
        "",
    )
    yield "| model | contender | median | lowest | highest | peak memory, MB | processes | models per group |"
    yield "|---|---|---|---|---|---|---|---|"
    for (model, contender), row in table.iterrows():
        unit = " GFLOP/s" if contender.startswith("ceiling") else ""
        group_size = "" if pd.isna(row["group_size"]) else f"{row['group_size']:.0f}"
        yield (
            f"| {model} | {contender} | {row['median']:,.0f}{unit} | {row['min']:,.0f} "
            f"| {row['max']:,.0f} | {row['peak_mb']:,.0f} | {row['processes']:.0f} | {group_size} |"
        )
    yield from (
        "",
        f"{provenance(measured)} Versions: {'; '.join(sorted(measured['version'].unique()))}.",
        "",
    )


def draw(table: pd.DataFrame) -> None:
    """Draw one panel of bars per model."""
    models = [name for name in THROUGHPUT if name in table.index]
    with style():
        figure, axes = new_figure(columns=2, rows=-(-len(models) // 2), height=2.6)
        for axis, model in zip(axes, models, strict=False):
            part = table.loc[model]
            part = part[~part.index.str.startswith("ceiling")].sort_values("median")
            spread = [part["median"] - part["min"], part["max"] - part["median"]]
            colours = ["#0072B2" if name.startswith(DILUTION) else "#BBBBBB" for name in part.index]
            axis.barh(part.index, part["median"], xerr=spread, color=colours, ecolor="#444444", capsize=2)
            axis.set_title(model)
            axis.set_xlabel("thousand examples per second")
            axis.xaxis.set_major_locator(MaxNLocator(5))
            axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}")
            axis.set_xlim(left=0)
        for axis in axes[len(models) :]:
            axis.set_axis_off()
    save(figure, DOCS, "performance", formats=["png"])


def flat() -> Iterable[str]:
    """Yield the section on cost as alpha grows."""
    measured = pd.read_csv(RESULTS / "flat.csv")
    median = measured.groupby("alpha").median(numeric_only=True)
    yield from (
        "## Cost as alpha grows",
        "",
        "MLP-2, n = 60,000, one thread, pooled targets; medians of "
        f"{measured['turn'].nunique()} alternations, each in a process of its own. Labels are drawn and "
        "counted once, before the first step. Ratios over alpha = 0 are medians of the ratios per "
        f"alternation. {provenance(measured)}",
        "",
        "| alpha | opening, ms | a batch, ms | before the first step, s | an epoch, s | epoch over alpha = 0 "
        "| ten epochs over alpha = 0 | peak memory, MB | memory over alpha = 0 |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    ratio = measured.set_index(["turn", "alpha"]).select_dtypes("number")
    ratio = (ratio / ratio.xs(0, level="alpha")).groupby("alpha").median()  # per turn: machine speed drifts
    for alpha, row in median.iterrows():
        yield (
            f"| {alpha:g} | {1000 * row['open_s']:.2f} | {1000 * row['batch_s']:.3f} "
            f"| {row['start_s']:.2f} | {row['epoch_s']:.2f} | {ratio.loc[alpha, 'epoch_s']:.3f} | "
            f"{ratio.loc[alpha, 'ten_epochs_s']:.3f} | {row['peak_mb']:,.0f} | "
            f"{ratio.loc[alpha, 'peak_mb']:.3f} |"
        )
    yield ""


def overhead() -> Iterable[str]:
    """Yield the section on the overhead of a study."""
    measured = pd.read_csv(RESULTS / "overhead.csv")
    yield from (
        "## Overhead of a study",
        "",
        f"The overhead is the time of a study that its trainings do not account for. {provenance(measured)}",
        "",
        "| what | measured |",
        "|---|---|",
    )
    for what, value in measured.set_index("what")["value"].items():
        yield f"| {what} | {value:.3g} |"
    shares = list(overhead_shares())
    yield from (
        "",
        f"The overhead takes {min(shares):.3%} to {max(shares):.3%} of the time of the {len(shares)} "
        "committed tables of runs (docs/results/*/*-runs.csv).",
        "",
    )


def precision(name: str = "precision") -> Iterable[str]:
    """Yield the section on accuracy with matrix products in bfloat16, paired by seed."""
    measured = pd.read_csv(RESULTS / f"{name}.csv")
    paired = measured.pivot_table(
        index=["model", "alpha", "seed"], columns="precision", values="test_acc_at_best_clean_val"
    ).reset_index()
    paired["difference"] = paired["bfloat16"] - paired["float32"]
    by = ["model", "alpha"]
    float32, difference = intervals(paired, by, "float32"), intervals(paired, by, "difference")
    around_zero = ((difference["low"] <= 0) & (difference["high"] >= 0)).sum()
    yield from (
        "## Products in bfloat16",
        "",
        f'Test accuracy with `precision="bfloat16"` compared with float32: MNIST, n = '
        f"{measured['n'].max():,}, {measured['epochs'].max():g} epochs, pooled targets, "
        f"{measured['seed'].nunique()} seeds. Intervals are 95 % intervals over seeds; differences are "
        f"paired by seed. {around_zero} of {len(difference)} intervals of the difference contain 0. "
        f"Trained on: {', '.join(sorted(measured['device'].unique()))}. {provenance(measured)}",
        "",
        "| model | alpha | float32, % | bfloat16 − float32, points |",
        "|---|---|---|---|",
    )
    for (_, accuracy), (_, points) in zip(float32.iterrows(), difference.iterrows(), strict=True):
        yield (
            f"| {accuracy['model']} | {accuracy['alpha']:g} | {100 * accuracy['mean']:.2f} "
            f"[{100 * accuracy['low']:.2f}, {100 * accuracy['high']:.2f}] | {100 * points['mean']:+.2f} "
            f"[{100 * points['low']:+.2f}, {100 * points['high']:+.2f}] |"
        )
    yield ""


def gpu() -> Iterable[str]:
    """Yield the section on a GPU."""
    measured = pd.read_csv(RESULTS / "gpu.csv").fillna({"model": ""})
    groups = measured.groupby(["model", "what"], sort=False)
    table = groups["throughput"].agg(["median", "min", "max", "count"]).join(groups["group_size"].max())
    turns = measured.pivot_table(index="turn", columns=["model", "what"], values="throughput")
    yield from (
        "## On a GPU",
        "",
        "Medians of alternations: GFLOP/s of a matrix product for ceilings, examples per second otherwise. A "
        "turn of dilution takes steps of a trainer that is ready, and draws the batches of "
        f"{' or '.join(f'{steps:.0f}' for steps in sorted(measured['drawn_steps'].dropna().unique()))} steps "
        "meanwhile. The ratio to the DataLoader loop is the median of the ratios within the alternations, as "
        "in the table of targets; the medians of the columns beside it may have another ratio. "
        f"{provenance(measured)}",
        "",
        "| model | what | models per group | alternations | median | lowest | highest | over the DataLoader "
        "loop | share of the bfloat16 ceiling |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    for (model, what), row in table.iterrows():
        speedup, share = "", ""
        group_size = "" if pd.isna(row["group_size"]) else f"{row['group_size']:.0f}"
        if what.startswith("dilution"):
            if (model, LOOP) in table.index:
                speedup = f"{(turns[(model, what)] / turns[(model, LOOP)]).median():.1f} ×"
            share = f"{row['median'] * flops(model) / 1e9 / table.loc[('', CEILING), 'median']:.1%}"
        yield (
            f"| {model} | {what} | {group_size} | {row['count']:.0f} | {row['median']:,.0f} | "
            f"{row['min']:,.0f} | {row['max']:,.0f} | {speedup} | {share} |"
        )
    yield ""
    if (RESULTS / "gpu-figures.csv").exists():
        figures = pd.read_csv(RESULTS / "gpu-figures.csv")
        yield from (
            f"All figures from MNIST with preset paper take {figures['minutes'].sum():.1f} minutes; runs "
            f"that two figures share count for the first. {provenance(figures)}",
            "",
        )
        for row in figures.itertuples():
            yield f"- {row.figure}, {row.runs} runs: {row.minutes:.1f} min"
        yield ""
    profile = RESULTS / "gpu-profile.txt"
    if profile.exists():
        yield from ("Profile of a training of 40 steps, with its set-up and its evaluation:", "", "```text")
        yield from (line.rstrip() for line in profile.read_text("utf-8").splitlines())
        yield from ("```", "")


def headline() -> Iterable[str]:
    """Yield the section on the paper's headline."""
    measured = pd.read_csv(RESULTS / "headline.csv")
    contenders = pd.read_csv(RESULTS / "throughput.csv")
    loop = contenders[(contenders["model"] == "conv4") & (contenders["contender"] == LOOP)]
    per_second = loop["throughput"].median()
    clean = 60_000 - default_n_val(60_000)
    examples = clean * 101
    accuracies = ", ".join(f"{accuracy:.1%}" for accuracy in measured["test_acc_at_best_clean_val"])
    yield from (
        "## The paper's headline",
        "",
        f"Conv-4 on MNIST with 100 noisy labels per clean one, n = 60,000 of which {clean:,} are for "
        f"training, pooled targets, all cores on one run: {measured['seconds'].median():.0f} s (median of "
        f"{len(measured)} seeds; {measured['seconds'].min():.0f} to {measured['seconds'].max():.0f}), test "
        f"accuracy {accuracies}. The DataLoader loop would need {examples / per_second / 3600:.1f} hours for "
        f"one pass over the {examples:,} examples, at its measured {per_second:,.0f} examples per second. "
        f"{provenance(measured)}",
        "",
    )


def larger() -> Iterable[str]:
    """Yield the section on data larger than memory."""
    measured = pd.read_csv(RESULTS / "larger.csv")
    table = measured.groupby("what", sort=False).agg(
        {"throughput": ["median", "min", "max"], "peak_mb": "max"}
    )
    turns = measured.pivot(index="turn", columns="what", values="throughput")
    drawing = turns["drawing batches, cold disk"] / turns["sequential read, cold disk"]
    cold = turns["training, cold disk"] / turns["sequential read, cold disk"]
    warm = turns["training, warm pack"] / turns["training, memory"]
    yield from (
        "## Larger than memory",
        "",
        f"A pack of {measured['pack_mb'].max() / 1000:.1f} GB of 3×64×64 images, perceptron, batch size "
        f"{BATCH_SIZE}, one thread; MB of images per second, medians of {measured['turn'].nunique()} "
        "alternations, each in a process of its own. *Cold disk*: the file is not in the page cache. "
        "Shuffled batches are drawn from a cold disk at "
        f"{median_and_range(drawing)} of its sequential throughput; training on them reaches "
        f"{median_and_range(cold)} (target: never below 50%). Training from a warm pack reaches "
        f"{median_and_range(warm)} of training from memory (target: 100%); both use the first 100,000 "
        "images. Peak memory is that of one model; every further model of a run group adds its own. "
        f"{provenance(measured)}",
        "",
        "| what | median, MB/s | lowest | highest | peak memory, MB |",
        "|---|---|---|---|---|",
    )
    for what, row in table.iterrows():
        peak = row["peak_mb", "max"]
        yield (
            f"| {what} | {row['throughput', 'median']:,.0f} | {row['throughput', 'min']:,.0f} "
            f"| {row['throughput', 'max']:,.0f} "
            f"| {'' if pd.isna(peak) else format(peak, ',.0f')} |"
        )
    yield ""


def text() -> str:
    """Return the page."""
    lines = [
        "# Performance",
        "",
        "`make bench` writes this page; no number is typed by hand. Times on shared machines vary, so "
        "compare numbers of one table, not of two pages. Each section states the code and the machine it was "
        "measured with; sections are not all measured again together.",
        "",
        *targets(),
    ]
    for name, section in {
        "throughput": throughput, "precision": precision, "headline": headline, "flat": flat,
        "losses": losses, "overhead": overhead, "dispatch": cluster, "larger": larger, "gpu": gpu,
        "losses-gpu": lambda: losses("losses-gpu"),
        "precision-cuda": lambda: precision("precision-cuda"),
    }.items():  # fmt: skip
        if (RESULTS / f"{name}.csv").exists():
            lines += section()
    return "\n".join(lines)


def main() -> None:
    """Write the page and its plot."""
    if (RESULTS / "throughput.csv").exists():
        draw(by_contender(pd.read_csv(RESULTS / "throughput.csv")))
    (DOCS / "performance.md").write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
