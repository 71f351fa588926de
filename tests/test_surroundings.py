"""Odd surroundings: threads, forked and daemonic processes; faults/test_surroundings.py has more."""

import multiprocessing
import os
import threading

import pytest
import torch

import dilution
from dilution.study import Execution, Run
from dilution.study.executors import InlineExecutor, Workload, open_executor
from dilution.study.executors.processes import workers_note

pytestmark = pytest.mark.trains

DROPOUT = """
from torch import nn

def net(shape, classes):
    inputs = shape[0] * shape[1] * shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 16), nn.Dropout(0.5), nn.Linear(16, classes))
"""
RUNS = [Run.of(dataset="digits", n=60, model="mlp1", steps=3, alpha=1.0, seed=seed) for seed in range(3)]


def train(model="mlp1", seed=0, **settings):
    """Train a model for a moment and return its history as text."""
    data = dilution.load("digits")
    noisy = dilution.Dilution(data.train, alpha=1, n=121)
    options = {"steps": 30, "batch_size": 20, "n_val": 20, "seed": seed} | settings
    return dilution.train(model, noisy, test=data.test, **options).history.to_json()


def test_trainings_in_threads_have_the_bits_of_trainings_alone(module):
    model = f"{module(DROPOUT)}:net"
    alone = {seed: train(model, seed) for seed in (1, 2)}
    torch.manual_seed(5)
    before, together = torch.get_rng_state(), {}
    threads = [
        threading.Thread(target=lambda seed=seed: together.update({seed: train(model, seed)}))
        for seed in alone
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_trains_after_its_parent_has_trained_with_several_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train("mlp2", steps=2, batch_size=100)
        process = multiprocessing.get_context("fork").Process(target=train, args=("mlp2",), daemon=True)
        process.start()
        process.join(60)  # it hangs where it waits for threads that only its parent has
        assert process.exitcode == 0
    finally:
        torch.set_num_threads(before)


def test_a_daemonic_process_is_told_that_it_trains_by_itself(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    execution = Execution(workers=2)
    assert isinstance(open_executor(Workload(RUNS, execution)), InlineExecutor)
    assert workers_note(execution).startswith("this process is a daemon")
