"""Rows of features, and labels as they were observed: from arrays and npz files to a training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.data import Arrays, DataSet, from_numpy, load, write_pack
from dilution.data.formats.npz import labelled
from dilution.errors import InputError
from dilution.noise import Dilution, channel_moments
from dilution.training import TrainConfig, seconds_per_step, train
from dilution.training.evaluation import Normalise

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(40, 3)) * [1, 100, 0.01] + [0, 1e4, -5]
LABELS = np.arange(40) % 2


def features(columns: np.ndarray) -> Arrays:
    rows = torch.from_numpy(np.asarray(columns, dtype=np.float32))[:, :, None, None]
    return Arrays(rows, torch.arange(len(rows)) % 2)


def everything(data: Arrays) -> torch.Tensor:
    return torch.arange(len(data))


def test_a_row_of_a_table_is_a_image_of_one_pixel_with_a_channel_for_each_feature() -> None:
    data = from_numpy(features=ROWS, labels=LABELS)
    assert data.train.shape == (3, 1, 1)
    assert data.train.dtype == torch.float32
    both = torch.cat([data.train.images, data.test.images])[:, :, 0, 0]
    order = torch.cat([data.train.images, data.test.images])[:, 0, 0, 0].argsort()
    wanted = torch.from_numpy(ROWS[ROWS[:, 0].argsort()].astype(np.float32))
    assert torch.equal(both[order], wanted)


def test_floats_of_any_shape_are_examples_in_their_own_units() -> None:
    images = torch.randn(6, 2, 3, 4, generator=torch.Generator().manual_seed(0)) * 50
    data = Arrays(images, torch.tensor([0, 1] * 3))
    assert (data.unit, features(ROWS).unit, load("digits").train.unit) == (1, 1, 255)
    shown, label = Dilution(data, alpha=0)[0]
    row = int(Dilution(data, alpha=0).clean_rows[0])
    assert torch.equal(shown, images[row])
    assert label == int(data.labels[row])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_their_place(value: float) -> None:
    rows = ROWS.copy()
    rows[7, 2] = rows[9, 0] = value
    with pytest.raises(InputError, match=r"2 values.*features\[7, 2\].*fill") as caught:
        from_numpy(features=rows, labels=LABELS)
    assert "CSV" in str(caught.value)
    with pytest.raises(InputError, match=r"2 values that are NaN or infinite, the first at \(7, 2, 0, 0\)"):
        features(rows)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"features": ROWS, "images": ROWS[:, :, None]}, "both of images and features"),
        ({}, "neither of images and features"),
        ({"features": ROWS[:, 0]}, r"shape \(40,\)"),
        ({"features": ROWS.astype(str)}, "must be numbers"),
        ({"features": ROWS * 1e40}, "beyond 3.4e38"),
        ({"features": ROWS[:39]}, "40 labels for 39 examples"),
        ({"features": ROWS, "test_images": ROWS[:, :, None], "test_labels": LABELS}, "one half holds images"),
        ({"features": ROWS, "test_features": ROWS}, "test_features came without test_labels"),
        ({"features": ROWS, "noisy_labels": LABELS[:3]}, "3 noisy_labels for 40 examples"),
        ({"features": ROWS, "noisy_labels": LABELS.astype(str)}, "all must be of one kind"),
        ({"features": ROWS, "classes": [str(k) for k in range(41)]}, "41 classes for 40 examples"),
    ],
)
def test_features_that_break_a_rule_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_numpy(labels=LABELS, **given)  # type: ignore[arg-type]


def test_labels_that_are_missing_or_all_alike_are_refused() -> None:
    with pytest.raises(InputError, match="no labels"):
        from_numpy(features=ROWS)
    with pytest.raises(InputError, match="all 40 labels are a; learning needs at least 2"):
        from_numpy(features=ROWS, labels=LABELS * 0, classes=["a", "b"])
    names = np.array(["a", "b"] * 20, dtype=object)
    names[[4, 6]] = None
    with pytest.raises(InputError, match=r"2 labels are missing, the first is labels\[4\]"):
        from_numpy(features=ROWS, labels=names)
    with pytest.raises(InputError, match=r"labels\[0\] is 0.5; .*bins"):
        from_numpy(features=ROWS, labels=LABELS + 0.5)


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
    found = channel_moments(data, everything(data))
    assert torch.allclose(found[0], exact.mean(dim=0), rtol=1e-9, atol=1e-9 * deviation)
    assert torch.allclose(found[1], exact.std(dim=0, correction=0), rtol=1e-6)


def test_a_large_mean_hides_no_deviation_and_a_constant_column_has_none() -> None:
    swing = np.tile([1.0, -1.0], 500)
    data = features(np.stack([1e6 + swing, np.full(1000, 0.1), np.where(swing > 0, 1e7, 3.3)], axis=1))
    _, deviation = channel_moments(data, everything(data))
    assert deviation[0] == 1
    assert deviation[1] == 0
    _, of_some = channel_moments(data, everything(data)[::2])
    assert of_some.tolist() == [0, 0, 0]  # constant among these rows only


def test_each_feature_is_standardised_and_a_constant_one_stays_finite() -> None:
    data = features(np.concatenate([ROWS, np.full((40, 1), 7.5)], axis=1))
    shown = Normalise(data, everything(data))(data.images)[:, :, 0, 0]
    assert torch.allclose(shown.mean(dim=0), torch.zeros(4), atol=1e-4)
    assert torch.allclose(shown[:, :3].std(dim=0, correction=0), torch.ones(3), atol=1e-4)
    assert (shown[:, 3] == 0).all()


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


def test_foreign_examples_must_be_of_one_kind_with_floats_of_one_shape() -> None:
    data = features(ROWS)
    assert Dilution(data, alpha=1, image_source=features(ROWS[:7] * 2)).image_source.note == ""
    for foreign in (features(ROWS[:, :2]), load("digits").train):
        with pytest.raises(InputError, match="both must be of one type"):
            Dilution(data, alpha=1, image_source=foreign)


def test_rows_of_features_can_be_neither_mirrored_nor_shifted() -> None:
    noisy = Dilution(features(ROWS), alpha=0)
    with pytest.raises(InputError, match="flips is true and images are 1×1; they must be wider"):
        train("perceptron", noisy, test=noisy.data, hflip=True)
    with pytest.raises(InputError, match="crops is 1 and images are 1×1"):
        train("perceptron", noisy, test=noisy.data, crops=1)


def test_the_planner_probes_with_the_type_of_the_data() -> None:
    settings = TrainConfig(epochs=1, hflip=True, batch_size=4)
    for dtype in (torch.uint8, torch.float32):
        assert seconds_per_step("perceptron", (1, 3, 3), 2, settings, replicas=1, dtype=dtype) > 0


def test_observed_labels_go_with_their_examples() -> None:
    noisy = (LABELS + (np.arange(40) % 5 == 0)) % 2
    data = from_numpy(features=ROWS, labels=LABELS, noisy_labels=noisy)
    assert data.train.observed is not None
    place = {float(np.float32(row[0])): k for k, row in enumerate(ROWS)}
    for half in (data.train, data.test, data.train.subset(torch.tensor([3, 1]))):
        rows = [place[float(image[0, 0, 0])] for image in half.images]
        assert half.observed is not None
        assert half.observed.tolist() == noisy[rows].tolist()
        assert half.labels.tolist() == LABELS[rows].tolist()


def test_observed_labels_move_to_a_device_with_the_others() -> None:
    data = from_numpy(features=ROWS, labels=LABELS, noisy_labels=LABELS).train
    there = data.to(torch.device("meta"))
    assert there.observed is not None
    assert there.labels.device == there.observed.device == torch.device("meta")


def test_a_name_that_only_the_observed_labels_have_is_a_class_too() -> None:
    names, noisy = ["a", "b"] * 20, ["a", "c"] * 20
    data = from_numpy(
        features=ROWS, labels=names, noisy_labels=noisy, test_features=ROWS[:2], test_labels=["b", "a"]
    )
    assert data.train.classes == data.test.classes == ("a", "b", "c")
    assert data.train.observed is not None
    assert data.train.observed.tolist() == [0, 2] * 20
    assert data.test.observed is None


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (torch.tensor([0, 1, 1]), "for 2 images"),
        (torch.tensor([0.0, 1.0]), "torch.float32"),
        (torch.tensor([0, 2]), "run from 0 to 2; with 2 classes"),
        (torch.tensor([-1, 0]), "run from -1 to 0"),
    ],
)
def test_observed_labels_that_break_a_rule_are_refused(observed: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=f"observed labels.*{message}"):
        Arrays(torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"), observed)


def test_halves_of_different_types_are_refused() -> None:
    test = Arrays(torch.zeros(4, 3, 1, 1, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(InputError, match="must be of one type"):
        DataSet("x", features(ROWS), test)


def test_an_npz_file_of_features_gives_the_same_as_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=ROWS, labels=LABELS, noisy_labels=1 - LABELS)
    data, same = (
        load(tmp_path / "a.npz"),
        from_numpy(features=ROWS, labels=LABELS, noisy_labels=1 - LABELS),
    )
    assert torch.equal(data.train.images, same.train.images)
    assert torch.equal(data.train.observed, 1 - data.train.labels)
    whole = labelled(tmp_path / "a.npz")
    assert whole.rows is None
    assert whole.arrays.labels.tolist() == LABELS.tolist()
    np.savez(tmp_path / "b.npz", features=ROWS, labels=LABELS, test_features=ROWS[:4], test_labels=LABELS[:4])
    assert len(load(tmp_path / "b.npz").test) == 4
    assert len(labelled(tmp_path / "b.npz").arrays) == 40
    np.savez(tmp_path / "c.npz", features=np.where(ROWS < 0, np.nan, ROWS), labels=LABELS)
    with pytest.raises(InputError, match=r"c\.npz: features hold"):
        load(tmp_path / "c.npz")


def test_a_pack_keeps_observed_labels_and_refuses_floats(tmp_path: Path) -> None:
    images = torch.arange(8, dtype=torch.uint8)[:, None, None, None]
    half = Arrays(images, torch.tensor([0, 1] * 4), ("a", "b"), torch.tensor([1, 1] * 4))
    bare = Arrays(images, half.labels, half.classes)
    data = load(write_pack(tmp_path / "a.pack", [half], [bare]))
    assert data.train.observed is not None
    assert data.train.observed.tolist() == [1] * 8
    assert data.test.observed is None
    with pytest.raises(InputError, match="8 of 16 images"):
        write_pack(tmp_path / "b.pack", [half, bare], [bare])
    with pytest.raises(InputError, match="a pack holds uint8 only"):
        write_pack(tmp_path / "c.pack", [features(ROWS)], [features(ROWS)])
    assert [file.name for file in tmp_path.iterdir()] == ["a.pack"]


def test_a_network_learns_a_table(tmp_path: Path) -> None:
    centres = np.array([[0, 1000], [4, 1000], [0, 1400]])
    labels = np.arange(300) % 3
    rows = RANDOM.normal(size=(300, 2)) * [1, 100] + centres[labels]
    np.savez(tmp_path / "blobs.npz", features=rows, labels=labels)
    run = dilution.Run.of(
        dataset=str(tmp_path / "blobs.npz"), n=240, alpha=0, model="mlp2", epochs=20, optimizer="adam",
        lr=3e-3,
    )  # fmt: skip
    study = dilution.Study.of("table", [run])
    table = dilution.run(study, store=tmp_path / "r.sqlite", workers=0)
    assert table["test_acc_at_best_clean_val"].item() > 0.9
