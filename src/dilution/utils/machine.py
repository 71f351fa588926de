"""The machine that this process runs on, in words, for pages that state times."""

import platform
import subprocess
from contextlib import suppress
from pathlib import Path

from dilution.utils.process_pool import available_cores

_CPUINFO = Path("/proc/cpuinfo")


def describe_machine() -> str:
    """Return the system, the kind of processor and the cores that this process may use.

    The name of the processor is left out where the system does not say it.
    """
    cores = available_cores()
    parts = (f"{platform.system()} {platform.machine()}", processor_name())
    return ", ".join([*filter(None, parts), f"{cores} {'core' if cores == 1 else 'cores'}"])


def processor_name() -> str:
    """Return the name of the processor; empty where the system does not say it."""
    with suppress(OSError):
        for line in _CPUINFO.read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    if platform.system() == "Darwin":
        with suppress(OSError, subprocess.CalledProcessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() if platform.system() == "Windows" else ""
