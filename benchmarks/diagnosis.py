"""Is `dilution diagnose` right? Known noise on MNIST and digits, human noise on CIFAR-10N, cleanlab beside
it.

Each case is a data set, a kind of noise and a rate; labels are replaced, one for each image. The cases that
`docs/results/diagnosis/cases.csv` holds already are not repeated. The page beside it is written from that
file:

    python benchmarks/diagnosis.py            # all cases; two hours on two cores
    python benchmarks/diagnosis.py --page     # the page alone
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from table import machine

import dilution
from dilution.data import Arrays
from dilution.diagnosis import cleanlab_matrix
from dilution.noise import LabelNoise, alpha_for_matrix, matrix, structured, uniform
from dilution.report.style import COLOURS, MARKERS, legend, new_figure, save, style
from dilution.utils.version import code_version

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "diagnosis"
RATES = (0.1, 0.2, 0.4, 0.6, 0.8)
KINDS = ("uniform", "delta 0.5", "delta 1", "random matrix")
SIZES = {"mnist": 10_000, "digits": 1_437}
HUMAN = ("cifar10n/worse", 20_000, "conv4")


def random_matrix(rate: float, classes: int, seed: int) -> np.ndarray:
    """Return T whose false labels are spread at random, with right labels the commonest of each class.

    Where they are not, labels alone cannot say which name a class has, and no method can know its rate.
    """
    random = np.random.default_rng(seed)
    rows = np.full((classes, classes), 1 - rate)
    for true in range(classes):
        while True:
            false = rate * random.dirichlet(np.ones(classes - 1))
            if false.max() < 1 - rate:
                break
        rows[true, np.arange(classes) != true] = false
    return rows


def noise_of(kind: str, rate: float, classes: int, seed: int) -> tuple[LabelNoise, dict[str, float]]:
    """Return a noise model and the setting that gives it the rate."""
    if kind == "uniform":
        return uniform(), {"eta": rate}
    if kind.startswith("delta"):
        return structured(float(kind.split()[1])), {"eta": rate}
    alpha, added = alpha_for_matrix(random_matrix(rate, classes, seed))
    return matrix(added), {"alpha": alpha}


def replaced(name: str, kind: str, rate: float, seed: int) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """Return images with noisy labels, the right labels, and T."""
    data = dilution.load(name).train
    noise, level = noise_of(kind, rate, len(data.classes), seed)
    noisy = dilution.Dilution(data, noise=noise, label_mode="replaced", n=SIZES[name], seed=seed, **level)
    chosen = data.subset(noisy.clean_rows)
    labels = noisy.labels(torch.arange(noisy.n))
    return Arrays(chosen.images, labels, data.classes), chosen.labels.numpy(), noisy.overall


def human(name: str, n: int) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """Return images with labels that people gave, the right labels, and T as counted."""
    data = dilution.load(name).train
    chosen = data.subset(torch.arange(n))
    assert chosen.observed is not None
    counts = np.zeros((len(data.classes),) * 2)
    np.add.at(counts, (chosen.labels.numpy(), chosen.observed.numpy()), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return Arrays(chosen.images, chosen.observed, data.classes), chosen.labels.numpy(), shares


def measure(arrays: Arrays, right: np.ndarray, true: np.ndarray, **how: object) -> dict[str, object]:
    """Diagnose, and compare with the truth that the diagnosis did not see."""
    started = time.perf_counter()
    found = dilution.diagnose(arrays, say=lambda line: print("   ", line, flush=True), **how)
    seconds = time.perf_counter() - started
    theirs, prior = cleanlab_matrix(found.held_out.probabilities, found.labels)
    delta = found.shape.delta
    return {
        "true_rate": float((found.labels != right).mean()),
        "lr": found.rate.value,
        "low": found.rate.low,
        "high": found.rate.high,
        "matrix_error": float(np.abs(found.found.matrix - true).mean()),
        "cleanlab_rate": 1 - float(prior @ np.diag(theirs)),
        "cleanlab_matrix_error": float(np.abs(theirs - true).mean()),
        "disagreement": float((found.held_out.probabilities.argmax(axis=1) != found.labels).mean()),
        "shape": found.shape.kind,
        "delta": delta.value,
        "delta_low": delta.low,
        "delta_high": delta.high,
        "targets": found.order.kind,
        "order_correlation": found.order.correlation.value,
        "misfit": found.misfit,
        "accuracy": float((found.found.posterior.argmax(axis=1) == right).mean()),
        "suspects_right": _precision(found.suspects, found.labels != right),
        "model": found.held_out.model,
        "epochs": found.held_out.epochs,
        "seconds": seconds,
        "code": code_version(),
        "machine": machine(),
    }


def _precision(suspects: pd.DataFrame, wrong: np.ndarray) -> float:
    """Return which share of as many suspects as there are wrong labels is wrong."""
    return float(wrong[suspects["row"].to_numpy(dtype=np.int64)][: int(wrong.sum())].mean())


def cases() -> list[tuple[str, str, float]]:
    """Return data, kind and rate of every case, those of digits first: they are quick."""
    known = [(name, kind, rate) for name in ("digits", "mnist") for rate in RATES for kind in KINDS]
    return [*known, (HUMAN[0], "human", float("nan"))]


def run() -> None:
    """Measure the cases that are missing, and write each as it comes."""
    path = FOLDER / "cases.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(row["data"], row["noise"], f"{row['asked']:.3g}") for row in rows}
    for number, (name, kind, rate) in enumerate(cases()):
        if (name, kind, f"{rate:.3g}") in done:
            continue
        print(f"{name}, {kind}, rate {rate:g}", flush=True)
        if kind == "human":
            found = measure(*human(*HUMAN[:2]), model=HUMAN[2], repeats=1, precision="bfloat16")
        else:
            found = measure(*replaced(name, kind, rate, seed=number), seed=number, precision="bfloat16")
        n = HUMAN[1] if kind == "human" else SIZES[name]
        rows.append({"data": name, "n": n, "noise": kind, "asked": rate, "seed": number} | found)
        FOLDER.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, index=False, float_format="%.5g")
        print(f"    true {found['true_rate']:.3f}, found {found['lr']:.3f}", flush=True)


def page() -> str:
    """Return the page, from the table alone."""
    found = pd.read_csv(FOLDER / "cases.csv")
    found["covers"] = (found["low"] <= found["true_rate"]) & (found["true_rate"] <= found["high"])
    found["error"] = (found["lr"] - found["true_rate"]).abs()
    found["cleanlab_error"] = (found["cleanlab_rate"] - found["true_rate"]).abs()
    known = found[found["noise"] != "human"]
    large = known[known["n"] == SIZES["mnist"]]
    lines = [
        "# Is `dilution diagnose` right?",
        "",
        "Written by `python benchmarks/diagnosis.py`, from cases.csv. Each case has one label for each "
        "image, a known share of them wrong; the diagnosis sees the noisy labels alone. Random "
        "matrices have right labels the commonest of each class: where they are not, labels alone cannot "
        "say which name a class has.",
        "",
        "| what | measured | target |",
        "|---|---|---|",
        f"| 95 % intervals that hold the true rate | {known['covers'].sum()} of {len(known)} | 90 % of 40 |",
        f"| mean absolute error of the rate, n = 10,000 | {large['error'].mean():.4f} | 0.02 |",
        "| mean absolute error of T up to rate 0.6, n = 10,000 | "
        f"{large[large['asked'] <= 0.6]['matrix_error'].mean():.4f} | 0.02 |",
        f"| the same on digits | {_small(known):.4f} | 0.02 |",
    ]
    for _, row in found[found["noise"] == "human"].iterrows():
        lines.append(
            f"| rate of {row['data']}, true {row['true_rate']:.3f} | {row['lr']:.3f} [{row['low']:.3f}, "
            f"{row['high']:.3f}] | within 0.05 |"
        )
    lines += [
        "",
        "![estimated against true rate](rates.png)",
        "",
        "## Beside cleanlab, on the same predictions",
        "",
    ]
    lines += [
        "Mean absolute errors of the rate and of T. *Disagreement* counts the labels that the networks "
        "contradict.",
        "",
        "| data | rate | ours, rate | cleanlab, rate | disagreement, rate | ours, T | cleanlab, T |",
        "|---|---|---|---|---|---|---|",
    ]
    found["disagreement_error"] = (found["disagreement"] - found["true_rate"]).abs()
    measures = ["error", "cleanlab_error", "disagreement_error", "matrix_error", "cleanlab_matrix_error"]
    for (name, asked), part in found.groupby(["data", "asked"], dropna=False):
        label = f"{part['true_rate'].mean():.2f}" if asked != asked else f"{asked:g}"
        lines.append(f"| {name} | {label} | " + " | ".join(f"{v:.3f}" for v in part[measures].mean()) + " |")
    lines += ["", "## Every case", ""]
    lines += [
        "| data | noise | true rate | found | 95 % interval | cleanlab | error of T | shape | skew δ | "
        "suspects that are wrong | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for _, row in found.iterrows():
        lines.append(
            f"| {row['data']} | {row['noise']} | {row['true_rate']:.3f} | {row['lr']:.3f} | "
            f"{row['low']:.3f} to {row['high']:.3f}{'' if row['covers'] else ' ✕'} | "
            f"{row['cleanlab_rate']:.3f} | {row['matrix_error']:.4f} | {row['shape']} | "
            f"{row['delta']:.2f} | {row['suspects_right']:.0%} | {row['seconds']:.0f} |"
        )
    code, where = sorted(set(found["code"])), sorted(set(found["machine"]))
    lines += [
        "",
        "✕ marks an interval that misses the true rate. Suspects: of as many as there are wrong labels, "
        f"the share that is wrong. Code: {', '.join(code)}; machine: {'; '.join(where)}.",
        "",
    ]
    return "\n".join(lines)


def _small(known: pd.DataFrame) -> float:
    part = known[(known["data"] == "digits") & (known["asked"] <= 0.6)]
    return float(part["matrix_error"].mean())


def plot() -> None:
    """Draw the rate found against the true one, ours and cleanlab's."""
    found = pd.read_csv(FOLDER / "cases.csv")
    with style():
        figure, axes = new_figure(columns=2, height=3.6)
        for axis, (who, columns) in zip(
            axes,
            {"dilution": ("lr", "low", "high"), "cleanlab": ("cleanlab_rate",) * 3}.items(),
            strict=True,
        ):
            axis.plot([0, 0.9], [0, 0.9], color="#8a8a8a", lw=0.9)
            for index, (name, part) in enumerate(found.groupby("data")):
                value, low, high = (part[column] for column in columns)
                axis.errorbar(
                    part["true_rate"],
                    value,
                    yerr=[value - low, high - value],
                    fmt=MARKERS[index],
                    color=COLOURS[index],
                    label=name,
                    elinewidth=1.0,
                    capsize=2,
                    ms=4.5,
                )
            axis.set_title(who)
            axis.set_xlabel("true noise rate η")
            axis.set_ylabel("noise rate found")
        legend(axes[0], loc="upper left")
    save(figure, FOLDER, "rates", ("png",))


def main() -> None:
    """Measure, then write page and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", action="store_true", help="write the page from what was measured")
    if not parser.parse_args().page:
        run()
    if not (FOLDER / "cases.csv").exists():
        sys.exit("nothing was measured yet: run python benchmarks/diagnosis.py")
    plot()
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
