"""How long a step takes on this machine: what is measured, and the memory of what was."""

import json
import math
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from dilution.study.grouping import Shape
from dilution.training import device_title
from dilution.utils.atomic import write_whole
from dilution.utils.references import is_reference
from dilution.utils.version import code_version

_TIMED = {"targets", "optimizer", "momentum", "ema_decay", "batch_size", "hflip", "translate", "precision"}


@dataclass(frozen=True)
class Probe:
    """What is measured: a step of `replicas` networks of a shape with `threads` threads, in `processes`."""

    shape: Shape
    image: tuple[int, int, int]
    classes: int
    replicas: int
    threads: int
    processes: int
    device: str = "cpu"
    dtype: torch.dtype = torch.uint8

    def name(self, place: str) -> str:
        """Everything the time depends on, as text: machine, versions, network, settings, replicas."""
        settings = self.shape.settings
        about = settings.model_dump(include=_TIMED)
        parts = [
            *([place, code_version(), self.device] if place else [_machine(), device_title(self.device)]),
            self.shape.model,
            # what a name of one's own stands for is in the fingerprint
            *([self.shape.fingerprint] if is_reference(self.shape.model) else []),
            *self.image,
            self.classes,
            json.dumps(about, sort_keys=True),
            *([] if self.dtype == torch.uint8 else [str(self.dtype)]),  # older measurements keep their names
        ]
        return "/".join(map(str, [*parts, self.replicas, self.threads, self.processes]))


class Timer:
    """Measures what is not remembered from an earlier study on this machine.

    Parameters
    ----------
    measure
        Function of a probe → seconds for a step of all its replicas; infinity if it cannot be taken.
    place
        Name of the kind of machine that is measured; empty for this one.
    """

    def __init__(self, measure: Callable[[Probe], float], place: str = "") -> None:
        self._measure, self._place = measure, place
        self._path = cache_folder() / "steps.json"
        self._known: dict[str, float] = dict(_read(self._path))
        self.measured = 0
        """How many steps were measured, not remembered."""

    def seconds(self, probe: Probe) -> float:
        """Return the seconds that a step takes."""
        name = probe.name(self._place)
        if name not in self._known:
            self._known[name] = self._measure(probe)
            self.measured += 1
        return self._known[name]

    def remember(self) -> None:
        """Keep what was measured for the next study."""
        if self.measured:
            measured = {name: time for name, time in self._known.items() if math.isfinite(time)}
            text = json.dumps(dict(_read(self._path)) | measured, indent=1, sort_keys=True)
            write_whole(self._path, text.encode())


def cache_folder() -> Path:
    """Return the folder for what may be lost: ``DILUTION_CACHE``, else the user's cache."""
    chosen = os.environ.get("DILUTION_CACHE")
    if not chosen:
        import pooch

        chosen = pooch.os_cache("dilution")
    return Path(chosen).expanduser()


def _read(path: Path) -> Iterator[tuple[str, float]]:
    """Yield the measurements of a file; one that is missing or damaged holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(found, dict):
        yield from ((name, time) for name, time in found.items() if isinstance(time, float) and time > 0)


def _machine() -> str:
    return f"{platform.node()}/{os.cpu_count()}/{torch.__version__}/{code_version()}"
