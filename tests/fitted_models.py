"""Fitted models without training: networks with their initial weights."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dilution.data import Arrays
from dilution.fitting import FittedModel, Network
from dilution.models import build_model
from dilution.training.evaluation import Normalise


def untrained(arrays: Arrays, name: str = "mlp1", members: int = 1, **facts: object) -> FittedModel:
    """Return a model for the examples of `arrays`."""
    normalise = Normalise(arrays, torch.arange(len(arrays)))
    networks = [
        Network(build_model(name, arrays.shape, len(arrays.classes), seed=seed), normalise)
        for seed in range(members)
    ]
    return FittedModel(
        name, arrays.shape, arrays.dtype, arrays.classes, networks, encoding=arrays.encoding, facts=facts
    )


def images(n: int = 12, channels: int = 1, side: int = 8, classes: int = 3) -> Arrays:
    """Return random images."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=generator)
    return Arrays(pixels, torch.arange(n) % classes)


def mixed_table(n: int = 40) -> pd.DataFrame:
    """Return a table with numbers, numbers with gaps, text, truth values and an index."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": np.arange(n),
            "size": rng.normal(size=n).round(3),
            "age": rng.integers(20, 60, n).astype(float),
            "town": rng.choice(["Bonn", "Ulm", "Trier"], n),
            "member": rng.choice([True, False], n),
            "label": np.where(np.arange(n) % 3 == 0, "yes", "no"),
        }
    )
    frame.loc[3, "age"] = np.nan
    return frame


def write_csv(folder: Path, frame: pd.DataFrame, name: str = "table.csv") -> Path:
    """Write a table and return its path."""
    frame.to_csv(folder / name, index=False)
    return folder / name
