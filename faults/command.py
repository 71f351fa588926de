"""The command line, as a user starts it."""

import os
import resource
import subprocess
import sys


def call(folder, *words, memory=None, **environment):
    """Run the command line in a folder, perhaps with so many bytes of addresses, and return how it ended."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    return subprocess.run(
        [sys.executable, "-m", "dilution", *words], cwd=folder, env=os.environ | environment,
        preexec_fn=limit if memory else None, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def done(folder, *words, **environment):
    """Run the command line, which is to succeed, and return what it printed."""
    ended = call(folder, *words, **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
