"""The command line, called in this process: starting Python and importing torch takes seconds."""

import contextlib

from typer.testing import CliRunner

from dilution.cli import app

STUDY = """
name = "short"
[base]
dataset = "digits"
n = 100
model = "perceptron"
targets = "pooled"
steps = 2
[grid]
alpha = [0.0, 1.0]
seed = [0, 1]
"""


def dilution(*words, cwd="."):
    """Run a command in a folder; return its result with `exit_code`, `stdout` and `stderr`."""
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [str(word) for word in words], prog_name="dilution")


def succeeded(result):
    """Return what a command printed, and show its errors if it failed."""
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def refused(result, *words):
    """Check that a command ended with exit code 2 and one message that has these words."""
    assert result.exit_code == 2, result.output + repr(result.exception)
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
