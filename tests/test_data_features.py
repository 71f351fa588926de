"""Rows of features from end to end: moments, normalisation, noise on other images, augmentation, training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.noise import Dilution, channel_moments
from dilution.training import train
from dilution.training.evaluation import Normalise

INLINE = dilution.Execution(workers=0, progress=False)
RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(40, 3)) * [1, 100, 0.01] + [0, 1e4, -5]


def features(columns: np.ndarray) -> Arrays:
    rows = torch.from_numpy(np.asarray(columns, dtype=np.float32))[:, :, None, None]
    return Arrays(rows, torch.arange(len(rows)) % 2)


def all_rows(data: Arrays) -> torch.Tensor:
    return torch.arange(len(data))


def test_float_images_of_any_shape_keep_their_values_and_unit() -> None:
    images = torch.randn(6, 2, 3, 4, generator=torch.Generator().manual_seed(0)) * 50
    data = Arrays(images, torch.tensor([0, 1] * 3))
    assert (data.unit, features(ROWS).unit, load("digits").train.unit) == (1, 1, 255)
    image, label = Dilution(data, alpha=0)[0]
    row = int(Dilution(data, alpha=0).clean_rows[0])
    assert torch.equal(image, images[row])
    assert label == int(data.labels[row])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_position(value: float) -> None:
    rows = ROWS.copy()
    rows[7, 2] = rows[9, 0] = value
    with pytest.raises(InputError, match=r"2 values that are NaN or infinite, the first at \(7, 2, 0, 0\)"):
        features(rows)


@given(
    st.integers(2, 60),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(1e-3, 1e6),
    st.integers(0, 99),
)
def test_moments_of_floats_are_those_of_float64(n: int, mean: float, deviation: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    data = features(random.normal(mean, deviation, (n, 2)))
    exact = data.images[:, :, 0, 0].double()
    mean_of_float32, deviation_of_float32 = channel_moments(data, all_rows(data))
    assert torch.allclose(mean_of_float32, exact.mean(dim=0), rtol=1e-9, atol=1e-9 * deviation)
    assert torch.allclose(deviation_of_float32, exact.std(dim=0, correction=0), rtol=1e-6)


def test_a_large_mean_does_not_hide_the_deviation_and_a_constant_column_has_none() -> None:
    signs = np.tile([1.0, -1.0], 500)
    data = features(np.stack([1e6 + signs, np.full(1000, 0.1), np.where(signs > 0, 1e7, 3.3)], axis=1))
    _, deviation = channel_moments(data, all_rows(data))
    assert deviation[0] == 1
    assert deviation[1] == 0
    _, deviation = channel_moments(data, all_rows(data)[::2])
    assert deviation.tolist() == [0, 0, 0]  # constant among these rows only


def test_each_feature_is_standardised_and_a_constant_one_stays_finite() -> None:
    data = features(np.concatenate([ROWS, np.full((40, 1), 7.5)], axis=1))
    normalised = Normalise(data, all_rows(data))(data.images)[:, :, 0, 0]
    assert torch.allclose(normalised.mean(dim=0), torch.zeros(4), atol=1e-4)
    assert torch.allclose(normalised[:, :3].std(dim=0, correction=0), torch.ones(3), atol=1e-4)
    assert (normalised[:, 3] == 0).all()


def test_white_noise_for_features_has_their_moments_and_is_not_clipped() -> None:
    data = features(np.repeat(ROWS, 50, axis=0))
    noisy = Dilution(data, alpha=4, image_source="white_noise")
    drawn = noisy.images(torch.arange(noisy.n, len(noisy)))
    assert drawn.dtype == torch.float32
    mean, deviation = channel_moments(data, noisy.clean_rows)
    assert torch.allclose(drawn.mean(dim=(0, 2, 3)).double(), mean, atol=0.05 * float(deviation.max()))
    assert torch.allclose(drawn.std(dim=(0, 2, 3)).double() / deviation, torch.ones(3).double(), rtol=0.05)
    assert drawn[:, 1].max() > 1e4 + 300
    assert drawn[:, 0].min() < -2
    again = noisy.images(torch.tensor([noisy.n + 5]))
    assert torch.equal(again[0], drawn[5])


def test_features_of_another_data_set_must_have_the_same_type_and_shape() -> None:
    data = features(ROWS)
    assert Dilution(data, alpha=1, image_source=features(ROWS[:7] * 2)).image_source.note == ""
    for other in (features(ROWS[:, :2]), load("digits").train):
        with pytest.raises(InputError, match="both must have one dtype"):
            Dilution(data, alpha=1, image_source=other)


def test_rows_of_features_cannot_be_flipped_or_translated() -> None:
    noisy = Dilution(features(ROWS), alpha=0)
    with pytest.raises(InputError, match="hflip is true and images are 1×1; they must be wider"):
        train("perceptron", noisy, test=noisy.data, hflip=True)
    with pytest.raises(InputError, match="translate is 1 and images are 1×1"):
        train("perceptron", noisy, test=noisy.data, translate=1)


@pytest.mark.trains
def test_a_model_learns_a_table(tmp_path: Path) -> None:
    centres = np.array([[0, 1000], [4, 1000], [0, 1400]])
    labels = np.arange(300) % 3
    rows = RANDOM.normal(size=(300, 2)) * [1, 100] + centres[labels]
    np.savez(tmp_path / "blobs.npz", features=rows, labels=labels)
    run = dilution.Run.of(
        dataset=str(tmp_path / "blobs.npz"), n=240, alpha=0, model="mlp2", epochs=20, optimizer="adam",
        lr=3e-3,
    )  # fmt: skip
    study = dilution.Study.of("table", [run])
    table = dilution.run(study, store=tmp_path / "r.sqlite", execution=INLINE)
    assert table["test_acc_at_best_clean_val"].item() > 0.9
