"""Recipes: settings of a training without its budget; one is built in, `dilution advise` writes others."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from dilution.errors import DataError, InputError, invalid, unknown
from dilution.training.config import TrainConfig
from dilution.utils.migration import new_settings, old_names, warn
from dilution.utils.regular_file import check_regular
from dilution.utils.toml_file import read_toml

ADVISED = "advised"
"""Name of the built-in recipe."""
RECIPE = (
    "targets", "loss", "strategy", "optimizer", "lr", "momentum", "weight_decay", "schedule", "batch_size",
    "ema_decay", "hflip", "translate", "mixup",
)  # fmt: skip
"""The settings that a recipe may contain."""
LEAST_STEPS = 400
"""Least number of steps of a training: fewer do not learn, however large their batches are."""

_CLEAN_NOISE_SCALE = 128  # images; measured for an MLP (dilution advise mnist --model mlp2)
_BATCH_SIZES = (32, 1024)  # smallest and largest
_LR, _LR_BATCH_SIZE = 1e-3, 64  # of Adam, and the batch size that it belongs to
_EMA_HORIZON = 0.05  # share of the steps that the average of the weights spans,
_EMA_STEPS = (10.0, 1000.0)  # but no fewer and no more steps than these
_SHIFTED_SIDE = 16  # images with sides of at least so many pixels are shifted
_SHIFT = 2


def built_in_recipe(
    *,
    alpha: float,
    images: float,
    pooled: bool,
    shape: tuple[int, int, int],
    noise_scale: float | None = None,
) -> dict[str, Any]:
    """Return the built-in recipe for a noise level and a budget.

    Parameters
    ----------
    alpha
        Noise level: noisy labels added for each clean one.
    images
        Budget: images that pass through the model, repetitions counted.
    pooled
        Whether the targets are pooled.
    shape
        Image shape: (channels, height, width).
    noise_scale
        Gradient noise scale in images, if it was measured. Default: 128 times (1 + α) with pooled
        targets, times (1 + α)² otherwise.

    Returns
    -------
    dict
        Settings of :class:`TrainConfig`.
    """
    if noise_scale is None:
        noise_scale = _CLEAN_NOISE_SCALE * (1 + alpha) ** (1 if pooled else 2)
    batch_size, _ = batch_size_for(noise_scale, images)
    steps = max(1.0, images / batch_size)
    return {
        "targets": "pooled" if pooled else "sampled",
        "optimizer": "adam",
        "lr": float(f"{_LR * math.sqrt(batch_size / _LR_BATCH_SIZE):.2g}"),
        "schedule": "linear",
        "batch_size": batch_size,
        "ema_decay": ema_decay_for(_EMA_HORIZON * steps),
        "translate": _SHIFT if min(shape[1:]) >= _SHIFTED_SIDE else 0,
    }


def ema_decay_for(steps: float) -> float:
    """Return the decay of an average of the weights that spans so many steps, within bounds."""
    least, most = _EMA_STEPS
    return round(1 - 1 / min(most, max(least, steps)), 4)


BatchSizeRule = Literal["scale", "budget", "largest", "least"]
"""What decided a batch size: the noise scale, the budget, or the largest or least batch size."""


def batch_size_for(noise_scale: float, images: float) -> tuple[int, BatchSizeRule]:
    """Return the batch size for a gradient noise scale and a budget of images, and what decided it.

    It is the power of two nearest to the noise scale that leaves at least `LEAST_STEPS` steps. Up
    to the noise scale an image contributes as much in a larger batch (McCandlish et al. 2018).
    """
    least, largest = _BATCH_SIZES
    affordable = 2 ** math.floor(math.log2(max(1.0, images / LEAST_STEPS)))
    nearest = 2 ** round(math.log2(max(1.0, noise_scale)))
    if max(least, affordable) < min(nearest, largest):
        return int(max(least, affordable)), "budget"
    if nearest > largest:
        return largest, "largest"
    return (least, "least") if nearest < least else (int(nearest), "scale")


def config_with_recipe(config: TrainConfig, steps: int, recipe: Mapping[str, Any]) -> TrainConfig:
    """Return `config` with the recipe applied, keeping the number of training examples constant.

    Parameters
    ----------
    config
        Configuration without the recipe.
    steps
        Number of optimizer steps of `config`.
    recipe
        Settings of a recipe.
    """
    settings = config.model_dump() | dict(recipe)
    steps = max(1, round(steps * config.batch_size / settings["batch_size"]))
    try:
        return TrainConfig.model_validate(settings | {"epochs": None, "steps": steps})
    except ValidationError as error:  # settings that go together in the recipe, but not with the rest
        raise invalid(error, TrainConfig.model_fields) from None


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Return the settings in the table ``[recipe]`` of a TOML file.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If it is not TOML, has no such table, or a setting is unknown or breaks its rule.
    """
    path = Path(path)
    check_regular(path)
    try:
        recipe = read_toml(path).get("recipe")
    except OSError as error:
        raise DataError(
            f"the recipe {str(path)!r} cannot be read: {error.strerror}. Write {ADVISED!r} for the built-in "
            "one, or name a file that the command advise has written."
        ) from None
    except ValueError as error:
        raise InputError(
            f"{path} is not TOML: {error}. Name a recipe.toml that the command advise has written."
        ) from None
    if not isinstance(recipe, dict) or not recipe:
        raise InputError(
            f"{path} has no table [recipe] with settings. Name a recipe.toml that the command advise has "
            "written."
        )
    if old := old_names(recipe):
        warn(f"the recipe {path}", old)
        recipe = new_settings(recipe)
    for name in recipe:
        if name not in RECIPE:
            raise unknown("setting of a recipe", name, RECIPE)
    try:
        config = TrainConfig.model_validate(recipe)
    except ValidationError as error:
        raise invalid(error, RECIPE) from None
    return {name: getattr(config, name) for name in recipe}


def recipe_text(recipe: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    """Return a recipe as TOML, with the reason for each setting in a comment above it."""
    lines = ["[recipe]"]
    for name, value in recipe.items():
        lines += [f"# {reasons[name]}"] if name in reasons else []
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value).lower()
        lines.append(f"{name} = {text}")
    return "\n".join(lines) + "\n"
