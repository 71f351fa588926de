from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import settings

from dilution.data import Arrays

settings.register_profile("suite", max_examples=40, deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor change what the user's cache remembers of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DILUTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute with one thread: sums in another order have other last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
