"""Studies: named grids of runs, from Python or from a TOML file."""

import html
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from dilution.errors import DataError, InputError, short_repr, unknown
from dilution.study.run_spec import Run
from dilution.study.statistics import name_matrices, varying_settings
from dilution.study.weight_files import SavedStep, check_saved_step
from dilution.utils.migration import new_settings, old_names, warn
from dilution.utils.regular_file import check_regular
from dilution.utils.toml_file import read_toml
from dilution.utils.whole_numbers import check_count

MAX_RUNS = 1_000_000
"""Most runs of a study: their settings take about 3 GB of memory."""

MAX_SEEDS = 10_000
"""Most seeds per point; intervals from more are narrower than any claim needs."""


def check_run_count(runs: int, seeds: int | None = None) -> None:
    """Refuse more runs or seeds than a study holds, before any of them is made.

    Parameters
    ----------
    runs
        Number of runs, without repetition over seeds.
    seeds
        Seeds that each run is repeated with. Default: none.

    Raises
    ------
    InputError
        If there are more than :data:`MAX_SEEDS` seeds or :data:`MAX_RUNS` runs, or fewer than 1 seed.
    """
    if seeds is not None:
        check_count("seeds", seeds, 1, MAX_SEEDS)
    total = runs * (seeds or 1)
    if total > MAX_RUNS:
        raise InputError(
            f"the study asks for {total:,} runs; it may have {MAX_RUNS:,}. Leave out values of the grid, or "
            "divide it into several studies."
        )


@dataclass(frozen=True)
class Grid(Sequence[Run]):
    """Every combination of the axes over common settings, the last axis varying fastest.

    Parameters
    ----------
    base
        Settings that all runs have in common.
    axes
        The values of each setting that varies, in order.

    Raises
    ------
    InputError
        If a setting is in both, or an axis is no list; when a run is created, if a setting is unknown or
        breaks its rule.
    """

    base: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]

    def __post_init__(self) -> None:
        for name in self.axes:
            if name in self.base:
                raise InputError(f"{name} is in [base] and in the grid; leave it out of one of them.")
        axes = {name: _values(name, values) for name, values in self.axes.items()}
        object.__setattr__(self, "axes", axes)

    def __repr__(self) -> str:
        """Return the number of runs, and the number of values per axis."""
        axes = " × ".join(f"{len(values)} {name}" for name, values in self.axes.items())
        return f"Grid({_count(len(self))}{f': {axes}' if axes else ''})"

    def __len__(self) -> int:
        return math.prod(len(values) for values in self.axes.values())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"run {index} of a grid of {len(self)}")
        rest = index % len(self)
        settings = {}
        for name, values in reversed(list(self.axes.items())):
            rest, position = divmod(rest, len(values))
            settings[name] = values[position]
        return Run.of(**self.base, **settings)

    def __iter__(self) -> Iterator[Run]:
        for values in itertools.product(*self.axes.values()):
            yield Run.of(**self.base, **dict(zip(self.axes, values, strict=True)))


def _values(name: str, values: object) -> Sequence[Any]:
    """Return the values of an axis, of any list, array or other collection; refuse a single one."""
    listed = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(listed, Mapping):
        raise InputError(f"grid {name} is {short_repr(values)}; it must be a list of values, not a table.")
    if isinstance(listed, str) or not isinstance(listed, Iterable):
        raise InputError(
            f"grid {name} is {short_repr(listed)}; it must be a list of values, such as "
            f"[{short_repr(listed)}]."
        )
    return listed if isinstance(listed, Sequence) else list(listed)  # a long range stays one


def _checked_runs(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Return the runs as a tuple; refuse a single run and everything else that is no list of runs."""
    listed = None if isinstance(runs, Run) or not isinstance(runs, Iterable) else tuple(runs)
    if listed is None or not all(isinstance(run, Run) for run in listed):
        raise InputError(
            f"runs is {short_repr(runs)}; it must be a list of runs, such as "
            "[dilution.Run.of(dataset='digits', n=400, model='mlp1', alpha=1)]."
        )
    return listed


@dataclass(frozen=True)
class Study:
    """A named list of runs without repetition.

    Parameters
    ----------
    name
        Name of the study in stores and on pages.
    runs
        The runs.
    save_weights
        Weights of each run that :func:`dilution.run` saves beside the store, as
        :class:`dilution.Execution` describes them. Default: none.
    """

    name: str
    runs: tuple[Run, ...]
    save_weights: SavedStep | None = None

    def __post_init__(self) -> None:
        check_saved_step(self.save_weights)
        object.__setattr__(self, "runs", _checked_runs(self.runs))

    def __repr__(self) -> str:
        """Return the name, the number of runs, and the settings in which they differ."""
        varying = varying_settings(self._frame(), with_seed=True)
        differences = f", varying {', '.join(varying)}" if varying else ""
        return f"Study({self.name!r}, {_count(len(self.runs))}{differences})"

    def _repr_html_(self) -> str:
        """Return a table for notebooks: the settings in which the runs differ, one row per run."""
        frame = self._frame()
        table: str = frame[varying_settings(frame, with_seed=True)].to_html(max_rows=20, na_rep="")
        return f"<p>{html.escape(repr(self))}</p>{table}"

    def _frame(self) -> pd.DataFrame:
        """Return the settings of the runs, one row per run."""
        return name_matrices(
            pd.DataFrame([run.model_dump() for run in self.runs], columns=list(Run.model_fields))
        )

    @classmethod
    def of(cls, name: str, runs: Sequence[Run], save_weights: SavedStep | None = None) -> "Study":
        """Return a study of these runs, each of them once."""
        return cls(name, tuple({run.key: run for run in _checked_runs(runs)}.values()), save_weights)

    @classmethod
    def from_toml(cls, path: str | Path) -> "Study":
        """Read a study from a TOML file.

        The table ``[base]`` has the settings that all runs have in common, ``[grid]`` a list of values
        for each setting that varies; ``[[grids]]`` may be several such grids over the same base.
        ``name`` is optional, and so is ``save_weights``.

        Raises
        ------
        DataError
            If the file cannot be read.
        InputError
            If it is not TOML, or a table, setting or value breaks a rule.
        """
        path = Path(path)
        check_regular(path)
        try:
            content = read_toml(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}. Name an existing file.") from None
        except ValueError as error:
            raise InputError(f"{path} is not TOML: {error}. See docs/researchers.md.") from None
        try:
            return cls._from_tables(content, default_name=path.stem)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def _from_tables(cls, content: dict[str, Any], default_name: str) -> "Study":
        tables = ("name", "save_weights", "base", "grid", "grids")
        for name in content:
            if name not in tables:
                raise unknown("table of a study", name, tables)
        base, grid, grids = content.get("base", {}), content.get("grid", {}), content.get("grids", [])
        if not isinstance(grids, list) or not all(isinstance(part, dict) for part in [base, grid, *grids]):
            raise InputError("base, grid and grids must be tables: write [base], [grid], [[grids]].")
        if old := set().union(*(old_names(table) for table in [base, grid, *grids])):
            warn(f"the study {default_name}", old)
            base, grid, grids = new_settings(base), new_settings(grid), [new_settings(axes) for axes in grids]
        parts = [grid, *grids] if grid or not grids else grids
        for axes in parts:
            for name, values in axes.items():
                if not isinstance(values, list) or not values:
                    raise InputError(
                        f"grid {name} is {short_repr(values)}; it must be a list of at least one value. "
                        "Put a single value into [base]."
                    )
        whole = [Grid(base, axes) for axes in parts]
        check_run_count(sum(math.prod(map(len, part.axes.values())) for part in whole))
        runs = [run for part in whole for run in part]
        name = content.get("name", default_name)
        if not isinstance(name, str) or not name.strip():
            raise InputError(
                f"name is {short_repr(name)}; it must be text. Leave it out to name the study after its file."
            )
        save_weights = content.get("save_weights")
        if save_weights is not None and not isinstance(save_weights, str):
            raise InputError(
                f"save_weights is {short_repr(save_weights)}; it must be 'best', 'best_acc' or 'last'. "
                "Leave it out to save no weights."
            )
        check_saved_step(save_weights)
        return cls.of(name, runs, cast("SavedStep | None", save_weights))


def _count(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"
