"""Augmentation: training images are mirrored and shifted as the seed and their position say, no others."""

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
from dilution.training import BatchSampler, TrainConfig, augment, seconds_per_step, train
from dilution.training.augment import Augmentation
from dilution.training.batches import Batch
from dilution.training.evaluation import Normalise, accuracy
from dilution.training.losses import cross_entropy
from dilution.training.optimizers import optimizer

BOTH = {"hflip": True, "translate": 2}
WAYS = [{"hflip": True}, {"translate": 1}, BOTH]


pytestmark = pytest.mark.usefixtures("one_thread")


def weights(result):
    return torch.cat([part.flatten() for part in result.module.state_dict().values()])


def trained(model="mlp1", *, data=None, image_source="same", n=300, alpha=1.0, seed=0, **changes):
    data = data or load("digits")
    noisy = Dilution(data.train, alpha, n=n, image_source=image_source)
    changes = {"steps": 12, "n_evals": 2, "batch_size": 32, "optimizer": "adam", "lr": 0.01} | changes
    return train(model, noisy, test=data.test, seed=seed, **changes)


def random_images(count, channels, height, width, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (count, channels, height, width), generator=draw, dtype=torch.uint8)


def shown(images, batch, seed=0, **settings):
    """Return the images as batches of a training would show them, one after the other."""
    changes = Augmentation(TrainConfig(**settings), tuple(images.shape[1:]), seed=seed)
    parts = [Batch(part, torch.empty(0)) for part in images.split(batch)]
    return torch.cat([part.images for part in changes.of(parts)])


def slowly(images, first, seed=0, **settings):
    """Change the images at positions first, first + 1, … pixel by pixel."""
    _, channels, height, width = images.shape
    changes = Augmentation(TrainConfig(**settings), (channels, height, width), seed=seed)
    found = torch.zeros_like(images)
    for number, image in enumerate(images):
        mirrored, down, right = (int(move) for move in changes.moves(torch.tensor([first + number])))
        for row in range(height):
            for column in range(width):
                above, before = row - down, column - right
                if 0 <= above < height and 0 <= before < width:
                    taken = width - 1 - before if mirrored else before
                    found[number, :, row, column] = image[:, above, taken]
    return found


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    batch_size=st.integers(1, 5),
    steps=st.integers(1, 3),
    hflip=st.booleans(),
    seed=st.integers(0, 2**40),
    data=st.data(),
)
def test_every_image_is_changed_as_one_pixel_at_a_time(shape, batch, steps, hflip, seed, data):
    hflip = hflip and shape[2] > 1  # images one pixel wide cannot be mirrored
    crops = data.draw(st.integers(0, min(shape[1:]) - 1))
    images = random_images(batch * steps, *shape)
    before = images.clone()
    found = shown(images, batch, seed, hflip=hflip, translate=crops)
    assert torch.equal(found, slowly(images, 0, seed, hflip=hflip, translate=crops))
    assert torch.equal(images, before)


def test_a_shift_leaves_black_behind_and_loses_what_it_pushes_out():
    images = torch.full((400, 1, 5, 5), 255, dtype=torch.uint8)
    found = shown(images, 100, translate=2)
    lit = (found > 0).sum(dim=(1, 2, 3))
    assert set(lit.tolist()) == {9, 12, 15, 16, 20, 25}
    assert set(found.unique().tolist()) == {0, 255}


def test_with_both_off_the_batches_are_handed_on_untouched():
    parts = [Batch(random_images(2, 1, 3, 3), torch.empty(0)) for _ in range(3)]
    found = list(Augmentation(TrainConfig(), (1, 3, 3), seed=0).of(parts))
    assert all(ours is theirs for ours, theirs in zip(found, parts, strict=True))


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_a_change_depends_on_the_position_alone_and_not_on_batches_or_chunks(settings, monkeypatch):
    images = random_images(120, 2, 6, 7)
    expected = shown(images, 120, **settings)
    for chunk, batch in [(1 << 13, 8), (1, 8), (17, 5), (64, 60), (1 << 13, 1)]:
        monkeypatch.setattr(augment, "_CHUNK", chunk)
        assert torch.equal(shown(images, batch, **settings), expected)


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_another_seed_changes_images_otherwise(settings):
    images = random_images(50, 1, 6, 6)
    assert torch.equal(shown(images, 10, 3, **settings), shown(images, 10, 3, **settings))
    assert not torch.equal(shown(images, 10, 3, **settings), shown(images, 10, 4, **settings))


def test_flips_and_crops_do_not_depend_on_each_other():
    position = torch.arange(1000)
    both, hflip, crops = (
        Augmentation(TrainConfig(**settings), (1, 8, 8), seed=0).moves(position)
        for settings in (BOTH, {"hflip": True}, {"translate": 2})
    )
    assert torch.equal(both[0], hflip[0])
    assert torch.equal(both[1], crops[1])
    assert torch.equal(both[2], crops[2])
    assert not any(move.any() for move in (hflip[1], hflip[2], crops[0]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_flips_and_shifts_are_uniform_and_independent(seed):
    position = torch.arange(100_000)
    mirrored, down, right = Augmentation(TrainConfig(**BOTH), (1, 8, 8), seed=seed).moves(position)
    assert (down.abs().max(), right.abs().max()) == (2, 2)
    cell = (mirrored * 5 + down + 2) * 5 + right + 2
    # Chi-squared of what one image gets, and of what it gets together with the next one.
    for cells, count in [(50, cell), (2500, cell[:-1] * 50 + cell[1:])]:
        expected = len(count) / cells
        distance = ((count.bincount(minlength=cells) - expected) ** 2 / expected).sum()
        assert abs(float(distance) - (cells - 1)) < 4 * (2 * (cells - 1)) ** 0.5


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_changing_images_reads_nothing_back_and_stays_on_its_device(settings):
    # a "meta" tensor has nothing to read: asking for a number, or mixing it with the CPU's, is an error
    meta = torch.device("meta")
    changes = Augmentation(TrainConfig(**settings), (3, 6, 7), seed=0)
    parts = [Batch(torch.empty(16, 3, 6, 7, dtype=torch.uint8, device=meta), torch.empty(0))] * 3
    for part in changes.of(parts):
        assert part.images.device == meta
        assert part.images.shape == (16, 3, 6, 7)
        assert part.images.is_contiguous()


@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_training_equals_a_loop_by_hand_over_changed_training_images(order):
    digits = load("digits")
    noisy = Dilution(digits.train, 1.5, n=100)
    settings = TrainConfig(order=order, optimizer="sgd", lr=0.01, batch_size=16, steps=8, n_evals=1, **BOTH)
    result = train("mlp1", noisy, test=digits.test, n_val=20, seed=3, settings=settings)

    training, held_out = noisy.hold_out(20)
    module = build("mlp1", (1, 8, 8), 10, seed=3)
    prepare = Normalise(digits.train, training.clean_rows)
    using = optimizer(module.parameters(), settings)
    for step, batch in enumerate(BatchSampler(training, order, 16, seed=3).batches(8)):
        images = slowly(batch.images, 16 * step, 3, **BOTH)
        module.zero_grad()
        cross_entropy(module(prepare(images)), batch.targets).backward()
        using.step()
    by_hand = torch.cat([part.detach().flatten() for part in module.parameters()])
    torch.testing.assert_close(weights(result), by_hand, rtol=1e-3, atol=1e-5)
    # Validation and test images are as they were.
    last = result.history.iloc[-1]
    assert last["test_acc"] == accuracy(result.predict(digits.test.images), digits.test.labels)
    kept = digits.train.subset(held_out.clean_rows)
    assert last["val_acc_clean"] == accuracy(result.predict(kept), kept.labels)


@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_training_with_augmentation_repeats_bit_for_bit_and_is_another_training(order):
    found = [trained(order=order, **settings) for settings in ({}, *WAYS)]
    again = [trained(order=order, **settings) for settings in ({}, *WAYS)]
    for first, second in zip(found, again, strict=True):
        assert torch.equal(weights(first), weights(second))
        assert first.history.equals(second.history)
    assert len({tuple(weights(each).tolist()) for each in found}) == 4
    assert not torch.equal(weights(found[-1]), weights(trained(order=order, seed=1, **BOTH)))


@pytest.mark.parametrize("images", ["fresh", "white_noise", "external"])
def test_other_image_sources_are_augmented_too(images):
    digits = load("digits")
    source = Arrays(255 - digits.test.images, digits.test.labels) if images == "external" else images
    plain, changed = trained(images=source), trained(images=source, **BOTH)
    assert changed.state == "done"
    assert not torch.equal(weights(plain), weights(changed))


def test_images_read_from_a_pack_are_changed_like_those_in_memory(tmp_path):
    digits = load("digits")
    packed = load(write_pack(tmp_path / "mine.pack", [digits.train], [digits.test]))
    assert torch.equal(weights(trained(**BOTH)), weights(trained(data=packed, **BOTH)))


def test_augmentation_leaves_the_global_generators_and_the_data_alone():
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    images = load("digits").train.images
    before, images = states(), images.clone()
    trained("conv2", steps=2, **BOTH)
    assert states() == before
    assert torch.equal(images, images)


@pytest.mark.parametrize("model", ["mlp2", "conv2"])
def test_digits_are_learnt_from_shifted_images_and_then_recognised_where_they_were_not_seen(model):
    digits = load("digits")
    settings = {"n": 1000, "alpha": 0, "steps": 200, "lr": 0.003}
    moved = torch.nn.functional.pad(digits.test.images, (1, 0))[..., :-1]  # one pixel to the right
    found = {
        crops: accuracy(trained(model, translate=crops, **settings).predict(moved), digits.test.labels)
        for crops in (0, 1)
    }
    assert found[1] > 0.8
    assert found[1] > found[0] + 0.1


@pytest.mark.parametrize(
    ("translate", "fragments"),
    [
        (8, ["translate is 8 and images are 8×8", "smaller than both sides", "Give crops from 0 to 7"]),
        (-1, ["translate is -1", "greater than or equal to 0"]),
        (1.5, ["translate is 1.5", "integer"]),
        ("one", ["crops is 'one'", "number"]),
        (True, ["crops is True", "number"]),
    ],
    ids=str,
)
def test_crops_that_break_their_rule_are_refused_before_training(crops, fragments, monkeypatch):
    monkeypatch.setattr("dilution.training.trainer.build", None)  # no network is made
    with pytest.raises(InputError) as caught:
        trained(translate=crops)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_the_shorter_side_limits_crops():
    assert Augmentation(TrainConfig(translate=2), (1, 3, 9), seed=0)
    for sides in ((3, 9), (9, 3)):
        with pytest.raises(InputError, match=r"Give crops from 0 to 2\."):
            Augmentation(TrainConfig(translate=3), (1, *sides), seed=0)


def test_a_study_with_crops_larger_than_its_images_is_refused_before_anything_is_queued(tmp_path):
    base = {"dataset": "digits", "n": 100, "alpha": 1, "model": "perceptron", "steps": 2}
    study = Study.of("s", [Run.of(**base, translate=crops) for crops in (0, 8)])
    store = tmp_path / "s.sqlite"
    with pytest.raises(InputError, match="translate is 8 and images are 8×8"):
        dilution.run(study, store=store, workers=0)
    assert not store.exists()


def test_the_planner_measures_a_step_with_its_augmentation():
    base = {"dataset": "digits", "n": 100, "alpha": 1, "model": "perceptron", "steps": 2}
    names = {
        Probe(shape_of(Run.of(**base, **changes)), (1, 8, 8), 10, 1, 1, 1).name for changes in ({}, *WAYS)
    }
    assert len(names) == 4
    for changes in WAYS:
        settings = TrainConfig(batch_size=8, **changes)
        assert seconds_per_step("perceptron", (1, 8, 8), 10, settings, replicas=2) > 0
