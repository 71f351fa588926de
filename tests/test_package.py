"""``import dilution``: what it offers, and what it costs."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import dilution

ROOT = Path(__file__).resolve().parent.parent
LISTS = (
    *("list_datasets", "list_early_stopping", "list_estimators", "list_figures", "list_methods"),
    *("list_models", "list_noises", "list_optimizers", "list_schedules"),
)


def test_every_public_name_is_there():
    assert set(dilution._PACKAGE_OF) | {"__version__"} == set(dilution.__all__)
    for name in dilution.__all__:
        assert getattr(dilution, name) is not None
    assert dir(dilution) == sorted(dilution.__all__)


# What is imported at each step of one fresh process; the import of torch takes seconds.
STEPS = """
import json, sys
from pathlib import Path
import dilution

steps = {}

def note(step, **found):
    steps[step] = {**found, "modules": list(sys.modules)}

note("data", function=dilution.data.open_examples.__name__)
import dilution.advice, dilution.diagnosis, dilution.fitting, dilution.planning
note("commands")
note("review", function=dilution.review.write_review.__name__)

from dilution.training import Checkpoint, train
from dilution.training.optimizers import OPTIMIZERS

digits = dilution.load("digits")
noisy = dilution.Dilution(digits.train, alpha=1, n=200)
for optimizer in OPTIMIZERS:
    checkpoint = Checkpoint(Path(f"{optimizer}.pt"), "a training")
    train("mlp1", noisy, test=digits.test, optimizer=optimizer, steps=2, n_evals=2, checkpoint=checkpoint)
note("training")
print(json.dumps(steps))
"""


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Return per step what it found, and the names of all modules that were imported up to it."""
    command = [sys.executable, "-c", STEPS]
    folder = tmp_path_factory.mktemp("fresh")
    return json.loads(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)


@pytest.mark.trains
def test_packages_are_there_without_an_import_of_their_own(steps):
    assert steps["data"]["function"] == "open_examples"
    assert "dilution.review" not in steps["commands"]["modules"]
    assert steps["review"]["function"] == "write_review"


@pytest.mark.trains
def test_importing_the_data_imports_neither_scikit_learn_nor_pooch_nor_pandas(steps):
    assert {"sklearn", "pooch", "pandas"}.isdisjoint(steps["data"]["modules"])


@pytest.mark.trains
def test_what_commands_import_before_they_work_draws_no_plots(steps):
    assert {"matplotlib", "scipy.stats", "sklearn"}.isdisjoint(steps["commands"]["modules"])


@pytest.mark.trains
def test_a_training_does_not_import_the_compiler_of_torch(steps):
    """That takes a second or two of every process that trains."""
    assert "torch" in steps["training"]["modules"]
    assert "torch._dynamo" not in steps["training"]["modules"]


def test_a_missing_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'dilution' has no attribute 'lod'"):
        dilution.lod  # noqa: B018


def test_the_version_is_that_of_the_package():
    assert dilution.__version__ == version("dilution")
    assert f"\nversion: {version('dilution')}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_import_loads_no_library():
    code = "import sys, dilution; print({'torch', 'pandas', 'numpy', 'typer'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "set()\n"


@pytest.mark.parametrize("function", LISTS)
def test_a_list_maps_names_to_one_line_descriptions(function):
    for name, description in getattr(dilution, function)().items():
        assert name
        assert description
        assert "\n" not in description


def test_lists_have_the_names_that_settings_accept():
    for name in dilution.list_noises():
        with pytest.raises(dilution.InputError) as caught:
            dilution.Run.of(dataset="digits", n=100, model="mlp2", noise=f"{name}(no_parameter=1)", alpha=1)
        assert "is not a noise" not in str(caught.value)
    with pytest.raises(dilution.InputError, match="'nonsense' is not a noise"):
        dilution.Run.of(dataset="digits", n=100, model="mlp2", noise="nonsense", alpha=1)
    dilution.Run.of(dataset="digits", n=100, model=next(iter(dilution.list_models())), alpha=1)
    assert "digits" in dilution.list_datasets()
    assert "fig1" in dilution.list_figures()


CONSUMER = """
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import dilution
from dilution.noise import LabelNoise

Matrix = NDArray[np.float64]


class NextClass(LabelNoise):
    name = "next class"

    def added(self, classes: int, alpha: float, seed: int) -> Matrix:
        return np.roll(np.eye(classes), 1, axis=1)


def train_once() -> float:
    data = dilution.load("digits")
    noisy = dilution.Dilution(data.train, alpha=2.0, noise=NextClass())
    image, label = noisy[0]
    same: tuple[torch.Tensor, int] = image, label
    result = dilution.train("mlp1", noisy, test=data.test, epochs=1, lr=0.1)
    return float(result.summary()["test_acc_last"] or 0.0)


def study_once(folder: Path) -> None:
    grid = dilution.Grid({"dataset": "digits", "n": 100, "model": "mlp1"}, {"alpha": [0.0, 1.0]})
    execution = dilution.Execution(workers=0, progress=False)
    dilution.run(dilution.Study.of("mine", list(grid)), store=folder / "s.sqlite", execution=execution)


def answer(file: str) -> tuple[str, float]:
    diagnosis: dilution.Diagnosis = dilution.diagnose(file, execution=dilution.Execution(device="auto"))
    plan: dilution.Plan = dilution.plan(file, target=0.9, eta=diagnosis.noise_rate.value)
    advice: dilution.Advice = dilution.advise(file, eta=diagnosis.noise_rate.value)
    return diagnosis.answer, diagnosis.noise_rate.value


version: str = dilution.__version__
names: list[str] = [*dilution.list_models(), *dilution.list_noises()]
wrong: int = dilution.list_figures()  # type: ignore[assignment]
dilution.load(3)  # type: ignore[arg-type]
dilution.Execution(workers="all")  # type: ignore[arg-type]
"""


@pytest.mark.trains  # takes as long on a fresh checkout; afterwards the cache makes seconds of a minute
def test_the_package_and_a_typed_consumer_pass_mypy_strict(tmp_path):
    (tmp_path / "consumer.py").write_text(CONSUMER)
    command = [sys.executable, "-m", "mypy", "--strict", "src", str(tmp_path / "consumer.py")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
