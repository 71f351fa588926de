"""Training of runs: one that raises fails alone, and threads do not change each other's results."""

import threading

import pytest
import torch

import dilution
from dilution.study import Execution, Run, Study, runner
from dilution.study.runner import train_runs, using_threads

BASE = {"dataset": "digits", "n": 60, "steps": 3, "alpha": 1.0, "n_evals": 1, "batch_size": 16}
RAISING = """
import sys
from torch import nn

class Raising(nn.Module):
    def __init__(self, inputs, classes, error):
        super().__init__()
        self.layer, self.error = nn.Linear(inputs, classes), error

    def forward(self, x):
        if self.training and torch_is_training(x):
            raise self.error
        return self.layer(x.flatten(1))

def torch_is_training(x):
    return len(x) > 2  # not the two images that check the model

def value_error(shape, classes):
    return Raising(shape[0] * shape[1] * shape[2], classes, ValueError("this model cannot be trained"))

def system_exit(shape, classes):
    return Raising(shape[0] * shape[1] * shape[2], classes, SystemExit(3))

def memory_error(shape, classes):
    return Raising(shape[0] * shape[1] * shape[2], classes, MemoryError())
"""


@pytest.mark.parametrize("name", ["value_error", "system_exit", "memory_error"])
def test_a_run_that_raises_has_failed_with_its_error(module, name):
    run = Run.of(**BASE, model=f"{module(RAISING)}:{name}")
    (outcome,) = train_runs([run], None, {})
    assert outcome["state"] == "failed"
    assert {"value_error": "ValueError", "system_exit": "SystemExit: 3", "memory_error": "MemoryError"}[
        name
    ] in (outcome["error"])


@pytest.mark.trains
def test_a_run_that_raises_in_this_process_fails_alone(module, tmp_path):
    name = module(RAISING)
    models = ["mlp1", f"{name}:value_error", "perceptron", f"{name}:system_exit"]
    study = Study.of("s", [Run.of(**BASE, model=model) for model in models])
    store = tmp_path / "s.sqlite"
    runs = dilution.run(study, store=store, execution=Execution(workers=0, progress=False))
    assert dict(zip(runs["model"], runs["state"], strict=True)) == dict(
        zip(models, ["done", "failed", "done", "failed"], strict=True)
    )


def test_threads_take_turns_with_the_number_of_threads():
    before, counts = torch.get_num_threads(), []

    def compute(count):
        for _ in range(50):
            with using_threads(count):
                counts.append(torch.get_num_threads() == count)

    threads = [threading.Thread(target=compute, args=(count,)) for count in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(counts)
    assert torch.get_num_threads() == before
    assert runner._thread_count_lock.acquire(blocking=False)
    runner._thread_count_lock.release()
