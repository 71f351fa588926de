from collections.abc import Callable

import pytest
import torch
from hypothesis import settings

from dilution.data import Arrays

settings.register_profile("suite", max_examples=40, deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def make_data() -> Callable[..., Arrays]:
    """Balanced data whose picture i can be told from every other: its first two pixels spell i."""

    def make(n: int, classes: int = 10, channels: int = 1, side: int = 2) -> Arrays:
        generator = torch.Generator().manual_seed(1)
        pictures = torch.randint(0, 256, (n, channels, side, side), generator=generator, dtype=torch.uint8)
        place = torch.arange(n)
        pictures[:, 0, 0, 0], pictures[:, 0, 0, 1] = place // 256, place % 256
        return Arrays(pictures, place % classes, tuple(str(c) for c in range(classes)))

    return make
