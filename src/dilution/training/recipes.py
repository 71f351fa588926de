"""Recipes: how to train, but not how long. One is built in, `dilution advise` writes others to files."""

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from dilution.errors import DataError, InputError, invalid, unknown
from dilution.training.config import TrainConfig
from dilution.utils.migration import new_settings, old_names, warn

ADVISED = "advised"
RECIPE = (
    "targets", "optimizer", "lr", "momentum", "weight_decay", "schedule", "batch_size", "ema_decay",
    "hflip", "translate",
)  # fmt: skip
"""The settings that a recipe may hold."""
LEAST_STEPS = 400
"""Steps that a budget must have room for: fewer do not learn, however large their batches."""

_SCALE = 128  # noise scale of clean labels, in images: that of an MLP (dilution advise mnist --model mlp2)
_BATCHES = (32, 1024)
_RATE, _AT = 1e-3, 64  # of Adam, and the batch where it belongs
_HORIZON = 0.05  # share of the steps that the average of the weights reaches back,
_REACH = (10.0, 1000.0)  # but no fewer and no more steps than these
_PIXELS = 16  # sides from which images are shifted
_SHIFT = 2


def advised(
    *, alpha: float, images: float, pooled: bool, shape: tuple[int, int, int], scale: float | None = None
) -> dict[str, Any]:
    """Return the built-in recipe, which knows the noise and how long a training may take.

    Parameters
    ----------
    alpha
        Noisy labels for each clean one.
    images
        How many images go through the network, repetitions counted.
    pooled
        Whether the labels of an image are trained on at once.
    shape
        Image shape: (channels, height, width).
    scale
        Gradient noise scale in images, where it was measured. Default: 128 times (1 + α) where labels
        are pooled, times (1 + α)² otherwise.

    Returns
    -------
    dict
        Settings, named as in :class:`TrainSettings`.
    """
    if scale is None:
        scale = _SCALE * (1 + alpha) ** (1 if pooled else 2)
    batch, _ = batch_for(scale, images)
    steps = max(1.0, images / batch)
    return {
        "targets": "pooled" if pooled else "sampled",
        "optimizer": "adam",
        "lr": float(f"{_RATE * math.sqrt(batch / _AT):.2g}"),
        "schedule": "linear",
        "batch_size": batch,
        "ema_decay": average_for(_HORIZON * steps),
        "translate": _SHIFT if min(shape[1:]) >= _PIXELS else 0,
    }


def average_for(reach: float) -> float:
    """Return the decay of an average of the weights that reaches back so many steps, within bounds."""
    least, most = _REACH
    return round(1 - 1 / min(most, max(least, reach)), 4)


Bound = Literal["scale", "budget", "largest", "least"]


def batch_for(scale: float, images: float) -> tuple[int, Bound]:
    """Return the batch for a noise scale, and what decided it.

    It is the power of two nearest to the scale that leaves steps enough: up to the noise scale an image is
    worth
    as much in a larger batch (McCandlish et al. 2018).
    """
    least, largest = _BATCHES
    room = 2 ** math.floor(math.log2(max(1.0, images / LEAST_STEPS)))
    nearest = 2 ** round(math.log2(max(1.0, scale)))
    if max(least, room) < min(nearest, largest):
        return int(max(least, room)), "budget"
    if nearest > largest:
        return largest, "largest"
    return (least, "least") if nearest < least else (int(nearest), "scale")


def spent(settings: TrainConfig, steps: int, recipe: Mapping[str, Any]) -> TrainConfig:
    """Return settings with a recipe, under which as many images go through the network.

    Parameters
    ----------
    settings
        How to train otherwise.
    steps
        The steps that these take.
    recipe
        Settings of a recipe.
    """
    given = settings.model_dump() | dict(recipe)
    taken = max(1, round(steps * settings.batch_size / given["batch_size"]))
    return TrainConfig.model_validate(given | {"epochs": None, "steps": taken})


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read the table ``[recipe]`` of a TOML file.

    Raises
    ------
    DataError
        If the file cannot be read.
    InputError
        If it is not TOML, has no such table, or a setting is unknown or breaks its rule.
    """
    path = Path(path)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("recipe")
    except OSError as error:
        raise DataError(
            f"the recipe {str(path)!r} cannot be read: {error.strerror}. Write {ADVISED!r} for the built-in "
            "one, or name a file that `dilution advise` has written."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}. `dilution advise` writes one.") from None
    if not isinstance(found, dict) or not found:
        raise InputError(f"{path} has no table [recipe] with settings. `dilution advise` writes one.")
    if old := old_names(found):
        warn(f"the recipe {path}", old)
        found = new_settings(found)
    for name in found:
        if name not in RECIPE:
            raise unknown("setting of a recipe", name, RECIPE)
    try:
        settings = TrainConfig.model_validate(found)
    except ValidationError as error:
        raise invalid(error, RECIPE) from None
    return {name: getattr(settings, name) for name in found}


def recipe_text(recipe: Mapping[str, Any], reasons: Mapping[str, str]) -> str:
    """Return a recipe as TOML, each setting after the reason for it."""
    lines = ["[recipe]"]
    for name, value in recipe.items():
        lines += [f"# {reasons[name]}"] if name in reasons else []
        shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
        lines.append(f"{name} = {shown}")
    return "\n".join(lines) + "\n"
