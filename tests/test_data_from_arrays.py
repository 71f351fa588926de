"""from_numpy: arrays of images, features and labels, and every rule about them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dilution.data import from_numpy
from dilution.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 5, 6), dtype=np.uint8)
LABELS = np.arange(10) % 2
ROWS = np.random.default_rng(0).normal(size=(40, 3)) * [1, 100, 0.01] + [0, 1e4, -5]
ROW_LABELS = np.arange(40) % 2


def refuse(message: str, images: Any = PIXELS, labels: Any = LABELS, **options: Any) -> None:
    with pytest.raises(InputError, match=message) as caught:
        from_numpy(images, labels, **options)
    assert "\n" not in str(caught.value)


def test_a_fifth_of_each_class_is_set_aside_and_the_same_each_time() -> None:
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1)
    data = from_numpy(images, np.arange(100) % 2, name="mine")
    assert data.name == "mine"
    assert (len(data.train), len(data.test)) == (80, 20)
    assert data.test.labels.tolist() == [0, 1] * 10
    assert data.test.images.flatten().tolist()[:4] == [0, 1, 10, 11]
    for arrays in (data.train, data.test):  # each image keeps its label
        assert torch.equal(arrays.images.flatten() % 2, arrays.labels.to(torch.uint8))
    pixels = data.train.images.flatten().tolist() + data.test.images.flatten().tolist()
    assert sorted(pixels) == list(range(100))


def test_a_test_split_is_used_as_it_is() -> None:
    data = from_numpy(PIXELS, LABELS, test_images=PIXELS[:3], test_labels=LABELS[:3])
    assert len(data.train) == 10
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(PIXELS[:3]))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_become_the_nearest_of_256_levels(kind: type) -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(2).reshape(2, 256, 1)
    data = from_numpy((levels / 255).astype(kind), [0, 1], test_images=levels, test_labels=[0, 1])
    assert torch.equal(data.train.images, data.test.images)


def test_colour_images_keep_their_channels() -> None:
    data = from_numpy(np.zeros((10, 3, 5, 6), dtype=np.uint8), LABELS)
    assert data.train.images.shape == (8, 3, 5, 6)


def test_later_changes_to_the_arrays_do_not_reach_the_data_set() -> None:
    images, labels = PIXELS.copy(), LABELS.copy()
    data = from_numpy(images, labels, test_images=images, test_labels=labels)
    images[:], labels[:] = 7, 1
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(PIXELS))
    assert torch.equal(data.test.labels, torch.from_numpy(LABELS))


def test_names_become_numbers_in_sorted_order_over_both_splits() -> None:
    data = from_numpy(PIXELS[:3], ["dog", "ant", "cat"], test_images=PIXELS[:1], test_labels=["cat"])
    assert data.train.classes == data.test.classes == ("ant", "cat", "dog")
    assert data.train.labels.tolist() == [2, 0, 1]
    assert data.test.labels.tolist() == [1]


def test_classes_fix_the_order_and_those_without_examples_are_left_out_with_a_note() -> None:
    names = np.array(["b", "a"] * 5, dtype=object)  # a text column of pandas
    data = from_numpy(PIXELS, names, classes=["c", "b", "a"])
    assert data.train.classes == ("b", "a")
    assert data.train.labels.tolist() == [0, 1] * 4
    assert data.notes == ("1 class has no example and is left out, the first is 'c'",)
    assert from_numpy(PIXELS, LABELS, classes=["x", "y", "z"]).test.classes == ("x", "y")
    one = from_numpy(PIXELS, LABELS, classes=["x", "y", "z"], noisy_labels=[2, *LABELS[1:]])
    assert one.train.classes == ("x", "y", "z")
    assert one.notes == ("the test split has no example of class 'z': test accuracy does not measure it",)


def test_a_number_that_may_be_a_position_or_a_name_of_classes_is_refused() -> None:
    refuse("may be the number of a class or its name", labels=LABELS + 1, classes=["1", "2", "3"])
    names = from_numpy(PIXELS, (LABELS + 1).astype(str), classes=["2", "1"])  # the remedy
    assert names.train.labels.tolist() == [1, 0] * 4
    assert from_numpy(PIXELS, LABELS + 1, classes=["2", "1"]).train.labels.tolist() == [1, 0] * 4


@pytest.mark.parametrize("kind", ["uint8", "int32", "float32", "bool"])
def test_whole_numbers_of_any_type_are_labels(kind: str) -> None:
    data = from_numpy(PIXELS, LABELS.astype(kind))
    assert data.train.labels.dtype == torch.int64
    assert data.train.labels.tolist() == [0, 1] * 4
    assert data.train.classes == (("False", "True") if kind == "bool" else ("0", "1"))


def test_torch_tensors_are_arrays_too() -> None:
    data = from_numpy(torch.from_numpy(PIXELS), torch.from_numpy(LABELS))
    assert len(data.train) == 8


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS[0], r"shape \(5, 6\)"),
        (PIXELS[:0], r"shape \(0, 5, 6\)"),
        (np.zeros((10, 5, 6, 3), dtype=np.uint8), r"transpose\(0, 3, 1, 2\)"),
        (PIXELS.astype(int), r"int64.*astype\('uint8'\)"),
        (PIXELS.astype(object), "object"),
        (PIXELS.astype(float), "run from 0 to 255.*Divide"),
        (PIXELS / 255 - 0.5, "run from -0.5 to 0.5"),
        ([[[1.0]], [[1.0, 2.0]]], "all rows must have one shape"),
    ],
)
def test_images_that_break_a_rule_are_refused(images: Any, message: str) -> None:
    refuse(message, images=images)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_are_counted(value: float) -> None:
    images = PIXELS / 255
    images[3, 2] = value
    refuse("hold 6 pixels that are NaN or infinite", images=images)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:9], "9 labels for 10 examples"),
        (np.eye(10), r"argmax\(axis=1\)"),
        (LABELS + 0.5, r"labels\[0\] is 0.5"),
        (np.where(np.arange(10) == 4, np.inf, LABELS), r"labels\[4\] is inf"),
        (np.full(10, np.nan), "no example has a label"),
        (LABELS * 2.0**60, r"labels\[1\] is 1.15\d*e\+18, a float; from 9,007,199,254,740,992 on"),
        (LABELS * 0, "there is 1 class"),
        (np.array(["a", 1] * 5, dtype=object), "of type object"),
        (LABELS.astype("S1"), r"of type \|S1"),
        (LABELS + 1j, "complex128"),
    ],
)
def test_labels_that_break_a_rule_are_refused(labels: Any, message: str) -> None:
    refuse(message, labels=labels)


def test_labels_must_fit_the_classes() -> None:
    refuse("'bat' is not a class. Did you mean 'cat'", labels=["bat"] * 10, classes=["cat", "dog"])
    refuse("run from 1 to 2; with 2 classes", labels=LABELS + 1, classes=["a", "b"])
    refuse("each name must occur once", classes=["a", "a"])


def test_a_test_split_that_does_not_fit_is_refused() -> None:
    refuse("came without test_labels", test_images=PIXELS)
    refuse("came without test_images", test_labels=LABELS)
    refuse("2 test_labels for 10 test examples", test_images=PIXELS, test_labels=[0, 1])
    refuse("of one kind", test_images=PIXELS[:2], test_labels=["a", "b"])
    refuse("both must be the same", test_images=PIXELS[:, 1:], test_labels=LABELS)


def test_too_few_images_for_a_test_split_are_refused() -> None:
    refuse("no class of the 2 examples has two", images=PIXELS[:2], labels=[0, 1])


def test_a_row_of_features_is_an_image_of_one_pixel_with_one_channel_per_feature() -> None:
    data = from_numpy(features=ROWS, labels=ROW_LABELS)
    assert data.train.shape == (3, 1, 1)
    assert data.train.dtype == torch.float32
    rows = torch.cat([data.train.images, data.test.images])[:, :, 0, 0]
    expected = torch.from_numpy(ROWS[ROWS[:, 0].argsort()].astype(np.float32))
    assert torch.equal(rows[rows[:, 0].argsort()], expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused_with_their_position(value: float) -> None:
    rows = ROWS.copy()
    rows[7, 2] = rows[9, 0] = value
    with pytest.raises(InputError, match=r"2 values.*features\[7, 2\].*Fill.*CSV"):
        from_numpy(features=rows, labels=ROW_LABELS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": ROWS, "images": ROWS[:, :, None]}, "both of images and features"),
        ({}, "neither of images and features"),
        ({"features": ROWS[:, 0]}, r"shape \(40,\)"),
        ({"features": ROWS.astype(str)}, "must be numbers"),
        ({"features": ROWS * 1e40}, "beyond 3.4e38"),
        ({"features": ROWS[:39]}, "40 labels for 39 examples"),
        (
            {"features": ROWS, "test_images": ROWS[:, :, None], "test_labels": ROW_LABELS},
            "one split holds images",
        ),
        ({"features": ROWS, "test_features": ROWS}, "test_features came without test_labels"),
        ({"features": ROWS, "noisy_labels": ROW_LABELS[:3]}, "3 noisy_labels for 40 examples"),
        ({"features": ROWS, "noisy_labels": ROW_LABELS.astype(str)}, "all must be of one kind"),
        ({"features": ROWS, "classes": [str(number) for number in range(41)]}, "41 classes for 40 examples"),
    ],
)
def test_features_that_break_a_rule_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_numpy(labels=ROW_LABELS, **arguments)


def test_missing_labels_are_dropped_and_counted() -> None:
    with pytest.raises(InputError, match="no labels"):
        from_numpy(features=ROWS)
    names = np.array(["a", "b"] * 20, dtype=object)
    names[[4, 6]] = None
    data = from_numpy(features=ROWS, labels=names)
    assert len(data.train) + len(data.test) == 38
    assert data.notes == ("2 examples have no label and are dropped, the first is labels[4]",)


def test_labels_of_one_class_and_quantities_are_refused() -> None:
    with pytest.raises(InputError, match="all 40 labels are 'a'; learning needs at least 2"):
        from_numpy(features=ROWS, labels=ROW_LABELS * 0, classes=["a", "b"])
    with pytest.raises(InputError, match=r"labels\[0\] is 0.5; .*bins"):
        from_numpy(features=ROWS, labels=ROW_LABELS + 0.5)


def test_a_name_that_only_the_observed_labels_contain_is_a_class_too() -> None:
    data = from_numpy(
        features=ROWS,
        labels=["a", "b"] * 20,
        noisy_labels=["a", "c"] * 20,
        test_features=ROWS[:2],
        test_labels=["b", "a"],
    )
    assert data.train.classes == data.test.classes == ("a", "b", "c")
    assert data.train.observed is not None
    assert data.train.observed.tolist() == [0, 2] * 20
    assert data.test.observed is None


def test_large_and_close_numbers_are_refused_since_float32_makes_them_equal() -> None:
    seconds = 1_700_000_000 + np.arange(60) * 7
    for column in (seconds, seconds.astype(np.float64), 2**60 + np.arange(60)):
        features = np.stack([column, np.arange(60).astype(column.dtype)], axis=1)
        with pytest.raises(InputError, match=r"features\[:, 0\] runs from .*Pass features - features.min"):
            from_numpy(features=features, labels=np.arange(60) % 2)
        data = from_numpy(features=features - features.min(axis=0), labels=np.arange(60) % 2)
        assert len({*data.train.images[:, 0].flatten().tolist()}) == len(data.train)


def test_pandas_rows_in_another_order_are_refused() -> None:
    features = pd.DataFrame({"a": np.arange(60.0)}).sample(frac=1, random_state=0)
    labels = pd.Series(np.arange(60) % 2)
    with pytest.raises(InputError, match=r"different indexes.*labels\.loc\[features\.index\]"):
        from_numpy(features=features, labels=labels)
    data = from_numpy(features=features, labels=labels.loc[features.index])
    assert (data.train.images.flatten().long() % 2).tolist() == data.train.labels.tolist()
