"""Two processes that share each batch train as one with the whole batch does."""

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
from dilution.training.distributed import Share

CASES = [
    {"model": "mlp2", "optimizer": "adam", "batch_size": 32},
    {"model": "conv2", "optimizer": "sgd", "momentum": 0.9, "batch_size": 33, "translate": 1, "hflip": True},
    {"model": "mlp1", "targets": "pooled", "ema_decay": 0.9, "optimizer": "adadelta", "batch_size": 17},
]
SCRIPT = """
import json, os, sys
import dilution

data = dilution.load("digits")
found = []
for case in json.loads(sys.argv[1]):
    noisy = dilution.Dilution(data.train, alpha=2, n=300)
    how = dict(case, steps=30, evaluations=3, lr=0.01, parallel={parallel})
    result = dilution.train(noisy=noisy, test=data.test, **how)
    weights = sum(float(weight.double().abs().sum()) for weight in result.module.state_dict().values())
    found.append([result.history["train_loss"].tolist(), result.history["test_acc"].tolist(), weights])
with open("found-" + os.environ.get("RANK", "alone"), "w") as file:
    json.dump(found, file)
"""


def found(folder, parallel, *launcher):
    (folder / "script.py").write_text(SCRIPT.format(parallel=parallel))
    command = [sys.executable, *launcher, "script.py", json.dumps(CASES)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in sorted(folder.glob("found-*"))]


def test_two_processes_have_the_loss_curve_of_one_with_the_whole_batch(tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (alone,) = found(tmp_path / "one", False)
    both = found(tmp_path / "two", True, *torchrun)
    assert len(both) == 2
    for ours, theirs, whole in zip(*both, alone, strict=True):
        assert ours == theirs  # both ranks hold the same network
        for mine, one in zip(ours, whole, strict=True):
            assert mine == pytest.approx(one, rel=1e-4, abs=2e-3)


@pytest.mark.parametrize(("batch_size", "size"), [(32, 2), (33, 4), (7, 7), (5, 1)])
def test_shares_are_the_batch_in_order(batch, size):
    parts = [list(range(batch))[Share(rank, size).of(batch)] for rank in range(size)]
    assert [place for part in parts for place in part] == list(range(batch))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_what_processes_draw_is_what_one_draws(order):
    noisy = Dilution(load("digits").train, 2, n=300)
    settings = TrainConfig(batch_size=33, translate=2, hflip=True)

    def drawn(share):
        batches = BatchSampler(noisy, order, 33, seed=1, share=share).batches(7, 2)
        return list(Augmentation(settings, (1, 8, 8), seed=1, share=share).of(batches, 2))

    whole, parts = drawn(Share()), [drawn(Share(rank, 4)) for rank in range(4)]
    for step, batch in enumerate(whole):
        assert torch.equal(torch.cat([part[step].images for part in parts]), batch.images)
        assert torch.equal(torch.cat([part[step].targets for part in parts]), batch.targets)


def test_a_process_that_is_alone_is_told_how_to_have_company(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    data = load("digits")
    with pytest.raises(InputError, match="torchrun --nproc-per-node 2"):
        dilution.train("mlp1", Dilution(data.train, 1), test=data.test, steps=1, parallel=True)


def test_processes_that_go_on_from_different_steps_are_refused(monkeypatch):
    def others(steps, step):
        steps[:] = [step, step + 20]

    monkeypatch.setattr("dilution.training.distributed.distributed.all_gather_object", others)
    with pytest.raises(InputError, match=r"are of steps 10, 30; all must go on from one"):
        Share(0, 2).agree(10)
    Share().agree(10)
