"""The settings that all trainings of a benchmark share: model, examples, optimizer and steps, per preset."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from dilution.errors import unknown
from dilution.models import default_model
from dilution.training.config import default_n_val

PresetName = Literal["demo", "laptop", "paper"]
PRESETS: tuple[PresetName, ...] = get_args(PresetName)

_ADAM: dict[str, Any] = {"targets": "sampled", "optimizer": "adam", "schedule": "linear"}

_FASTCIFAR: dict[str, Any] = {
    **{"targets": "sampled", "optimizer": "sgd", "schedule": "linear", "lr": 0.2, "momentum": 0.85},
    **{"weight_decay": 1e-3, "batch_size": 512, "hflip": True, "translate": 2},
}
"""The recipe of :mod:`dilution.models.fastcifar`, without label smoothing, which is a method of its own."""

_LENET: dict[str, Any] = {
    **{"targets": "sampled", "optimizer": "adam", "schedule": "linear", "lr": 1e-3, "weight_decay": 1e-3},
    "batch_size": 32,
}
"""Batch size, learning rate and weight decay of Menon et al. (2020) on MNIST, and of its reproduction."""


@dataclass(frozen=True)
class Setup:
    """Settings that all trainings of a benchmark share, and what to say about them.

    Parameters
    ----------
    settings
        Settings of a run without data, noise, method and seed.
    description
        The settings in words.
    """

    settings: dict[str, Any]
    description: str


def setup(preset: str, shape: tuple[int, int, int], n_available: int, model: str | None = None) -> Setup:
    """Return the shared settings of a benchmark.

    The budget is a number of steps, so that all noises and methods train on as many examples: at α = 100 an
    epoch of all labels is 101 times as long as without noise.

    Parameters
    ----------
    preset
        ``"demo"``, ``"laptop"`` or ``"paper"``.
    shape
        Shape of an image: (channels, height, width).
    n_available
        Number of its training images.
    model
        Name of the model. Default: that of the preset.

    Raises
    ------
    InputError
        If there is no such preset.
    """
    if preset == "demo":
        settings = {**_ADAM, "lr": 3e-3, "batch_size": 64, "steps": 300, "n_evals": 4}
        return _setup(settings, "mlp2", model, min(1_000, n_available))
    if preset == "laptop":
        settings = {**_ADAM, "lr": 1e-3, "batch_size": 128, "steps": 800, "n_evals": 6}
        if shape[0] > 1:  # 600 trainings; of Conv-2 they would take most of a day
            settings |= {"steps": 220, "n_evals": 3}
        return _setup(settings, "mlp2", model, min(10_000, n_available))
    if preset == "paper":
        if shape[0] == 3 and min(shape[1:]) >= 32:
            return _setup(_epochs(_FASTCIFAR, 16, n_available), "fastcifar", model, n_available)
        if min(shape[1:]) >= 28:
            return _setup(_epochs(_LENET, 20, n_available), "lenet", model, n_available)
        settings = {**_ADAM, "lr": 1e-3, "batch_size": 128}
        return _setup(_epochs(settings, 20, n_available), default_model(shape), model, n_available)
    raise unknown("preset", preset, PRESETS)


def _epochs(settings: dict[str, Any], epochs: int, n: int) -> dict[str, Any]:
    """Return settings with a budget in steps: so many passes over one label per image."""
    steps = round(epochs * (n - default_n_val(n)) / settings["batch_size"])
    return {**settings, "steps": max(1, steps), "n_evals": min(20, max(1, steps))}


def _setup(settings: dict[str, Any], model: str, chosen: str | None, n: int) -> Setup:
    settings = {**settings, "model": chosen or model, "n": n}
    decay = f", weight decay {settings['weight_decay']:g}" if "weight_decay" in settings else ""
    moves = [name for name in ("hflip", "translate") if settings.get(name)]
    epochs = settings["steps"] * settings["batch_size"] / (n - default_n_val(n))
    description = (
        f"All methods train {settings['model']} on {n:,} images, {default_n_val(n):,} of them for "
        f"validation, with {settings['optimizer']} at a learning rate of {settings['lr']:g} that falls to 0"
        f"{decay}, in {settings['steps']:,} steps of {settings['batch_size']} examples ({epochs:.3g} passes "
        "over the images, whatever the number of labels per image)"
        + (f", with {' and '.join(moves)}" if moves else "")
        + f", evaluated {settings['n_evals']} times"
        + ". Methods have their default parameters unless their names have others, for all data and noises; "
        "papers tune some of them. One learning rate serves all. Phases of co-teaching and DivideMix are "
        "shortened to parts of the training, and the averaged prediction of their two networks is tested."
    )
    return Setup(settings, description)
