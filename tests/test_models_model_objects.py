"""Models as objects: classes, factories and classifiers get a name, and worker processes train them."""

import functools
import importlib

import numpy as np
import pytest
import torch
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from torch import nn

import dilution
from dilution.diagnosis import cross_validation
from dilution.errors import InputError
from dilution.models import call_factory, can_be_sent, importable_name, name_model
from dilution.utils.references import resolve


class Net(nn.Module):
    def __init__(self, hidden: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images)
        return logits


def make(shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], classes))


SHAPE = (3, 1, 1)


@pytest.mark.parametrize("model", [Net, make, lambda: Net(4), lambda shape, classes: make(shape, classes)])
def test_classes_and_functions_make_a_new_module_each_time(model):
    name = name_model(model)
    first, second = (call_factory(name, SHAPE, 2, seed=seed) for seed in (0, 0))
    assert first is not second
    assert all(map(torch.equal, first.parameters(), second.parameters()))


@pytest.mark.parametrize("model", [KNeighborsClassifier(3), KNeighborsClassifier])
def test_classifiers_are_copied(model):
    classifier = call_factory(name_model(model), SHAPE, 2, seed=0)
    assert isinstance(classifier, KNeighborsClassifier)
    assert classifier is not model
    assert classifier.n_neighbors == (3 if isinstance(model, KNeighborsClassifier) else 5)


def test_a_classifier_does_not_stand_for_its_class():
    pipeline = make_pipeline(KNeighborsClassifier(3))
    for model in (KNeighborsClassifier(3), pipeline):
        name_model(model)
    default = call_factory(importable_name(KNeighborsClassifier()), SHAPE, 2, seed=0)
    assert default.n_neighbors == 5
    copy = call_factory(name_model(pipeline), SHAPE, 2, seed=0)
    assert copy.steps[0][1].n_neighbors == 3
    of_class = importlib.import_module("sklearn.pipeline").Pipeline
    assert resolve("sklearn.pipeline:Pipeline", "model") is of_class


def test_a_wrapped_function_does_not_stand_for_what_it_wraps():
    @functools.wraps(make)
    def wide(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], 99), nn.Linear(99, classes))

    of_wide = name_model(wide)
    assert len(call_factory(of_wide, SHAPE, 2, seed=0)) == 3
    assert len(call_factory(name_model(make), SHAPE, 2, seed=0)) == 2
    assert len(call_factory(of_wide, SHAPE, 2, seed=0)) == 3


def test_an_object_whose_file_has_changed_stays_itself(module, tmp_path, monkeypatch):
    text = (
        "import torch\ndef net(shape, classes):\n    return torch.nn.Sequential(torch.nn.Linear({}, classes))"
    )
    name = module(text.format(3))
    monkeypatch.syspath_prepend(tmp_path)
    old = importlib.import_module(name).net
    assert name_model(old) == importable_name(old) == f"{name}:net"
    (tmp_path / f"{name}.py").write_text(text.format(3) + "  # edited")
    for _ in range(2):
        of_old = name_model(old)
        assert resolve(of_old, "model") is old
        assert resolve(f"{name}:net", "model") is not old
    with pytest.raises(InputError, match="has another object under the name net") as caught:
        importable_name(old)
    _, _, remedy = str(caught.value).partition("Take that one: ")
    assert importable_name(eval(remedy)) == f"{name}:net"


def test_names_stay_as_they_are():
    assert name_model("mlp1") == importable_name("mlp1") == "mlp1"
    assert name_model(None) is importable_name(None) is None
    assert can_be_sent("mlp1")


def test_what_cannot_be_pickled_trains_in_this_process():
    assert can_be_sent(name_model(Net))
    assert not can_be_sent(name_model(lambda: Net()))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Net(), "model is a Net, a module itself"),
        (LinearSVC(), "has no predict_proba"),
        (3, "model is a int; it must be a name"),
    ],
)
def test_other_objects_are_refused(model, message):
    with pytest.raises(InputError, match=message):
        name_model(model)


def test_runs_of_a_store_need_a_model_that_can_be_imported():
    assert importable_name(make) == f"{__name__}:make"
    with pytest.raises(InputError, match="so it must have a name"):
        importable_name(lambda shape, classes: make(shape, classes))


def test_a_classifier_with_plain_parameters_can_be_imported():
    name = importable_name(KNeighborsClassifier(n_neighbors=3, weights="distance"))
    assert name == "sklearn.neighbors._classification:KNeighborsClassifier(n_neighbors=3, weights='distance')"
    copy = call_factory(name, (2, 1, 1), 2, seed=0)
    assert (copy.n_neighbors, copy.weights) == (3, "distance")
    assert importable_name(LogisticRegression) == "sklearn.linear_model._logistic:LogisticRegression"
    one = importable_name(BaggingClassifier(max_samples=1, max_features=np.float64(0.5)))
    assert one == "sklearn.ensemble._bagging:BaggingClassifier(max_features=0.5, max_samples=1)"
    with pytest.raises(InputError, match="so it must have a name"):
        importable_name(make_pipeline(LogisticRegression()))


@pytest.mark.trains
def test_a_plan_takes_a_classifier(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(2, size=700)
    features = 3.0 * labels[:, None] + random.normal(size=(700, 2))
    plan = dilution.plan(
        (features, labels),
        target=0.9,
        eta=0.2,
        model=KNeighborsClassifier(n_neighbors=5),
        pilot_n=240,
        max_runs=24,
        store=tmp_path / "plan.sqlite",
        execution=dilution.Execution(workers=0, progress=False),
    )
    assert set(plan.runs["model"]) == {"sklearn.neighbors._classification:KNeighborsClassifier"}


@pytest.mark.trains
@pytest.mark.parametrize(
    ("model", "workers"), [(make, 0), (LogisticRegression(), 0), (make_pipeline(LogisticRegression()), 1)]
)
def test_a_diagnosis_trains_models_that_are_objects(model, workers, monkeypatch):
    # a diagnosis with one worker trains in this process; here in another one, and two would show no more.
    # A pipeline has no name that a worker could import: it must be sent, as a function is.
    monkeypatch.setattr(cross_validation, "count_workers", lambda *_: workers)
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 3)).astype(np.float32)
    labels = (features[:, 0] > 0) ^ (random.random(200) < 0.1)
    diagnosis = dilution.diagnose(
        (features, labels),
        model=model,
        folds=2,
        repeats=1,
        n_bootstrap=20,
        execution=dilution.Execution(workers=2 * workers, progress=False),
    )
    probs = diagnosis.cross_validation.pred_probs
    assert ((probs[:, 1] > 0.5) == (features[:, 0] > 0)).mean() > 0.8  # rows are in the order of the examples
