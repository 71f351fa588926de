"""No stage of a call is silent: whoever waits has been told what for, before the work begins."""

import functools
import importlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dilution
from dilution import Execution
from dilution.utils import stage_log

pytestmark = pytest.mark.trains

N = 320
LABELS = np.arange(N) % 2
X = (np.random.default_rng(0).normal(size=(N, 2)) + 4.0 * LABELS[:, None] - 2.0).astype(np.float32)
QUICK = {"folds": 2, "n_bootstrap": 20}


def plan(**options: Any) -> Any:
    return dilution.plan((X, LABELS), target=0.8, alpha=1, model="perceptron", max_runs=12, **options)


def advise(**options: Any) -> Any:
    right = np.where(LABELS[:, None] == np.arange(2), 0.9, 0.1)
    quiet = Execution(workers=0, progress=False)
    diagnosis = dilution.diagnose((X, LABELS), pred_probs=right, n_bootstrap=20, execution=quiet)
    settings = {"alpha": 1, "model": "perceptron", "n": 128, "epochs": 0.5, "features": 2 * X}
    return dilution.advise((X, LABELS), diagnosis=diagnosis, **settings, **options)


CALLS: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    "diagnose": (
        lambda **options: dilution.diagnose((X, LABELS), **QUICK, repeats=1, model="mlp1", **options),
        {
            "diagnosis.diagnose.open_examples": "reading the data: ",
            "diagnosis.diagnose.find_and_group": "searching for copies: ",
            "diagnosis.feature_source.FeatureSource.find": "computing features: ",
            "diagnosis.held_out.cross_validate": "predicting held-out labels: ",
            "diagnosis.diagnose.fit_all": "fitting the noise: ",
            "diagnosis.diagnose.rank_label_issues": "fitting the noise: ",
        },
    ),
    "fit": (
        lambda **options: dilution.fit(
            (X, LABELS), **QUICK, model="mlp1", method="plain", n_models=1, **options
        ),
        {
            "fitting.fit.open_examples": "reading the data: ",
            "fitting.fit.find_and_group": "searching for copies: ",
            "diagnosis.feature_source.FeatureSource.find": "computing features: ",
            "fitting.learners.train_together": "fitting mlp1, ",
            "fitting.fit.diagnose": "estimating the noise: ",
            "fitting.choice.choose_noise": "estimating the noise: ",
            "fitting.choice.estimate_accuracy": "estimating the accuracy: ",
        },
    ),
    "plan": (
        plan,
        {
            "planning.plan.name_data": "reading the data: ",
            "planning.plan.load": "reading the data: ",
            "planning.plan.DistinctExamples.of": "searching for copies: ",
            "planning.plan.prepare": "preparing the pilot: |choosing the next runs: ",
            "study.scheduler.open_executor": "preparing the pilot: |runs are finished in the store",
            "planning.plan._fit_law": "fitting the law of accuracy: ",
            "planning.plan.next_runs": "choosing the next runs: ",
        },
    ),
    "advise": (
        advise,
        {
            "advice.advise.find_diagnosis": "reading the data: ",
            "advice.own_inputs.FeatureSource.find": "computing features: ",
            "advice.advise.name_data": "writing the features: ",
            "advice.advise.load": "writing the features: ",
            "advice.advise._measure_noise_scales": "measuring the noise scale: ",
            "advice.advise.prepare": "preparing the search: ",
            "study.scheduler.open_executor": "preparing the search: |runs are finished in the store",
        },
    ),
}


def owner_of(path: str) -> tuple[Any, str]:
    """Return the module or class that has a function, and its name in there."""
    *parts, name = path.split(".")
    length = len(parts) - parts[-1][0].isupper()
    module = importlib.import_module(".".join(["dilution", *parts[:length]]))
    return functools.reduce(getattr, parts[length:], module), name


@pytest.mark.parametrize("call", CALLS)
def test_before_each_slow_function_a_line_says_what_is_done(tmp_path, monkeypatch, capsys, call):
    monkeypatch.setattr(stage_log, "_POLL_SECONDS", 1000)  # it speaks when the test asks for it
    monkeypatch.setattr(stage_log, "_SILENT_SECONDS", 0.0)
    monkeypatch.setattr(stage_log, "_GROWTH", 0.0)
    heard = defaultdict(list)

    def listening(path: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def listen(*arguments: Any, **options: Any) -> Any:
            log = stage_log._CURRENT.get()
            if log is not None:
                log.speak_up()
            heard[path].append(capsys.readouterr().err)
            return work(*arguments, **options)

        return listen

    function, slow = CALLS[call]
    for path in slow:
        owner, name = owner_of(path)
        monkeypatch.setattr(owner, name, listening(path, getattr(owner, name)))
    stores = {"store": tmp_path / "s.sqlite"} if call in ("plan", "advise") else {}
    function(execution=Execution(workers=0), **stores)
    assert set(heard) == set(slow)
    for path, stages in slow.items():
        for text in heard[path]:
            assert any(stage in text for stage in stages.split("|")), (path, text)
