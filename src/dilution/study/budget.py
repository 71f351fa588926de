"""What runs would cost: training examples and minutes, before anything starts.

A short measurement of the trainings themselves was chosen over operations divided by a rate: on cores the
share of the ceiling that a model reaches lies between 12 and 74 % (docs/performance.md), and differs between
machines. One probe per model, batch size and kind of targets takes a few tenths of a second.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from dilution.study.datasets import dilute, open_data, takes_steps
from dilution.study.execution import Execution
from dilution.study.executors.processes import count_processes
from dilution.study.gpu_rates import gpu_rate
from dilution.study.grouping import RunGroup, expected_steps, group_runs, operations_per_image
from dilution.study.run_spec import Run
from dilution.study.runner import using_threads
from dilution.training import device_title
from dilution.training.config import PrecisionName
from dilution.training.gradients import EXAMPLES_PER_IMAGE
from dilution.training.pace import IMAGES_PER_EXAMPLE, Pace, measure_pace
from dilution.training.strategies import resolve_strategy
from dilution.training.task import TrainTask
from dilution.utils.duration import duration_text

_PROBE_SECONDS = 0.4
_PROBE_STEPS = 20_000  # a probe never gets so far
_PROBE_N = 5_000  # most clean examples of a probe
_REPORTED_STEPS = 3  # last, best by clean and best by noisy labels: at most so many different models
_START_SECONDS = 2.5  # of worker processes, which import torch
_GPU_SET_UP = 0.05  # seconds per model, with its share of capturing a graph


@dataclass
class Machine:
    """The pace of run groups: measured here, or that of a GPU by its rates.

    Parameters
    ----------
    execution
        Where the runs would train.
    gpu
        Name of a GPU with known rates; None: this machine is measured.
    """

    execution: Execution
    gpu: str | None = None
    _paces: dict[tuple[object, ...], Pace] = field(default_factory=dict, repr=False)
    _rated_kinds: set[tuple[str, PrecisionName]] = field(default_factory=set, repr=False)
    _rated_strategies: set[str] = field(default_factory=set, repr=False)

    @property
    def device(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return "cuda" if self.gpu else self.execution.device_type

    @property
    def title(self) -> str:
        """The machine in words, for a budget; of a GPU with the precisions of what was predicted so far."""
        if self.gpu:
            precisions = " and ".join(sorted({precision for _, precision in self._rated_kinds}))
            products = f", in {precisions}" if precisions else ""
            return f"one {self.gpu.upper()}, by the rates of docs/researchers.md{products}"
        name = device_title(self.device)
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        kind = f"{self.cores} × {name}" if self.device == "cuda" else cores
        return f"this one, measured ({kind})"

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the rates of a GPU that were used: which are slow, and which are assumed."""
        if not self.gpu:
            return ()
        notes = []
        slow = sorted(m for m, precision in self._rated_kinds if (m[:4], precision) == ("conv", "float32"))
        if slow:
            notes.append(
                f"ConvNets in float32 ({', '.join(slow)}) train by torch; precision 'bfloat16' "
                "(--precision bfloat16) uses the GPU kernels of run groups and is several times as fast."
            )
        for model, precision in sorted(self._rated_kinds):
            if (rate := gpu_rate(self.gpu, model, precision)).is_assumed:
                notes.append(f"The rate of {model} in {precision} is {rate.source}.")
        notes += [
            f"The time of strategy {name} is assumed, by counting passes through the network."
            for name in sorted(self._rated_strategies)
        ]
        return tuple(notes)

    @property
    def cores(self) -> int:
        """Groups of one thread that train at once, or groups on GPUs."""
        if self.gpu:
            return 1
        in_process = self.execution.executor == "inline" or self.execution.workers == 0
        return 1 if in_process else count_processes(self.execution)

    @property
    def start_seconds(self) -> float:
        """Seconds until the first group starts."""
        return 0.0 if self.execution.executor == "inline" or self.execution.workers == 0 else _START_SECONDS

    def seconds(self, group: RunGroup) -> float:
        """Return the predicted seconds of a group of models.

        Raises
        ------
        InputError
            If the rate of a model is not known.
        """
        run, root = group.runs[0], self.execution.root
        n_test = len(open_data(run.dataset, run.fingerprint, root).test)
        images = run.n_evals * ((run.test_part or n_test) + run.n_val) + _whole_test_images(run, n_test)
        pace = self._rated(group) if self.gpu else self._measured(group)
        step = pace.step * self._factor_of_strategy(run)
        # gradients are compared one model after the other, as models are evaluated
        compared = IMAGES_PER_EXAMPLE * sum(map(_compared_examples, group.runs)) * pace.evaluated_image
        return replace(pace, step=step).seconds(len(group.runs), expected_steps(run), images) + compared

    def _factor_of_strategy(self, run: Run) -> float:
        """Return the time of a step divided by that of the pace, by counting passes through the network.

        A measurement sees the first steps alone: plain training of all networks of the strategy.
        """
        strategy = resolve_strategy(run.strategy)
        return (strategy.cost or 1.0) / (1 if self.gpu else strategy.networks or 1)

    def _rated(self, group: RunGroup) -> Pace:
        run = group.runs[0]
        data = open_data(run.dataset, run.fingerprint, self.execution.root).train
        operations = 3 * operations_per_image(run.model, data.shape, len(data.classes))
        rate, models = gpu_rate(self.gpu or "", run.model, run.precision), len(group.runs)
        self._rated_kinds.add((run.model, run.precision))
        if run.strategy != "plain":
            self._rated_strategies.add(run.strategy)
        step = models * run.batch_size / rate.examples_per_second(operations, models)
        networks = resolve_strategy(run.strategy).networks or 1
        evaluated_image = networks / (IMAGES_PER_EXAMPLE * rate.examples_per_second(operations, 1))
        return Pace(step, evaluated_image, _GPU_SET_UP)

    def _measured(self, group: RunGroup) -> Pace:
        """Return the measured pace of a kind of group, per size to the next power of two."""
        size = 1 << (len(group.runs) - 1).bit_length()
        run = group.runs[0]
        differing = {"n", "n_val", "alpha", "eta", "steps", "epochs", "n_evals", "seed", "lr", "delta"}
        differing |= {"noise_order", "stratified", "matrix", "noise", "schedule", "image_source"}
        differing |= {"early_stopping", "test_part"}
        kind = run.model_dump_json(exclude=differing), size, group.threads, group.device
        if kind not in self._paces:
            runs = (group.runs * size)[:size]
            with using_threads(group.threads):
                tasks = [self._probe(run, seed) for seed, run in enumerate(runs)]
                self._paces[kind] = measure_pace(tasks, group.device, _PROBE_SECONDS)
        pace = self._paces[kind]
        return Pace(pace.step * len(group.runs) / size, pace.evaluated_image, pace.set_up)

    def _probe(self, run: Run, seed: int) -> TrainTask:
        """Return the task of a run on few examples, with more steps than a probe takes."""
        n = min(run.n, _PROBE_N)
        changes = {"n": n, "n_val": max(1, n // 10), "seed": seed, "image_source": "same", "lr": 1e-3}
        uniform = {"noise": "uniform", "delta": None, "noise_order": None, "matrix": None}
        if run.alpha is not None or run.eta is not None:
            changes |= uniform
        probe = run.model_copy(update={**changes, "steps": _PROBE_STEPS, "epochs": None, "n_evals": 10})
        data, noisy = dilute(probe, self.execution.root, {})
        return TrainTask(probe.model, noisy, data.test, seed, probe.n_val, probe.config)


def _whole_test_images(run: Run, n_test: int) -> int:
    """Return the test images that are evaluated at the end, where evaluations before measure a part."""
    return 0 if run.test_part is None else _REPORTED_STEPS * n_test


def _compared_examples(run: Run) -> int:
    """Return what the comparison of gradients at the end of a run costs, in training examples."""
    return EXAMPLES_PER_IMAGE * (run.n - run.n_val) if run.compare_gradients else 0


@dataclass(frozen=True)
class Cost:
    """What runs cost.

    Parameters
    ----------
    runs
        Number of runs.
    examples
        Training examples: one forward and one backward pass each. An image on which gradients are compared
        counts as two.
    seconds
        Predicted wall time.
    not_predicted
        Runs that fit an estimator: they take no steps, and their time is not predicted.
    """

    runs: int
    examples: int
    seconds: float
    not_predicted: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Return the cost of both, one after the other."""
        return Cost(
            self.runs + other.runs,
            self.examples + other.examples,
            self.seconds + other.seconds,
            self.not_predicted + other.not_predicted,
        )


NO_COST = Cost(0, 0, 0.0)


def estimate_cost(runs: Sequence[Run], machine: Machine) -> Cost:
    """Return what runs would cost, trained in groups as the scheduler would train them.

    Parameters
    ----------
    runs
        Runs that are not finished.
    machine
        The machine.

    Raises
    ------
    DilutionError
        If data cannot be read, or a rate is not known.
    """
    root = machine.execution.root
    with_steps = [run for run in runs if takes_steps(run, root)]
    examples = sum(expected_steps(run) * run.batch_size + _compared_examples(run) for run in with_steps)
    groups = group_runs(with_steps, root, study=runs, cores=machine.cores, device=machine.device)
    seconds = _makespan(((machine.seconds(group), group.threads) for group in groups), machine.cores)
    start = machine.start_seconds if with_steps else 0.0
    return Cost(len(runs), examples, seconds + start, len(runs) - len(with_steps))


def _makespan(groups: Iterable[tuple[float, int]], cores: int) -> float:
    """Return when the last of the groups ends, each of which starts once its cores are free."""
    free = [0.0] * cores
    for seconds, threads in groups:
        taken = [heapq.heappop(free) for _ in range(min(threads, cores))]
        for _ in taken:
            heapq.heappush(free, max(taken) + seconds)
    return max(free)


@dataclass(frozen=True, repr=False)
class Budget:
    """What studies would cost; see :func:`dilution.estimate`.

    Parameters
    ----------
    costs
        The cost of each study, by name.
    finished
        Number of runs of each study that are finished in the store, or part of an earlier study.
    machine
        The machine in words.
    notes
        Notes on the prediction, such as what of it is assumed.
    """

    costs: dict[str, Cost]
    finished: dict[str, int]
    machine: str
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> Cost:
        """The cost of all studies."""
        return sum(self.costs.values(), start=NO_COST)

    @property
    def table(self) -> pd.DataFrame:
        """One row per study: ``study``, ``runs`` to train, ``finished``, ``examples``, ``minutes``."""
        rows = [
            (name, cost.runs, self.finished[name], cost.examples, cost.seconds / 60)
            for name, cost in self.costs.items()
        ]
        return pd.DataFrame(rows, columns=["study", "runs", "finished", "examples", "minutes"])

    def __repr__(self) -> str:
        """Return the totals."""
        return f"Budget({self.total.runs:,} runs, {self.total.examples:,} examples, {self._time(self.total)})"

    def __str__(self) -> str:
        """Return a table as text: one line per study, and the total."""
        lines = [("study", "runs", "finished", "examples", "predicted")]
        lines += [
            (name, f"{cost.runs:,}", f"{self.finished[name]:,}", f"{cost.examples:,}", self._time(cost))
            for name, cost in self.costs.items()
        ]
        total = self.total
        if len(self.costs) > 1:
            finished = sum(self.finished.values())
            lines.append(
                ("in all", f"{total.runs:,}", f"{finished:,}", f"{total.examples:,}", self._time(total))
            )
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines
        ]
        notes = [f"Machine: {self.machine}.", *self.notes]
        if total.not_predicted:
            count = total.not_predicted
            fits = "run that fits an estimator" if count == 1 else "runs that fit estimators"
            notes.append(f"The time of {count:,} {fits} is not predicted.")
        return "\n".join([*text, *notes])

    @staticmethod
    def _time(cost: Cost) -> str:
        return duration_text(cost.seconds)
