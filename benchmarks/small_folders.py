"""Measure `dilution diagnose` on small folders of photographs with misplaced images.

Folders of up to 400 JPEG files, with known shares of images in a wrong folder, are made of two sources:
CIFAR-10 (32 × 32 pixels, ten classes) and photographs of ImageNet (about 160 pixels, whose 1,000 classes are
joined to seven, such as dogs and vehicles). The network of the features was trained on ImageNet's labels, so
the second source is optimistic. Folders that `docs/results/diagnosis/small_folders.csv` contains are not
repeated.

    python benchmarks/small_folders.py --cifar10 cifar10-jpeg.zip --imagenet imagenet-sample.zip

The archives hold train.jpegs with the table train.npz (offsets, labels), and one file per ImageNet class.
Features of an image that is in several folders are computed once, except for the first folder of each source,
which is timed as a user would wait for it. It takes some minutes on two cores.
"""

import argparse
import hashlib
import io
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from table import machine

import dilution
from dilution.training.image_features import efficientnet_features
from dilution.utils.version import code_version

FILE = Path(__file__).parents[1] / "docs" / "results" / "diagnosis" / "small_folders.csv"
IMAGES = 400
NOISE_RATES = (0.1, 0.18, 0.25, 0.4)
NOISES = ("uniform", "skewed")
CLASSES = {"CIFAR-10": (4, 5, 8), "ImageNet": (5, 6, 7)}
PHOTOGRAPHS = 1200  # of CIFAR-10 that folders are drawn from, so that few features are computed

# Positions of ImageNet's classes in the order of their ids.
VEHICLES = (
    403, 404, 407, 408, 436, 466, 468, 472, 484, 510, 511, 547, 554, 555, 561, 565, 569, 573, 575,
    576, 586, 595, 603, 609, 612, 625, 627, 628, 654, 656, 661, 665, 670, 671, 675, 705, 717, 734,
    751, 757, 779, 780, 802, 803, 812, 814, 817, 820, 829, 833, 847, 864, 866, 867, 870, 871, 874,
    880, 895, 914,
)  # fmt: skip
CLOTHES = (
    399, 400, 411, 433, 439, 443, 445, 451, 452, 457, 459, 474, 496, 501, 502, 514, 515, 518, 560,
    568, 578, 601, 608, 610, 614, 617, 630, 638, 639, 652, 655, 658, 667, 689, 697, 735, 770, 774,
    775, 793, 796, 806, 808, 824, 834, 836, 837, 841, 842, 869, 887, 906,
)  # fmt: skip
GROUPS = {
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "clothes": CLOTHES,
    "dog": tuple(range(151, 269)),
    "food": (*range(924, 958), *range(959, 970)),
    "insect or spider": (*range(70, 80), *range(300, 327)),
    "reptile or amphibian": (*range(25, 51), *range(52, 69)),
    "vehicle": VEHICLES,
}
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

Photographs = dict[str, list[bytes]]
"""Class → JPEG files."""


def read_cifar10(path: Path, count: int = PHOTOGRAPHS) -> Photographs:
    with zipfile.ZipFile(path) as archive:
        table, content = np.load(io.BytesIO(archive.read("train.npz"))), archive.read("train.jpegs")
    photographs: Photographs = {name: [] for name in CIFAR10}
    for number, label in enumerate(table["labels"][:count]):
        start, end = table["offsets"][number : number + 2]
        photographs[CIFAR10[label]].append(content[start:end])
    return photographs


def read_imagenet(path: Path) -> Photographs:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".JPEG"))
        return {group: [archive.read(names[k]) for k in members] for group, members in GROUPS.items()}


def write_folder(root: Path, photographs: Photographs, source: str, seed: int) -> dict[str, object]:
    """Write a folder with misplaced images, and return what is known about it."""
    random = np.random.default_rng(seed)
    requested, noise = NOISE_RATES[seed % len(NOISE_RATES)], NOISES[seed // len(NOISE_RATES) % len(NOISES)]
    n_classes = CLASSES[source][seed % len(CLASSES[source])]
    names = [list(photographs)[k] for k in random.permutation(len(photographs))[:n_classes]]
    wrong = images = 0
    for true, name in enumerate(names):
        for number in random.permutation(len(photographs[name]))[: IMAGES // n_classes]:
            others = np.array([k for k in range(n_classes) if k != true])
            distance = (others - true) % n_classes
            weights = 2.0**-distance if noise == "skewed" else np.ones(len(others))
            misplaced = random.random() < requested
            label = int(random.choice(others, p=weights / weights.sum())) if misplaced else true
            folder = root / names[label]
            folder.mkdir(parents=True, exist_ok=True)
            content = photographs[name][number]
            folder.joinpath(f"{hashlib.sha256(content).hexdigest()[:16]}.jpg").write_bytes(content)
            wrong, images = wrong + misplaced, images + 1
    return {
        "source": source, "seed": seed, "classes": n_classes, "images": images, "noise": noise,
        "requested_noise_rate": requested, "true_noise_rate": wrong / images,
    }  # fmt: skip


class Remembered:
    """The published network's features, computed once per image."""

    def __init__(self) -> None:
        self.known: dict[bytes, np.ndarray] = {}

    def __call__(self, images: np.ndarray) -> np.ndarray:
        keys = [hashlib.sha256(image.tobytes()).digest() for image in images]
        missing = [row for row, key in enumerate(keys) if key not in self.known]
        if missing:
            for row, features in zip(missing, efficientnet_features(images[missing]), strict=True):
                self.known[keys[row]] = features
        return np.stack([self.known[key] for key in keys])


def measure(photographs: Photographs, source: str, seed: int, features: Callable | None) -> dict[str, object]:
    """Return what is known of a folder, with what a diagnosis estimates."""
    with tempfile.TemporaryDirectory() as root:
        case = write_folder(Path(root), photographs, source, seed)
        started, cpu = time.perf_counter(), time.process_time()
        diagnosis = dilution.diagnose(
            root, features=features, seed=seed, execution=dilution.Execution(workers=0, progress=False)
        )
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    rate = diagnosis.noise_rate
    excess = diagnosis.excess
    return case | {
        "noise_rate": rate.value,
        "low": rate.low,
        "high": rate.high,
        "covered": bool(rate.low <= float(str(case["true_noise_rate"])) <= rate.high),
        "at_most": diagnosis.is_upper_bound,
        "without_correction": diagnosis.fit.noise_rate,
        "excess": float("nan") if excess is None else excess.value,
        "features_remembered": features is not None,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "machine": machine(),
        "code": code_version(),
    }


def summary(table: pd.DataFrame) -> str:
    """Return the table of both sources in Markdown."""
    lines = [
        "| source | folders | intervals with the truth | width | error | error uncorrected |",
        "|---|---|---|---|---|---|",
    ]
    for source, part in table.groupby("source"):
        error = (part["noise_rate"] - part["true_noise_rate"]).abs().mean()
        plain = (part["without_correction"] - part["true_noise_rate"]).abs().mean()
        covered = part["covered"].astype(bool).sum()
        width = (part["high"] - part["low"]).mean()
        lines.append(f"| {source} | {len(part)} | {covered} | {width:.3f} | {error:.3f} | {plain:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", type=Path, help="zip file of CIFAR-10 as JPEGs")
    parser.add_argument("--imagenet", type=Path, help="zip file of one photograph per ImageNet class")
    parser.add_argument("--per-source", type=int, default=20, help="folders of each source")
    arguments = parser.parse_args()
    table = pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=["source", "seed"])
    readers = {"CIFAR-10": (read_cifar10, arguments.cifar10), "ImageNet": (read_imagenet, arguments.imagenet)}
    for source, (read, path) in readers.items():
        done = set(table.loc[table["source"] == source, "seed"])
        missing = [seed for seed in range(arguments.per_source) if seed not in done]
        if path is None or not missing:
            continue
        photographs, remembered = read(path), Remembered()
        for seed in missing:
            case = measure(photographs, source, seed, remembered if seed else None)
            table = pd.concat([table, pd.DataFrame([case])], ignore_index=True)
            table = table.sort_values(["source", "seed"], ignore_index=True)
            table.to_csv(FILE, index=False, float_format="%.5g")
            print(source, seed, {key: case[key] for key in list(case)[2:14]}, flush=True)
    print(summary(table))


if __name__ == "__main__":
    main()
