"""Is `dilution advise` worth it? Its recipe beside the default, at as many images, on MNIST and CIFAR-10.

The default is the paper's: Adadelta, batch 128, the best of four rates. It is measured with one label at a
time, as the paper trains, and with the labels of an image pooled, as the recipe does. As many images go
through the network in each. The default's rate and its step are chosen on clean validation labels, which
favours it; all of the recipe's on noisy ones. Resumes; the store lies in results/, the page and its tables in
docs/results/advice:

    python benchmarks/advice.py                   # hours on two cores
    python benchmarks/advice.py --device cuda     # minutes on a GPU
    python benchmarks/advice.py --data cifar10    # the cases of one data set
    python benchmarks/advice.py --page            # the page alone
"""

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
from step_time import seconds_per_step
from table import machine

import dilution
from dilution.advice import answer, reasons
from dilution.study import Run, Study
from dilution.study.statistics import intervals
from dilution.training import device_title, resolve_device
from dilution.utils.version import code_version

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results" / "advice"
STORE = ROOT / "results" / "advice.sqlite"
# data, noise level, clean examples, passes over the images, seeds
CASES = (
    ("mnist", 20.0, 10_000, 10.0, 5),
    ("mnist", 100.0, 60_000, 10.0, 5),
    ("cifar10", 5.0, 50_000, 6.0, 5),
)
MODEL, PRECISION = "conv4", "bfloat16"
RATES = (0.1, 0.3, 1.0, 3.0)
ADVISED = "advised"
SHORTER = "advised, fewer images"
TURNS = 7


def measure(data: str, alpha: float, n: int, epochs: float, seeds: int, **where: object) -> pd.DataFrame:
    """Advise, train by the default in both orders, and return one row a training."""
    found = dilution.advise(
        data, alpha=alpha, model=MODEL, n=n, epochs=epochs, precision=PRECISION, store=STORE, **where
    )
    print(answer(found), *reasons(found).values(), sep="\n", flush=True)
    found.scale_table.assign(data=data, n=n, growth=found.growth).to_csv(
        FOLDER / f"{data}-{alpha:g}-scales.csv", index=False, float_format="%.5g"
    )
    found.trials.to_csv(FOLDER / f"{data}-{alpha:g}-rates.csv", index=False, float_format="%.7g")
    again = [found.run.model_copy(update={"seed": seed}) for seed in range(seeds)]
    own = dilution.run(Study.of(f"advised/{data}/{alpha:g}", again), store=STORE, **where)
    parts = [own.assign(way=ADVISED, accuracy=own[f"test_{found.kept.step}"], kept=found.kept.step)]
    recipes = {ADVISED: found.run}
    for order, way in (("sampled", "default, one label at a time"), ("pooled", "default, pooled")):
        default = Run.of(
            dataset=data, n=n, alpha=alpha, model=MODEL, precision=PRECISION, n_evals=5, order=order,
            optimizer="adadelta", batch_size=128, steps=round(found.images / 128), lr=RATES[0],
        )  # fmt: skip
        name = f"default/{data}/{alpha:g}/{order}"
        tried = [default.model_copy(update={"lr": rate}) for rate in RATES]
        table = dilution.run(Study.of(name, tried), store=STORE, **where)
        best = float(table.loc[table["val_acc_clean"].fillna(0.0).idxmax(), "lr"])
        runs = [default.model_copy(update={"lr": best, "seed": seed}) for seed in range(seeds)]
        chosen = dilution.run(Study.of(f"{name}/best", runs), store=STORE, **where)
        others = table[table["lr"] != best]
        parts += [
            each.assign(accuracy=each["test_acc_at_best_clean_val"], kept="clean")
            for each in (chosen, others)
        ]
        parts[-2]["way"], parts[-1]["way"] = way, f"{way}, other rates"
        recipes[way] = runs[0]
    cost = costs(recipes, str(where["device"]))
    share = math.floor(20 * min(cost.values()) / cost[ADVISED]) / 20
    if share < 1:  # as many images took it longer: fewer, in less time than either default
        fewer = [run.model_copy(update={"steps": math.floor((run.steps or 0) * share)}) for run in again]
        shorter = dilution.run(Study.of(f"shorter/{data}/{alpha:g}", fewer), store=STORE, **where)
        kept = {"accuracy": shorter[f"test_{found.kept.step}"], "kept": found.kept.step}
        parts.append(shorter.assign(way=SHORTER, **kept))
        cost[SHORTER] = cost[ADVISED] * share
    settings = [
        "way",
        "lr",
        "batch_size",
        "targets",
        "schedule",
        "ema_decay",
        "translate",
        "optimizer",
        "steps",
    ]
    measured = [
        "accuracy",
        "kept",
        "test_acc_at_best_noisy_val",
        "test_acc_at_best_clean_val",
        "test_acc_last",
        "val_acc_clean",
    ]
    rows = pd.concat(parts)[[*settings, "seed", "state", *measured, "device"]]
    rows["cost"] = rows["way"].map(cost)
    searched = (found.searched["steps"] * found.searched["batch_size"]).sum() / found.images
    rows = rows.assign(searched=round(searched, 1))
    made = f"{machine()}, {device_title(resolve_device(str(where['device'])).type)}"
    return rows.assign(data=data, alpha=alpha, n=n, epochs=epochs, code=code_version(), machine=made)


def costs(recipes: dict[str, Run], device: str) -> dict[str, float]:
    """Return the seconds that the steps of a training take, measured in turn and in one process."""
    shape, classes = (data := dilution.load(recipes[ADVISED].dataset).train).shape, len(data.classes)
    turns: dict[str, list[float]] = {way: [] for way in recipes}
    for _ in range(TURNS):
        for way, run in recipes.items():
            step = seconds_per_step(run.model, shape, classes, run.config, replicas=1, device=device)
            turns[way].append(step * (run.steps or 0))
    return {way: float(np.median(each)) for way, each in turns.items()}


def page() -> str:
    """Return the page, from the tables alone."""
    runs = pd.concat([pd.read_csv(path) for path in sorted(FOLDER.glob("*-trainings.csv"))])
    lines = [
        "# Is `dilution advise` worth it?",
        "",
        "Written by `python benchmarks/advice.py`. The default is Adadelta with batch 128 at the best of "
        "four rates; in each line as many images went through the network. Test accuracy, mean and 95 % "
        "interval over seeds: for the default at the rate and the step that clean validation labels "
        "choose, which favours it; for the recipe with the weights that it says to keep, which noisy labels "
        "chose. What it gains is seed for seed. Time is that of the steps, measured in turn in one process; "
        "where the recipe takes longer for as many images, a line shows it with fewer, in less time. "
        "The search that found the recipe is not in it, nor that of the default's rate; the default does "
        "not shift images.",
        "",
        "| data | α | clean examples | passes | seeds | trained by | test accuracy | the recipe gains, "
        "points | with fewer images it gains | time of the steps |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    recipes = ["", "| data | α | recipe |", "|---|---|---|"]
    for (data, alpha), part in runs.groupby(["data", "alpha"], sort=False):
        ways = {way: each.sort_values("seed").set_index("seed") for way, each in part.groupby("way")}
        own = ways[ADVISED]
        about = f"| {data} | {alpha:g} | {own['n'].iloc[0]:,} | {own['epochs'].iloc[0]:g} | {len(own)} |"
        lines.append(f"{about} {ADVISED} | {spread(own)} | | | 1 |")
        if SHORTER in ways:
            shorter = ways[SHORTER]
            time = shorter["cost"].iloc[0] / own["cost"].iloc[0]
            lines.append(f"{about} {SHORTER} | {spread(shorter)} | | | {time:.2f} |")
        for way in ("default, pooled", "default, one label at a time"):
            if way not in ways:  # not measured yet
                continue
            other = ways[way]
            gained = [gain(ways[each], other) if each in ways else "" for each in (ADVISED, SHORTER)]
            time = other["cost"].iloc[0] / own["cost"].iloc[0]
            lines.append(
                f"{about} {way}, rate {other['lr'].iloc[0]:g} | {spread(other)} | {' | '.join(gained)} | "
                f"{time:.2f} |"
            )
        first = own.iloc[0]
        average = f", average {first['ema_decay']:g}" if first["ema_decay"] else ""
        recipes.append(
            f"| {data} | {alpha:g} | {first['targets']}, {first['optimizer']} at {first['lr']:g}, batch "
            f"{first['batch_size']}, {first['schedule']}{average}, shifts of {first['translate']}; keep "
            f"{first['kept']} weights; the search took {first['searched']:g} trainings' images |"
        )
    lines += [*recipes, "", "## The gradient noise scale", ""]
    lines += ["| data | gradient of | α | noise scale | grows as (1 + α)^p |", "|---|---|---|---|---|"]
    for path in sorted(FOLDER.glob("*-scales.csv")):
        for row in pd.read_csv(path).itertuples():
            low, high = (f"{each:,.0f}" if np.isfinite(each) else "∞" for each in (row.low, row.high))
            growth = f"{row.growth:.2f}" if row[2] == "one label" else ""
            mean = f"{row.mean:,.0f}" if np.isfinite(row.mean) else "∞"
            lines.append(f"| {row.data} | {row[2]} | {row.alpha:g} | {mean} [{low}, {high}] | {growth} |")
    made = sorted(set(zip(runs["code"], runs["machine"], strict=True)))
    lines += ["", "Timed: " + "; ".join(f"dilution {code} on {where}" for code, where in made) + "."]
    lines += ["Trained on: " + ", ".join(sorted(set(runs["device"]))) + "."]
    return "\n".join(lines) + "\n"


def gain(own: pd.DataFrame, other: pd.DataFrame) -> str:
    """Return by how many points the runs of the one are more accurate, seed for seed, as text."""
    gained = own.assign(accuracy=100 * (own["accuracy"] - other["accuracy"])).drop(columns="n")
    found = intervals(gained, ["way"], "accuracy").iloc[0]
    return f"{found['mean']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]"


def spread(runs: pd.DataFrame) -> str:
    """Return mean accuracy and interval as text."""
    found = intervals(runs, ["way"], "accuracy").iloc[0]
    return f"{found['mean']:.1%} [{found['low']:.1%}, {found['high']:.1%}]"


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", action="store_true", help="write the page alone")
    parser.add_argument("--data", choices=sorted({case[0] for case in CASES}), help="this data set alone")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--workers", type=int, help="processes at once")
    given = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not given.page:
        for data, alpha, n, epochs, seeds in CASES:
            if given.data not in (None, data):
                continue
            rows = measure(data, alpha, n, epochs, seeds, device=given.device, workers=given.workers)
            rows.to_csv(FOLDER / f"{data}-{alpha:g}-trainings.csv", index=False, float_format="%.6g")
            (FOLDER / "README.md").write_text(page(), "utf-8")
    (FOLDER / "README.md").write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
