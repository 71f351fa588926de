"""What produced a result: command, versions, machine, times."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pandas as pd


def made_by(command: str, runs: pd.DataFrame) -> dict[str, str]:
    """Return label and value of everything a reader needs to make the same again.

    Parameters
    ----------
    command
        The command line.
    runs
        One row a run, as from :func:`dilution.study.table.table`; may be empty.
    """
    made = {
        "command": command,
        "dilution": f"{version('dilution')} ({_revision()})",
        "torch": version("torch"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    ended = runs.dropna(subset=["finished", "started"]).drop_duplicates("key") if len(runs) else runs
    if len(ended):
        start, end = pd.to_datetime(ended["started"]), pd.to_datetime(ended["finished"])
        made |= {
            "runs": f"{len(ended)}",
            "training time": f"{ended['seconds'].sum() / 60:.1f} core-minutes",
            "first start to last end": f"{(end.max() - start.min()).total_seconds() / 60:.1f} minutes",
            "last run ended": str(ended["finished"].max()),
            "versions of the runs": "; ".join(sorted(ended["versions"].unique())),
        }
    return made


def _revision() -> str:
    """Return the git revision of the source tree, where it is one."""
    source = str(Path(__file__).resolve().parent)
    command = ["git", "-C", source, "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "no git revision"
    return found.stdout.strip() if found.returncode == 0 else "no git revision"
