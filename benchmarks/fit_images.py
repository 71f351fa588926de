"""Measure `dilution fit` on images with wrong labels, beside scikit-learn and cleanlab on the same inputs.

Two kinds of cases, each with clean test labels that no method sees:

- small folders of up to 400 JPEG files, 20 % of them in a wrong folder, of CIFAR-10 (32 × 32 pixels) and of
  ImageNet (about 160 pixels; 1,000 classes joined to seven, as in small_folders.py);
- 20,000 images of CIFAR-10 with the labels of human annotators, CIFAR-10N "worse", of which 40 % are wrong.

Models learn from pixels, or from features of EfficientNet-Lite0 (extra `dilution[features]`), which all
methods share. The network was trained on ImageNet's photographs and labels, so its features of ImageNet's
photographs are optimistic; CIFAR-10's images are none of them. Rows that
`docs/results/fit-images/cases.csv` contains are not repeated. The page next to it is written from that file:

    python benchmarks/fit_images.py --cifar10 cifar10-jpeg.zip --imagenet imagenet-sample.zip --seeds 0,1,2
    python benchmarks/fit_images.py --sources CIFAR-10N --seeds 0    # needs CIFAR-10 and its human labels
    python benchmarks/fit_images.py --page                           # only the page

Features are computed once per image, and kept in the folder --cache if it is given: seconds do not include
them. An image takes about 12 ms on one core.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from fit import bootstrap_means
from matplotlib.axes import Axes
from numpy.typing import NDArray
from small_folders import Photographs, Remembered, read_cifar10, read_imagenet
from table import machine

import dilution
from dilution.data.formats.image_encoding import ImageEncoding
from dilution.report.style import COLOURS, MARKERS, legend, new_figure, save, style
from dilution.utils.version import code_version

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "fit-images"
FOLDERS, HUMAN = ("CIFAR-10", "ImageNet"), "CIFAR-10N"
SOURCES = (*FOLDERS, HUMAN)
INPUTS = ("features", "pixels")
SEEDS = tuple(range(10))
NOISE_RATE = 0.2  # of the small folders
N_FOLDER, N_HUMAN, N_TEST = 400, 20_000, 2_000
N_CLASSES = {"CIFAR-10": (4, 5, 8), "ImageNet": (5, 6, 7)}
TRAIN_SHARE = 0.7  # of a class of ImageNet, which has 37 to 118 photographs
PHOTOGRAPHS = 4_000  # of CIFAR-10 from which folders and their test images are drawn
_STEP = 0.09  # between the marks of two methods in the plot
SIZES = {"features": 128, "pixels": 32}  # pixels to which images are decoded
AUTO, PLAIN, BOOSTING, LOGISTIC, CLEANLAB = METHODS = (
    "dilution, auto", "dilution, plain", "boosting, raw", "logistic, raw", "cleanlab, logistic",
)  # fmt: skip
"""`fit`; the same without a method against noise; scikit-learn's boosting and regression; CleanLearning."""


class Case(NamedTuple):
    """Images as a user has them, with noisy labels to learn and clean labels to test.

    Parameters
    ----------
    train, test
        uint8, shape (n, 3, height, width).
    labels, true
        Noisy labels of the training images; clean ones of the test images.
    noise_rate
        Share of wrong labels.
    """

    train: NDArray[np.uint8]
    labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    true: NDArray[np.int64]
    noise_rate: float


def decoded(files: list[bytes], size: int) -> NDArray[np.uint8]:
    """Return files of images as `fit` decodes a folder of them."""
    with tempfile.TemporaryDirectory() as root:
        path, images = Path(root) / "image.jpg", []
        for content in files:
            path.write_bytes(content)
            images.append(ImageEncoding().decode(path, (3, size, size))[0])
    return np.stack(images)


def folder_case(photographs: Photographs, source: str, seed: int, size: int) -> Case:
    """Return a small folder with misplaced images; others of its classes are the test images."""
    random = np.random.default_rng([seed, FOLDERS.index(source)])
    n_classes = N_CLASSES[source][seed % len(N_CLASSES[source])]
    names = [list(photographs)[k] for k in random.permutation(len(photographs))[:n_classes]]
    train: list[bytes] = []
    test: list[bytes] = []
    true_train, true_test = list[int](), list[int]()
    for number, name in enumerate(names):
        files = [photographs[name][k] for k in random.permutation(len(photographs[name]))]
        count = min(N_FOLDER // n_classes, int(TRAIN_SHARE * len(files)))
        train += files[:count]
        test += files[count:]
        true_train += [number] * count
        true_test += [number] * (len(files) - count)
    true = np.array(true_train)
    is_wrong = random.random(len(true)) < NOISE_RATE
    labels = np.where(is_wrong, (true + random.integers(1, n_classes, len(true))) % n_classes, true)
    kept = random.permutation(len(test))[:N_TEST]
    return Case(
        decoded(train, size),
        labels,
        decoded([test[k] for k in kept], size),
        np.array(true_test)[kept],
        float((labels != true).mean()),
    )


def human_case(seed: int) -> Case:
    """Return images of CIFAR-10 with human labels."""
    data = dilution.load("cifar10n/worse")
    random = np.random.default_rng(seed)
    rows = torch.from_numpy(np.sort(random.permutation(len(data.train))[:N_HUMAN]))
    test = torch.arange(N_TEST)
    observed = data.train.observed
    assert observed is not None
    wrong = (observed[rows] != data.train.labels[rows]).double().mean()
    return Case(
        data.train.take(rows).numpy(),
        observed[rows].numpy(),
        data.test.take(test).numpy(),
        data.test.labels[test].numpy(),
        float(wrong),
    )


def predictions(
    method: str, case: Case, extract: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None, seed: int
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Return the predicted classes of one method, and what else is kept of it."""
    if method.startswith("dilution"):
        result = dilution.fit(
            (case.train, case.labels),
            method=method.partition(", ")[2],
            features="none" if extract is None else extract,
            seed=seed,
            execution=dilution.Execution(progress=False),
        )
        predicted = np.array([int(name) for name in result.predict(case.test)])
        if method != AUTO or result.accuracy is None:
            return predicted, {}
        clean = result.accuracy.clean
        return predicted, {
            "chosen": result.method, "estimate": clean.value, "low": clean.low, "high": clean.high,
        }  # fmt: skip
    train, test = (
        images.reshape(len(images), -1) / np.float32(255) if extract is None else features_of(images, extract)
        for images in (case.train, case.test)
    )
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if method == BOOSTING:
        model: Any = HistGradientBoostingClassifier(random_state=seed)
    elif method == LOGISTIC:
        model = LogisticRegression()
    else:
        from cleanlab.classification import CleanLearning

        model = CleanLearning(seed=seed)
    return model.fit(train, case.labels).predict(test), {}


def features_of(
    images: NDArray[np.uint8], extract: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return the features of images, in small batches."""
    return np.concatenate([extract(images[k : k + 16]) for k in range(0, len(images), 16)])


def cases(
    seeds: list[int], sources: list[str], inputs: list[str], methods: list[str]
) -> Iterator[tuple[int, str, str, str]]:
    """Yield seed, source, input and method of every row; seeds first, so that a part is balanced."""
    for seed in seeds:
        for source in sources:
            for kind in inputs:
                for method in methods:
                    yield seed, source, kind, method


def run(path: Path, asked: Iterator[tuple[int, str, str, str]], read: "Reader") -> None:
    """Measure the missing rows, and write each when it is done."""
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    finished = {(row["seed"], row["source"], row["input"], row["method"]) for row in rows}
    for key in asked:
        if key in finished:
            continue
        seed, source, kind, method = key
        case = read.case(source, seed, kind)
        extract = read.extract if kind == "features" else None
        started, cpu = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of logistic regression on features that are not scaled
            predicted, more = predictions(method, case, extract, seed)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        accuracy = float((predicted == case.true).mean())
        rows.append(
            {"seed": seed, "source": source, "input": kind, "method": method, "n_train": len(case.labels)}
            | {"n_test": len(case.true), "noise_rate": case.noise_rate, "accuracy": accuracy}
            | {"seconds": seconds, "cpu_seconds": cpu}
            | more
            | {"code": code_version(), "machine": machine()}
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False, float_format="%.5g")
        print(f"{source}, {kind}, seed {seed}: {method} {accuracy:.3f} in {cpu:.0f} s", flush=True)


class Reader:
    """Reads cases, and computes the features of each image once.

    Parameters
    ----------
    archives
        Archives of photographs by source.
    cache
        Folder that keeps the features. None: they are kept in memory.
    """

    def __init__(self, archives: dict[str, Path | None], cache: Path | None) -> None:
        self._archives, self._cache = archives, cache
        self._photographs: dict[str, Photographs] = {}
        self._last: tuple[tuple[str, int, int], Case] | None = None
        self._known: dict[str, Remembered] = {}
        self._source = ""

    def case(self, source: str, seed: int, kind: str) -> Case:
        """Return a case with images of the size that the input takes, its features computed."""
        size = SIZES[kind] if source in FOLDERS else 32
        key = source, seed, size
        self._source = source
        if self._last is None or self._last[0] != key:
            case = human_case(seed) if source == HUMAN else self._folder(source, seed, size)
            self._last = key, case
        case = self._last[1]
        if kind == "features":
            remembered = self._remembered(source)
            before = len(remembered.known)
            features_of(case.train, remembered)
            features_of(case.test, remembered)
            if self._cache is not None and len(remembered.known) > before:
                names, values = zip(*remembered.known.items(), strict=True)
                file = self._cache / f"{source}.npz"
                np.savez(file, keys=np.array([name.hex() for name in names]), values=np.stack(values))
        return case

    def extract(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features of images of the last case."""
        values: NDArray[np.float32] = self._remembered(self._source)(images)
        return values

    def _folder(self, source: str, seed: int, size: int) -> Case:
        archive = self._archives[source]
        if archive is None:
            sys.exit(f"name the archive of {source}: --cifar10 or --imagenet")
        if source not in self._photographs:
            self._photographs[source] = (
                read_imagenet(archive) if source == "ImageNet" else read_cifar10(archive, PHOTOGRAPHS)
            )
        return folder_case(self._photographs[source], source, seed, size)

    def _remembered(self, source: str) -> Remembered:
        if source not in self._known:
            self._known[source] = Remembered()
            file = None if self._cache is None else self._cache / f"{source}.npz"
            if file is not None and file.exists():
                with np.load(file) as stored:
                    keys = [bytes.fromhex(key) for key in stored["keys"].tolist()]
                    self._known[source].known = dict(zip(keys, stored["values"], strict=True))
        return self._known[source]


def page() -> str:
    """Return the page, from the table alone."""
    table = pd.read_csv(FOLDER / "cases.csv")
    lines = [
        "# How accurate are models of `dilution fit` on images?",
        "",
        "`python benchmarks/fit_images.py` writes this page from cases.csv. Models learn noisy labels and "
        "are tested on clean ones, which no method sees. Every method has its defaults and the same inputs: "
        "pixels, or features of EfficientNet-Lite0 (`dilution[features]`). That network was trained on "
        "ImageNet's photographs and labels, so that its numbers for ImageNet are optimistic.",
        "",
        f"*Small folders* have up to {N_FOLDER} JPEG files, of which {NOISE_RATE:.0%} are in a wrong folder, "
        f"uniformly. *CIFAR-10N* has {N_HUMAN:,} images of CIFAR-10 with the labels of human annotators "
        f'("worse"), and {N_TEST:,} test images.',
        "",
        "![accuracy by method](accuracy.png)",
    ]
    for source in SOURCES:
        for kind in INPUTS:
            part = table[(table["source"] == source) & (table["input"] == kind)]
            if len(part):
                lines += ["", f"## {source}, {kind}", "", *_summary(part)]
    lines += ["", "## Estimated accuracy", "", *_estimates(table[table["method"] == AUTO])]
    codes, machines = sorted(set(table["code"])), sorted(set(table["machine"]))
    lines += ["", f"Measured with dilution {', '.join(codes)} on {'; '.join(machines)}.", ""]
    return "\n".join(lines)


def _summary(part: pd.DataFrame) -> list[str]:
    """Return the lines of the table of one source and input."""
    accuracies = part.pivot_table(index="seed", columns="method", values="accuracy")
    cpu = part.groupby("method")["cpu_seconds"].median()
    lines = [
        "| method | accuracy | `fit --method auto` is better by, points | cases | processor seconds |",
        "|---|---|---|---|---|",
    ]
    for method in METHODS:
        if method not in accuracies:
            continue
        difference = "—"
        if method != AUTO and AUTO in accuracies:
            paired = (100 * (accuracies[AUTO] - accuracies[method])).dropna()
            difference = f"{paired.mean():.1f}"
            if len(paired) > 1:
                rows = pd.DataFrame({"table": paired.index, "seed": 0, "difference": paired.to_numpy()})
                value, low, high = bootstrap_means(rows)
                difference = f"{value:.1f} [{low:.1f}, {high:.1f}]"
        own = accuracies[method].dropna()
        lines.append(
            f"| {method} | {100 * own.mean():.1f} % | {difference} | {len(own)} | {cpu[method]:.0f} |"
        )
    return lines


def _estimates(auto: pd.DataFrame) -> list[str]:
    """Return the lines on the estimated clean accuracy."""
    known = auto.dropna(subset=["estimate"]) if "estimate" in auto else auto[:0]
    lines = [
        "| source | input | mean error, points | intervals that contain the accuracy |",
        "|---|---|---|---|",
    ]
    for (source, kind), part in known.groupby(["source", "input"]):
        error = 100 * (part["estimate"] - part["accuracy"]).mean()
        covered = int(((part["low"] <= part["accuracy"]) & (part["accuracy"] <= part["high"])).sum())
        lines.append(f"| {source} | {kind} | {error:+.1f} | {covered} of {len(part)} |")
    chosen = ", ".join(f"{name} {count}" for name, count in known["chosen"].value_counts().items())
    return [*lines, "", f"Methods that `auto` chose: {chosen}."]


def plot() -> None:
    """Draw the accuracy of each method by source, features beside pixels."""
    table = pd.read_csv(FOLDER / "cases.csv")
    with style():
        figure, axes = new_figure(columns=2, height=3.4)
        for axis, kind in zip(axes, INPUTS, strict=True):
            _draw(axis, kind, table[table["input"] == kind])
        legend(axes[1], loc="upper left")  # nothing learned from pixels is as accurate
    save(figure, FOLDER, "accuracy", ("png",))


def _draw(axis: Axes, kind: str, part: pd.DataFrame) -> None:
    for index, method in enumerate(METHODS):
        means = part[part["method"] == method].groupby("source")["accuracy"].mean().reindex(list(SOURCES))
        places = np.arange(len(SOURCES)) + _STEP * (index - len(METHODS) // 2)
        axis.plot(places, means, marker=MARKERS[index], color=COLOURS[index], label=method, ls="")
    axis.set_xticks(range(len(SOURCES)), SOURCES)
    axis.set_ylim(0, 1)
    axis.set_title(kind)
    axis.set_ylabel("accuracy on clean labels")


def main() -> None:
    """Measure, then write the page and the plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", action="store_true", help="write only the page, from the measurements")
    parser.add_argument("--cifar10", type=Path, help="zip file of CIFAR-10 as JPEGs")
    parser.add_argument("--imagenet", type=Path, help="zip file of one photograph per ImageNet class")
    parser.add_argument("--cache", type=Path, help="folder that keeps features")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="seeds to measure")
    parser.add_argument("--sources", default=",".join(FOLDERS), help=f"sources: {', '.join(SOURCES)}")
    parser.add_argument("--inputs", default=",".join(INPUTS), help="inputs to measure")
    parser.add_argument("--methods", default=";".join(METHODS), help="methods to measure, with ; between")
    parser.add_argument("--cases", type=Path, default=FOLDER / "cases.csv", help="file of the measurements")
    arguments = parser.parse_args()
    if not arguments.page:
        lists = (arguments.sources.split(","), arguments.inputs.split(","), arguments.methods.split(";"))
        asked = cases(list(map(int, arguments.seeds.split(","))), *lists)
        archives = {"CIFAR-10": arguments.cifar10, "ImageNet": arguments.imagenet}
        if arguments.cache is not None:
            arguments.cache.mkdir(parents=True, exist_ok=True)
        run(arguments.cases, asked, Reader(archives, arguments.cache))
    if not (FOLDER / "cases.csv").exists():
        sys.exit("there are no measurements yet: run python benchmarks/fit_images.py")
    plot()
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
