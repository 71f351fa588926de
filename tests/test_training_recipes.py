"""Recipes: the built-in one, recipes in files, and the budget that they keep."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import DataError, InputError
from dilution.training import TrainConfig
from dilution.training.recipes import (
    LEAST_STEPS,
    RECIPE,
    batch_size_for,
    built_in_recipe,
    config_with_recipe,
    read_recipe,
    recipe_text,
)

SHAPE = (1, 28, 28)


@given(alpha=st.floats(0, 1000), images=st.floats(100, 1e8), pooled=st.booleans())
def test_the_built_in_recipe_is_always_a_valid_config(alpha, images, pooled):
    recipe = built_in_recipe(alpha=alpha, images=images, pooled=pooled, shape=SHAPE)
    assert set(recipe) <= set(RECIPE)
    TrainConfig.model_validate(recipe)


@given(noise_scale=st.floats(1, 1e9), images=st.floats(1, 1e9))
def test_a_batch_size_is_near_the_noise_scale_or_as_large_as_the_budget_allows(noise_scale, images):
    batch_size, rule = batch_size_for(noise_scale, images)
    assert math.log2(batch_size).is_integer()
    assert batch_size == 32 or images / batch_size >= LEAST_STEPS
    assert batch_size <= max(32, 1.5 * noise_scale)
    larger = 2 * batch_size
    assert larger > 1024 or images / larger < LEAST_STEPS or larger > noise_scale * 1.4
    if rule == "scale":
        assert 0.7 < batch_size / noise_scale < 1.42
    if rule == "budget":
        assert images / larger < LEAST_STEPS
    assert (rule == "largest") == (batch_size == 1024 < 0.7 * noise_scale)


def test_more_noise_gives_larger_batches_and_sampled_targets_larger_ones_still():
    clean, noisy = (
        built_in_recipe(alpha=alpha, images=1e7, pooled=True, shape=SHAPE)["batch_size"] for alpha in (0, 3)
    )
    sampled = built_in_recipe(alpha=1, images=1e7, pooled=False, shape=SHAPE)["batch_size"]
    assert clean < noisy
    assert sampled > built_in_recipe(alpha=1, images=1e7, pooled=True, shape=SHAPE)["batch_size"]


def test_small_images_and_rows_of_features_are_not_shifted():
    for shape, shift in ((SHAPE, 2), ((1, 8, 8), 0), ((20, 1, 1), 0)):
        assert built_in_recipe(alpha=1, images=1e5, pooled=True, shape=shape)["translate"] == shift


@given(batch_size=st.integers(1, 500), steps=st.integers(1, 10_000), other=st.sampled_from([32, 128, 1024]))
def test_a_recipe_keeps_the_budget(batch_size, steps, other):
    recipe = {"batch_size": other, "optimizer": "adam"}
    config = config_with_recipe(TrainConfig(batch_size=batch_size, epochs=3), steps, recipe)
    assert (config.batch_size, config.optimizer, config.epochs) == (other, "adam", None)
    images = steps * batch_size
    assert abs((config.steps or 0) * other - images) <= max(other / 2, other - images)


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
    assert "# The best.\nlr" in path.read_text("utf-8")


@pytest.mark.parametrize("loss", ["gce(q=0.3)", "forward(T='my \"T\".csv')", "own:loss(name='é')"])
def test_a_loss_in_a_recipe_is_read_as_it_was_written(tmp_path, loss):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_text({"loss": loss, "mixup": 0.2}, {}), "utf-8")
    assert read_recipe(path) == {"loss": loss, "mixup": 0.2}


def test_a_recipe_whose_targets_do_not_go_with_a_loss_is_refused():
    with pytest.raises(InputError, match="loss is 'elr' and targets is 'pooled'"):
        config_with_recipe(TrainConfig(loss="elr"), 10, {"targets": "pooled"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[recipe]\nlr = -1.0", "lr is -1.0"),
        ('[recipe]\nloss = "gcee"', "Did you mean 'gce'"),
        ("[recipe]\nepochs = 3", "epochs.*setting of a recipe"),
        ("[recipe]\n", "no table"),
        ("lr = 1", "no table"),
        ("[recipe", "not TOML"),
        ('[recipe]\nlr = "high"', "must be a number"),
    ],
)
def test_a_broken_recipe_is_refused(tmp_path, text, words):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_recipe(path)


def test_a_missing_recipe_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="'advised' for the built-in one"):
        read_recipe(tmp_path / "none.toml")
