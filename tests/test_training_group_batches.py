"""The batches of a run group: together they are those of each replica alone, to the bit."""

import itertools

import pytest
import torch

import dilution
from dilution.training import group_batches
from dilution.training.config import TrainConfig
from dilution.training.distributed import WHOLE_BATCH, Shard
from dilution.training.group_batches import GroupBatches, take_together
from dilution.training.replica import Replica
from dilution.training.task import TrainTask

CPU = torch.device("cpu")


def replicas(*, shard=WHOLE_BATCH, image_source="same", **settings):
    """Return three replicas that differ in seed and noise level."""
    data = dilution.load("digits")
    config = TrainConfig(steps=23, batch_size=50, optimizer="sgd", lr=0.1, **settings)
    noisy = [
        dilution.Dilution(data.train, n=120, alpha=1.5, image_source=image_source, seed=seed)
        for seed in range(3)
    ]
    tasks = [TrainTask("mlp1", part, data.test, seed, 20, config) for seed, part in enumerate(noisy)]
    return [Replica(task, CPU, shard) for task in tasks]


def copies(batches):
    return [(images.clone(), targets.clone()) for images, targets in batches]


@pytest.mark.parametrize("start", [0, 7])
@pytest.mark.parametrize(
    "settings",
    [
        {"targets": "sampled"},
        {"targets": "sampled", "image_source": "fresh"},
        {"targets": "pooled"},
        {"targets": "expected"},
        {"targets": "sampled", "shard": Shard(1, 2)},
    ],
)
def test_batches_taken_together_have_the_bits_of_those_taken_one_by_one(settings, start):
    group = replicas(**settings)
    part = settings.get("shard", WHOLE_BATCH).slice_of(50)
    alone, together = (
        copies(GroupBatches(group, part.stop - part.start, CPU, together=way).from_step(start))
        for way in (False, True)
    )
    assert len(alone) == len(together) == 23 - start
    for first, second in zip(alone, together, strict=True):
        assert all(map(torch.equal, first, second))


def test_chunks_end_where_the_training_ends(monkeypatch):
    monkeypatch.setattr("dilution.training.batches._CHUNK", 100)
    group = replicas(targets="sampled")
    alone, together = (
        copies(GroupBatches(group, 50, CPU, together=way).from_step(0)) for way in (False, True)
    )
    assert len(alone) == len(together) == 23
    assert all(torch.equal(a[0], b[0]) for a, b in zip(alone, together, strict=True))


def test_batches_are_written_to_the_same_memory():
    batches = GroupBatches(replicas(targets="sampled"), 50, CPU, together=True).from_step(0)
    places = {(images.data_ptr(), targets.data_ptr()) for images, targets in itertools.islice(batches, 5)}
    assert len(places) == 1


def test_images_that_are_changed_or_made_are_not_rows_of_one_tensor():
    assert replicas(targets="sampled")[0].shown_images is not None
    assert replicas(targets="sampled", hflip=True)[0].shown_images is None
    assert replicas(targets="sampled", image_source="white_noise")[0].shown_images is None


def test_images_are_taken_together_on_a_gpu_from_one_tensor_only():
    one, other = torch.zeros(3), torch.zeros(3)
    gpu = torch.device("cuda")
    assert take_together([one, one], gpu)
    assert not take_together([one, one], CPU)
    assert not take_together([one, other], gpu)
    assert not take_together([one, None], gpu)
    assert not take_together([None, None], gpu)


def test_without_a_wish_the_batches_follow_that_decision(monkeypatch):
    group = replicas(targets="sampled")
    for decision in (True, False):
        monkeypatch.setattr(group_batches, "take_together", lambda *_, decision=decision: decision)
        assert (GroupBatches(group, 50, CPU)._shown is not None) == decision


@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_the_memory_of_a_chunk_is_bounded_over_the_group_and_changes_no_batch(monkeypatch, targets):
    group = replicas(targets=targets)
    whole = copies(GroupBatches(group, 50, CPU, together=True).from_step(0))
    most = 3 * 50 * (8 + (8 if targets == "sampled" else 40)) * 4  # four steps of three replicas
    monkeypatch.setattr("dilution.training.batches._CHUNK_BYTES", most)
    taken = []
    real = Replica.rows_and_targets

    def measured(self, first, count):
        taken.append(real(self, first, count))
        return taken[-1]

    monkeypatch.setattr(Replica, "rows_and_targets", measured)
    parts = copies(GroupBatches(group, 50, CPU, together=True).from_step(0))
    sizes = [sum(tensor.numel() * tensor.element_size() for tensor in part) for part in taken]
    assert max(sum(sizes[first : first + 3]) for first in range(0, len(sizes), 3)) == most
    assert len(taken) == 3 * 6
    for first, second in zip(whole, parts, strict=True):
        assert all(map(torch.equal, first, second))
