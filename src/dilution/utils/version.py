"""Versions of this package, of its git revision, and of the libraries that a result depends on."""

import os
import platform
import subprocess
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_THIS_FILE = "utils/version.py"  # below the package


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the version of this package with its git revision, such as ``"0.1.0 (90fbc59)"``.

    The revision ends in ``-changed`` if files of the package differ from it; other files of the repository do
    not matter. There is none if the package itself is not under version control: a package installed into
    another repository does not take on its revision. git is asked once per process.
    """
    number = version("dilution")
    if _git("ls-files", "--error-unmatch", _THIS_FILE) is None:
        return number
    revision = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", ".")
    return f"{number} ({revision}{'-changed' if changed else ''})"


@cache
def versions() -> dict[str, str]:
    """Return the versions of this package, torch, NumPy and Python, by name.

    They are read once per process: reading the metadata of a package takes milliseconds.
    """
    packages = {"dilution": code_version()} | {name: version(name) for name in ("torch", "numpy")}
    return packages | {"python": platform.python_version()}


def _git(*arguments: str) -> str | None:
    """Return the output of git, or None if it fails or is not installed."""
    command = ["git", "-C", str(_PACKAGE), *arguments]
    # Variables of git name a repository other than that of the package, for instance inside of a hook.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
