"""Commands in odd environments: variables of other tools, no home, no folder for temporary files.

No command ends in a traceback, and each has the results that it has without them.
"""

import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from many_commands import read_text

STUDY = """
name = "s"
[base]
dataset = "digits"
n = 60
model = "perceptron"
steps = 3
[grid]
alpha = [0.0, 1.0, 3.0]
seed = [0, 1]
"""
DIAGNOSE = ["--model", "sklearn:logistic", "--repeats", "1", "--folds", "2", "--n-bootstrap", "20"]
DIAGNOSE += ["--workers", "0"]
PILOT = ["--model", "perceptron", "--pilot-n", "240", "--max-runs", "20", "--workers", "0", "--out", "plan"]
SHORT = ["--model", "perceptron", "--n", "128", "--epochs", "1", "--workers", "0", "--out", "advice"]
COMMANDS = {
    "run": ["run", "s.toml", "--store", "s.sqlite", "--workers", "1"],
    "status": ["status", "--store", "s.sqlite"],
    "export": ["export", "runs.csv", "--store", "s.sqlite"],
    "report": ["report", "--store", "s.sqlite", "--out", "page"],
    "diagnose": ["diagnose", "t.csv", *DIAGNOSE, "--out", "d"],
    "review": ["review", "d", "--write", "review.html", "--no-browser"],
    "plan": ["plan", "digits", "--target", "0.7", "--alpha", "1", *PILOT, "--store", "plan.sqlite"],
    "advise": ["advise", "digits", "--alpha", "1", *SHORT, "--store", "advice.sqlite"],
    "fit": ["fit", "t.csv", "--out", "m.dilution", "--model", "sklearn:logistic", "--method", "plain"],
    "predict": ["predict", "m.dilution", "t.csv", "--out", "predictions.csv"],
    "data check": ["data", "check", "t.csv"],
    "data pack": ["data", "pack", "digits", "p.pack"],
    "version": ["--version"],
}  # fmt: skip
RESULTS = [
    "runs.csv",
    "d/label_issues.csv",
    "d/per_class.csv",
    "d/diagnosis.svg",
    "predictions.csv",
    "p.pack",
]
RESULTS += ["plan/plan.json", "advice/advice.json", "advice/recipe.toml"]
NOT_RESULTS = ("started", "finished", "seconds", "versions", "host")
"""Columns of exported runs that differ from run to run."""
NONSENSE = {
    "PYTHONSTARTUP": "startup.py", "PYTHONWARNINGS": "error", "MPLBACKEND": "nonsense",
    "OMP_NUM_THREADS": "abc", "PYTORCH_JIT": "abc", "TORCH_LOGS": "abc", "TORCH_CPP_LOG_LEVEL": "abc",
    "PYTORCH_CUDA_ALLOC_CONF": "abc", "CUDA_VISIBLE_DEVICES": "abc", "SKLEARN_WORKING_MEMORY": "abc",
    "JOBLIB_MULTIPROCESSING": "abc", "LOKY_MAX_CPU_COUNT": "abc", "SOURCE_DATE_EPOCH": "abc", "TERM": "dumb",
    "NO_COLOR": "1", "COLUMNS": "abc", "LINES": "abc", "TERMINAL_WIDTH": "abc", "LANG": "C", "LC_ALL": "xx",
    "TZ": "Nowhere/None", "GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere", "PAGER": "nonsense",
    "MATPLOTLIBRC": "nonsense", "MPLCONFIGDIR": "/proc/nowhere", "EDITOR": "nonsense", "BROWSER": "nonsense",
}  # fmt: skip
PILOTS = "plan", "advise"
"""Commands that train many runs, which the first of these environments is enough for."""
WITHOUT = {
    "HOME": None,
    "TMPDIR": "/nowhere",
    "XDG_CACHE_HOME": "/proc/nowhere",
    "COLUMNS": "0",
    "LC_ALL": "C",
}
CLOSED = {"HOME": "closed", "TMPDIR": "closed", "XDG_CONFIG_HOME": "closed", "COLUMNS": "-5", "TERM": ""}


def table(path):
    """Write a table of two classes, some of whose labels are wrong."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    values = rng.normal(size=(200, 3)) + 4 * labels[:, None]
    wrong = labels ^ (rng.random(200) < 0.1)
    frame = pd.DataFrame(values.round(4), columns=list("abc"))
    frame.assign(label=[("cat", "dog")[label] for label in wrong]).to_csv(path, index=False)


def outcome(folder, environment, names=tuple(COMMANDS)):
    """Run commands in a folder; return their results."""
    folder.mkdir()
    table(folder / "t.csv")
    (folder / "s.toml").write_text(STUDY)
    every = os.environ | {"OMP_NUM_THREADS": None} | environment
    variables = {name: value for name, value in every.items() if value is not None}
    for name, words in [(name, COMMANDS[name]) for name in names]:
        ended = subprocess.run(
            [sys.executable, "-m", "dilution", *words], cwd=folder, env=variables, capture_output=True,
            stdin=subprocess.DEVNULL, text=True, encoding="utf-8", timeout=300, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{name}: {ended.stderr[-3000:]}"
        for sign in ("Traceback", "Warning", "abc", "nonsense"):
            assert sign not in ended.stderr, f"{name}: {ended.stderr[-3000:]}"
    results = {name: (folder / name).read_bytes() for name in RESULTS if (folder / name).exists()}
    runs = pd.read_csv(folder / "runs.csv")
    results["runs.csv"] = runs.drop(columns=[name for name in NOT_RESULTS if name in runs]).to_csv()
    results["page"] = len(re.findall("<h[1-6]", read_text(folder / "page" / "index.html")))
    return results


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return outcome(tmp_path_factory.mktemp("plain") / "work", {})


@pytest.mark.parametrize("environment", [NONSENSE, WITHOUT, CLOSED], ids=["nonsense", "without", "closed"])
def test_variables_of_other_tools_change_no_result_and_end_no_command(tmp_path, expected, environment):
    (tmp_path / "startup.py").write_text("raise SystemExit('startup')")
    (tmp_path / "nonsense").write_bytes(b"figure.dpi: abc\n\xff\xfe\n")
    (tmp_path / "closed").mkdir(mode=0o500)
    decoys = tmp_path / "decoys"
    decoys.mkdir()
    for name in ("data", "models", "noise", "report", "study", "utils", "tests", "conftest", "figures"):
        (decoys / f"{name}.py").write_text("raise SystemExit('a decoy')")
    own = {"startup.py", "nonsense", "closed"}
    variables = {
        name: str(tmp_path / value) if value in own else value for name, value in environment.items()
    }
    names = [name for name in COMMANDS if name not in PILOTS or environment is NONSENSE]
    seen = outcome(tmp_path / "work", variables | {"PYTHONPATH": str(decoys)}, names)
    assert len(seen) == len(expected) - (0 if environment is NONSENSE else 3)
    for name in seen:
        assert seen[name] == expected[name], name


@pytest.mark.parametrize("kind", ["bytes", "pipe", "folder", "settings", "link"])
def test_a_file_of_settings_of_plots_in_the_current_folder_is_not_read(tmp_path, kind):
    table(tmp_path / "t.csv")
    path = tmp_path / "matplotlibrc"
    if kind == "bytes":
        path.write_bytes(b"\xff\xfe\n")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "settings":
        path.write_text("text.usetex: True\nbackend: nonsense\nsavefig.format: abc\n")
    else:
        path.symlink_to("/dev/zero")
    ended = subprocess.run(
        [sys.executable, "-m", "dilution", "diagnose", "t.csv", *DIAGNOSE, "--out", "d"], cwd=tmp_path,
        capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "matplotlib" not in ended.stderr
    assert (tmp_path / "d" / "diagnosis.svg").exists()
