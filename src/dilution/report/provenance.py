"""What produced a result: command, versions, machine, times."""

import platform
from collections.abc import Mapping

import pandas as pd

from dilution.utils.version import versions


def made_by(command: str, runs: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return label and value of everything a reader needs to make the same again.

    Parameters
    ----------
    command
        The command line.
    runs
        For each figure or study by name one row a run, as from :func:`dilution.study.results.table`.
    """
    made = {
        "command": command,
        "page written by": f"dilution {versions()['dilution']}, torch {versions()['torch']}",
        "python": versions()["python"],
        "machine": f"{platform.system()} {platform.machine()}",
    }
    for name, each in runs.items():
        ended = each.dropna(subset=["finished", "started"])
        if len(ended):
            start, end = pd.to_datetime(ended["started"]), pd.to_datetime(ended["finished"])
            code = "; ".join(sorted(set(ended["versions"])))
            made[f"{name} took"] = (
                f"{len(ended)} runs, {ended['seconds'].sum() / 60:.1f} minutes of training added up, "
                f"{(end.max() - start.min()).total_seconds() / 60:.1f} minutes from the first start to the "
                f"last end, {end.max():%Y-%m-%d %H:%M} UTC; trained by {code}{_devices(ended)}"
            )
    return made


def _devices(ended: pd.DataFrame) -> str:
    """Name the GPUs that trained, if any did."""
    gpus = sorted(set(ended["device"].dropna()) - {"cpu"}) if "device" in ended else []
    return f" on {', '.join(gpus)}" if gpus else ""
