"""Recipes: what is built in, what is written and read again, and the budget they keep."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import DataError, InputError
from dilution.study import Run
from dilution.study.apply_recipe import with_recipe
from dilution.study.grouping import steps_of
from dilution.training import TrainConfig
from dilution.training.recipes import (
    LEAST_STEPS,
    RECIPE,
    advised,
    batch_for,
    read_recipe,
    recipe_text,
    spent,
)

SHAPE = (1, 28, 28)


@given(alpha=st.floats(0, 1000), images=st.floats(100, 1e8), pooled=st.booleans())
def test_the_built_in_recipe_is_always_one_that_can_be_trained(alpha, images, pooled):
    found = advised(alpha=alpha, images=images, pooled=pooled, shape=SHAPE)
    assert set(found) <= set(RECIPE)
    TrainConfig.model_validate(found)


@given(scale=st.floats(1, 1e9), images=st.floats(1, 1e9))
def test_a_batch_is_near_the_noise_scale_or_as_large_as_the_budget_allows(scale, images):
    batch, bound = batch_for(scale, images)
    assert math.log2(batch).is_integer()
    assert batch == 32 or images / batch >= LEAST_STEPS
    assert batch <= max(32, 1.5 * scale)
    larger = 2 * batch
    assert larger > 1024 or images / larger < LEAST_STEPS or larger > scale * 1.4
    if bound == "scale":
        assert 0.7 < batch / scale < 1.42
    if bound == "budget":
        assert images / (2 * batch) < LEAST_STEPS
    assert (bound == "largest") == (batch == 1024 < 0.7 * scale)


def test_more_noise_asks_for_larger_batches_and_single_labels_for_larger_ones_still():
    clean, noisy = (
        advised(alpha=alpha, images=1e7, pooled=True, shape=SHAPE)["batch_size"] for alpha in (0, 3)
    )
    single = advised(alpha=1, images=1e7, pooled=False, shape=SHAPE)["batch_size"]
    assert clean < noisy
    assert single > advised(alpha=1, images=1e7, pooled=True, shape=SHAPE)["batch_size"]


def test_small_images_and_rows_of_features_are_not_shifted():
    for shape, shift in ((SHAPE, 2), ((1, 8, 8), 0), ((20, 1, 1), 0)):
        assert advised(alpha=1, images=1e5, pooled=True, shape=shape)["translate"] == shift


@given(batch_size=st.integers(1, 500), steps=st.integers(1, 10_000), other=st.sampled_from([32, 128, 1024]))
def test_a_recipe_spends_the_same_budget(batch, steps, other):
    settings = spent(
        TrainConfig(batch_size=batch, epochs=3), steps, {"batch_size": other, "optimizer": "adam"}
    )
    assert (settings.batch_size, settings.optimizer, settings.epochs) == (other, "adam", None)
    assert abs((settings.steps or 0) * other - steps * batch) <= max(other / 2, other - steps * batch)


def test_a_recipe_is_read_as_it_was_written(tmp_path):
    recipe = {
        "targets": "pooled",
        "optimizer": "adam",
        "lr": 3e-4,
        "batch_size": 64,
        "hflip": True,
        "translate": 2,
    }
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_text(recipe, {"lr": "The best."}), "utf-8")
    assert read_recipe(path) == recipe
    assert "# The best.\nrate" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[recipe]\nrate = -1.0", "lr is -1.0"),
        ("[recipe]\nepochs = 3", "epochs.*setting of a recipe"),
        ("[recipe]\n", "no table"),
        ("rate = 1", "no table"),
        ("[recipe", "not TOML"),
        ('[recipe]\nrate = "high"', "must be a number"),
    ],
)
def test_a_broken_recipe_is_refused(tmp_path, text, words):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_recipe(path)


def test_a_recipe_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="'advised' for the built-in one"):
        read_recipe(tmp_path / "none.toml")


def base(**changes):
    return Run.of(**{"dataset": "digits", "n": 200, "model": "mlp1", "alpha": 4, "steps": 50} | changes)


def test_runs_by_the_built_in_recipe_keep_what_they_are_about():
    runs = [base(alpha=alpha, seed=seed) for alpha in (0, 4) for seed in (0, 1)]
    found = with_recipe(runs, "advised")
    for before, after in zip(runs, found, strict=True):
        assert (after.alpha, after.n, after.seed, after.model) == (before.alpha, 200, before.seed, "mlp1")
        assert (after.order, after.optimizer) == ("pooled", "adam")
        assert abs(steps_of(after) * after.batch - 50 * 128) <= after.batch
    assert with_recipe(runs, None) == runs


@pytest.mark.parametrize("targets", ["sampled", "pooled"])
def test_noise_given_as_a_rate_or_as_its_level_has_the_same_recipe_and_budget(order):
    rate, level = (
        base(alpha=None, eta=0.8, order=order, epochs=2, steps=None),
        base(alpha=8.0, order=order, epochs=2, steps=None),
    )
    one, other = with_recipe([rate], "advised")[0], with_recipe([level], "advised")[0]
    assert one.settings == other.settings
    images = 180 * (9 if order == "sampled" else 1) * 2
    assert abs((one.steps or 0) * one.batch - images) <= 128  # a batch of the runs as they were


def test_replaced_labels_count_as_noisy_as_they_are():
    few, many = (
        with_recipe([base(label_mode="replaced", alpha=alpha, steps=10**5)], "advised")[0]
        for alpha in (0, 20)
    )
    assert few.batch < many.batch
    assert many.order == "sampled"


def test_classifiers_of_ones_own_are_left_as_they_are(tmp_path, monkeypatch):
    (tmp_path / "own_learner.py").write_text(
        "from sklearn.neighbors import KNeighborsClassifier\n"
        "def make(shape, classes):\n    return KNeighborsClassifier(3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    estimator = base(model="own_learner:make")
    assert with_recipe([estimator], "advised") == [estimator]


def test_foreign_images_keep_all_runs_of_a_study_at_one_label_at_a_time():
    found = with_recipe([base(), base(image_source="white_noise")], "advised")
    assert {run.targets for run in found} == {"sampled"}


def test_learners_are_left_as_they_are():
    estimator = base(model="sklearn:knn")
    assert with_recipe([estimator, base()], "advised")[0] == estimator


def test_a_study_that_compares_what_a_recipe_sets_is_refused(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("[recipe]\nbatch = 64\n")
    runs = [base(lr=rate) for rate in (0.1, 0.2)]
    with pytest.raises(InputError, match="differ in rate"):
        with_recipe(runs, "advised")
    orders = [base(order=order) for order in ("sampled", "pooled")]
    with pytest.raises(InputError, match="differ in order"):
        with_recipe(orders, "advised")
    assert len(with_recipe([base(weight_decay=decay) for decay in (0.0, 0.1)], "advised")) == 2
    assert {run.batch_size for run in with_recipe(runs, path)} == {64}
