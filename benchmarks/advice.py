"""Measure what `dilution advise` gains: its recipe against the default, on MNIST and CIFAR-10.

The default is the paper's: Adadelta, batch size 128, the best of four learning rates. It is measured with
sampled targets, as the paper trains, and with pooled targets, as the recipe does. The same number of images
passes through the model in each. The learning rate and the step of the default are chosen by clean validation
labels, which favours it; all of the recipe by noisy ones. Resumes; the store is in results/, the page and its
tables in docs/results/advice:

    python benchmarks/advice.py                   # hours on two cores
    python benchmarks/advice.py --device cuda     # minutes on a GPU
    python benchmarks/advice.py --data cifar10    # the cases of one data set
    python benchmarks/advice.py --page            # only the page
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from step_time import seconds_per_step
from table import machine

import dilution
from dilution.study import Run, Study
from dilution.study.statistics import intervals
from dilution.training import device_title, resolve_device
from dilution.utils.version import code_version

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results" / "advice"
STORE = ROOT / "results" / "advice.sqlite"


class Case(NamedTuple):
    """What is trained, and for how long."""

    data: str
    alpha: float
    n: int
    epochs: float
    seeds: int

    @property
    def name(self) -> str:
        """The name of the case in files and studies."""
        return f"{self.data}-{self.alpha:g}"


CASES = (
    Case("mnist", 20.0, 10_000, 10.0, 5),
    Case("mnist", 100.0, 60_000, 10.0, 5),
    Case("cifar10", 5.0, 50_000, 6.0, 5),
)
MODEL, PRECISION = "conv4", "bfloat16"
LRS = (0.1, 0.3, 1.0, 3.0)
ADVISED, SHORTER = "advised", "advised, fewer images"
POOLED, SAMPLED = "default, pooled", "default, sampled"
TURNS = 7
SETTINGS = [
    "way", "lr", "batch_size", "targets", "schedule", "ema_decay", "translate", "optimizer", "steps",
]  # fmt: skip
MEASURES = [
    "accuracy", "checkpoint", "test_acc_at_best_noisy_val", "test_acc_at_best_clean_val", "test_acc_last",
    "val_acc_clean",
]  # fmt: skip


def measure(case: Case, execution: dilution.Execution) -> pd.DataFrame:
    """Advise, train by the default with both kinds of targets, and return one row per training."""
    advice = dilution.advise(
        case.data, alpha=case.alpha, model=MODEL, n=case.n, epochs=case.epochs, precision=PRECISION,
        store=STORE, execution=execution,
    )  # fmt: skip
    print(advice.answer, *advice.reasons.values(), sep="\n", flush=True)
    noise_scales = advice.noise_scale_table.assign(
        data=case.data, n=case.n, growth_exponent=advice.growth_exponent
    )
    noise_scales.to_csv(FOLDER / f"{case.name}-noise_scales.csv", index=False, float_format="%.5g")
    advice.lr_trials.to_csv(FOLDER / f"{case.name}-lrs.csv", index=False, float_format="%.7g")

    def train(study: str, runs: list[Run]) -> pd.DataFrame:
        return dilution.run(Study.of(study, runs), store=STORE, execution=execution)

    def of_recipe(table: pd.DataFrame, way: str) -> pd.DataFrame:
        checkpoint = advice.checkpoint.step
        return table.assign(way=way, accuracy=table[f"test_acc_{checkpoint}"], checkpoint=checkpoint)

    advised = [advice.run.model_copy(update={"seed": seed}) for seed in range(case.seeds)]
    parts = [of_recipe(train(f"advised/{case.name}", advised), ADVISED)]
    runs = {ADVISED: advice.run}
    for targets, way in (("sampled", SAMPLED), ("pooled", POOLED)):
        default = Run.of(
            dataset=case.data, n=case.n, alpha=case.alpha, model=MODEL, precision=PRECISION, n_evals=5,
            targets=targets, optimizer="adadelta", lr=LRS[0], batch_size=128,
            steps=round(advice.n_images / 128),
        )  # fmt: skip
        study = f"default/{case.name}/{targets}"
        search = train(study, [default.model_copy(update={"lr": lr}) for lr in LRS])
        best = float(search.loc[search["val_acc_clean"].fillna(0.0).idxmax(), "lr"])
        best_runs = [default.model_copy(update={"lr": best, "seed": seed}) for seed in range(case.seeds)]
        for table, name in (
            (train(f"{study}/best", best_runs), way),
            (search[search["lr"] != best], f"{way}, other learning rates"),
        ):
            accuracy = table["test_acc_at_best_clean_val"]
            parts.append(table.assign(way=name, accuracy=accuracy, checkpoint="at_best_clean_val"))
        runs[way] = best_runs[0]
    seconds = training_seconds(runs, execution.device)
    share = math.floor(20 * min(seconds.values()) / seconds[ADVISED]) / 20
    if (
        share < 1
    ):  # the recipe takes longer for as many images: train on fewer, in less time than the defaults
        shorter = [run.model_copy(update={"steps": math.floor((run.steps or 0) * share)}) for run in advised]
        parts.append(of_recipe(train(f"shorter/{case.name}", shorter), SHORTER))
        seconds[SHORTER] = seconds[ADVISED] * share
    rows = pd.concat(parts)[[*SETTINGS, "seed", "state", *MEASURES, "device"]]
    n_searched = (advice.search_runs["steps"] * advice.search_runs["batch_size"]).sum()
    device = device_title(resolve_device(execution.device).type)
    return rows.assign(
        cost=rows["way"].map(seconds), searched=round(n_searched / advice.n_images, 1), data=case.data,
        alpha=case.alpha, n=case.n, epochs=case.epochs, code=code_version(), machine=f"{machine()}, {device}",
    )  # fmt: skip


def training_seconds(runs: dict[str, Run], device: str) -> dict[str, float]:
    """Return the seconds of the steps of each training, measured in turn in this process."""
    data = dilution.load(runs[ADVISED].dataset).train
    turns: dict[str, list[float]] = {way: [] for way in runs}
    for _ in range(TURNS):
        for way, run in runs.items():
            step = seconds_per_step(
                run.model, data.shape, len(data.classes), run.config, replicas=1, device=device
            )
            turns[way].append(step * (run.steps or 0))
    return {way: float(np.median(seconds)) for way, seconds in turns.items()}


def page() -> str:
    """Return the page, from the tables alone."""
    runs = pd.concat([pd.read_csv(path) for path in sorted(FOLDER.glob("*-trainings.csv"))])
    pairs = sorted(set(zip(runs["code"], runs["machine"], strict=True)))
    return "\n".join(
        [
            "# What does `dilution advise` gain?",
            "",
            "`python benchmarks/advice.py` writes this page. The default is Adadelta with batch size 128 at "
            "the best of four learning rates. Unless stated otherwise the same number of images passes "
            "through the model. Test accuracy is the mean with a 95 % interval over seeds: for the default "
            "at the learning rate and the step that clean validation labels choose, which favours it; for "
            "the recipe at its checkpoint, which noisy labels choose. Gains of the recipe are paired by "
            "seed. Time is that of the steps, relative to the recipe, measured in turn in one process. Where "
            "the recipe takes longer for as many images, a line shows it with fewer images in less time. The "
            "searches of the recipe and of the default's learning rate are not included. The default does "
            "not shift images.",
            "",
            "| data | α | clean examples | epochs | seeds | trained by | test accuracy | gain of the recipe, "
            "points | gain with fewer images | time of the steps |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *_accuracies(runs),
            "",
            "| data | α | recipe |",
            "|---|---|---|",
            *_recipes(runs),
            "",
            "## The gradient noise scale",
            "",
            "| data | gradient of | α | noise scale | grows as (1 + α)^p, p |",
            "|---|---|---|---|---|",
            *_noise_scales(),
            "",
            "Timed with " + "; ".join(f"dilution {code} on {host}" for code, host in pairs) + ".",
            "Trained on " + ", ".join(sorted(set(runs["device"]))) + ".",
            "",
        ]
    )


def _accuracies(runs: pd.DataFrame) -> list[str]:
    """Return the lines of the table of accuracies."""
    lines = []
    for (data, alpha), part in runs.groupby(["data", "alpha"], sort=False):
        ways = {way: table.sort_values("seed").set_index("seed") for way, table in part.groupby("way")}
        own = ways[ADVISED]
        case = f"| {data} | {alpha:g} | {own['n'].iloc[0]:,} | {own['epochs'].iloc[0]:g} | {len(own)} |"
        lines.append(f"{case} {ADVISED} | {accuracy_text(own)} | | | 1 |")
        for way, table in ways.items():
            if way in (SHORTER, POOLED, SAMPLED):
                gains = ["", ""]
                if way != SHORTER:
                    gains = [
                        gain_text(ways[recipe], table) if recipe in ways else ""
                        for recipe in (ADVISED, SHORTER)
                    ]
                    way = f"{way}, learning rate {table['lr'].iloc[0]:g}"
                time = table["cost"].iloc[0] / own["cost"].iloc[0]
                lines.append(f"{case} {way} | {accuracy_text(table)} | {' | '.join(gains)} | {time:.2f} |")
    return lines


def _recipes(runs: pd.DataFrame) -> list[str]:
    """Return the lines of the table of recipes."""
    lines = []
    for (data, alpha), part in runs[runs["way"] == ADVISED].groupby(["data", "alpha"], sort=False):
        run = part.iloc[0]
        ema = f", EMA decay {run['ema_decay']:g}" if run["ema_decay"] else ""
        shifts = f", shifts of up to {run['translate']} pixels" if run["translate"] else ""
        lines.append(
            f"| {data} | {alpha:g} | {run['targets']} targets, {run['optimizer'].capitalize()} at "
            f"{run['lr']:g}, batch size {run['batch_size']}, {run['schedule']} schedule{ema}{shifts}; "
            f"checkpoint {run['checkpoint']}; the search took the images of {run['searched']:g} trainings |"
        )
    return lines


def _noise_scales() -> list[str]:
    """Return the lines of the table of noise scales."""
    lines = []
    for path in sorted(FOLDER.glob("*-noise_scales.csv")):
        for row in pd.read_csv(path).itertuples():
            mean, low, high = (
                f"{value:,.0f}" if np.isfinite(value) else "∞" for value in (row.mean, row.low, row.high)
            )
            exponent = f"{row.growth_exponent:.2f}" if row.gradient_of == "one label" else ""
            lines.append(
                f"| {row.data} | {row.gradient_of} | {row.alpha:g} | {mean} [{low}, {high}] | {exponent} |"
            )
    return lines


def gain_text(own: pd.DataFrame, other: pd.DataFrame) -> str:
    """Return how many points the runs of `own` are more accurate, paired by seed, as text."""
    gains = own.assign(accuracy=100 * (own["accuracy"] - other["accuracy"])).drop(columns="n")
    row = intervals(gains, ["way"], "accuracy").iloc[0]
    return f"{row['mean']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"


def accuracy_text(runs: pd.DataFrame) -> str:
    """Return mean accuracy and interval as text."""
    row = intervals(runs, ["way"], "accuracy").iloc[0]
    return f"{row['mean']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", action="store_true", help="write only the page, from the measurements")
    parser.add_argument("--data", choices=sorted({case.data for case in CASES}), help="only this data set")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--workers", type=int, help="processes that train at once")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not arguments.page:
        execution = dilution.Execution(device=arguments.device, workers=arguments.workers)
        for case in CASES:
            if arguments.data in (None, case.data):
                rows = measure(case, execution)
                rows.to_csv(FOLDER / f"{case.name}-trainings.csv", index=False, float_format="%.6g")
                (FOLDER / "README.md").write_text(page(), "utf-8")
    (FOLDER / "README.md").write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
