"""Run groups: which runs train together as one ensemble, and with how many threads.

The rule: one process per core with one thread each. Fewer runs than cores share the cores. MLPs are
stacked, up to :data:`STACK_SIZE` per group; on a GPU up to :data:`GPU_GROUP_SIZE` models train together.
Where other models are more than the cores, but by at most half, half as many processes of two threads
train them: the second round would leave most cores idle. Groups chosen by a measurement on the machine
were not more than 10 % faster (docs/log.md).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from dilution.models import build_model
from dilution.study.datasets import open_data
from dilution.study.run_spec import Run
from dilution.training import is_custom, resolve_trainable
from dilution.training.config import TrainConfig
from dilution.training.ensemble import is_stackable
from dilution.training.strategies import resolve_strategy
from dilution.utils.rng_state import RngState

STACK_SIZE = 8
"""MLPs that train together on CPU cores. Sizes from 4 to 20 differ little in speed (docs/log.md), and
smaller groups lose less when interrupted."""

GPU_GROUP_SIZE = 32
"""Models that train together on a GPU, as benchmarks/gpu.py measures them."""

_STEP_OVERHEAD = 1e7  # operations that take as long as what a step does beside its products
_ESTIMATOR_COST = 1e3  # operations per number of an estimator's training data, to an order of magnitude


@dataclass(frozen=True)
class GroupKey:
    """The settings that runs have in common if they can train together.

    Parameters
    ----------
    dataset, fingerprint
        The data, and so the shape of the images.
    model
        Name of the model.
    config
        Configuration, with the budget in steps and without the learning rate, which may differ.
    unknown_steps_of
        Key of the run if its number of steps is known only after its data are diluted; otherwise empty.
    """

    dataset: str
    fingerprint: str
    model: str
    config: TrainConfig
    unknown_steps_of: str = ""


@dataclass(frozen=True)
class RunGroup:
    """Runs that train together.

    Parameters
    ----------
    runs
        The runs; their group keys are equal.
    threads
        Threads to compute with, each on a core.
    cost
        Estimated operations of the training, to compare groups with.
    device
        ``"cpu"`` or ``"cuda"``.
    """

    runs: list[Run]
    threads: int = 1
    cost: float = 1.0
    device: str = "cpu"

    def single_runs(self) -> list["RunGroup"]:
        """Return one group per run."""
        return [self.subset([run]) for run in self.runs]

    def subset(self, runs: list[Run]) -> "RunGroup":
        """Return the group of some of these runs."""
        return replace(self, runs=runs, cost=self.cost * len(runs) / len(self.runs))


def group_key(run: Run) -> GroupKey:
    """Return the group key of a run; runs of equal group keys can train together."""
    config = run.config
    unknown_steps_of = ""
    if config.steps is None:
        if run.targets == "sampled" and run.label_mode == "added" and run.alpha is None:
            unknown_steps_of = run.key
        config = config.model_copy(update={"steps": expected_steps(run), "epochs": None})
    config = config.model_copy(update={"lr": 1.0})
    return GroupKey(run.dataset, run.fingerprint, run.model, config, unknown_steps_of)


def expected_steps(run: Run) -> int:
    """Return the optimizer steps of a run; an estimate where only the noise rate is set."""
    return run.config.total_steps(epoch_length(run))


def epoch_length(run: Run) -> int:
    """Return the training examples (or images, if targets are pooled) of one epoch of a run."""
    return round((run.n - run.n_val) * (labels_per_image(run) if run.targets == "sampled" else 1))


def labels_per_image(run: Run) -> float:
    """Return the labels per clean image, its clean label included."""
    if run.label_mode == "replaced":
        return 1.0
    if run.alpha is not None:
        return 1 + run.alpha
    return 1 / (1 - (run.eta or 0.0))


def by_group_key(runs: Sequence[Run]) -> dict[GroupKey, list[Run]]:
    """Return the runs of each group key, in their order."""
    runs_by_key: dict[GroupKey, list[Run]] = {}
    for run in runs:
        runs_by_key.setdefault(group_key(run), []).append(run)
    return runs_by_key


def group_runs(
    runs: Sequence[Run],
    root: str | None,
    *,
    study: Sequence[Run],
    cores: int,
    device: str = "cpu",
    shares_cores: bool = True,
    started: Sequence[Sequence[str]] = (),
) -> list[RunGroup]:
    """Divide runs into groups by the rule of this module.

    Parameters
    ----------
    runs
        The runs to train.
    root
        Folder of downloaded data.
    study
        All runs of the study, finished ones too. They determine the number of threads, so that the
        rest of an interrupted study trains with as many threads as it would have without.
    cores
        Cores, or GPUs, to train on at once.
    device
        Device of the training: ``"cpu"`` or ``"cuda"``.
    shares_cores
        Whether a group may compute with threads on several cores.
    started
        Keys of the runs of each group that has a checkpoint. Such a group stays as it was if none of
        its runs has ended since.

    Returns
    -------
    list of RunGroup
        The most expensive first, so that the last ones to end are short.
    """
    groups: list[RunGroup] = []
    for key, same_key in by_group_key(runs).items():
        image_shape, classes = _data_shape(key, root)
        if not resolve_trainable(key.model, image_shape, classes).takes_steps:
            groups += [RunGroup([run], 1, _estimator_cost(run, image_shape)) for run in same_key]
            continue
        limit = _group_limit(key, image_shape, classes, device)
        processes = _processes(len(study), cores, limit)
        threads = cores // processes if device == "cpu" and shares_cores else 1
        cost = _training_cost(key, image_shape, classes)
        size = min(limit, math.ceil(len(same_key) / processes))
        kept, rest = _separate_started(same_key, started, limit)
        rounds = math.ceil(len(rest) / (size * processes))
        count = processes * rounds if size > 1 else len(rest)
        parts = [*kept, *(split(rest, count) if rest else [])]
        groups += [RunGroup(part, threads, cost * len(part), device) for part in parts]
    return sorted(groups, key=lambda group: (-group.threads, -group.cost))


def split(runs: Sequence[Run], parts: int) -> list[list[Run]]:
    """Divide runs into parts whose sizes differ by one at most; there is no empty part."""
    bounds = [round(i * len(runs) / parts) for i in range(parts + 1)]
    return [list(runs[low:high]) for low, high in itertools.pairwise(bounds) if high > low]


def _separate_started(
    runs: Sequence[Run], started: Sequence[Sequence[str]], limit: int
) -> tuple[list[list[Run]], list[Run]]:
    """Return the groups of these runs that were started before, and the other runs."""
    others = {run.key: run for run in runs}
    kept = [
        [others.pop(key) for key in keys]
        for keys in started
        if len(keys) <= limit and others.keys() >= set(keys)
    ]
    return kept, list(others.values())


def _data_shape(key: GroupKey, root: str | None) -> tuple[tuple[int, int, int], int]:
    """Return the image shape and the number of classes."""
    data = open_data(key.dataset, key.fingerprint, root).train
    return data.shape, len(data.classes)


def _processes(runs: int, cores: int, limit: int) -> int:
    """Return the number of processes that train a study of so many runs at once."""
    if limit == 1 and cores < runs <= 1.5 * cores:
        return max(1, cores // 2)
    return max(1, min(cores, runs))


def _group_limit(key: GroupKey, image_shape: tuple[int, int, int], classes: int, device: str) -> int:
    """Return the number of models up to which training together is faster than one after the other."""
    if key.config.strategy != "plain":
        return 1  # strategies compute one model after the other
    if device != "cpu" and not is_custom(key.model):
        return GPU_GROUP_SIZE
    if not is_stackable(build_model(key.model, image_shape, classes, seed=0)):
        return 1
    return STACK_SIZE if device == "cpu" else GPU_GROUP_SIZE


def _training_cost(key: GroupKey, image_shape: tuple[int, int, int], classes: int) -> float:
    """Return the estimated operations of one run."""
    per_image = operations_per_image(key.model, image_shape, classes)
    cost = resolve_strategy(key.config.strategy).cost or 1.0
    return cost * (key.config.steps or 1) * (_STEP_OVERHEAD + 3 * key.config.batch_size * per_image)


@lru_cache(maxsize=64)
def operations_per_image(model: str, image_shape: tuple[int, int, int], classes: int) -> float:
    """Return the operations of the layers with weights in the forward pass of one image.

    An output of a layer takes a multiplication and an addition per weight that leads to it. (PyTorch's
    FlopCounterMode counts the same, and takes two seconds to import.)
    """
    operations = 0.0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal operations
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() > 0 and isinstance(output, Tensor):
            operations += 2 * output[0].numel() * weight.numel() / len(weight)

    network = build_model(model, image_shape, classes, seed=0).eval()
    for layer in network.modules():
        layer.register_forward_hook(count)
    # a layer of a custom model must not change the global generator of the user's process
    with RngState(0), torch.no_grad():
        network(torch.zeros(2, *image_shape))
    return operations


def _estimator_cost(run: Run, image_shape: tuple[int, int, int]) -> float:
    return _ESTIMATOR_COST * math.prod(image_shape) * run.n * labels_per_image(run)
