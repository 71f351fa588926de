"""Settings of other tools, in the environment or the current folder: they neither change nor end a command.

Libraries read such variables when they are imported, and end with an error of their own where a value is not
one that they know. So they are removed before that.
"""

import contextlib
import importlib
import os
import re
from pathlib import Path

_UNUSED = (
    "MPLBACKEND",  # plots are files; the shell of a notebook passes on a backend that may be missing here
    "SOURCE_DATE_EPOCH",  # the date of a build, of NumPy and matplotlib; files of this program have no date
    "TORCH_LOGS",
    "TORCH_LOGS_FORMAT",
    "TORCH_LOGS_OUT",
    "TORCH_TRACE",
)
_WHOLE = re.compile(r"\s*[+-]?\d{1,18}\s*", re.ASCII)
_RULES = {
    "PYTORCH_JIT": re.compile("[01]v?|true|false|yes|no", re.IGNORECASE),
    "OMP_NUM_THREADS": re.compile(r"\s*0*[1-9]\d{0,8}\s*(,\s*[1-9]\d{0,8}\s*)*", re.ASCII),
    **dict.fromkeys(
        (
            *("JOBLIB_MULTIPROCESSING", "LOKY_MAX_CPU_COUNT", "LOKY_MAX_DEPTH", "SKLEARN_WORKING_MEMORY"),
            *("SKLEARN_PAIRWISE_DIST_CHUNK_SIZE", "TORCHDYNAMO_REPRO_LEVEL", "TORCH_DISABLE_NATIVE_JIT"),
            "TORCH_NATIVE_SKIP_VERSION_CHECK",
        ),
        _WHOLE,
    ),
}
"""Variables that a library fails at unless they have such a value."""

_PLOT_SETTINGS = "matplotlibrc"


def leave_out_foreign_settings() -> None:
    """Remove variables of other tools from the environment, and have matplotlib read no file of settings.

    Call it before a library is imported, from the one thread of a command.
    """
    for name in _UNUSED:
        os.environ.pop(name, None)
    for name, rule in _RULES.items():
        if name in os.environ and rule.fullmatch(os.environ[name]) is None:
            del os.environ[name]
    os.environ["MATPLOTLIBRC"] = os.devnull
    if os.path.lexists(_PLOT_SETTINGS):
        # Of the current folder it would be read first, whatever it is: a pipe has no end.
        with contextlib.chdir(Path(__file__).parent):
            importlib.import_module("matplotlib")
