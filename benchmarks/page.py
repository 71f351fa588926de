"""docs/performance.md and its plot, from what the benchmarks have written."""

from collections.abc import Iterable

import pandas as pd
from counting import BATCH, LOOP, OURS, RESULTS, flops, span
from many import many
from matplotlib.ticker import MaxNLocator
from targets import DOCS, THROUGHPUT, drawing, shares
from targets import table as targets

from dilution.report.style import new_figure, save, style
from dilution.study.statistics import intervals
from dilution.training.config import default_validation

CONTENDERS = (
    OURS, "dilution, bfloat16", "dilution, one process", "dilution, one network", LOOP, "Keras on JAX",
    "Keras on torch", "JAX scan", "ceiling, one process", "ceiling, a process a core",
)  # fmt: skip


def by_contender(found: pd.DataFrame) -> pd.DataFrame:
    """Return medians and spread by network and contender."""
    order = pd.CategoricalDtype(CONTENDERS, ordered=True)
    found = found.assign(contender=found["contender"].astype(order)).sort_values("contender", kind="stable")
    groups = found.groupby(["model", "contender"], sort=False, observed=True)
    rates = groups["rate"].agg(["median", "min", "max", "count"])
    return rates.join(groups[["peak_mb", "processes", "group_size"]].max())


def throughput() -> Iterable[str]:
    """Yield the lines on throughput."""
    found = pd.read_csv(RESULTS / "throughput.csv")
    table = by_contender(found)
    ceiling = (
        table[table.index.get_level_values(1).str.startswith("ceiling")]["median"].groupby("model").max()
    )
    turns = found.pivot_table(index=["model", "turn"], columns="contender", values="rate")
    over, alone = turns[OURS] / turns[LOOP], turns["dilution, one network"] / turns[LOOP]
    highest = turns.filter(like="ceiling").max(axis=1)
    yield from (
        "## Throughput",
        "",
        f"Examples a second at batch {BATCH} on made-up MNIST, Adam, examples order; medians of at least "
        f"{table['count'].min()} alternations, side by side. Ours is as a study runs it: as many "
        "processes, threads and networks at a time as the planner chooses. The ceiling is the faster of "
        "one float32 product of matrices on all cores and one on each, in the same turn; other work on "
        "the machine can slow it more than it slows us. Multiplications are counted as usual, those of a "
        "convolution with the zero border among them.",
        "",
        "| network | over the DataLoader loop | one network at a time, over it | share of the ceiling | "
        "ceiling, GFLOP/s |",
        "|---|---|---|---|---|",
    )
    for model in THROUGHPUT:
        if model in over:
            reached = turns.loc[model, OURS] * flops(model) / 1e9 / highest[model]
            yield (
                f"| {model} | {span(over[model], '.2f')} × | {span(alone[model], '.2f')} × | "
                f"{span(reached)} | {ceiling[model]:.0f} |"
            )
    listed = ", ".join(f"{name} {share:.1%}" for name, share in drawing().items())
    yield from ("", f"Drawing a batch with its labels takes, of a step: {listed}.")
    yield from (
        "",
        "![examples a second, by network and contender](performance.png)",
        "",
        "Medians; the dark bars reach from the lowest to the highest of the alternations.",
        "",
    )
    yield "| network | contender | median | lowest | highest | peak memory, MB | processes | together |"
    yield "|---|---|---|---|---|---|---|---|"
    for (model, contender), row in table.iterrows():
        unit = " GFLOP/s" if contender.startswith("ceiling") else ""
        together = "" if pd.isna(row["group_size"]) else f"{row['group_size']:.0f}"
        yield (
            f"| {model} | {contender} | {row['median']:,.0f}{unit} | {row['min']:,.0f} "
            f"| {row['max']:,.0f} | {row['peak_mb']:,.0f} | {row['processes']:.0f} | {together} |"
        )
    yield from ("", f"{code(found)} Beside it: {'; '.join(sorted(found['version'].unique()))}.", "")


def draw(table: pd.DataFrame) -> None:
    """Draw a panel of bars for each network."""
    networks = [name for name in THROUGHPUT if name in table.index]
    with style():
        figure, axes = new_figure(columns=2, rows=-(-len(networks) // 2), height=2.6)
        for axis, model in zip(axes, networks, strict=False):
            part = table.loc[model]
            part = part[~part.index.str.startswith("ceiling")].sort_values("median")
            spread = [part["median"] - part["min"], part["max"] - part["median"]]
            colours = ["#0072B2" if name.startswith(OURS) else "#BBBBBB" for name in part.index]
            axis.barh(part.index, part["median"], xerr=spread, color=colours, ecolor="#444444", capsize=2)
            axis.set_title(model)
            axis.set_xlabel("thousand examples a second")
            axis.xaxis.set_major_locator(MaxNLocator(5))
            axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}")
            axis.set_xlim(left=0)
        for axis in axes[len(networks) :]:
            axis.set_axis_off()
    save(figure, DOCS, "performance", formats=["png"])


def flat() -> Iterable[str]:
    """Yield the lines on what grows with alpha."""
    found = pd.read_csv(RESULTS / "flat.csv")
    median = found.groupby("alpha").median(numeric_only=True)
    yield from (
        "## Flat in alpha",
        "",
        f"MLP-2, n = 60,000, one thread; medians of {found['turn'].nunique()} alternations, each in a "
        "process of its own. An epoch is in the pooled order. Labels are drawn and counted once, before the "
        f"first step. What is over alpha = 0 is the median of the ratios of each alternation. {code(found)}",
        "",
        "| alpha | opening, ms | a batch, ms | before the first step, s | an epoch, s | over alpha = 0 "
        "| ten epochs over alpha = 0 | peak memory, MB | over alpha = 0 |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    over = found.set_index(["turn", "alpha"]).select_dtypes("number")
    over = (over / over.xs(0, level="alpha")).groupby("alpha").median()  # turn by turn: the machine drifts
    for alpha, row in median.iterrows():
        yield (
            f"| {alpha:g} | {1000 * row['open_s']:.2f} | {1000 * row['batch_s']:.3f} "
            f"| {row['start_s']:.2f} | {row['epoch_s']:.2f} | {over.loc[alpha, 'epoch_s']:.3f} | "
            f"{over.loc[alpha, 'ten_epochs_s']:.3f} | {row['peak_mb']:,.0f} | "
            f"{over.loc[alpha, 'peak_mb']:.3f} |"
        )
    yield ""


def overhead() -> Iterable[str]:
    """Yield the lines on the study machinery."""
    measured = pd.read_csv(RESULTS / "overhead.csv")
    yield from ("## Around the training", "", code(measured), "", "| what | measured |", "|---|---|")
    found = measured.set_index("what")["value"]
    for what, value in found.items():
        yield f"| {what} | {value:.3g} |"
    for name, share in shares():
        yield f"| the same for the {name}, of their time | {share:.3%} |"
    yield ""


def precision(name: str = "precision") -> Iterable[str]:
    """Yield the lines on products in bfloat16: accuracy, seed for seed."""
    found = pd.read_csv(RESULTS / f"{name}.csv")
    seeds = found["seed"].nunique()
    wide = found.pivot_table(
        index=["model", "alpha", "seed"], columns="precision", values="test_acc_at_best_clean_val"
    ).reset_index()
    wide["apart"] = wide["bfloat16"] - wide["float32"]
    by = ["model", "alpha"]
    apart = intervals(wide, by, "apart")
    exact = intervals(wide, by, "float32")
    within = ((apart["low"] <= 0) & (apart["high"] >= 0)).sum()
    yield from (
        "## Products in bfloat16",
        "",
        f'`precision="bfloat16"`, MNIST, n = {found["n"].max():,}, {found["epochs"].max():g} epochs in the '
        f"pooled order, {seeds} seeds: test accuracy with 95 % intervals over seeds; the "
        f"difference seed for seed. {within} of {len(apart)} intervals of the difference hold 0. "
        f"Trained on: {', '.join(sorted(found['device'].unique()))}. {code(found)}",
        "",
        "| network | alpha | float32, % | bfloat16 − float32, points |",
        "|---|---|---|---|",
    )
    for (_, one), (_, two) in zip(exact.iterrows(), apart.iterrows(), strict=True):
        yield (
            f"| {one['model']} | {one['alpha']:g} | {100 * one['mean']:.2f} [{100 * one['low']:.2f}, "
            f"{100 * one['high']:.2f}] | {100 * two['mean']:+.2f} [{100 * two['low']:+.2f}, "
            f"{100 * two['high']:+.2f}] |"
        )
    yield ""


def gpu() -> Iterable[str]:
    """Yield the lines on a GPU."""
    found = pd.read_csv(RESULTS / "gpu.csv").fillna({"model": ""})
    rates = found.groupby(["model", "what"], sort=False)["rate"].agg(["median", "min", "max", "count"])
    ceiling = rates.loc[("", "ceiling, torch.bfloat16"), "median"]
    yield from (
        "## On a GPU",
        "",
        "Medians of alternations; examples a second, GFLOP/s of a product of matrices, or steps of a "
        f"replica a second. {code(found)}",
        "",
        "| network | what | times measured | median | lowest | highest | over the DataLoader loop | of the "
        "bfloat16 ceiling |",
        "|---|---|---|---|---|---|---|---|",
    )
    for (model, what), row in rates.iterrows():
        beside = ["", ""]
        if what.startswith("dilution"):
            beside[0] = f"{row['median'] / rates.loc[(model, LOOP), 'median']:.1f} ×"
            beside[1] = f"{row['median'] * flops(model) / 1e9 / ceiling:.0%}"
        yield (
            f"| {model} | {what} | {row['count']:.0f} | {row['median']:,.0f} | {row['min']:,.0f} "
            f"| {row['max']:,.0f} | {beside[0]} | {beside[1]} |"
        )
    yield ""
    if (RESULTS / "gpu-figures.csv").exists():
        figures = pd.read_csv(RESULTS / "gpu-figures.csv")
        yield from (
            f"All figures from MNIST at paper scale: {figures['minutes'].sum():.1f} minutes; runs that two "
            f"figures share count for the first. {code(figures)}",
            "",
        )
        for row in figures.itertuples():
            yield f"- {row.figure}, {row.runs} runs: {row.minutes:.1f} min"
        yield ""
    profile = RESULTS / "gpu-profile.txt"
    if profile.exists():
        yield from ("Where the time of a training goes:", "", "```text")
        yield from (line.rstrip() for line in profile.read_text("utf-8").splitlines())
        yield from ("```", "")


def headline() -> Iterable[str]:
    """Yield the lines on the paper's headline."""
    found = pd.read_csv(RESULTS / "headline.csv")
    rates = pd.read_csv(RESULTS / "throughput.csv")
    loop = rates[(rates["model"] == "conv4") & (rates["contender"] == LOOP)]["rate"].median()
    clean = 60_000 - default_validation(60_000)
    examples = clean * 101
    hours = examples / loop / 3600
    yield from (
        "## Time to the headline",
        "",
        f"Conv-4 on MNIST with 100 noisy labels for each of {clean:,} clean ones (of 60,000 the others are "
        "set aside for validation), pooled order, all cores on one "
        f"run: {found['seconds'].median():.0f} s (median of {len(found)} seeds; "
        f"{found['seconds'].min():.0f} to {found['seconds'].max():.0f}), test accuracy "
        f"{', '.join(f'{each:.1%}' for each in found['test_acc_at_best_clean_val'])}. The DataLoader loop would need "
        f"{hours:.1f} hours for one pass over the {examples:,} examples, at its measured rate of {loop:,.0f} "
        f"a second. {code(found)}",
        "",
    )


def code(found: pd.DataFrame) -> str:
    """Return a sentence on what was measured where."""
    if "code" not in found:
        return "Measured with an earlier version, which did not note itself; see the log."
    pairs = sorted(set(zip(found["code"], found["machine"], strict=True)))
    return "Measured: " + "; ".join(f"dilution {code} on {machine}" for code, machine in pairs) + "."


def larger() -> Iterable[str]:
    """Yield the lines on data larger than memory."""
    found = pd.read_csv(RESULTS / "larger.csv")
    table = found.groupby("what", sort=False).agg({"rate": ["median", "min", "max"], "peak_mb": "max"})
    turns = found.pivot(index="turn", columns="what", values="rate")
    reading = turns["drawing batches, cold"] / turns["disk, in sequence, cold"]
    trained = turns["cold"] / turns["disk, in sequence, cold"]
    warm = turns["warm"] / turns["memory"]
    yield from (
        "## Larger than memory",
        "",
        f"A pack of {found['pack_mb'].max() / 1000:.1f} GB of 3×64×64 images, perceptron, batch 128, "
        f"one thread; MB of images a second, medians of {found['turn'].nunique()} alternations, each in "
        "a process of its own. Cold: the system has dropped the file before. Shuffled batches drawn from "
        f"a cold disk reach {span(reading)} of its rate in sequence, training on it {span(trained)} "
        f"(target: never below 50%), training from a warm pack {span(warm)} of training from memory "
        "(target: the same). Warm and from memory take the first 100,000 images. Peak memory is of one "
        f"network; each further one of a pack adds its own. {code(found)}",
        "",
        "| what | median, MB/s | lowest | highest | peak memory, MB |",
        "|---|---|---|---|---|",
    )
    for what, row in table.iterrows():
        peak = row["peak_mb", "max"]
        yield (
            f"| {what} | {row['rate', 'median']:,.0f} | {row['rate', 'min']:,.0f} "
            f"| {row['rate', 'max']:,.0f} "
            f"| {'' if pd.isna(peak) else format(peak, ',.0f')} |"
        )
    yield ""


def text() -> str:
    """Return the page, from what was measured."""
    lines = [
        "# Performance",
        "",
        "Written by `make bench`; nothing here is typed by hand. Times on shared machines drift: compare "
        "what stands side by side, not two pages. Each section says which code and machine it was measured "
        "with; they are not all measured again when one is.",
        "",
        *targets(),
        *([] if (RESULTS / "gpu.csv").exists() else ["None of it was measured on a GPU: none was at hand."]),
        "",
    ]
    for name, part in {
        "throughput": throughput, "precision": precision, "headline": headline, "flat": flat,
        "overhead": overhead, "dispatch": many, "larger": larger, "gpu": gpu,
        "precision-cuda": lambda: precision("precision-cuda"),
    }.items():  # fmt: skip
        if (RESULTS / f"{name}.csv").exists():
            lines += part()
    return "\n".join(lines)


def main() -> None:
    """Write the page and its plot."""
    if (RESULTS / "throughput.csv").exists():
        draw(by_contender(pd.read_csv(RESULTS / "throughput.csv")))
    (DOCS / "performance.md").write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
