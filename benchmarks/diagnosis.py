"""Measure the accuracy of `dilution diagnose`: known noise on MNIST and digits, human labels, cleanlab.

Each case is a data set, a kind of noise and a noise rate; every image has one label. Cases that
`docs/results/diagnosis/cases.csv` already contains are not repeated. The page next to it is written from that
file:

    python benchmarks/diagnosis.py            # all cases; two hours on two cores
    python benchmarks/diagnosis.py --page     # only the page
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from label_issues import FILE as LABEL_ISSUES
from label_issues import summary as label_issue_tables
from matplotlib.axes import Axes
from small_folders import FILE as SMALL_FOLDERS
from small_folders import summary
from table import machine

import dilution
from dilution.data import Arrays
from dilution.diagnosis import cleanlab_transition
from dilution.noise import LabelNoise, alpha_for_matrix, matrix, structured, uniform
from dilution.report.style import COLOURS, MARKERS, legend, new_figure, save, style
from dilution.utils.version import code_version

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "diagnosis"
NOISE_RATES = (0.1, 0.2, 0.4, 0.6, 0.8)
NOISES = ("uniform", "delta 0.5", "delta 1", "random matrix")
SIZES = {"mnist": 10_000, "digits": 1_437}
HUMAN = ("cifar10n/worse", 20_000, "conv4")
METHODS = {"dilution": ("noise_rate", "low", "high"), "cleanlab": ("cleanlab_noise_rate",) * 3}
"""Method → columns of its estimate and of the ends of its interval."""


def random_matrix(noise_rate: float, classes: int, seed: int) -> np.ndarray:
    """Return T with wrong labels spread at random; the right label of each class is the most frequent.

    Otherwise labels alone cannot show which name belongs to which class, and no method can estimate T.
    """
    random = np.random.default_rng(seed)
    rows = np.full((classes, classes), 1 - noise_rate)
    for true in range(classes):
        while True:
            wrong = noise_rate * random.dirichlet(np.ones(classes - 1))
            if wrong.max() < 1 - noise_rate:
                break
        rows[true, np.arange(classes) != true] = wrong
    return rows


def noise_model(name: str, noise_rate: float, classes: int, seed: int) -> tuple[LabelNoise, dict[str, float]]:
    """Return a noise model and the setting that gives it this noise rate."""
    if name == "uniform":
        return uniform(), {"eta": noise_rate}
    if name.startswith("delta"):
        return structured(float(name.split()[1])), {"eta": noise_rate}
    alpha, added = alpha_for_matrix(random_matrix(noise_rate, classes, seed))
    return matrix(added), {"alpha": alpha}


def known_noise(name: str, noise: str, noise_rate: float, seed: int) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """Return images with noisy labels, the true labels, and T."""
    data = dilution.load(name).train
    model, level = noise_model(noise, noise_rate, len(data.classes), seed)
    noisy = dilution.Dilution(data, noise=model, label_mode="replaced", n=SIZES[name], seed=seed, **level)
    clean = data.subset(noisy.clean_rows)
    labels = noisy.labels(torch.arange(noisy.n))
    return Arrays(clean.images, labels, data.classes), clean.labels.numpy(), noisy.overall


def human_labels(name: str, n: int) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """Return images with human labels, the true labels, and T as counted."""
    data = dilution.load(name).train
    subset = data.subset(torch.arange(n))
    assert subset.observed is not None
    counts = np.zeros((len(data.classes),) * 2)
    np.add.at(counts, (subset.labels.numpy(), subset.observed.numpy()), 1)
    transition = counts / counts.sum(axis=1, keepdims=True)
    return Arrays(subset.images, subset.observed, data.classes), subset.labels.numpy(), transition


def measure(noisy: Arrays, true: np.ndarray, transition: np.ndarray, **settings: object) -> dict[str, object]:
    """Diagnose, and compare with the true labels and T, which the diagnosis does not get."""
    started = time.perf_counter()
    diagnosis = dilution.diagnose(noisy, **settings)
    seconds = time.perf_counter() - started
    cross_validation, rate, delta = (
        diagnosis.cross_validation, diagnosis.noise_rate, diagnosis.noise_pattern.delta,
    )  # fmt: skip
    cleanlab, cleanlab_prior = cleanlab_transition(cross_validation.pred_probs, diagnosis.labels)
    is_wrong = diagnosis.labels != true
    issues = diagnosis.label_issues["index"].to_numpy(dtype=np.int64)
    predicted = diagnosis.fit.class_probs.argmax(axis=1)
    return {
        "true_noise_rate": float(is_wrong.mean()),
        "noise_rate": rate.value,
        "low": rate.low,
        "high": rate.high,
        "transition_error": float(np.abs(diagnosis.fit.transition - transition).mean()),
        "cleanlab_noise_rate": 1 - float(cleanlab_prior @ np.diag(cleanlab)),
        "cleanlab_transition_error": float(np.abs(cleanlab - transition).mean()),
        "disagreement": float((cross_validation.pred_probs.argmax(axis=1) != diagnosis.labels).mean()),
        "pattern": diagnosis.noise_pattern.kind,
        "delta": delta.value,
        "delta_low": delta.low,
        "delta_high": delta.high,
        "class_similarity": diagnosis.class_similarity.kind,
        "similarity_correlation": diagnosis.class_similarity.correlation.value,
        "class_conditional_p_value": diagnosis.class_conditional_p_value,
        "accuracy": float((predicted == true).mean()),
        "label_issues_wrong": float(is_wrong[issues][: int(is_wrong.sum())].mean()),
        "model": cross_validation.model,
        "epochs": cross_validation.epochs,
        "seconds": seconds,
        "code": code_version(),
        "machine": machine(),
    }


def cases() -> list[tuple[str, str, float]]:
    """Return data set, noise and noise rate of every case; digits come first because they are quick."""
    known = [(name, noise, rate) for name in ("digits", "mnist") for rate in NOISE_RATES for noise in NOISES]
    return [*known, (HUMAN[0], "human", float("nan"))]


def run() -> None:
    """Measure the missing cases, and write each when it is done."""
    path = FOLDER / "cases.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    finished = {(row["data"], row["noise"], f"{row['requested_noise_rate']:.3g}") for row in rows}
    for number, (name, noise, noise_rate) in enumerate(cases()):
        if (name, noise, f"{noise_rate:.3g}") in finished:
            continue
        print(f"{name}, {noise}, noise rate {noise_rate:g}", flush=True)
        if noise == "human":
            n, model = HUMAN[1:]
            result = measure(*human_labels(name, n), model=model, repeats=1, precision="bfloat16")
        else:
            n = SIZES[name]
            result = measure(
                *known_noise(name, noise, noise_rate, seed=number), seed=number, precision="bfloat16"
            )
        case = {"data": name, "n": n, "noise": noise, "requested_noise_rate": noise_rate, "seed": number}
        rows.append(case | result)
        FOLDER.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False, float_format="%.5g")
        print(f"    true {result['true_noise_rate']:.3f}, estimated {result['noise_rate']:.3f}", flush=True)


def page() -> str:
    """Return the page, from the table alone."""
    table = pd.read_csv(FOLDER / "cases.csv")
    true = table["true_noise_rate"]
    table["covered"] = (table["low"] <= true) & (true <= table["high"])
    table["error"] = (table["noise_rate"] - true).abs()
    table["cleanlab_error"] = (table["cleanlab_noise_rate"] - true).abs()
    table["disagreement_error"] = (table["disagreement"] - true).abs()
    code, machines = sorted(set(table["code"])), sorted(set(table["machine"]))
    return "\n".join(
        [
            "# How accurate is `dilution diagnose`?",
            "",
            "`python benchmarks/diagnosis.py` writes this page from cases.csv. Each case has one label per "
            "image and a known share of wrong labels; the diagnosis gets only the noisy labels. In random "
            "matrices the right label of each class is the most frequent one; otherwise labels alone cannot "
            "show which name belongs to which class.",
            "",
            *_summary(table),
            "",
            "![estimated against true noise rate](rates.png)",
            "",
            *small_folders(),
            *label_issues(),
            "## Compared with cleanlab on the same predictions",
            "",
            "Mean absolute errors of the noise rate and of T. *Disagreement* is the share of labels that "
            "differ from the predicted class.",
            "",
            *_comparison(table),
            "",
            "## All cases",
            "",
            *_all_cases(table),
            "",
            "✕ marks an interval without the true noise rate. *Label issues that are wrong* is the share of "
            "wrong labels among as many label issues as there are wrong labels. Measured with dilution "
            f"{', '.join(code)} on {'; '.join(machines)}.",
            "",
        ]
    )


def small_folders() -> list[str]:
    """Return the lines on small folders of photographs; none before they are measured."""
    if not SMALL_FOLDERS.exists():
        return []
    table = pd.read_csv(SMALL_FOLDERS)
    alone = table[~table["features_remembered"]]
    return [
        "## Small folders of photographs",
        "",
        "`python benchmarks/small_folders.py` writes small_folders.csv: folders of up to 400 photographs, of "
        "which 10 to 40 % are misplaced, evenly or mostly into one class, diagnosed with features of "
        "efficientnet-lite0. That network was trained on ImageNet's labels, so its photographs are an "
        "optimistic case. *Error* is the mean absolute error of the noise rate; *uncorrected* is without the "
        "subtraction of the excess that planted noise shows. A folder takes "
        f"{alone['cpu_seconds'].mean():.0f} seconds of one core, most of them for the features.",
        "",
        *summary(table).splitlines(),
        "",
    ]


def label_issues() -> list[str]:
    """Return the lines on probabilities of label issues; none before they are measured."""
    if not LABEL_ISSUES.exists():
        return []
    table = pd.read_csv(LABEL_ISSUES)
    without = table[~table["learned"].astype(bool)]["labels"].sum()
    return [
        "## How often label issues are wrong",
        "",
        "`python benchmarks/label_issues.py` writes label_issues.csv: tables of up to 1,000 rows with 20 to "
        "40 % wrong labels, and folders of photographs as above. *Mean p_wrong* is what the diagnosis says, "
        "*wrong* what is true. Labels alone do not show whether classes overlap, so that labels of clear "
        "classes are doubted less than they should be, and others more. Diagnoses without an estimate are "
        f"left out ({without:,} of {table['labels'].sum():,} labels). The rule for p_wrong was chosen on "
        "other draws of the same tables.",
        "",
        *label_issue_tables(table),
        "",
    ]


def _summary(table: pd.DataFrame) -> list[str]:
    """Return the lines of the table of targets."""
    known = table[table["noise"] != "human"]
    up_to_06 = known[known["requested_noise_rate"] <= 0.6].groupby("data")["transition_error"].mean()
    large = known[known["data"] == "mnist"]
    lines = [
        "| what | measured | target |",
        "|---|---|---|",
        f"| 95 % intervals that contain the true noise rate | {known['covered'].sum()} of {len(known)} | "
        "90 % of 40 |",
        f"| mean absolute error of the noise rate, n = 10,000 | {large['error'].mean():.4f} | 0.02 |",
        f"| mean absolute error of T, noise rate up to 0.6, n = 10,000 | {up_to_06['mnist']:.4f} | 0.02 |",
        f"| mean absolute error of T, noise rate up to 0.6, digits | {up_to_06['digits']:.4f} | 0.02 |",
    ]
    for _, row in table[table["noise"] == "human"].iterrows():
        lines.append(
            f"| noise rate of {row['data']}, true {row['true_noise_rate']:.3f} | {row['noise_rate']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}] | within 0.05 |"
        )
    return lines


def _comparison(table: pd.DataFrame) -> list[str]:
    """Return the lines of the table of errors of dilution and of cleanlab."""
    lines = [
        "| data | noise rate | dilution, noise rate | cleanlab, noise rate | disagreement, noise rate | "
        "dilution, T | cleanlab, T |",
        "|---|---|---|---|---|---|---|",
    ]
    errors = [
        "error", "cleanlab_error", "disagreement_error", "transition_error", "cleanlab_transition_error",
    ]  # fmt: skip
    for (name, requested), part in table.groupby(["data", "requested_noise_rate"], dropna=False):
        rate = f"{part['true_noise_rate'].mean():.2f}" if np.isnan(requested) else f"{requested:g}"
        means = " | ".join(f"{error:.3f}" for error in part[errors].mean())
        lines.append(f"| {name} | {rate} | {means} |")
    return lines


def _all_cases(table: pd.DataFrame) -> list[str]:
    """Return the lines of the table of all cases."""
    lines = [
        "| data | noise | true noise rate | estimate | 95 % interval | cleanlab | error of T | pattern | "
        "skew δ | label issues that are wrong | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for _, row in table.iterrows():
        estimate = "none" if np.isnan(row["noise_rate"]) else f"{row['noise_rate']:.3f}"
        lines.append(
            f"| {row['data']} | {row['noise']} | {row['true_noise_rate']:.3f} | {estimate} | "
            f"{row['low']:.3f} to {row['high']:.3f}{'' if row['covered'] else ' ✕'} | "
            f"{row['cleanlab_noise_rate']:.3f} | {row['transition_error']:.4f} | {row['pattern']} | "
            f"{row['delta']:.2f} | {row['label_issues_wrong']:.0%} | {row['seconds']:.0f} |"
        )
    return lines


def plot() -> None:
    """Draw estimated against true noise rates, of dilution and of cleanlab."""
    table = pd.read_csv(FOLDER / "cases.csv")
    with style():
        figure, axes = new_figure(columns=2, height=3.6)
        for axis, method in zip(axes, METHODS, strict=True):
            _draw(axis, method, table)
        legend(axes[0], loc="upper left")
    save(figure, FOLDER, "rates", ("png",))


def _draw(axis: Axes, method: str, table: pd.DataFrame) -> None:
    axis.plot([0, 0.9], [0, 0.9], color="#8a8a8a", lw=0.9)
    for index, (name, part) in enumerate(table.groupby("data")):
        value, low, high = (part[column] for column in METHODS[method])
        axis.errorbar(
            part["true_noise_rate"],
            value,
            yerr=[value - low, high - value],
            fmt=MARKERS[index],
            color=COLOURS[index],
            label=name,
            elinewidth=1.0,
            capsize=2,
            ms=4.5,
        )
    axis.set_title(method)
    axis.set_xlabel("true noise rate η")
    axis.set_ylabel("estimated noise rate")


def main() -> None:
    """Measure, then write the page and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", action="store_true", help="write only the page, from the measurements")
    if not parser.parse_args().page:
        run()
    if not (FOLDER / "cases.csv").exists():
        sys.exit("there are no measurements yet: run python benchmarks/diagnosis.py")
    plot()
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
