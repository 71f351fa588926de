import gc
import itertools
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import fontTools.subset
import pytest
import torch
import typer.testing
from hypothesis import settings

from dilution.data import Arrays
from dilution.report import style

pytest.register_assert_rewrite(
    "remedies",
    *(
        f"remedies_of_{part}"
        for part in ("images", "models", "programs", "results", "studies", "tables", "training")
    ),
)

settings.register_profile("suite", max_examples=40, deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


# Under nohup every child would ignore SIGHUP, and in the background of a script SIGINT, as commands do that
# were started so; here these end them.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep what the imports and the tests themselves hold out of each later search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _shared_work() -> Iterator[None]:
    """Do once what thousands of tests would repeat, and what none of them looks at.

    The commands are described to typer once. The fonts of a PDF come without the tables for ligatures and
    kerning, which take half of the time of a plot and are not used; nor are they read.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.main.get_command), raising=False)
        options = fontTools.subset.Options
        patch.setattr(options, "_layout_features_default", [], raising=False)
        not_read = [*getattr(options, "_drop_tables_default", []), "GDEF", "GPOS", "GSUB"]
        patch.setattr(options, "_drop_tables_default", not_read, raising=False)
        yield


@pytest.fixture(scope="session")
def make_data() -> Callable[..., Arrays]:
    """Balanced data whose image i can be told from every other: its first two pixels spell i."""

    def make(n: int, classes: int = 10, channels: int = 1, side: int = 2) -> Arrays:
        generator = torch.Generator().manual_seed(1)
        images = torch.randint(0, 256, (n, channels, side, side), generator=generator, dtype=torch.uint8)
        place = torch.arange(n)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = place // 256, place % 256
        return Arrays(images, place % classes, tuple(str(c) for c in range(classes)))

    return make


_numbers = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module into the current directory and return its name, one that no other test has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(tmp_path)])

    def write(text: str) -> str:
        name = f"own_module_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), "utf-8")
        return name

    return write


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute with one thread: sums in another order have other last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit forests of 12 trees in place of 60, for tests of what does not depend on their number."""
    monkeypatch.setattr("dilution.fitting.tree_learners.ForestLearner.budgets", (12,))


@pytest.fixture
def first_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit models with the smallest budget that is tried, for tests that ask for little accuracy."""
    monkeypatch.setattr("dilution.fitting.validation._is_better", lambda *_: False)


@pytest.fixture
def svg_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render plots as SVG alone, for tests that look at no PNG and PDF: these take most of a plot's time."""
    render = style._render
    monkeypatch.setattr(style, "_render", lambda plot, name: render(plot, name) if name == "svg" else b"")
