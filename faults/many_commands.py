"""Many commands in one process, which starts once: importing torch takes seconds.

Its memory, and the time of each command, are limited from outside: by the system, which ends the process.
"""

import json
import os
import resource
import subprocess
import sys
from typing import NamedTuple

_DRIVER = """
import json, os, signal, sys, time, traceback
from pathlib import Path

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
from dilution.cli import main
exec(sys.argv[3])

for number, (where, words) in enumerate(json.loads((folder / "commands.json").read_text())):
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(folder / f"{number}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(where)
    sys.argv = ["dilution", *words]
    began, code = time.process_time(), 0
    # The default action of both ends the process. Work is limited by processor time, which does not grow on a
    # machine that is busy, and waiting by the clock.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 20 * seconds)
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    (folder / f"{number}.end").write_text(json.dumps([code, time.process_time() - began]))
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float


def run_commands(folder, commands, *, memory=4 << 30, seconds=20.0, before="", **environment):
    """Run commands, each with the folder where it runs, one after the other; return how each ended.

    A command that takes more than `seconds` of processor time, or takes the process with it, fails the test.
    `before` is Python that the process runs first.
    """
    folder.mkdir()
    commands = [(str(where), list(map(str, words))) for where, words in commands]
    (folder / "commands.json").write_text(json.dumps(commands))
    process = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", _DRIVER, str(folder), str(seconds), before],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment, capture_output=True, text=True,
        timeout=20 * seconds * (1 + len(commands)), check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )  # fmt: skip
    ends = []
    for number, (_, words) in enumerate(commands):
        shown = " ".join(words)[:300]
        end = folder / f"{number}.end"
        assert end.exists(), f"{shown}: the process ended with {process.returncode}: {process.stderr[-2000:]}"
        code, took = json.loads(end.read_text())
        out, err = (read_text(folder / f"{number}.{name}") for name in ("out", "err"))
        ends.append(Ended(code, out, err, took))
    return ends


def read_text(path):
    """Return the text of a file, which must be UTF-8."""
    return path.read_bytes().decode("utf-8")


def ends_well(ended):
    """Return what is wrong with how a command ended: a success, or one message and exit code 2."""
    lines = ended.err.splitlines()
    if lines and lines[-1].startswith("The whole command: dilution "):  # the remedy, on a line of its own
        lines.pop()
    if "Traceback" in ended.err or ended.code not in (0, 2):
        return f"exit code {ended.code}: {ended.err[-1500:]}"
    errors = [line for line in lines if line.startswith(("error: ", "Error: "))]
    if ended.code == 2 and (
        not lines or len(errors) != 1 or not lines[-1].startswith(("error: ", "Error: "))
    ):
        return f"no message, or several: {ended.err[-1500:]}"
    return None
