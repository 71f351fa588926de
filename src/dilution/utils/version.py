"""Which code is running: the package version, with the git revision of its source where that is known."""

import platform
import subprocess
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return, for example, ``"0.1.0 (90fbc59)"``.

    The revision is given only if this very file is under version control: a package installed into
    somebody's repository does not take on its revision. It ends in ``-changed`` if files of the package
    differ from it; other files of the repository do not matter. Read once a process.
    """
    number = version("dilution")
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return number
    revision = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", ".")
    return f"{number} ({revision}{'-changed' if changed else ''})"


@cache
def versions() -> dict[str, str]:
    """Return what a result depends on: versions of this code, of torch, NumPy and Python, by their names.

    Read once a process: the metadata of a package take milliseconds.
    """
    found = {"dilution": code_version()} | {name: version(name) for name in ("torch", "numpy")}
    return found | {"python": platform.python_version()}


def _git(*arguments: str) -> str | None:
    """Return what git prints, or None where it fails or is not installed."""
    command = ["git", "-C", str(_PACKAGE), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
