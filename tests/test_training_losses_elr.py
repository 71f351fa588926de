"""Early-learning regularisation: its averages over several steps, repeated examples, memory."""

import pytest
import torch
from torch.nn import functional as F

from dilution.errors import InputError
from dilution.training.config import TrainConfig
from dilution.training.distributed import Shard
from dilution.training.losses import ELR, LossContext, elr
from dilution.training.trainer import check_shardable


def context(examples=6, classes=3):
    names = tuple("abcdefghij"[:classes])
    return LossContext(
        names, examples, torch.eye(classes).numpy(), takes_weights=False, device=torch.device("cpu")
    )


def batches(index, seed=0):
    """Return logits and targets of each batch of examples."""
    generator = torch.Generator().manual_seed(seed)
    for numbers in index:
        logits = torch.randn(len(numbers), 3, generator=generator)
        labels = torch.tensor(numbers) % 3
        yield logits, torch.stack([labels, torch.tensor(numbers)], dim=1)


def test_the_averages_are_those_of_a_loop_over_examples():
    loss = ELR(beta=0.6, lam=2.0).of_replica(context())
    averages = torch.zeros(6, 3)
    for logits, targets in batches([[0, 3, 5], [1, 0, 2], [5, 3, 0]]):
        mean, _ = loss(logits, targets)
        losses = []
        for row, (label, number) in zip(logits, targets.tolist(), strict=True):
            f = row.softmax(dim=0).clamp(1e-4, 1 - 1e-4)
            averages[number] = 0.6 * averages[number] + 0.4 * f / f.sum()
            term = (1 - averages[number] @ f).log()
            losses.append(F.cross_entropy(row[None], torch.tensor([label])) + 2 * term)
        assert float(mean) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
    torch.testing.assert_close(loss.state_dict()["averages"], averages)


def test_of_an_example_that_is_twice_in_a_batch_the_last_place_counts():
    loss = ELR(beta=0.5).of_replica(context())
    ((logits, targets),) = batches([[4, 1, 4, 4]])
    loss(logits, targets)
    last = logits[3].softmax(dim=0).clamp(1e-4, 1 - 1e-4)
    torch.testing.assert_close(loss.state_dict()["averages"][4], 0.5 * last / last.sum())


def test_averages_that_do_not_fit_into_memory_are_refused_before(monkeypatch):
    monkeypatch.setattr(elr, "available_memory", lambda: 10_000)
    ELR().check(context(examples=400))
    with pytest.raises(
        InputError, match=r"a prediction for each of 600 examples: 1\.2e-05 GB for 1 models.*smaller"
    ):
        ELR().check(context(examples=600))


@pytest.mark.parametrize("settings", [{"loss": "elr"}, {"mixup": 0.2}, {"loss": "a:b"}], ids=str)
def test_what_looks_beyond_a_shard_is_refused_where_processes_divide_batches(settings):
    config = TrainConfig(**settings)
    check_shardable(config, Shard())
    with pytest.raises(InputError, match="Leave parallel out"):
        check_shardable(config, Shard(0, 2))
    check_shardable(TrainConfig(loss="gce"), Shard(0, 2))
