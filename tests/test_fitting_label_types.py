"""A model predicts labels in the type of those in memory that it was fitted to; names of files are text."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from fitted_models import images, untrained

import dilution
from dilution.errors import DataError
from dilution.fitting.label_types import label_type, typed_classes

X = np.random.default_rng(0).normal(size=(40, 2))
Y = (X[:, 0] > 0).astype(np.int64)
QUICK = {
    "model": "sklearn:logistic",
    "method": "plain",
    "folds": 2,
    "execution": dilution.Execution(workers=0, progress=False),
}
DATA = {
    "integers": ((X, Y + 3), None, "i"),
    "a list": ((X, (Y + 3).tolist()), None, "i"),
    "a tensor": ((torch.from_numpy(X), torch.from_numpy(Y)), None, "i"),
    "nullable integers": ((X, pd.Series(Y, dtype="Int64")), None, "i"),
    "truth values": ((X, Y.astype(bool)), None, "b"),
    "floats": ((X, Y.astype(float)), None, "f"),
    "texts": ((X, Y.astype(str)), None, "U"),
    "texts that are no numbers": ((X, np.array(["no", "yes"])[Y]), None, "U"),
    "a DataFrame": (pd.DataFrame(X).assign(y=Y), "y", "i"),
    "a DataFrame with a column label": (pd.DataFrame(X).assign(label=Y.astype(bool)), None, "b"),
    "a DataFrame and labels": ((pd.DataFrame(X), pd.Series(Y)), None, "i"),
    "arguments of from_numpy": ({"features": X, "labels": Y}, None, "i"),
    "objects that are numbers": ((X, (Y + 3).astype(object)), None, "i"),
    "categories": (pd.DataFrame(X).assign(label=pd.Categorical(Y)), None, "i"),
    "a table of pyarrow": (pa.table({"a": X[:, 0], "b": X[:, 1], "label": Y}), None, "i"),
    "a tensor of halves": ((torch.from_numpy(X), torch.from_numpy(Y).to(torch.bfloat16)), None, "f"),
    "named classes": ({"features": X, "labels": Y, "classes": ["no", "yes"]}, None, "U"),
}


@pytest.mark.parametrize(("data", "label", "kind"), DATA.values(), ids=DATA)
def test_predictions_have_the_type_of_the_labels(tmp_path, data, label, kind):
    model = dilution.fit(data, label=label, **QUICK).model
    first = data[0] if isinstance(data, tuple) else data
    new = pd.DataFrame(X) if isinstance(first, pd.DataFrame) else X
    new = data.drop(["label"]) if isinstance(first, pa.Table) else new
    predicted = model.predict(new)
    assert predicted.dtype.kind == kind
    if kind != "U":
        assert len(np.unique(predicted)) == 2
        offset = 3 if predicted.max() > 1 else 0
        assert (predicted == Y + offset).mean() > 0.9
    loaded = dilution.load_model(model.save(tmp_path / "m.dilution"))
    np.testing.assert_array_equal(loaded.predict(new), predicted)
    np.testing.assert_array_equal(loaded.predictions(new).labels, predicted)


def test_names_in_a_file_are_text(tmp_path):
    pd.DataFrame(X, columns=["a", "b"]).assign(label=Y).to_csv(tmp_path / "t.csv", index=False)
    model = dilution.fit(tmp_path / "t.csv", **QUICK).model
    assert set(model.predict(pd.DataFrame(X, columns=["a", "b"]))) == {"0", "1"}


def test_files_of_predictions_have_the_names_of_classes(tmp_path):
    model = dilution.fit((X, Y.astype(float)), **QUICK).model
    path = model.predictions(X).write(tmp_path / "p.csv", all_classes=True)
    table = pd.read_csv(path, dtype=str)
    assert set(table["label"]) == {"0", "1"}
    assert {"p_0", "p_1"} <= set(table)


def test_a_saved_classifier_predicts_its_own_labels_as_a_model_too(tmp_path):
    classifier = dilution.NoisyLabelClassifier("plain", model="sklearn:logistic", folds=2).fit(X, Y)
    model = dilution.load_model(classifier.save(tmp_path / "c.dilution"))
    np.testing.assert_array_equal(model.predict(X), classifier.predict(X))
    np.testing.assert_array_equal(classifier.model_.predict(X), classifier.predict(X))
    loaded = dilution.NoisyLabelClassifier.load(tmp_path / "c.dilution")
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))


def test_labels_that_are_no_numbers_keep_their_names():
    assert label_type((X, np.array([1, 2])), None, ("cat", "dog")) == "text"
    assert label_type("file.csv", None, ("0", "1")) == "text"
    large = np.array([5, 2**63 + 1], dtype=np.uint64)
    assert label_type((X, large), None, ("5", str(2**63 + 1))) == "text"
    assert typed_classes(("0", "1"), "text").tolist() == ["0", "1"]


def test_a_file_whose_names_are_of_another_type_is_refused(tmp_path):
    model = replace(untrained(images()), classes=("a", "b", "c"), label_type="integer")
    path = model.save(tmp_path / "m.dilution")
    with pytest.raises(DataError, match="is no model file: integer labels do not have names such as 'a'"):
        dilution.load_model(path)
