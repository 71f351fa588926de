"""Augmentation: training pictures are mirrored and shifted as the seed and their position say, no others."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.data import Arrays, load, write_pack
from dilution.errors import InputError
from dilution.models import build
from dilution.noise import Dilution
from dilution.study import Run, Study
from dilution.study.grouping import shape_of
from dilution.study.timing import Probe
from dilution.training import BatchOrderer, TrainSettings, augment, seconds_per_step, train
from dilution.training.augment import Augmentation
from dilution.training.batches import Batch
from dilution.training.evaluation import Normalise, accuracy
from dilution.training.losses import cross_entropy
from dilution.training.optimizers import optimizer

BOTH = {"flips": True, "crops": 2}
WAYS = [{"flips": True}, {"crops": 1}, BOTH]


pytestmark = pytest.mark.usefixtures("one_thread")


def weights(result):
    return torch.cat([part.flatten() for part in result.module.state_dict().values()])


def trained(network="mlp1", *, data=None, images="same", n=300, alpha=1.0, seed=0, **changes):
    data = data or load("digits")
    noisy = Dilution(data.train, alpha, n=n, images=images)
    changes = {"steps": 12, "evaluations": 2, "batch": 32, "optimizer": "adam", "rate": 0.01} | changes
    return train(network, noisy, test=data.test, seed=seed, **changes)


def random_pictures(count, channels, height, width, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (count, channels, height, width), generator=draw, dtype=torch.uint8)


def shown(pictures, batch, seed=0, **settings):
    """Return the pictures as batches of a training would show them, one after the other."""
    changes = Augmentation(TrainSettings(**settings), tuple(pictures.shape[1:]), seed=seed)
    parts = [Batch(part, torch.empty(0)) for part in pictures.split(batch)]
    return torch.cat([part.pictures for part in changes.of(parts)])


def slowly(pictures, first, seed=0, **settings):
    """Change the pictures at positions first, first + 1, … pixel by pixel."""
    _, channels, height, width = pictures.shape
    changes = Augmentation(TrainSettings(**settings), (channels, height, width), seed=seed)
    found = torch.zeros_like(pictures)
    for number, picture in enumerate(pictures):
        mirrored, down, right = (int(move) for move in changes.moves(torch.tensor([first + number])))
        for row in range(height):
            for column in range(width):
                above, before = row - down, column - right
                if 0 <= above < height and 0 <= before < width:
                    taken = width - 1 - before if mirrored else before
                    found[number, :, row, column] = picture[:, above, taken]
    return found


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    batch=st.integers(1, 5),
    steps=st.integers(1, 3),
    flips=st.booleans(),
    seed=st.integers(0, 2**40),
    data=st.data(),
)
def test_every_picture_is_changed_as_one_pixel_at_a_time(shape, batch, steps, flips, seed, data):
    flips = flips and shape[2] > 1  # pictures one pixel wide cannot be mirrored
    crops = data.draw(st.integers(0, min(shape[1:]) - 1))
    pictures = random_pictures(batch * steps, *shape)
    before = pictures.clone()
    found = shown(pictures, batch, seed, flips=flips, crops=crops)
    assert torch.equal(found, slowly(pictures, 0, seed, flips=flips, crops=crops))
    assert torch.equal(pictures, before)


def test_a_shift_leaves_black_behind_and_loses_what_it_pushes_out():
    pictures = torch.full((400, 1, 5, 5), 255, dtype=torch.uint8)
    found = shown(pictures, 100, crops=2)
    lit = (found > 0).sum(dim=(1, 2, 3))
    assert set(lit.tolist()) == {9, 12, 15, 16, 20, 25}
    assert set(found.unique().tolist()) == {0, 255}


def test_with_both_off_the_batches_are_handed_on_untouched():
    parts = [Batch(random_pictures(2, 1, 3, 3), torch.empty(0)) for _ in range(3)]
    found = list(Augmentation(TrainSettings(), (1, 3, 3), seed=0).of(parts))
    assert all(ours is theirs for ours, theirs in zip(found, parts, strict=True))


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_a_change_depends_on_the_position_alone_and_not_on_batches_or_chunks(settings, monkeypatch):
    pictures = random_pictures(120, 2, 6, 7)
    expected = shown(pictures, 120, **settings)
    for chunk, batch in [(1 << 13, 8), (1, 8), (17, 5), (64, 60), (1 << 13, 1)]:
        monkeypatch.setattr(augment, "_CHUNK", chunk)
        assert torch.equal(shown(pictures, batch, **settings), expected)


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_another_seed_changes_pictures_otherwise(settings):
    pictures = random_pictures(50, 1, 6, 6)
    assert torch.equal(shown(pictures, 10, 3, **settings), shown(pictures, 10, 3, **settings))
    assert not torch.equal(shown(pictures, 10, 3, **settings), shown(pictures, 10, 4, **settings))


def test_flips_and_crops_do_not_depend_on_each_other():
    position = torch.arange(1000)
    both, flips, crops = (
        Augmentation(TrainSettings(**settings), (1, 8, 8), seed=0).moves(position)
        for settings in (BOTH, {"flips": True}, {"crops": 2})
    )
    assert torch.equal(both[0], flips[0])
    assert torch.equal(both[1], crops[1])
    assert torch.equal(both[2], crops[2])
    assert not any(move.any() for move in (flips[1], flips[2], crops[0]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_flips_and_shifts_are_uniform_and_independent(seed):
    position = torch.arange(100_000)
    mirrored, down, right = Augmentation(TrainSettings(**BOTH), (1, 8, 8), seed=seed).moves(position)
    assert (down.abs().max(), right.abs().max()) == (2, 2)
    cell = (mirrored * 5 + down + 2) * 5 + right + 2
    # Chi-squared of what one picture gets, and of what it gets together with the next one.
    for cells, count in [(50, cell), (2500, cell[:-1] * 50 + cell[1:])]:
        expected = len(count) / cells
        distance = ((count.bincount(minlength=cells) - expected) ** 2 / expected).sum()
        assert abs(float(distance) - (cells - 1)) < 4 * (2 * (cells - 1)) ** 0.5


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_changing_pictures_reads_nothing_back_and_stays_on_its_device(settings):
    # a "meta" tensor has nothing to read: asking for a number, or mixing it with the CPU's, is an error
    meta = torch.device("meta")
    changes = Augmentation(TrainSettings(**settings), (3, 6, 7), seed=0)
    parts = [Batch(torch.empty(16, 3, 6, 7, dtype=torch.uint8, device=meta), torch.empty(0))] * 3
    for part in changes.of(parts):
        assert part.pictures.device == meta
        assert part.pictures.shape == (16, 3, 6, 7)
        assert part.pictures.is_contiguous()


@pytest.mark.parametrize("order", ["examples", "pooled", "expected"])
def test_training_equals_a_loop_by_hand_over_changed_training_pictures(order):
    digits = load("digits")
    noisy = Dilution(digits.train, 1.5, n=100)
    settings = TrainSettings(
        order=order, optimizer="sgd", rate=0.01, batch=16, steps=8, evaluations=1, **BOTH
    )
    result = train("mlp1", noisy, test=digits.test, validation=20, seed=3, settings=settings)

    training, held_out = noisy.hold_out(20)
    module = build("mlp1", (1, 8, 8), 10, seed=3)
    prepare = Normalise(digits.train, training.clean_rows)
    using = optimizer(module.parameters(), settings)
    for step, batch in enumerate(BatchOrderer(training, order, 16, seed=3).batches(8)):
        pictures = slowly(batch.pictures, 16 * step, 3, **BOTH)
        module.zero_grad()
        cross_entropy(module(prepare(pictures)), batch.targets).backward()
        using.step()
    by_hand = torch.cat([part.detach().flatten() for part in module.parameters()])
    torch.testing.assert_close(weights(result), by_hand, rtol=1e-3, atol=1e-5)
    # Validation and test pictures are as they were.
    last = result.history.iloc[-1]
    assert last["test"] == accuracy(result.predict(digits.test.images), digits.test.labels)
    kept = digits.train.subset(held_out.clean_rows)
    assert last["validation_clean"] == accuracy(result.predict(kept), kept.labels)


@pytest.mark.parametrize("order", ["examples", "pooled", "expected"])
def test_training_with_augmentation_repeats_bit_for_bit_and_is_another_training(order):
    found = [trained(order=order, **settings) for settings in ({}, *WAYS)]
    again = [trained(order=order, **settings) for settings in ({}, *WAYS)]
    for first, second in zip(found, again, strict=True):
        assert torch.equal(weights(first), weights(second))
        assert first.history.equals(second.history)
    assert len({tuple(weights(each).tolist()) for each in found}) == 4
    assert not torch.equal(weights(found[-1]), weights(trained(order=order, seed=1, **BOTH)))


@pytest.mark.parametrize("images", ["fresh", "white_noise", "external"])
def test_other_picture_sources_are_augmented_too(images):
    digits = load("digits")
    source = Arrays(255 - digits.test.images, digits.test.labels) if images == "external" else images
    plain, changed = trained(images=source), trained(images=source, **BOTH)
    assert changed.state == "done"
    assert not torch.equal(weights(plain), weights(changed))


def test_pictures_read_from_a_pack_are_changed_like_those_in_memory(tmp_path):
    digits = load("digits")
    packed = load(write_pack(tmp_path / "mine.pack", [digits.train], [digits.test]))
    assert torch.equal(weights(trained(**BOTH)), weights(trained(data=packed, **BOTH)))


def test_augmentation_leaves_the_global_generators_and_the_data_alone():
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    images = load("digits").train.images
    before, pictures = states(), images.clone()
    trained("conv2", steps=2, **BOTH)
    assert states() == before
    assert torch.equal(images, pictures)


@pytest.mark.parametrize("network", ["mlp2", "conv2"])
def test_digits_are_learnt_from_shifted_pictures_and_then_recognised_where_they_were_not_seen(network):
    digits = load("digits")
    settings = {"n": 1000, "alpha": 0, "steps": 200, "rate": 0.003}
    moved = torch.nn.functional.pad(digits.test.images, (1, 0))[..., :-1]  # one pixel to the right
    found = {
        crops: accuracy(trained(network, crops=crops, **settings).predict(moved), digits.test.labels)
        for crops in (0, 1)
    }
    assert found[1] > 0.8
    assert found[1] > found[0] + 0.1


@pytest.mark.parametrize(
    ("crops", "fragments"),
    [
        (8, ["crops is 8 and pictures are 8×8", "smaller than both sides", "Give crops from 0 to 7"]),
        (-1, ["crops is -1", "greater than or equal to 0"]),
        (1.5, ["crops is 1.5", "integer"]),
        ("one", ["crops is 'one'", "number"]),
        (True, ["crops is True", "number"]),
    ],
    ids=str,
)
def test_crops_that_break_their_rule_are_refused_before_training(crops, fragments, monkeypatch):
    monkeypatch.setattr("dilution.training.trainer.build", None)  # no network is made
    with pytest.raises(InputError) as caught:
        trained(crops=crops)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_the_shorter_side_limits_crops():
    assert Augmentation(TrainSettings(crops=2), (1, 3, 9), seed=0)
    for sides in ((3, 9), (9, 3)):
        with pytest.raises(InputError, match=r"Give crops from 0 to 2\."):
            Augmentation(TrainSettings(crops=3), (1, *sides), seed=0)


def test_a_study_with_crops_larger_than_its_pictures_is_refused_before_anything_is_queued(tmp_path):
    base = {"dataset": "digits", "n": 100, "alpha": 1, "network": "perceptron", "steps": 2}
    study = Study.of("s", [Run.of(**base, crops=crops) for crops in (0, 8)])
    store = tmp_path / "s.sqlite"
    with pytest.raises(InputError, match="crops is 8 and pictures are 8×8"):
        dilution.run(study, store=store, workers=0)
    assert not store.exists()


def test_the_planner_measures_a_step_with_its_augmentation():
    base = {"dataset": "digits", "n": 100, "alpha": 1, "network": "perceptron", "steps": 2}
    names = {
        Probe(shape_of(Run.of(**base, **changes)), (1, 8, 8), 10, 1, 1, 1).name for changes in ({}, *WAYS)
    }
    assert len(names) == 4
    for changes in WAYS:
        settings = TrainSettings(batch=8, **changes)
        assert seconds_per_step("perceptron", (1, 8, 8), 10, settings, replicas=2) > 0
