"""Figure 8 at laptop scale on two hosts, simulated as two raylets here, and on one machine: the same table.

From the real MNIST; each way takes about twenty minutes on two cores. Resumes; the stores lie in results/.
Runs that one machine has trained on another day may be imported instead of trained again:

    dilution import docs/results/mnist-laptop/fig8-runs.csv --store results/hosts-mnist-laptop-local.sqlite
    python benchmarks/hosts.py

Writes benchmarks/results/hosts.csv.
"""

import argparse
import os
from pathlib import Path

import pandas as pd
from ray.cluster_utils import Cluster
from table import RESULTS as TABLE
from table import write

import dilution
from dilution.study.results import histories, table
from dilution.study.store import Store

RESULTS = Path(__file__).parents[1] / "results"
CIRCUMSTANCES = ["seconds", "group_size", "host", "versions", "started", "finished"]


def make(store: Path, dataset: str, scale: str, **where: object) -> None:
    """Make the figure; it resumes."""
    dilution.reproduce(
        "fig8", dataset=dataset, scale=scale, precision="bfloat16", store=store,
        out=RESULTS / store.stem, **where,
    )  # fmt: skip


def results(store: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what was measured, run by run and evaluation by evaluation, without when and where."""
    with Store(store) as opened:
        rows, n_evals = table(opened), histories(opened)
    by = rows.drop(columns=CIRCUMSTANCES).sort_values("key", ignore_index=True)
    return by, n_evals.sort_values(["key", "step"], ignore_index=True)


def main() -> None:
    """Make the figure in both ways, compare them and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--preset", default="laptop")
    given = parser.parse_args()
    name = f"hosts-{given.dataset}-{given.scale}"
    stores = {way: RESULTS / f"{name}-{way}.sqlite" for way in ("ray", "local")}
    RESULTS.mkdir(exist_ok=True)
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  (its name) or the raylets give way to whatever else runs here
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    try:
        make(stores["ray"], given.dataset, given.scale, executor="ray", address=cluster.address)
    finally:
        cluster.shutdown()
    make(stores["local"], given.dataset, given.scale)
    (ours, curves), (theirs, others) = (results(stores[way]) for way in ("ray", "local"))
    if not len(ours) == len(theirs) == ours["key"].isin(theirs["key"]).sum():
        raise SystemExit("the two ways trained other runs")
    both = ours.merge(theirs, on="key")
    differing = int((~same(both)).sum())
    imported = others.empty  # an export holds no evaluations
    agree = "" if imported else curves.equals(others)
    row = {
        "code": trained_by(stores["ray"]),
        "figure": "fig8", "dataset": given.dataset, "scale": given.scale, "runs": len(ours),
        "runs_that_differ": differing, "n_evals": len(curves), "evaluations_agree": agree,
        "local": "imported" if imported else "trained",
    }  # fmt: skip
    print(row)
    path = TABLE / "hosts.csv"
    kept = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["dataset"])
    others_made = kept[kept["dataset"] != given.dataset].fillna("").to_dict(orient="records")
    write("hosts", [row, *others_made])


def trained_by(store: Path) -> str:
    """Return the versions of the code that trained, which a comparison of later need not be."""
    with Store(store) as opened:
        codes = {row["versions"]["dilution"] for row in opened.rows()}
    return ", ".join(sorted(codes))


def same(both: pd.DataFrame) -> pd.Series:
    """Return for each run whether all that was measured of it is equal, bit for bit, in both tables."""
    names = [name.removesuffix("_x") for name in both if name.endswith("_x")]
    equal = [
        (both[f"{name}_x"] == both[f"{name}_y"]) | (both[f"{name}_x"].isna() & both[f"{name}_y"].isna())
        for name in names
    ]
    return pd.concat(equal, axis=1).all(axis=1)


if __name__ == "__main__":
    main()
