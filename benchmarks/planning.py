"""Measure the accuracy of `dilution plan`: a pilot predicts the n of larger noise, a search measures it.

On MNIST the pilot has at most 4,000 clean examples and noise up to α = 10. It predicts the number of clean
examples that 90 % and 95 % accuracy take at α = 20 and 50. A search with up to all images then measures each
n. On CIFAR-10 only the exponent of the value of a label is measured. Resumes; stores are in results/, the
page and its tables in docs/results/plan:

    python benchmarks/planning.py                   # an hour on two cores
    python benchmarks/planning.py --device cuda     # minutes on a GPU
    python benchmarks/planning.py --page            # only the page
"""

import argparse
from pathlib import Path

import pandas as pd
from table import machine

import dilution
from dilution.figures.threshold_search import first_n, next_n, snap
from dilution.figures.thresholds import crossing
from dilution.planning.pilot import PilotScope
from dilution.study import Study
from dilution.training import device_title, resolve_device
from dilution.utils.version import code_version

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results" / "plan"
STORE = ROOT / "results" / "plan.sqlite"
MODEL, PRECISION = "conv4", "bfloat16"
SETTINGS = {"model": MODEL, "precision": PRECISION, "store": STORE}
GOALS = ((0.9, 20.0), (0.9, 50.0), (0.95, 20.0), (0.95, 50.0))
CIFAR_GOAL = (0.5, 5.0)
PRECISE = 1.2
"""Factor within which a measured n is to be known."""
MAX_RUNS = 16
"""Most runs for a measured n."""
DISTANCE = 1.4
"""Factor between a crossing and the runs next to it."""


def predict(execution: dilution.Execution) -> None:
    """Plan each goal from its pilot, and write the predictions."""
    rows, values = [], []
    device = device_title(resolve_device(execution.device).type)
    for target, alpha in GOALS:
        plan = dilution.plan("mnist", target=target, alpha=alpha, execution=execution, **SETTINGS)
        runs = plan.runs
        rows.append(
            {
                "target": target,
                "alpha": alpha,
                "n": plan.n_same.value / (1 + alpha),
                "low": plan.n_same.low / (1 + alpha),
                "high": plan.n_same.high / (1 + alpha),
                "refusal": plan.n_same.refusal,
                "runs": len(runs),
                "largest_n": int(runs["n"].max()),
                "largest_alpha": float(runs["alpha"].max()),
                "devices": ", ".join(sorted(set(runs["device"]))),
                "code": code_version(),
                "machine": f"{machine()}, {device}",
            }
        )
        values.append(plan.label_values.assign(data="mnist", target=target))
    target, alpha = CIFAR_GOAL
    plan = dilution.plan("cifar10", target=target, alpha=alpha, execution=execution, **SETTINGS)
    values.append(plan.label_values.assign(data="cifar10", target=target))
    FOLDER.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(FOLDER / "predicted.csv", index=False, float_format="%.6g")
    pd.concat(values).to_csv(FOLDER / "label_values.csv", index=False, float_format="%.5g")


def search(execution: dilution.Execution) -> None:
    """Measure the n of each goal: search it, and train near it until it is known or has cost enough."""
    largest = len(dilution.load("mnist").train)
    scope = PilotScope("mnist", MODEL, largest, (0.0, 50.0), precision=PRECISION)
    runs = []
    table = pd.DataFrame()
    for target, alpha in GOALS:
        sizes, seed = [first_n(alpha, 50.0, largest)], 100
        while sizes:
            runs += [scope.run(n, alpha, seed + number) for number, n in enumerate(sizes)]
            seed += len(sizes)
            table = dilution.run(Study.of("plan/measured", runs), store=STORE, execution=execution)
            at_alpha = table[table["alpha"] == alpha]
            n = next_n(at_alpha, target, largest)
            sizes = [n] if n is not None else sizes_near_crossing(at_alpha, target, largest)
    rows = []
    for target, alpha in GOALS:
        fit = crossing(table[table["alpha"] == alpha], target)
        if fit is not None:
            rows.append((target, alpha, fit.n, fit.low, fit.high, fit.runs))
    columns = ["target", "alpha", "n", "low", "high", "runs"]
    pd.DataFrame(rows, columns=columns).to_csv(FOLDER / "measured.csv", index=False, float_format="%.6g")
    table.to_csv(FOLDER / "measured-runs.csv", index=False)


def sizes_near_crossing(table: pd.DataFrame, target: float, largest: int) -> list[int]:
    """Return an n on either side of the crossing until it is known precisely; the search itself is cheap."""
    fit = crossing(table, target)
    if fit is None or fit.runs >= MAX_RUNS or fit.high <= fit.low * PRECISE**2:
        return []
    return [snap(min(fit.n * factor, largest), largest) for factor in (1 / DISTANCE, DISTANCE)]


def page() -> str:
    """Return the page, from the tables alone."""
    predicted, measured = (pd.read_csv(FOLDER / f"{name}.csv") for name in ("predicted", "measured"))
    values = pd.read_csv(FOLDER / "label_values.csv")
    both = predicted.merge(measured, on=["target", "alpha"], suffixes=("", "_measured"))
    covered = (both["low"] <= both["n_measured"]) & (both["n_measured"] <= both["high"])
    ratios = both["n"] / both["n_measured"]
    close = (ratios < 1.3) & (ratios > 1 / 1.3)
    runs = sorted(set(predicted["runs"]))
    lines = [
        "# How accurate is `dilution plan`?",
        "",
        "`python benchmarks/planning.py` writes this page. The pilot on MNIST has at most "
        f"{predicted['largest_n'].max():,} clean examples and noise up to α = "
        f"{predicted['largest_alpha'].max():g}, in {' or '.join(map(str, runs))} runs of {MODEL}. A search "
        "with up to all images then measured what it predicts.",
        "",
        f"{covered.sum()} of {len(both)} measured n are in the 80 % interval (target: 3 of 4); "
        f"{close.sum()} of {len(both)} predictions are within a factor of 1.3 (target: all).",
        "",
        "| accuracy | α | predicted n | 80 % interval | measured n | 95 % interval | predicted / measured |",
        "|---|---|---|---|---|---|---|",
    ]
    for (_, row), ratio in zip(both.iterrows(), ratios, strict=True):
        lines.append(
            f"| {row['target']:.0%} | {row['alpha']:g} | {row['n']:,.0f} | {row['low']:,.0f} to "
            f"{row['high']:,.0f} | {row['n_measured']:,.0f} | {row['low_measured']:,.0f} to "
            f"{row['high_measured']:,.0f} | {ratio:.2f} |"
        )
    lines += [
        "",
        "## The value of a label",
        "",
        "A label of noise level α is worth 1/(1 + α)^p clean labels; theory: p = 2. Medians and 80 % "
        "intervals.",
        "",
        "| data | target accuracy | α | value, theory | value, measured | p |",
        "|---|---|---|---|---|---|",
    ]
    for _, row in values.iterrows():
        lines.append(
            f"| {row['data']} | {row['target']:.0%} | {row['alpha']:g} | {row['theory']:.4g} | "
            f"{row['mean']:.3g} [{row['low']:.3g}, {row['high']:.3g}] | {row['exponent']:.2f} "
            f"[{row['exponent_low']:.2f}, {row['exponent_high']:.2f}] |"
        )
    code, machines = sorted(set(predicted["code"])), sorted(set(predicted["machine"]))
    devices = sorted(set(", ".join(predicted["devices"]).split(", ")))
    lines += [
        "",
        f"Measured with dilution {', '.join(code)} on {'; '.join(machines)}; the pilots were trained on "
        f"{', '.join(devices)}.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Predict, measure, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", action="store_true", help="write only the page, from the measurements")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--workers", type=int, help="processes that train at once")
    arguments = parser.parse_args()
    if not arguments.page:
        execution = dilution.Execution(device=arguments.device, workers=arguments.workers)
        predict(execution)
        search(execution)
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
