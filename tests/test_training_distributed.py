"""Two processes that divide each batch train as one process with the whole batch does."""

import json
import subprocess
import sys

import pytest
import torch

import dilution
from dilution.data import load
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training import BatchSampler, TrainConfig
from dilution.training.augment import Augmentation
from dilution.training.distributed import Shard

CASES = [
    {"model": "mlp2", "optimizer": "adam", "batch_size": 32},
    {"model": "conv2", "optimizer": "sgd", "momentum": 0.9, "batch_size": 33, "translate": 1, "hflip": True},
    {"model": "mlp1", "targets": "pooled", "ema_decay": 0.9, "optimizer": "adadelta", "batch_size": 17},
]
TRAIN = """
import dilution

def train_all(cases, parallel):
    data = dilution.load("digits")
    results = []
    for case in cases:
        noisy = dilution.Dilution(data.train, alpha=2, n=300)
        settings = dict(case, steps=12, n_evals=3, lr=0.01, parallel=parallel)
        result = dilution.train(noisy=noisy, test=data.test, **settings)
        weights = sum(float(weight.double().abs().sum()) for weight in result.model.state_dict().values())
        results.append([result.history["train_loss"].tolist(), result.history["test_acc"].tolist(), weights])
    return results
"""
SCRIPT = f"""{TRAIN}
import json, os, sys
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

def train_rank(cases):
    with open("results-" + os.environ["RANK"], "w") as file:
        json.dump(train_all(cases, parallel=True), file)

if __name__ == "__main__":
    import dilution.training  # once, before the processes are forked
    dilution.train
    config = LaunchConfig(
        1, 1, nproc_per_node=2, start_method="fork", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        run_id="test",
    )
    elastic_launch(config, train_rank)(json.loads(sys.argv[1]))
"""


@pytest.mark.trains
def test_two_processes_have_the_loss_curve_of_one_with_the_whole_batch(tmp_path, one_thread):
    # What torchrun starts, with its environment, but forked: to import PyTorch takes most of the time.
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", json.dumps(CASES)]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    both = [json.loads((tmp_path / f"results-{rank}").read_text()) for rank in range(2)]
    names = {}
    exec(TRAIN, names)
    alone = names["train_all"](CASES, parallel=False)
    for first, second, whole in zip(*both, alone, strict=True):
        assert first == second  # both ranks have the same model
        for values, expected in zip(first, whole, strict=True):
            assert values == pytest.approx(expected, rel=1e-4, abs=2e-3)


@pytest.mark.parametrize(("batch_size", "size"), [(32, 2), (33, 4), (7, 7), (5, 1)])
def test_shards_are_the_batch_in_order(batch_size, size):
    positions = list(range(batch_size))
    parts = [positions[Shard(rank, size).slice_of(batch_size)] for rank in range(size)]
    assert [position for part in parts for position in part] == positions
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_the_shards_of_a_batch_are_the_whole_batch(targets):
    noisy = Dilution(load("digits").train, 2, n=300)
    config = TrainConfig(batch_size=33, translate=2, hflip=True)

    def batches(shard):
        sampled = BatchSampler(noisy, targets, 33, seed=1, shard=shard).batches(7, 2)
        return list(Augmentation(config, (1, 8, 8), seed=1, shard=shard).apply(sampled, 2))

    whole, parts = batches(Shard()), [batches(Shard(rank, 4)) for rank in range(4)]
    for step, batch in enumerate(whole):
        assert torch.equal(torch.cat([part[step].images for part in parts]), batch.images)
        assert torch.equal(torch.cat([part[step].targets for part in parts]), batch.targets)


def test_parallel_training_in_a_single_process_is_refused(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    data = load("digits")
    with pytest.raises(InputError, match="torchrun --nproc-per-node 2"):
        dilution.train("mlp1", Dilution(data.train, 1), test=data.test, steps=1, parallel=True)


def test_processes_that_resume_from_different_steps_are_refused(monkeypatch):
    def gather(steps, step):
        steps[:] = [step, step + 20]

    monkeypatch.setattr("dilution.training.distributed.distributed.all_gather_object", gather)
    with pytest.raises(InputError, match=r"are of steps 10, 30; all processes must resume"):
        Shard(0, 2).check_same_step(10)
    Shard().check_same_step(10)
