"""Is `dilution plan` right? A small pilot predicts the n of larger noise; a search measures it.

On MNIST the pilot has at most 4,000 clean examples and noise up to α = 10; asked are the clean examples for
90 % and 95 % at α = 20 and 50. Then each n is searched by training, up to all images. On CIFAR-10 the
exponent of the price law alone. Resumes; stores lie in results/, the page and its tables in
docs/results/plan:

    python benchmarks/planning.py                   # an hour on two cores
    python benchmarks/planning.py --device cuda     # minutes on a GPU
    python benchmarks/planning.py --page            # the page alone
"""

import argparse
from pathlib import Path

import pandas as pd
from table import machine

import dilution
from dilution.figures.threshold_search import first_n, next_n, snap
from dilution.figures.thresholds import crossing
from dilution.planning.pilot import Scope
from dilution.study import Study
from dilution.training import device_title, resolve_device
from dilution.utils.version import code_version

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results" / "plan"
STORE = ROOT / "results" / "plan.sqlite"
MODEL, PRECISION = "conv4", "bfloat16"
HOW = {"model": MODEL, "precision": PRECISION, "store": STORE}
GOALS = ((0.9, 20.0), (0.9, 50.0), (0.95, 20.0), (0.95, 50.0))
CIFAR = (0.5, 5.0)
KNOWN, MOST, APART = 1.2, 16, 1.4
"""The factor within which a measured n is to be known, the runs that may take, their distance from it."""


def predict(**where: object) -> None:
    """Plan each goal from its pilot."""
    rows, prices = [], []
    for target, alpha in GOALS:
        found = dilution.plan("mnist", target=target, alpha=alpha, **HOW, **where)
        answer, runs = found.same, found.runs
        rows.append(
            {
                "target": target,
                "alpha": alpha,
                "n": answer.value / (1 + alpha),
                "low": answer.low / (1 + alpha),
                "high": answer.high / (1 + alpha),
                "refused": answer.refused,
                "runs": len(runs),
                "largest_n": int(runs["n"].max()),
                "largest_alpha": float(runs["alpha"].max()),
                "devices": ", ".join(sorted(set(runs["device"]))),
                "code": code_version(),
                "machine": f"{machine()}, {device_title(resolve_device(str(where['device'])).type)}",
            }
        )
        prices.append(found.prices.assign(data="mnist", target=target))
    target, alpha = CIFAR
    found = dilution.plan("cifar10", target=target, alpha=alpha, **HOW, **where)
    prices.append(found.prices.assign(data="cifar10", target=target))
    FOLDER.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(FOLDER / "predicted.csv", index=False, float_format="%.6g")
    pd.concat(prices).to_csv(FOLDER / "prices.csv", index=False, float_format="%.5g")


def search(**where: object) -> None:
    """Measure the n of each goal: search it, and train near it until it is known or has cost enough."""
    largest = len(dilution.load("mnist").train)
    scope = Scope("mnist", MODEL, largest, (0.0, 50.0), precision=PRECISION)
    name = "plan/measured"
    runs = []
    done = pd.DataFrame()
    for target, alpha in GOALS:
        sizes, seed = [first_n(alpha, 50.0, largest)], 100
        while sizes:
            runs += [scope.run(n, alpha, seed + place) for place, n in enumerate(sizes)]
            seed += len(sizes)
            done = dilution.run(Study.of(name, runs), store=STORE, **where)
            here = done[done["alpha"] == alpha]
            n = next_n(here, target, largest)
            sizes = [n] if n is not None else around(here, target, largest)
    rows = []
    for target, alpha in GOALS:
        found = crossing(done[done["alpha"] == alpha], target)
        if found is not None:
            rows.append((target, alpha, found.n, found.low, found.high, found.runs))
    columns = ["target", "alpha", "n", "low", "high", "runs"]
    pd.DataFrame(rows, columns=columns).to_csv(FOLDER / "measured.csv", index=False, float_format="%.6g")
    done.to_csv(FOLDER / "measured-runs.csv", index=False)


def around(done: pd.DataFrame, target: float, largest: int) -> list[int]:
    """Return two n on either side of the crossing, while it is not known well; the search itself is cheap."""
    found = crossing(done, target)
    if found is None or found.runs >= MOST or found.high <= found.low * KNOWN**2:
        return []
    return [snap(min(found.n * side, largest), largest) for side in (1 / APART, APART)]


def page() -> str:
    """Return the page, from the tables alone."""
    predicted, measured = (pd.read_csv(FOLDER / f"{name}.csv") for name in ("predicted", "measured"))
    prices = pd.read_csv(FOLDER / "prices.csv")
    both = predicted.merge(measured, on=["target", "alpha"], suffixes=("", "_measured"))
    inside = (both["low"] <= both["n_measured"]) & (both["n_measured"] <= both["high"])
    ratio = both["n"] / both["n_measured"]
    close = (ratio < 1.3) & (ratio > 1 / 1.3)
    lines = [
        "# Is `dilution plan` right?",
        "",
        "Written by `python benchmarks/planning.py`. The pilot on MNIST has at most "
        f"{predicted['largest_n'].max():,} clean images and noise up to α = "
        f"{predicted['largest_alpha'].max():g}, {predicted['runs'].min()} to {predicted['runs'].max()} "
        f"runs of {MODEL}. What it predicts was then measured by a search with up to all images.",
        "",
        f"{inside.sum()} of {len(both)} measured n lie in the 80 % interval (target: 3 of 4); "
        f"{close.sum()} of {len(both)} predictions are within a factor of 1.3 (target: all).",
        "",
        "| accuracy | α | predicted n | 80 % interval | measured n | 95 % interval | predicted / measured |",
        "|---|---|---|---|---|---|---|",
    ]
    for (_, row), factor in zip(both.iterrows(), ratio, strict=True):
        lines.append(
            f"| {row['target']:.0%} | {row['alpha']:g} | {row['n']:,.0f} | {row['low']:,.0f} to "
            f"{row['high']:,.0f} | {row['n_measured']:,.0f} | {row['low_measured']:,.0f} to "
            f"{row['high_measured']:,.0f} | {factor:.2f} |"
        )
    lines += [
        "",
        "## The price of a label",
        "",
        "A label of noise level α is worth 1/(1 + α)^p of a clean one; theory has p = 2. Medians and 80 % "
        "intervals.",
        "",
        "| data | accuracy asked | α | worth, theory | worth, measured | p |",
        "|---|---|---|---|---|---|",
    ]
    for _, row in prices.iterrows():
        lines.append(
            f"| {row['data']} | {row['target']:.0%} | {row['alpha']:g} | {row['theory']:.4g} | "
            f"{row['mean']:.3g} [{row['low']:.3g}, {row['high']:.3g}] | {row['exponent']:.2f} "
            f"[{row['exponent_low']:.2f}, {row['exponent_high']:.2f}] |"
        )
    code, where = sorted(set(predicted["code"])), sorted(set(predicted["machine"]))
    devices = sorted(set(", ".join(predicted["devices"]).split(", ")))
    made = f"Code: {', '.join(code)}; machine: {'; '.join(where)}; pilots trained on: {', '.join(devices)}."
    return "\n".join([*lines, "", made, ""])


def main() -> None:
    """Predict, measure, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", action="store_true", help="write the page from what was measured")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--workers", type=int, help="processes at once")
    given = parser.parse_args()
    if not given.page:
        where = {"device": given.device, "workers": given.workers}
        predict(**where)
        search(**where)
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
