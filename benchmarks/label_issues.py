"""Measure how often label issues are wrong: `p_wrong` of `dilution diagnose` beside known wrong labels.

Cases are the ten tables of `benchmarks/fit.py` with noise, and the folders of misplaced photographs of
`benchmarks/small_folders.py`. The rule for `p_wrong` was chosen on other draws (docs/log.md): tables with
seeds below 2, and folders of other sizes. Cases that `docs/results/diagnosis/label_issues.csv` has are not
repeated; `python benchmarks/diagnosis.py --page` writes the page.

    python benchmarks/label_issues.py --seeds 2
    python benchmarks/label_issues.py --cifar10 cifar10-jpeg.zip --imagenet imagenet-sample.zip

The table has a row per case and bin of `p_wrong`.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import fit
import numpy as np
import pandas as pd
import small_folders
from numpy.typing import NDArray
from table import machine

import dilution
from dilution.utils.version import code_version

FILE = Path(__file__).parents[1] / "docs" / "results" / "diagnosis" / "label_issues.csv"
EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.97, 1.0)
"""Bins of p_wrong; each is open below and closed above, but the first one has 0."""

NOISES = (("uniform", 0.2), ("skewed", 0.3), ("uniform", 0.4))
FOLDERS = range(40, 46)  # seeds that small_folders.csv does not have
_CLEANED = 0.7  # default of --clean drop and relabel


def bins(p_wrong: NDArray[np.float64], is_wrong: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return a row per bin with labels in it: how many, their mean p_wrong, and how many are wrong."""
    numbers = np.searchsorted(EDGES[1:-1], p_wrong, side="left")
    return [
        {
            "above": EDGES[number],
            "labels": int((numbers == number).sum()),
            "mean_p_wrong": float(p_wrong[numbers == number].mean()),
            "wrong": int(is_wrong[numbers == number].sum()),
        }
        for number in np.unique(numbers)
    ]


def measure(case: dict[str, Any], data: Any, true: dict[str, str], **settings: Any) -> list[dict[str, Any]]:
    """Return the rows of a case; `true` has the class of each id."""
    diagnosis = dilution.diagnose(
        data, seed=int(case["seed"]), execution=dilution.Execution(workers=0, progress=False), **settings
    )
    issues = diagnosis.label_issues
    is_wrong = (issues["given_label"] != issues["id"].astype(str).map(true)).to_numpy()
    case = case | {"learned": diagnosis.learned, "doubt": 1 - diagnosis.fit.class_probs.max(axis=1).mean()}
    rows = bins(issues["p_wrong"].to_numpy(), is_wrong)
    return [case | row | {"machine": machine(), "code": code_version()} for row in rows]


def tables(seeds: list[int]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each case of the tables, and a function that measures it."""
    for seed in seeds:
        for noise, noise_rate in NOISES:
            for name in fit.TABLES:
                kind = "uniform" if name in fit.TWO_CLASSES else noise
                case = {"data": name, "noise": kind, "noise_rate": noise_rate, "seed": seed}
                yield case, lambda case=case, name=name: _measure_table(case, name)


def _measure_table(case: dict[str, Any], name: str) -> list[dict[str, Any]]:
    table = fit.load(name)
    features, labels, _, _ = fit.make_case(table, case["noise"], case["noise_rate"], case["seed"])
    true = fit.training_classes(table, case["noise"], case["noise_rate"], case["seed"])
    return measure(case, (features, labels), {str(row): str(label) for row, label in enumerate(true)})


def folders(source: str, photographs: small_folders.Photographs) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each folder of photographs of a source, and a function that measures it."""
    remembered = small_folders.Remembered()
    class_of = {
        hashlib.sha256(content).hexdigest()[:16]: name
        for name, contents in photographs.items()
        for content in contents
    }
    for seed in FOLDERS:
        case = {"data": f"photographs, {source}", "noise": "misplaced", "noise_rate": np.nan, "seed": seed}
        yield case, lambda case=case: _measure_folder(case, source, photographs, class_of, remembered)


def _measure_folder(
    case: dict[str, Any],
    source: str,
    photographs: small_folders.Photographs,
    class_of: dict[str, str],
    remembered: small_folders.Remembered,
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as root:
        known = small_folders.write_folder(Path(root), photographs, source, case["seed"])
        paths = [path.relative_to(root).as_posix() for path in Path(root).rglob("*.jpg")]
        true = {path: class_of[Path(path).stem] for path in paths}
        case = case | {"noise": known["noise"], "noise_rate": known["requested_noise_rate"]}
        return measure(case, root, true, features=remembered)


def summary(table: pd.DataFrame) -> list[str]:
    """Return the tables of the page in Markdown: by bin of p_wrong, and by data."""
    table = table[table["learned"].astype(bool)]
    lines = ["| p_wrong | labels | mean p_wrong | wrong |", "|---|---|---|---|"]
    for above, below in pairwise(EDGES):
        part = table[np.isclose(table["above"], above)]
        lines.append(f"| {above:g} to {below:g} | {part['labels'].sum():,} | {_shares(part)} |")
    lines += [
        "",
        "| data | cases | label issues: mean p_wrong | wrong | wrong labels that are issues | "
        f"above {_CLEANED:g}: mean p_wrong | wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, part in [*table.groupby("data"), ("all", table)]:
        cases = len(part[["data", "noise", "noise_rate", "seed"]].drop_duplicates())
        issues, cleaned = part[part["above"] >= 0.5], part[part["above"] >= _CLEANED]
        recall = issues["wrong"].sum() / part["wrong"].sum()
        lines.append(f"| {name} | {cases} | {_shares(issues)} | {recall:.0%} | {_shares(cleaned)} |")
    return lines


def _shares(part: pd.DataFrame) -> str:
    """Return the mean p_wrong and the share of wrong labels as two cells."""
    n = part["labels"].sum()
    if not n:
        return "none | none"
    return f"{(part['mean_p_wrong'] * part['labels']).sum() / n:.1%} | {part['wrong'].sum() / n:.1%}"


def main() -> None:
    """Measure the cases that are not in the table yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="", help="seeds of the tables, such as 2,3")
    parser.add_argument("--cifar10", type=Path, help="zip file of CIFAR-10 as JPEGs")
    parser.add_argument("--imagenet", type=Path, help="zip file of one photograph per ImageNet class")
    arguments = parser.parse_args()
    cases = [*tables([int(seed) for seed in arguments.seeds.split(",") if seed])]
    if arguments.cifar10 is not None:
        cases += folders("CIFAR-10", small_folders.read_cifar10(arguments.cifar10))
    if arguments.imagenet is not None:
        cases += folders("ImageNet", small_folders.read_imagenet(arguments.imagenet))
    table = (
        pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=["data", "noise", "noise_rate", "seed"])
    )
    for case, run in cases:
        same = (table["data"] == case["data"]) & (table["seed"] == case["seed"])
        if not np.isnan(case["noise_rate"]):
            same &= (table["noise"] == case["noise"]) & np.isclose(table["noise_rate"], case["noise_rate"])
        if same.any():
            continue
        rows = pd.DataFrame(run())
        table = rows if table.empty else pd.concat([table, rows], ignore_index=True)
        table.to_csv(FILE, index=False, float_format="%.5g")
        print(case, f"{len(rows)} rows", flush=True)


if __name__ == "__main__":
    main()
