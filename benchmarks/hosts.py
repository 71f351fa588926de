"""Compare Figure 8, preset laptop, trained on two simulated hosts and on one machine: the tables are equal.

The hosts are two raylets of this machine. On the real MNIST each way takes about twenty minutes on two cores.
Resumes; the stores are in results/. Runs that another machine has trained can be imported instead:

    dilution import docs/results/mnist-laptop/fig8-runs.csv \\
        --store results/hosts-mnist-laptop-processes.sqlite
    python benchmarks/hosts.py

Writes benchmarks/results/hosts.csv.
"""

import argparse
import os
from pathlib import Path

import pandas as pd
from ray.cluster_utils import Cluster
from table import RESULTS as TABLES
from table import write

import dilution
from dilution.study.results import histories
from dilution.study.results import table as results_table
from dilution.study.store import Store

STORES = Path(__file__).parents[1] / "results"
CIRCUMSTANCES = ["seconds", "group_size", "host", "versions", "started", "finished"]


def reproduce(store: Path, dataset: str, preset: str, execution: dilution.Execution) -> None:
    """Reproduce the figure; finished runs are not repeated."""
    dilution.reproduce(
        "fig8", dataset=dataset, preset=preset, precision="bfloat16", store=store,
        out=STORES / store.stem, execution=execution,
    )  # fmt: skip


def read(store: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per run and one row per evaluation, without time and place."""
    with Store(store) as opened:
        runs, evaluations = results_table(opened), histories(opened)
    runs = runs.drop(columns=CIRCUMSTANCES).sort_values("key", ignore_index=True)
    return runs, evaluations.sort_values(["key", "step"], ignore_index=True)


def main() -> None:
    """Train the figure in both ways, compare the tables and write the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--preset", default="laptop")
    arguments = parser.parse_args()
    name = f"hosts-{arguments.dataset}-{arguments.preset}"
    stores = {executor: STORES / f"{name}-{executor}.sqlite" for executor in ("ray", "processes")}
    STORES.mkdir(exist_ok=True)
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  (its name) or the raylets give way to whatever else runs here
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    try:
        execution = dilution.Execution(executor="ray", address=cluster.address)
        reproduce(stores["ray"], arguments.dataset, arguments.preset, execution)
    finally:
        cluster.shutdown()
    reproduce(stores["processes"], arguments.dataset, arguments.preset, dilution.Execution())
    (ray_runs, ray_evaluations), (other_runs, other_evaluations) = (read(store) for store in stores.values())
    if not len(ray_runs) == len(other_runs) == ray_runs["key"].isin(other_runs["key"]).sum():
        raise SystemExit("the two ways trained different runs")
    n_different = int((~equal_runs(ray_runs.merge(other_runs, on="key"))).sum())
    imported = other_evaluations.empty  # an exported table has no evaluations
    row = {
        "code": trained_by(stores["ray"]),
        "figure": "fig8",
        "dataset": arguments.dataset,
        "preset": arguments.preset,
        "runs": len(ray_runs),
        "runs_that_differ": n_different,
        "evaluations": len(ray_evaluations),
        "evaluations_agree": "" if imported else ray_evaluations.equals(other_evaluations),
        "one_machine": "imported" if imported else "trained",
    }
    print(row)
    path = TABLES / "hosts.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["dataset"])
    others = table[table["dataset"] != arguments.dataset].fillna("").to_dict(orient="records")
    write("hosts", [row, *others])


def trained_by(store: Path) -> str:
    """Return the versions of the code that trained, which may be older than the comparison."""
    with Store(store) as opened:
        codes = {row["versions"]["dilution"] for row in opened.rows()}
    return ", ".join(sorted(codes))


def equal_runs(merged: pd.DataFrame) -> pd.Series:
    """Return for each run whether all of its measures are equal in both tables, bit for bit."""
    names = [name.removesuffix("_x") for name in merged if name.endswith("_x")]
    equal = [
        (merged[f"{name}_x"] == merged[f"{name}_y"])
        | (merged[f"{name}_x"].isna() & merged[f"{name}_y"].isna())
        for name in names
    ]
    return pd.concat(equal, axis=1).all(axis=1)


if __name__ == "__main__":
    main()
