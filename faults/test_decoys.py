"""No code runs but what is named: every command and executor in a folder full of files named like modules."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

INSTALLED = (
    "numpy",
    "torch",
    "sklearn",
    "scipy",
    "pandas",
    "pyarrow",
    "PIL",
    "ray",
    "matplotlib",
    "filelock",
    "pydantic",
    "pydantic_core",
    "typer",
    "rich",
    "jinja2",
    "markupsafe",
    "requests",
    "urllib3",
    "pooch",
    "joblib",
    "threadpoolctl",
)
OPTIONAL = ("cleanlab", "psutil", "yaml", "cloudpickle", "setproctitle", "datasets", "onnxscript", "click")
BUILTIN = {
    *sys.builtin_module_names,
    "__main__",
    "site",
    "os",
    "sys",
}  # imported before any folder is searched
SCRIPT = Path(sys.executable).with_name("dilution")
COMMAND = {"script": [str(SCRIPT)], "module": [sys.executable, "-m", "dilution"]}

DIAGNOSE = ("diagnose", "data.csv", "--repeats", "1", "--folds", "2", "--n-bootstrap", "20", "--workers", "2")
COMMANDS = {
    "run": ("run", "study.toml", "--workers", "2"),
    "run here": ("run", "study.toml", "--workers", "0", "--store", "inline.sqlite"),
    "diagnose": DIAGNOSE,
    "pack": ("data", "pack", "photos", "photos.pack", "--size", "8", "--workers", "2"),
    "advise": (
        *("advise", "data.csv", "--alpha", "1", "--model", "perceptron", "--epochs", "1"),
        *("--store", "a.sqlite", "--workers", "2"),
    ),
    "plan": (
        *("plan", "digits", "--target", "0.8", "--alpha", "1", "--model", "perceptron", "--pilot-n", "240"),
        *("--max-runs", "20", "--store", "p.sqlite", "--workers", "2"),
    ),
    "reproduce": ("reproduce", "fig4", "--store", "f.sqlite", "--out", "fig4"),
    "report": ("report", "--store", "here.sqlite", "--out", "report"),
    "export": ("export", "runs.csv", "--store", "here.sqlite"),
    "import": ("import", "runs.csv", "--store", "imported.sqlite"),
    "merge": ("merge", "here.sqlite", "other.sqlite"),
    "show run": ("show", "run", "KEY", "--store", "here.sqlite"),
    "retrain": ("show", "run", "KEY", "--store", "here.sqlite", "--retrain"),
    "claims": ("claims", "none.sqlite"),
    "status": ("status", "--store", "here.sqlite"),
    "compare runs": ("compare-runs", "study", "--a", "alpha=1", "--b", "alpha=2", "--store", "here.sqlite"),
    "compare": ("compare", "diagnosed", "diagnosed"),
    "review": ("review", "diagnosed", "--write", "review.html"),
    "fit": ("fit", "data.csv", "--model", "perceptron", "--method", "plain", "--out", "m.dilution"),
    "predict": ("predict", "fitted.dilution", "data.csv", "--out", "p.csv"),
    "benchmark": (
        *("benchmark", "digits", "--methods", "gce", "--noises", "symmetric-50", "--seeds", "2"),
        *("--model", "perceptron", "--store", "b.sqlite", "--workers", "2"),
    ),
    "noisy": ("data", "noisy", "digits", "labels.npy", "--noise", "symmetric(rate=0.4)"),
    "data": ("data", "check", "data.csv"),
    "noise": ("show", "noise"),
    "lists": ("list", "models"),
}
STUDY = """
[base]
dataset = "data.csv"
model = "mlp1"
n = 60
steps = 2
batch_size = 8

[grid]
seed = [0, 1]
alpha = [1.0, 2.0]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data, and with a decoy for every module that Python or a package may import by name."""
    path = tmp_path_factory.mktemp("decoys")
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(400, 3))
    lines = [f"{x:.4f},{y:.4f},{z:.4f},{'a' if x > 0 else 'b'}" for x, y, z in rows]
    (path / "data.csv").write_text("\n".join(["x,y,z,label", *lines]))
    (path / "study.toml").write_text(STUDY)
    for number in range(300):  # more than one chunk, so that worker processes decode them
        image = path / "photos" / ("a" if number % 2 else "b") / f"{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(image)
    store = ("--store", "here.sqlite")
    for words in (
        *(("run", "study.toml", "--workers", "0", *store), ("export", "runs.csv", *store)),
        *((*DIAGNOSE, "--out", "diagnosed"), (*COMMANDS["fit"][:-1], "fitted.dilution")),
    ):
        subprocess.run([*COMMAND["script"], *words], cwd=path, check=True, capture_output=True)
    (path / "other.sqlite").write_bytes((path / "here.sqlite").read_bytes())
    for name in {*sys.stdlib_module_names, *INSTALLED, *OPTIONAL} - BUILTIN:
        write_decoy(path, name)
    return path


def write_decoy(folder, name):
    """Write a module that records its name, and is none."""
    record = f"open({str(folder / 'executed')!r}, 'a').write({name!r} + '\\n')"
    (folder / f"{name}.py").write_text(f"{record}\nraise ImportError('a decoy')\n")


def executed(folder, *words):
    """Run a command in the folder, and return the names of the decoys that were executed."""
    proof = folder / "executed"
    proof.unlink(missing_ok=True)
    ended = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == 0 or words[-1] == "none.sqlite", ended.stderr
    return proof.read_text().split() if proof.exists() else []


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_runs_a_file_that_is_named_like_a_module(folder, name):
    key = (folder / "runs.csv").read_text().splitlines()[1].partition(",")[0]
    words = [key if word == "KEY" else word for word in COMMANDS[name]]
    assert executed(folder, *COMMAND["script"], *words) == []


def test_nor_does_the_package_run_as_a_module_once_it_has_begun(folder, tmp_path):
    # `python -m` itself looks for some modules of the standard library in the current folder first
    (tmp_path / "data.csv").write_bytes((folder / "data.csv").read_bytes())
    (tmp_path / "study.toml").write_text(STUDY)
    for name in (*INSTALLED, *OPTIONAL):
        write_decoy(tmp_path, name)
    assert executed(tmp_path, *COMMAND["module"], *COMMANDS["run"]) == []


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_nor_does_a_cluster(folder):
    words = ("run", "study.toml", "--executor", "ray", "--workers", "1", "--store", "ray.sqlite")
    assert executed(folder, *COMMAND["script"], *words) == []


def test_a_decoy_would_be_noticed(folder):
    code = "try:\n    import wave\nexcept ImportError:\n    pass"
    assert executed(folder, sys.executable, "-c", code) == ["wave"]
