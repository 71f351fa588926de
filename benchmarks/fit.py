"""Measure `dilution fit` on ten tables with known noise, beside scikit-learn and cleanlab on the same labels.

Each case is a table, a kind of noise, a noise rate and a seed. Models learn from at most 1,000 noisy labels
and are tested on clean ones. Cases that `docs/results/fit/cases.csv` already contains are not repeated. The
page next to it is written from that file:

    python benchmarks/fit.py            # all cases; some hours on two cores
    python benchmarks/fit.py --tables wine,iris --seeds 0    # some of them
    python benchmarks/fit.py --page     # only the page

Four tables are embedded in scikit-learn. The others are downloads: MNIST and Fashion-MNIST as `dilution`
finds them, and adult.csv, dry_bean.csv, electricity.csv and spam.data in the folder `tables` of
DILUTION_DATA.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from table import machine

import dilution
from dilution.report.style import COLOURS, MARKERS, legend, new_figure, save, style
from dilution.utils.version import code_version

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "fit"
SKLEARN = ("iris", "wine", "breast_cancer", "digits")
FILES = ("spam", "dry_bean", "electricity", "adult")
IMAGES = {"mnist_7x7": "mnist", "fashion_7x7": "fashion-mnist"}
TABLES = (*SKLEARN, *FILES, *IMAGES)
NOISE_RATES = (0.1, 0.2, 0.3, 0.4)
SEEDS = (0, 1, 2)
N_TRAIN, N_TEST = 1_000, 3_000
AUTO = "dilution, auto"
METHODS = (AUTO, "dilution, plain", "boosting, raw", "cleanlab, boosting", "cleanlab, default")
"""`fit`, the same models on raw labels, HistGradientBoosting, CleanLearning with it and by default."""

Table = tuple[NDArray[np.float32], NDArray[np.int64]]


def load(name: str) -> Table:
    """Return the features and the classes of a table."""
    if name in SKLEARN:
        import sklearn.datasets

        data = getattr(sklearn.datasets, f"load_{name}")()
        return data.data.astype(np.float32), data.target
    if name in IMAGES:
        train = dilution.load(IMAGES[name]).train
        pixels = train.images[:10_000, 0].float()  # type: ignore[index]
        means = pixels.unfold(1, 4, 4).unfold(2, 4, 4).mean(dim=(3, 4))
        return means.flatten(1).numpy(), train.labels[:10_000].numpy()
    folder = Path(os.environ.get("DILUTION_DATA", ".")) / "tables"
    if name == "spam":
        values = np.loadtxt(folder / "spam.data")
        return values[:, :-1].astype(np.float32), values[:, -1].astype(np.int64)
    frame = pd.read_csv(folder / f"{name}.csv")
    frame = frame.drop(columns=[column for column in ("Unnamed: 0", "date") if column in frame])
    labels = pd.factorize(frame.pop(frame.columns[-1]), sort=True)[0]
    return pd.get_dummies(frame).to_numpy(np.float32), labels.astype(np.int64)


def make_case(
    table: Table, noise: str, noise_rate: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Return training features, noisy labels, test features and clean test labels.

    Uniform noise names each wrong class as often; skewed noise names the next class alone.
    """
    features, classes = table
    m = int(classes.max()) + 1
    random = np.random.default_rng([seed, round(100 * noise_rate), noise == "skewed"])
    order = random.permutation(len(classes))
    n_test = min(N_TEST, len(classes) // 3)
    test, train = order[:n_test], order[n_test : n_test + N_TRAIN]
    shift = 1 if noise == "skewed" else random.integers(1, m, size=len(train))
    is_wrong = random.random(len(train)) < noise_rate
    labels = np.where(is_wrong, (classes[train] + shift) % m, classes[train])
    return features[train], labels, features[test], classes[test]


def predictions(
    method: str,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    test: NDArray[np.float32],
    seed: int,
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return the predicted classes of one method, and what else is kept of it."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    if method.startswith("dilution"):
        classifier = dilution.NoisyLabelClassifier(method.partition(", ")[2], random_state=seed)
        predicted = classifier.fit(features, labels).predict(test)
        result = classifier.result_
        if method != AUTO or result.accuracy is None:
            return predicted, {}
        clean = result.accuracy.clean
        return predicted, {
            "chosen": result.method, "estimate": clean.value, "low": clean.low, "high": clean.high,
            "learned": result.diagnosis is not None and result.diagnosis.learned,
        }  # fmt: skip
    boosting = HistGradientBoostingClassifier(random_state=seed)
    if method == "boosting, raw":
        return boosting.fit(features, labels).predict(test), {}
    from cleanlab.classification import CleanLearning

    model = CleanLearning(boosting if method == "cleanlab, boosting" else None, seed=seed)
    return model.fit(features, labels).predict(test), {}


def cases() -> Iterator[tuple[int, str, str, float]]:
    """Yield seed, table, noise and noise rate of every case; with two classes skewed noise is uniform."""
    for seed in SEEDS:
        for noise_rate in NOISE_RATES:
            for name in TABLES:
                for noise in ("uniform", "skewed"):
                    if noise == "uniform" or name not in ("breast_cancer", "spam", "electricity", "adult"):
                        yield seed, name, noise, noise_rate


def run(path: Path, is_asked: Callable[[int, str, float], bool]) -> None:
    """Measure the missing cases, and write each when it is done."""
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    finished = {(row["seed"], row["table"], row["noise"], row["noise_rate"]) for row in rows}
    tables: dict[str, Table] = {}
    for case in cases():
        seed, name, noise, noise_rate = case
        if case in finished or not is_asked(seed, name, noise_rate):
            continue
        if name not in tables:
            tables[name] = load(name)
        features, labels, test, true = make_case(tables[name], noise, noise_rate, seed)
        for method in METHODS:
            started = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of logistic regression on features that are not scaled
                predicted, more = predictions(method, features, labels, test, seed)
            row = {"seed": seed, "table": name, "noise": noise, "noise_rate": noise_rate, "method": method}
            row |= {
                "n_train": len(labels),
                "n_test": len(true),
                "accuracy": float((predicted == true).mean()),
            }
            row |= {"seconds": time.perf_counter() - started} | more
            rows.append(row | {"code": code_version(), "machine": machine()})
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False, float_format="%.5g")
        shown = ", ".join(f"{row['method']} {row['accuracy']:.3f}" for row in rows[-len(METHODS) :])
        print(f"{name}, {noise} {noise_rate:g}, seed {seed}: {shown}", flush=True)


def bootstrap_means(differences: pd.DataFrame) -> tuple[float, float, float]:
    """Return the mean difference over tables with a 95 % interval: tables, and seeds in them, drawn anew.

    Parameters
    ----------
    differences
        One row per case: ``table``, ``seed`` and ``difference``.
    """
    by_seed = differences.groupby(["table", "seed"])["difference"].mean().unstack("seed").to_numpy()
    random = np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        rows = by_seed[random.integers(len(by_seed), size=len(by_seed))]
        seeds = random.integers(rows.shape[1], size=rows.shape)
        draws.append(np.nanmean(np.take_along_axis(rows, seeds, axis=1)))
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(np.nanmean(by_seed)), float(low), float(high)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per case with a column of accuracies per method."""
    keys = ["seed", "table", "noise", "noise_rate"]
    return table.pivot_table(index=keys, columns="method", values="accuracy").reset_index()


def page() -> str:
    """Return the page, from the table alone."""
    table = pd.read_csv(FOLDER / "cases.csv")
    accuracies = wide(table)
    auto = table[table["method"] == AUTO]
    codes, machines = sorted(set(table["code"])), sorted(set(table["machine"]))
    return "\n".join(
        [
            "# How accurate are models of `dilution fit`?",
            "",
            "`python benchmarks/fit.py` writes this page from cases.csv. Models learn from at most "
            f"{N_TRAIN:,} noisy labels of a table and are tested on clean labels. Every method has its "
            "defaults, gets the noisy labels alone, and does not see the test labels. Skewed noise names the "
            "next class alone; with two classes it is uniform.",
            "",
            *_summary(table, accuracies),
            "",
            "*Boosting* is scikit-learn's HistGradientBoosting. *cleanlab* is CleanLearning, by default with "
            "logistic regression. Differences are paired by case; their 95 % intervals come from tables, and "
            "seeds in them, drawn with replacement. Seconds are the median of a fit on one core beside other "
            "work.",
            "",
            "![accuracy against the noise rate](accuracy.png)",
            "",
            "## By table",
            "",
            *_by(accuracies, "table"),
            "",
            "## By noise",
            "",
            *_by(
                accuracies.assign(kind=accuracies["noise"] + " " + accuracies["noise_rate"].astype(str)),
                "kind",
            ),
            "",
            "## Estimated accuracy",
            "",
            *_estimates(auto),
            "",
            f"Measured with dilution {', '.join(codes)} on {'; '.join(machines)}.",
            "",
        ]
    )


def _summary(table: pd.DataFrame, accuracies: pd.DataFrame) -> list[str]:
    """Return the lines of the table of all methods."""
    seconds = table.groupby("method")["seconds"].median()
    lines = ["| method | accuracy | `fit --method auto` is better by | seconds |", "|---|---|---|---|"]
    for method in METHODS:
        mean = accuracies.groupby("table")[method].mean().mean()
        difference = "—"
        if method != AUTO:
            paired = accuracies.assign(difference=accuracies[AUTO] - accuracies[method])
            value, low, high = (100 * bound for bound in bootstrap_means(paired))
            difference = f"{value:.1f} [{low:.1f}, {high:.1f}] points"
        lines.append(f"| {method} | {100 * mean:.1f} % | {difference} | {seconds[method]:.1f} |")
    return lines


def _by(accuracies: pd.DataFrame, key: str) -> list[str]:
    """Return the lines of a table of mean accuracies."""
    lines = [f"| {key} | {' | '.join(METHODS)} | cases |", f"|---|{'---|' * (len(METHODS) + 1)}"]
    for value, part in accuracies.groupby(key):
        means = [part[method].mean() for method in METHODS]
        best = max(means)
        cells = [f"**{100 * mean:.1f}**" if mean == best else f"{100 * mean:.1f}" for mean in means]
        lines.append(f"| {value} | {' | '.join(cells)} | {len(part)} |")
    return lines


def _estimates(auto: pd.DataFrame) -> list[str]:
    """Return the lines on the estimated clean accuracy."""
    learned = auto[auto["learned"].astype(str) == "True"]
    covered = (learned["low"] <= learned["accuracy"]) & (learned["accuracy"] <= learned["high"])
    error = (learned["estimate"] - learned["accuracy"]).abs().mean()
    lines = [
        f"In {len(learned)} of {len(auto)} cases the models predict held-out labels better than their "
        "frequencies do, so that a clean accuracy is estimated. It differs from the accuracy on clean test "
        f"labels by {100 * error:.1f} points on average, and its 95 % interval contains that in "
        f"{covered.sum()} of {len(covered)} cases.",
        "",
        "| table | mean error, points | intervals that contain the accuracy |",
        "|---|---|---|",
    ]
    for name, part in learned.assign(covered=covered).groupby("table"):
        mean = 100 * (part["estimate"] - part["accuracy"]).mean()
        lines.append(f"| {name} | {mean:+.1f} | {part['covered'].sum()} of {len(part)} |")
    methods = ", ".join(f"{name} {count}" for name, count in learned["chosen"].value_counts().items())
    lines += [
        "",
        "Where classes overlap in the features, as in electricity, no method that sees labels alone can tell "
        f"the overlap from noise, and the estimate is too high. Methods that `auto` chose: {methods}.",
    ]
    return lines


def plot() -> None:
    """Draw the mean accuracy of each method against the noise rate."""
    accuracies = wide(pd.read_csv(FOLDER / "cases.csv"))
    with style():
        figure, axes = new_figure(columns=2, height=3.4)
        for axis, noise in zip(axes, ("uniform", "skewed"), strict=True):
            _draw(axis, noise, accuracies[accuracies["noise"] == noise])
        legend(axes[0], loc="lower left")
    save(figure, FOLDER, "accuracy", ("png",))


def _draw(axis: Axes, noise: str, part: pd.DataFrame) -> None:
    for index, method in enumerate(METHODS):
        means = part.groupby(["noise_rate", "table"])[method].mean().groupby("noise_rate").mean()
        axis.plot(means.index, means, marker=MARKERS[index], color=COLOURS[index], label=method, ms=4.5)
    axis.set_title(f"{noise} noise")
    axis.set_xlabel("noise rate η")
    axis.set_ylabel("accuracy on clean labels")


def main() -> None:
    """Measure, then write the page and the plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", action="store_true", help="write only the page, from the measurements")
    parser.add_argument("--tables", default=",".join(TABLES), help="tables to measure, separated by commas")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="seeds to measure")
    parser.add_argument(
        "--noise-rates", default=",".join(map(str, NOISE_RATES)), help="noise rates to measure"
    )
    parser.add_argument("--cases", type=Path, default=FOLDER / "cases.csv", help="file of the measurements")
    arguments = parser.parse_args()
    if not arguments.page:
        names, seeds = arguments.tables.split(","), list(map(int, arguments.seeds.split(",")))
        rates = list(map(float, arguments.noise_rates.split(",")))
        run(arguments.cases, lambda seed, name, rate: seed in seeds and name in names and rate in rates)
    if not (FOLDER / "cases.csv").exists():
        sys.exit("there are no measurements yet: run python benchmarks/fit.py")
    plot()
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
