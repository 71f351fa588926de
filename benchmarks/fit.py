"""Measure `dilution fit` on ten tables with known noise, beside scikit-learn and cleanlab on the same labels.

Each case is a table, a kind of noise, a noise rate and a seed. Models learn from at most 1,000 noisy labels
and are tested on clean ones. Cases that `docs/results/fit/cases.csv` already contains are not repeated,
unless they were measured with other code. The page next to it is written from that file:

    python benchmarks/fit.py --jobs 2    # all 192 cases, of which each is written when it is done
    python benchmarks/fit.py --tables wine,iris --seeds 0    # some of them
    python benchmarks/fit.py --page      # only the page

The order is by seeds, and within a seed such that the first k cases are spread evenly over tables, and over
noise rates within a table. So a run that was ended early is balanced.

Four tables are embedded in scikit-learn. The others are downloads: MNIST and Fashion-MNIST as `dilution`
finds them, and adult.csv, dry_bean.csv, electricity.csv and spam.data in the folder `tables` of
DILUTION_DATA.
"""

import argparse
import hashlib
import multiprocessing
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from table import machine

import dilution
from dilution.report.style import COLOURS, MARKERS, legend, new_figure, save, style
from dilution.utils.atomic import write_atomic
from dilution.utils.version import code_version

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "fit"
SKLEARN = ("iris", "wine", "breast_cancer", "digits")
FILES = ("spam", "dry_bean", "electricity", "adult")
IMAGES = {"mnist_7x7": "mnist", "fashion_7x7": "fashion-mnist"}
TABLES = (*SKLEARN, *FILES, *IMAGES)
NOISE_RATES = (0.1, 0.2, 0.3, 0.4)
SEEDS = (0, 1, 2)
N_TRAIN, N_TEST = 1_000, 3_000
AUTO, PLAIN = "dilution, auto", "dilution, plain"
METHODS = (AUTO, PLAIN, "boosting, raw", "cleanlab, boosting", "cleanlab, default")
"""`fit`, the same models on raw labels, HistGradientBoosting, CleanLearning with it and by default."""

TWO_CLASSES = ("breast_cancer", "spam", "electricity", "adult")
PACKAGES = ("data", "noise", "models", "training", "diagnosis", "fitting", "utils")
"""Packages on which accuracies depend: other changes of the code leave measurements as they are."""

Table = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True, order=True)
class Case:
    """A table with noise."""

    seed: int
    table: str
    noise: str
    noise_rate: float

    @property
    def text(self) -> str:
        """The case in words."""
        return f"{self.table}, {self.noise} {self.noise_rate:g}, seed {self.seed}"


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
    random = _generator(noise, noise_rate, seed)
    test, train = _split(len(classes), random)
    shift = 1 if noise == "skewed" else random.integers(1, m, size=len(train))
    is_wrong = random.random(len(train)) < noise_rate
    labels = np.where(is_wrong, (classes[train] + shift) % m, classes[train])
    return features[train], labels, features[test], classes[test]


def training_classes(table: Table, noise: str, noise_rate: float, seed: int) -> NDArray[np.int64]:
    """Return the true classes of the training rows of a case."""
    _, classes = table
    _, train = _split(len(classes), _generator(noise, noise_rate, seed))
    return classes[train]


def _generator(noise: str, noise_rate: float, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, round(100 * noise_rate), noise == "skewed"])


def _split(n: int, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the test and the training rows of a case."""
    order = random.permutation(n)
    n_test = min(N_TEST, n // 3)
    return order[:n_test], order[n_test : n_test + N_TRAIN]


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

    model = CleanLearning(
        boosting if method == "cleanlab, boosting" else None,
        seed=seed,
        find_label_issues_kwargs={"n_jobs": 1},  # its processes would find no globals in spawned ones
    )
    return model.fit(features, labels).predict(test), {}


def cases(seeds: tuple[int, ...] = SEEDS) -> list[Case]:
    """Return all cases in the order of their measurement; with two classes skewed noise is uniform."""
    ordered: list[tuple[int, float, int, Case]] = []
    for seed in seeds:
        for number, name in enumerate(TABLES):
            kinds = ("uniform",) if name in TWO_CLASSES else ("uniform", "skewed")
            own = [(noise, rate) for rate in NOISE_RATES for noise in kinds]
            # Every table begins with another rate, and takes the rates in another order for every seed.
            order = np.random.default_rng([seed, number]).permutation(len(own))
            ordered += [
                (seed, (place + 0.5) / len(own), number, Case(seed, name, *own[chosen]))
                for place, chosen in enumerate(order)
            ]
    return [case for *_, case in sorted(ordered)]


def measure(case: Case, methods: tuple[str, ...] = METHODS) -> list[dict[str, Any]]:
    """Return one row per method, with seconds of processor time."""
    features, labels, test, true = make_case(_table(case.table), case.noise, case.noise_rate, case.seed)
    rows = []
    for method in methods:
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of logistic regression on features that are not scaled
            predicted, more = predictions(method, features, labels, test, case.seed)
        seconds = time.process_time() - started
        rows.append(
            {"seed": case.seed, "table": case.table, "noise": case.noise, "noise_rate": case.noise_rate}
            | {"method": method, "n_train": len(labels), "n_test": len(true)}
            | {"accuracy": float((predicted == true).mean()), "seconds": seconds}
            | more
        )
    return rows


@cache
def _table(name: str) -> Table:
    return load(name)


def _prepare() -> None:
    """Import all that a case needs, so that files that change later do not matter; one core per process."""
    import torch

    torch.set_num_threads(1)
    features, labels, test, _ = make_case(_table("iris"), "uniform", 0.1, 10**6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in METHODS:
            predictions(method, features, labels, test, 0)


@cache
def sources() -> str:
    """Return a checksum of the code on which accuracies depend."""
    digest = hashlib.sha256()
    package = Path(dilution.__file__).parent
    for path in sorted(path for name in PACKAGES for path in (package / name).rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def run(path: Path, asked: list[Case], jobs: int, *, any_code: bool) -> None:
    """Measure the missing cases of those asked for, and write each when it is done."""
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    code = {"sources": sources(), "code": code_version(), "machine": machine()}
    others = {_case(row) for row in rows if row.get("sources") != code["sources"]}
    if others and not any_code:
        print(
            f"{len(others)} cases in {path} were measured with other code. They are not on the page, and are "
            "replaced when they are measured again. --any-code counts them as measured.",
            flush=True,
        )
    finished = {_case(row) for row in rows} - (set() if any_code else others)
    missing = [case for case in asked if case not in finished]
    print(f"{len(asked) - len(missing)} of {len(asked)} cases are measured", flush=True)
    if not missing:
        return
    for name in sorted({case.table for case in missing}):
        _table(name)  # a missing file ends the run before it begins
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _prepare) as pool:
        futures = {pool.submit(measure, case): case for case in missing}
        for future in as_completed(futures):
            case, measured = futures[future], future.result()
            rows = [row for row in rows if _case(row) != case] + [row | code for row in measured]
            _write(path, rows)
            shown = ", ".join(f"{row['method']} {row['accuracy']:.3f}" for row in measured)
            print(f"{case.text}: {shown}", flush=True)


def _case(row: dict[str, Any]) -> Case:
    return Case(row["seed"], row["table"], row["noise"], row["noise_rate"])


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace the file of measurements; a run that is killed leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.5g").encode())


def read_measured(path: Path, *, any_code: bool) -> pd.DataFrame:
    """Return the measurements of the code that was measured last, or of any code."""
    table = pd.read_csv(path)
    if any_code or "sources" not in table:
        return table
    checksums = table["sources"].fillna("")
    return table[checksums == checksums.iloc[-1]]


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


def page(table: pd.DataFrame) -> str:
    """Return the page, from the measurements alone."""
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
            "next class alone; with two classes it is uniform. "
            f"{len(accuracies)} of {len(cases())} cases are measured.",
            "",
            *_summary(table, accuracies),
            "",
            "*Boosting* is scikit-learn's HistGradientBoosting. *cleanlab* is CleanLearning, by default with "
            "logistic regression. Differences are paired by case; their 95 % intervals come from tables, and "
            "seeds in them, drawn with replacement. Seconds are the median processor time of a fit.",
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
        gain = "—" if method == AUTO else _gain(accuracies, accuracies[method])
        mean = accuracies.groupby("table")[method].mean().mean()
        lines.append(f"| {method} | {100 * mean:.1f} % | {gain} | {seconds[method]:.1f} |")
    others = [method for method in METHODS if method not in (AUTO, PLAIN)]
    for name, methods in (("the best of these", [PLAIN, *others]), ("the best that is not dilution", others)):
        best = accuracies[methods].max(axis=1)
        mean, gain = best.groupby(accuracies["table"]).mean().mean(), _gain(accuracies, best)
        lines.append(f"| {name}, chosen per case by its test labels | {100 * mean:.1f} % | {gain} | |")
    return lines


def _gain(accuracies: pd.DataFrame, other: pd.Series) -> str:
    """Return by how much `auto` is better than others in the same cases, with its interval."""
    paired = accuracies.assign(difference=accuracies[AUTO] - other)
    value, low, high = (100 * bound for bound in bootstrap_means(paired))
    return f"{value:.1f} [{low:.1f}, {high:.1f}] points"


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
    width = (learned["high"] - learned["low"]).mean()
    lines = [
        f"In {len(learned)} of {len(auto)} cases the models predict held-out labels better than their "
        "frequencies do, so that a clean accuracy is estimated. It differs from the accuracy on clean test "
        f"labels by {100 * error:.1f} points on average. Its 95 % interval contains that in {covered.sum()} "
        f"of {len(covered)} cases, and is {100 * width:.0f} points wide on average.",
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
        "the overlap from noise, and the estimate is too high; the lower bound allows for that. Methods that "
        f"`auto` chose: {methods}.",
    ]
    return lines


def plot(table: pd.DataFrame) -> None:
    """Draw the mean accuracy of each method against the noise rate."""
    accuracies = wide(table)
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
    parser.add_argument("--jobs", type=int, default=1, help="cases that are measured at once, one core each")
    parser.add_argument(
        "--any-code", action="store_true", help="count cases as measured that other code has measured"
    )
    arguments = parser.parse_args()
    any_code = arguments.any_code
    if not arguments.page:
        names, seeds = arguments.tables.split(","), tuple(map(int, arguments.seeds.split(",")))
        rates = list(map(float, arguments.noise_rates.split(",")))
        asked = [case for case in cases(seeds) if case.table in names and case.noise_rate in rates]
        run(arguments.cases, asked, arguments.jobs, any_code=any_code)
    if arguments.cases != FOLDER / "cases.csv" and not arguments.page:
        return  # the page is that of the committed file
    if not arguments.cases.exists():
        sys.exit("there are no measurements yet: run python benchmarks/fit.py")
    table = read_measured(arguments.cases, any_code=any_code)
    plot(table)
    (FOLDER / "README.md").write_text(page(table), encoding="utf-8")


if __name__ == "__main__":
    main()
