"""The trainer of a search: how it judges its runs. The runs are in the store already; nothing is trained."""

import math

import pytest
from stores import NOW

from dilution import Execution
from dilution.advice.search import Search
from dilution.study import Run
from dilution.study.deadline import Deadline
from dilution.study.store import Store

EXECUTION = Execution(workers=0, progress=False)
RUNS = [
    Run.of(dataset="digits", n=200, model="mlp1", alpha=4, steps=30, batch_size=32, lr=lr)
    for lr in (0.001, 0.01, 1.0)
]


def history(losses, accuracies):
    return [
        {"step": 10 * (number + 1), "val_loss_noisy": loss, "val_acc_noisy": accuracy}
        for number, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True))
    ]


def test_a_run_is_judged_by_its_lowest_noisy_validation_loss_and_divergence_is_worst(tmp_path):
    outcomes = [
        {"state": "done", "history": history((1.5, 0.9, 1.2), (0.3, 0.7, 0.5))},
        {"state": "done", "history": history((1.4, 1.3, 1.1), (0.2, 0.1, 0.6))},
        {"state": "diverged", "history": history((0.5, 0.4), (0.8, 0.9))},
    ]
    path = tmp_path / "advice.sqlite"
    with Store(path) as store:
        store.add("earlier", RUNS)
        store.finish({run.key: outcome for run, outcome in zip(RUNS, outcomes, strict=True)}, at=NOW)
        search = Search("advice/digits", store, path, EXECUTION, Deadline.of(EXECUTION))
        judged = search.train("lr", RUNS).set_index("key")["loss"]
    assert [judged[run.key] for run in RUNS] == pytest.approx([0.9, 1.1, math.inf])
