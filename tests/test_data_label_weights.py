"""The column ``label_weight`` of a table has training weights: no feature, and used by fit."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dilution
from dilution.data import open_examples
from dilution.errors import InputError

N = 60
X = np.random.default_rng(0).normal(size=(N, 2)).round(3)
Y = (X[:, 0] > 0).astype(int)
WEIGHTS = np.random.default_rng(1).random(N).round(4)
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "label": Y, "label_weight": WEIGHTS})
QUICK = {
    "model": "sklearn:logistic",
    "method": "plain",
    "folds": 2,
    "execution": dilution.Execution(workers=0, progress=False),
}


def csv(folder, frame=FRAME, **options):
    path = folder / "cleaned.csv"
    frame.to_csv(path, index=False, **options)
    return path


@pytest.mark.parametrize("kind", ["csv", "decimal commas", "parquet", "frame", "pair"])
def test_weights_are_no_feature_and_each_example_has_its_own(tmp_path, kind):
    frame = FRAME.assign(label=FRAME["label"].where(FRAME.index != 3))  # row 3 has no label
    if kind == "csv":
        data = csv(tmp_path, frame)
    elif kind == "decimal commas":
        data = csv(tmp_path, frame, sep=";", decimal=",")
    elif kind == "parquet":
        data = tmp_path / "cleaned.parquet"
        frame.to_parquet(data)
    else:
        data = frame if kind == "frame" else (frame.drop(columns="label"), frame["label"])
    examples = open_examples(data)
    assert examples.arrays.shape == (2, 1, 1)
    np.testing.assert_allclose(examples.weights, np.delete(WEIGHTS, 3))
    assert any("'label_weight' has the training weights" in note for note in examples.notes)


def test_a_dropped_column_and_one_that_is_the_label_weigh_nothing(tmp_path):
    assert open_examples(f"{csv(tmp_path)}#drop=label_weight").weights is None
    frame = FRAME.assign(label_weight=Y)
    examples = open_examples(frame, label="label_weight")
    assert examples.weights is None
    assert open_examples(FRAME.drop(columns="label_weight")).weights is None


def test_a_list_of_images_has_weights(tmp_path):
    for k in range(8):
        Image.fromarray(np.full((8, 8, 3), 20 * k, np.uint8)).save(tmp_path / f"{k}.png")
    rows = {"path": [f"{k}.png" for k in range(8)], "label": [k % 2 for k in range(8)]}
    data = csv(tmp_path, pd.DataFrame(rows | {"label_weight": WEIGHTS[:8]}))
    np.testing.assert_allclose(open_examples(data).weights, WEIGHTS[:8])


@pytest.mark.parametrize("cell", ["-0.1", "", "heavy", "inf"])
def test_a_cell_that_is_no_weight_is_named_with_its_row(tmp_path, cell):
    frame = FRAME.astype({"label_weight": object})
    frame.loc[5, "label_weight"] = cell
    with pytest.raises(InputError, match=r"column 'label_weight' has .* in row 7; by its name it is the tr"):
        open_examples(csv(tmp_path, frame))


def test_fit_weights_examples_by_the_column_and_predicts_rows_without_it(tmp_path):
    without = FRAME.drop(columns="label_weight")
    by_column = dilution.fit(csv(tmp_path), **QUICK)
    by_argument = dilution.fit(without, sample_weight=WEIGHTS, **QUICK)
    unweighted = dilution.fit(without, **QUICK)
    expected = by_argument.model.predict_proba(without)
    np.testing.assert_allclose(by_column.model.predict_proba(without), expected, atol=1e-6)
    assert np.abs(unweighted.model.predict_proba(without) - expected).max() > 1e-3


def test_weighted_labels_are_not_corrected_a_second_time_unless_it_is_asked_for(tmp_path):
    quick = QUICK | {"n_bootstrap": 2}
    result = dilution.fit(csv(tmp_path), **quick | {"method": "auto"})
    assert result.method == "plain"
    assert result.is_auto
    assert (
        "forward, prune, reweight not tried, as the column label_weight weights wrong labels already"
        in "".join(result.details)
    )
    with_own = dilution.fit(FRAME, sample_weight=WEIGHTS, **quick | {"method": "auto"})
    assert "weights wrong labels already" not in "".join(with_own.details)


def test_a_column_of_zeros_is_named(tmp_path):
    with pytest.raises(InputError, match=r"column 'label_weight' has shape .* not all 0"):
        dilution.fit(csv(tmp_path, FRAME.assign(label_weight=0)), **QUICK)


def test_weights_of_the_caller_replace_those_of_the_column():
    result = dilution.fit(FRAME, sample_weight=np.ones(N), **QUICK)
    expected = dilution.fit(FRAME.drop(columns="label_weight"), **QUICK).model.predict_proba(FRAME)
    np.testing.assert_allclose(result.model.predict_proba(FRAME), expected, atol=1e-6)
    assert "sample_weight is used in place of the column label_weight" in result.notes


def test_cleaned_data_with_weights_are_fitted_without_a_word_about_features(tmp_path):
    diagnosis = dilution.diagnose(
        FRAME.drop(columns="label_weight"),
        pred_probs=np.column_stack([1 - (0.1 + 0.8 * Y), 0.1 + 0.8 * Y]),
        n_bootstrap=2,
        execution=dilution.Execution(workers=0, progress=False),
    )
    clean = diagnosis.clean("weight")
    np.testing.assert_allclose(open_examples(clean.table).weights, clean.weights)
    assert open_examples(clean.table).arrays.shape == (2, 1, 1)
