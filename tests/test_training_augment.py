"""Augmentation: training images are mirrored and shifted by the seed and their position, no others."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.data import Arrays, load, write_pack
from dilution.errors import InputError
from dilution.models import build_model
from dilution.noise import Dilution
from dilution.study import Run, Study
from dilution.study.execution import Execution
from dilution.training import BatchSampler, TrainConfig, augment, train
from dilution.training.augment import Augmentation
from dilution.training.batches import Batch
from dilution.training.evaluation import Normalise, accuracy
from dilution.training.losses import cross_entropy
from dilution.training.optimizers import make_optimizer

BOTH = {"hflip": True, "translate": 2}
SETTINGS = [{"hflip": True}, {"translate": 1}, BOTH]


pytestmark = pytest.mark.usefixtures("one_thread")


def weights(result):
    return torch.cat([part.flatten() for part in result.model.state_dict().values()])


def trained(model="mlp1", *, data=None, image_source="same", n=300, alpha=1.0, seed=0, **changes):
    data = data or load("digits")
    noisy = Dilution(data.train, alpha, n=n, image_source=image_source)
    changes = {"steps": 12, "n_evals": 2, "batch_size": 32, "optimizer": "adam", "lr": 0.01} | changes
    return train(model, noisy, test=data.test, seed=seed, **changes)


def random_images(count, channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (count, channels, height, width), generator=generator, dtype=torch.uint8)


def augmented(images, batch_size, seed=0, **settings):
    """Return the augmented images of consecutive batches."""
    augmentation = Augmentation(TrainConfig(**settings), tuple(images.shape[1:]), seed=seed)
    batches = [Batch(part, torch.empty(0)) for part in images.split(batch_size)]
    return torch.cat([batch.images for batch in augmentation.apply(batches)])


def augmented_by_pixel(images, first, seed=0, **settings):
    """Return the augmented images of positions first, first + 1, …, computed pixel by pixel."""
    _, channels, height, width = images.shape
    augmentation = Augmentation(TrainConfig(**settings), (channels, height, width), seed=seed)
    result = torch.zeros_like(images)
    for number, image in enumerate(images):
        mirrored, down, right = (int(move) for move in augmentation.moves(torch.tensor([first + number])))
        for row in range(height):
            for column in range(width):
                old_row, old_column = row - down, column - right
                if 0 <= old_row < height and 0 <= old_column < width:
                    old_column = width - 1 - old_column if mirrored else old_column
                    result[number, :, row, column] = image[:, old_row, old_column]
    return result


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    batch_size=st.integers(1, 5),
    steps=st.integers(1, 3),
    hflip=st.booleans(),
    seed=st.integers(0, 2**40),
    data=st.data(),
)
def test_images_equal_those_augmented_pixel_by_pixel(shape, batch_size, steps, hflip, seed, data):
    hflip = hflip and shape[2] > 1  # images one pixel wide cannot be mirrored
    translate = data.draw(st.integers(0, min(shape[1:]) - 1))
    images = random_images(batch_size * steps, *shape)
    before = images.clone()
    fast = augmented(images, batch_size, seed, hflip=hflip, translate=translate)
    assert torch.equal(fast, augmented_by_pixel(images, 0, seed, hflip=hflip, translate=translate))
    assert torch.equal(images, before)


def test_a_shift_pads_with_black_and_cuts_off_pixels():
    images = torch.full((400, 1, 5, 5), 255, dtype=torch.uint8)
    shifted = augmented(images, 100, translate=2)
    white = (shifted > 0).sum(dim=(1, 2, 3))
    assert set(white.tolist()) == {9, 12, 15, 16, 20, 25}
    assert set(shifted.unique().tolist()) == {0, 255}


def test_with_both_off_the_batches_are_returned_unchanged():
    batches = [Batch(random_images(2, 1, 3, 3), torch.empty(0)) for _ in range(3)]
    returned = list(Augmentation(TrainConfig(), (1, 3, 3), seed=0).apply(batches))
    assert all(first is second for first, second in zip(returned, batches, strict=True))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_augmentation_depends_on_the_position_and_not_on_batches_or_chunks(settings, monkeypatch):
    images = random_images(120, 2, 6, 7)
    expected = augmented(images, 120, **settings)
    for chunk, batch_size in [(1 << 13, 8), (1, 8), (17, 5), (64, 60), (1 << 13, 1)]:
        monkeypatch.setattr(augment, "_CHUNK", chunk)
        assert torch.equal(augmented(images, batch_size, **settings), expected)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_another_seed_gives_another_augmentation(settings):
    images = random_images(50, 1, 6, 6)
    assert torch.equal(augmented(images, 10, 3, **settings), augmented(images, 10, 3, **settings))
    assert not torch.equal(augmented(images, 10, 3, **settings), augmented(images, 10, 4, **settings))


def test_mirroring_and_shifts_do_not_depend_on_each_other():
    position = torch.arange(1000)
    both, hflip, translate = (
        Augmentation(TrainConfig(**settings), (1, 8, 8), seed=0).moves(position)
        for settings in (BOTH, {"hflip": True}, {"translate": 2})
    )
    assert torch.equal(both[0], hflip[0])
    assert torch.equal(both[1], translate[1])
    assert torch.equal(both[2], translate[2])
    assert not any(move.any() for move in (hflip[1], hflip[2], translate[0]))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mirroring_and_shifts_are_uniform_and_independent(seed):
    position = torch.arange(100_000)
    mirrored, down, right = Augmentation(TrainConfig(**BOTH), (1, 8, 8), seed=seed).moves(position)
    assert (down.abs().max(), right.abs().max()) == (2, 2)
    cell = (mirrored * 5 + down + 2) * 5 + right + 2
    # Chi-squared of the change of one image, and of the changes of two consecutive images.
    for cells, count in [(50, cell), (2500, cell[:-1] * 50 + cell[1:])]:
        expected = len(count) / cells
        distance = ((count.bincount(minlength=cells) - expected) ** 2 / expected).sum()
        assert abs(float(distance) - (cells - 1)) < 4 * (2 * (cells - 1)) ** 0.5


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_augmentation_stays_on_its_device(settings):
    # A "meta" tensor has no values: reading one, or mixing it with a CPU tensor, is an error.
    meta = torch.device("meta")
    augmentation = Augmentation(TrainConfig(**settings), (3, 6, 7), seed=0)
    batches = [Batch(torch.empty(16, 3, 6, 7, dtype=torch.uint8, device=meta), torch.empty(0))] * 3
    for batch in augmentation.apply(batches):
        assert batch.images.device == meta
        assert batch.images.shape == (16, 3, 6, 7)
        assert batch.images.is_contiguous()


@pytest.mark.trains
@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_training_equals_a_plain_loop_over_augmented_images(targets):
    digits = load("digits")
    noisy = Dilution(digits.train, 1.5, n=100)
    config = TrainConfig(targets=targets, optimizer="sgd", lr=0.01, batch_size=16, steps=8, n_evals=1, **BOTH)
    result = train("mlp1", noisy, test=digits.test, n_val=20, seed=3, config=config)

    training, held_out = noisy.hold_out(20)
    model = build_model("mlp1", (1, 8, 8), 10, seed=3)
    normalise = Normalise(digits.train, training.clean_rows)
    optimizer = make_optimizer(model.parameters(), config)
    for step, batch in enumerate(BatchSampler(training, targets, 16, seed=3).batches(8)):
        images = augmented_by_pixel(batch.images, 16 * step, 3, **BOTH)
        model.zero_grad()
        cross_entropy(model(normalise(images)), batch.targets).backward()
        optimizer.step()
    expected = torch.cat([part.detach().flatten() for part in model.parameters()])
    torch.testing.assert_close(weights(result), expected, rtol=1e-3, atol=1e-5)
    # Validation and test images are not augmented.
    last = result.history.iloc[-1]
    assert last["test_acc"] == accuracy(result.predict(digits.test.images), digits.test.labels)
    validation = digits.train.subset(held_out.clean_rows)
    assert last["val_acc_clean"] == accuracy(result.predict(validation), validation.labels)


@pytest.mark.trains
@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_training_with_augmentation_repeats_bit_for_bit_and_is_another_training(targets):
    results = [trained(targets=targets, **settings) for settings in ({}, *SETTINGS)]
    again = [trained(targets=targets, **settings) for settings in ({}, *SETTINGS)]
    for first, second in zip(results, again, strict=True):
        assert torch.equal(weights(first), weights(second))
        assert first.history.equals(second.history)
    assert len({tuple(weights(result).tolist()) for result in results}) == 4
    assert not torch.equal(weights(results[-1]), weights(trained(targets=targets, seed=1, **BOTH)))


@pytest.mark.trains
@pytest.mark.parametrize("images", ["fresh", "white_noise", "external"])
def test_other_image_sources_are_augmented_too(images):
    digits = load("digits")
    source = Arrays(255 - digits.test.images, digits.test.labels) if images == "external" else images
    plain, other = trained(image_source=source), trained(image_source=source, **BOTH)
    assert other.state == "done"
    assert not torch.equal(weights(plain), weights(other))


@pytest.mark.trains
def test_images_of_a_pack_are_augmented_like_those_in_memory(tmp_path):
    digits = load("digits")
    packed = load(write_pack(tmp_path / "mine.pack", [digits.train], [digits.test]))
    assert torch.equal(weights(trained(**BOTH)), weights(trained(data=packed, **BOTH)))


@pytest.mark.trains
def test_augmentation_changes_neither_global_generators_nor_data():
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    images = load("digits").train.images
    before, copy = states(), images.clone()
    trained("conv2", steps=2, **BOTH)
    assert states() == before
    assert torch.equal(images, copy)


@pytest.mark.trains
@pytest.mark.parametrize("model", ["mlp2", "conv2"])
def test_a_model_trained_on_shifted_digits_recognises_shifted_digits(model):
    digits = load("digits")
    settings = {"n": 1000, "alpha": 0, "steps": 200, "lr": 0.003}
    shifted = torch.nn.functional.pad(digits.test.images, (1, 0))[..., :-1]  # one pixel to the right
    accuracies = {
        translate: accuracy(
            trained(model, translate=translate, **settings).predict(shifted), digits.test.labels
        )
        for translate in (0, 1)
    }
    assert accuracies[1] > 0.8
    assert accuracies[1] > accuracies[0] + 0.1


@pytest.mark.parametrize(
    ("translate", "fragments"),
    [
        (8, ["translate is 8 and images are 8×8", "smaller than both sides", "Give translate from 0 to 7"]),
        (-1, ["translate is -1", "greater than or equal to 0"]),
        (1.5, ["translate is 1.5", "integer"]),
        ("one", ["translate is 'one'", "number"]),
        (True, ["translate is True", "number"]),
    ],
    ids=str,
)
def test_a_translate_that_breaks_its_rule_is_refused_before_training(translate, fragments, monkeypatch):
    monkeypatch.setattr("dilution.training.replica.build_model", None)  # no model is built
    with pytest.raises(InputError) as refused:
        trained(translate=translate)
    for fragment in fragments:
        assert fragment in str(refused.value)


def test_the_shorter_side_limits_translate():
    assert Augmentation(TrainConfig(translate=2), (1, 3, 9), seed=0)
    for sides in ((3, 9), (9, 3)):
        with pytest.raises(InputError, match=r"Give translate from 0 to 2\."):
            Augmentation(TrainConfig(translate=3), (1, *sides), seed=0)


def test_a_study_with_shifts_larger_than_its_images_is_refused_before_anything_is_queued(tmp_path):
    base = {"dataset": "digits", "n": 100, "alpha": 1, "model": "perceptron", "steps": 2}
    study = Study.of("s", [Run.of(**base, translate=translate) for translate in (0, 8)])
    store = tmp_path / "s.sqlite"
    with pytest.raises(InputError, match="translate is 8 and images are 8×8"):
        dilution.run(study, store=store, execution=Execution(workers=0))
    assert not store.exists()
