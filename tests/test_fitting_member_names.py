"""A fitted model in words names every kind of model that it averages."""

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution, succeeded
from fitted_models import images, untrained
from sklearn.ensemble import RandomForestClassifier

from dilution.data import Arrays, load_unsplit
from dilution.fitting import FittedModel, Forest
from dilution.fitting.extractor import Extractor
from dilution.fitting.linear import Linear
from dilution.fitting.linear_head import LinearHead
from dilution.fitting.member_names import describe_members


def forest_of(arrays: Arrays) -> Forest:
    trees = RandomForestClassifier(2, random_state=0).fit(arrays.images.flatten(1), arrays.labels)
    return Forest.of_classifier(trees, len(arrays.classes))


def linear(features: int, classes: int) -> Linear:
    zeros = np.zeros(features)
    return Linear(zeros, zeros + 1, np.zeros((classes, features)), np.zeros(classes))


def test_members_of_one_kind_are_counted_and_those_of_several_have_shares():
    arrays = Arrays(torch.rand(12, 4, 1, 1), torch.arange(12) % 2)
    networks = untrained(arrays, members=2)
    assert describe_members(networks) == "mlp1 × 2"
    assert repr(networks) == "FittedModel(mlp1 × 2, plain, 2 classes)"
    members = [*networks.members, forest_of(arrays), linear(4, 2)]
    mixed = FittedModel("mlp1", *_shape(networks), members, shares=(0.2, 0.2, 0.35, 0.25))
    assert describe_members(mixed) == "40% mlp1 × 2, 35% sklearn:forest and 25% sklearn:logistic"


def test_features_of_images_are_named_with_their_function():
    head = LinearHead(np.zeros((3, 2)), np.zeros(2), np.array(False))
    extractor = Extractor("colours", lambda pixels: pixels.mean(axis=(2, 3)), 3)
    model = FittedModel("head", (3, 8, 8), torch.uint8, ("a", "b"), [head], extractor=extractor)
    assert describe_members(model) == "logistic regression on features of colours"
    assert describe_members(untrained(images(), members=4)) == "mlp1 × 4"


def test_predict_names_all_models(tmp_path):
    frame = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) % 3, "label": list("xy") * 10})
    frame.to_csv(tmp_path / "table.csv", index=False)
    arrays = load_unsplit(tmp_path / "table.csv").arrays
    networks = untrained(arrays)
    model = FittedModel(
        "mlp1",
        *_shape(networks),
        [*networks.members, forest_of(arrays)],
        encoding=arrays.encoding,
        shares=(0.75, 0.25),
    )
    model.save(tmp_path / "model.dilution")
    printed = succeeded(dilution("predict", "model.dilution", "table.csv", cwd=tmp_path))
    assert "20 examples predicted by 75% mlp1 and 25% sklearn:forest (2 classes)" in printed


def _shape(model: FittedModel) -> tuple[tuple[int, int, int], torch.dtype, tuple[str, ...]]:
    return model.shape, model.dtype, model.classes


@pytest.mark.parametrize("members", [1, 3])
def test_shares_of_equal_members_are_not_shown(members):
    assert "%" not in describe_members(untrained(images(), members=members))
