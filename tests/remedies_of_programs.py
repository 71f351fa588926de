"""Remedies in messages on data and models of a program, scripts, and what is left."""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands import dilution
from photographs import write_class_folders
from remedies import (
    LABELS,
    ROWS,
    arguments,
    case,
    case_of_value,
    digits,
    expressions,
    named,
    noisy,
    options,
    own_estimator,
    paste,
    refusal,
    train,
)
from remedies_of_studies import study_file
from remedies_of_training import apply_order
from scipy import special as scipy_special
from sklearn.svm import LinearSVC

import dilution as package
from dilution.cli.options import check_outside
from dilution.data import Arrays, UnsplitData
from dilution.diagnosis.feature_source import FeatureSource, describe_features, note_on_pixels
from dilution.fitting.estimator_learner import EstimatorLearner, cannot_save
from dilution.fitting.learner_selection import select_learners
from dilution.models import name_model
from dilution.study import Execution, run
from dilution.training import check_model_name, confusability
from dilution.training.image_features import EFFICIENTNET, efficientnet_features
from dilution.utils.output_folder import claim, write_output
from dilution.utils.worker_process import check_importable_script, pickle_setup


def softmax_of(logits: Any) -> Callable[[str], None]:
    """Return the function that makes probabilities of logits as a message says, and diagnoses with them."""

    def apply(message: str) -> None:
        (remedy,) = re.findall(r"scipy[.]special[.]softmax[(][^)]*[)]", message)
        values = eval(remedy, {"scipy": SimpleNamespace(special=scipy_special), "logits": logits})
        execution = Execution(workers=0, progress=False)
        package.diagnose((ROWS, LABELS), pred_probs=values, n_bootstrap=20, execution=execution)

    return apply


def diagnosed_with(pred_probs: Any) -> Callable[[], str]:
    return lambda: refusal(package.diagnose, (ROWS, LABELS), pred_probs=pred_probs)


LOGITS = np.random.default_rng(5).normal(size=(40, 2))
case("pred_probs are logits", diagnosed_with(LOGITS), softmax_of(LOGITS))
case("pred_probs do not sum to 1", diagnosed_with(abs(LOGITS)), softmax_of(LOGITS))


def calibrated(message: str) -> None:
    (remedy,) = re.findall(r"sklearn[.]calibration[.]CalibratedClassifierCV[(]model[)]", message)
    scope = {
        "sklearn": SimpleNamespace(calibration=import_module("sklearn.calibration")),
        "model": LinearSVC(),
    }
    assert name_model(eval(remedy, scope))


def without_parameters(message: str) -> None:
    assert check_model_name(named(r"Give model='(\w+)'", message)) == "conv4"


def outside(message: str) -> None:
    out = Path(named(r"Give --out (\S+)[.]$", message))
    check_outside(out, "./photos")
    assert not out.exists()


def results_in_data() -> str:
    write_class_folders(Path("photos"), 1)
    return refusal(check_outside, Path("photos/results"), "./photos")


def claimed_by_plan() -> str:
    claim("results", ["index.html"], command="plan")
    write_output(Path("results/index.html"), b"a plan")
    return refusal(claim, "results", ["index.html"], command="diagnose")


def overwritten(message: str) -> None:
    ((name, value),) = arguments(message)
    claim("results", ["index.html"], command="diagnose", **{name: value})


def kept_trees(message: str) -> None:
    model = named(r"Use model='([\w:]+)'", message)
    (learner,) = select_learners(model, table_rows().arrays, None, "cpu")
    assert learner.name == model
    assert "joblib.dump(dilution.fit(" in message


def passed_classifier(message: str) -> None:
    __import__("sklearn.neighbors")
    model = eval(named(r"model=(sklearn[\w.]+[(][)])", message), {"sklearn": sys.modules["sklearn"]})
    (learner,) = select_learners(model, table_rows().arrays, None, "cpu")
    assert isinstance(learner, EstimatorLearner)


case(
    "a built-in model has parameters", lambda: refusal(check_model_name, "conv4(width=3)"), without_parameters
)
case("results would be in the folder of images", results_in_data, outside)
case("a folder has the page of another command", claimed_by_plan, overwritten)
case(
    "no file holds a classifier",
    lambda: cannot_save("m:f"),
    kept_trees,
)
case(
    "fit knows other classifiers by name",
    lambda: refusal(select_learners, "sklearn:knn", table_rows().arrays, None, "cpu"),
    passed_classifier,
)
case("a classifier has no probabilities", lambda: refusal(name_model, LinearSVC()), calibrated)


def four_channels() -> UnsplitData:
    return UnsplitData(Arrays(torch.zeros(8, 4, 20, 20, dtype=torch.uint8), torch.arange(8) % 2))


def table_rows() -> UnsplitData:
    return UnsplitData(Arrays(torch.zeros(8, 3, 1, 1), torch.arange(8) % 2))


def no_features(examples: Callable[[], UnsplitData], features: Any) -> Callable[[], str]:
    return lambda: refusal(FeatureSource(features, trains_here=True).find, "data", examples())


def without_features(examples: Callable[[], UnsplitData]) -> Callable[[str], None]:
    def apply(message: str) -> None:
        assert "--features (features=) out" in message
        assert FeatureSource(None, trains_here=True).find("data", examples())[0] is None

    return apply


def features_off(message: str) -> None:
    given = named(r"--features (\w+)", message)
    assert named(r"features='(\w+)'", message) == given
    assert FeatureSource(given, trains_here=True).find("data", four_channels()) == (None, ())


def of_photographs(given: str | None, **settings: bool) -> tuple[Any, tuple[str, ...]]:
    images = torch.randint(256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    examples = UnsplitData(Arrays(images, torch.arange(8) % 2))
    return FeatureSource(given, trains_here=False, **settings).find("data", examples)


def features_on(message: str) -> None:
    given = named(r"--features ([\w-]+)", message)
    assert named(r"features='([\w-]+)'", message) == given
    found, _ = of_photographs(given)
    assert found is not None
    assert len(found.values) == 8


def note_of_pixels() -> str:
    images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    (note,) = note_on_pixels(Arrays(images, torch.arange(8) % 2), takes_features=True)
    return note


def saved_features(message: str) -> None:
    remedy = named(r"Write it with (numpy[.]save[(]file, features[)])", message)
    eval(remedy, {"numpy": np, "file": "features.npy", "features": np.ones((8, 2))})
    found, _ = FeatureSource("features.npy", trains_here=True).find("data", four_channels())
    assert found is not None


def text_file() -> str:
    Path("features.npy").write_text("1,2")
    return no_features(four_channels, "features.npy")()


case("features of rows of a table", no_features(table_rows, len), without_features(table_rows))
case(
    "features of four channels",
    lambda: refusal(efficientnet_features, np.zeros((1, 4, 20, 20), np.uint8)),
    without_features(four_channels),
)
case("features are the default", lambda: describe_features(EFFICIENTNET)[0], features_off)
case(
    "a loss is named for photographs",
    lambda: of_photographs(None, names_loss=True)[1][0],
    features_on,
)
case("pixels of few photographs are learned", lambda: note_of_pixels(), features_on)
case("features are no .npy file", no_features(four_channels, Path("features.csv")), saved_features)
case("a .npy file of features is damaged", text_file, saved_features)


case(
    "labels of other images are counted",
    lambda: refusal(noisy(image_source="white_noise").histogram, torch.arange(3)),
    lambda message: train(image_source="white_noise", **dict(arguments(message))),
)


def take_index(message: str) -> None:
    (index,) = expressions(message)
    assert len(noisy().labels(eval(index, {"torch": torch}))) == 10


case("an index is no tensor", lambda: refusal(noisy().labels, "all"), take_index)
case_of_value("an index is a mask", noisy().labels, "index", torch.arange(120) < 10)


def copies_of_images() -> str:
    data = digits().train.subset(torch.arange(12))
    return refusal(
        confusability,
        Arrays(data.images, data.labels, data.classes, groups=torch.zeros(12, dtype=torch.int64)),
    )


case("images are too few beside copies", copies_of_images, apply_order)


def script_from_standard_input() -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", SimpleNamespace(__file__="<stdin>", __spec__=None))
        return refusal(check_importable_script)


def run_without_workers(message: str) -> None:
    study_file()
    (execution,) = {call for call in expressions(message) if call.startswith("Execution")}
    assert len(run("study.toml", execution=eval(execution, {"Execution": Execution}))) == 4
    for option in re.findall(r"--workers 0", message):
        paste(f"dilution run study.toml --store other.sqlite {option}")


case("a script comes from standard input", script_from_standard_input, run_without_workers)
case(
    "a model cannot be sent to workers", lambda: refusal(pickle_setup, lambda: None, ()), run_without_workers
)


def failed_before() -> str:
    own_estimator()
    study_file(perceptron="own_broken:broken", **{'targets = "pooled"\nsteps = 2\n': ""})
    results = [dilution("run", "study.toml", "--workers", "0") for _ in range(2)]
    assert [result.exit_code for result in results] == [1, 1]
    return results[1].output


def retry_failed(message: str) -> None:
    (option,) = options(message)
    result = dilution("run", "study.toml", "--workers", "0", option)
    assert result.exit_code == 1  # they fail again
    assert "4 failed" in dilution("status").output


case("runs have failed before", failed_before, retry_failed)
