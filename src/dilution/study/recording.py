"""The function that records a run of another training loop in a store."""

import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dilution.errors import InputError, short_repr, unknown
from dilution.study.measures import CIRCUMSTANCES, INTEGER_MEASURES, MEASURES, broken_rule
from dilution.study.recorded_run import TRAINED_BY, RecordedRun
from dilution.study.row_faults import fault_of_history
from dilution.study.statistics import ACCURACIES
from dilution.study.store import Store
from dilution.study.study_names import check_study_name
from dilution.utils.version import code_version

_MAX_SECONDS = 10 * 365 * 24 * 3600  # of a training: the time of its start is computed from them


def record(
    store: str | Path,
    study: str,
    *,
    settings: Mapping[str, Any],
    measures: Mapping[str, Any],
    trained_by: str,
    seed: int = 0,
    history: Iterable[Mapping[str, Any]] = (),
) -> str:
    """Record a run of your own training loop in a store and return its key.

    The run is marked by `trained_by` in every table, page and comparison, and its key cannot be that of a run
    that Dilution trained. Settings that you do not state stay unknown; none is filled in. Recording
    the same run with the same results again changes nothing.

    Parameters
    ----------
    store
        SQLite file of the results; created if it does not exist.
    study
        Study that the run is added to; created if it does not exist. Its other runs stay in it.
    settings
        Settings of the run by the names of :class:`dilution.Run`: `dataset`, `model` and `n` at least.
        `model`, `loss`, `optimizer` and `schedule` are any text, so that ``loss="mine(tau=0.5)"`` tells two
        runs apart.
    measures
        Results by name: at least one test accuracy in [0, 1], such as ``test_acc_last``, or ``diverged_at``,
        the step from 1 at which a loss was not finite, with ``majority_share``, the share of the commonest
        class of the test images, at which such a run counts. With ``n_test`` intervals know the rounding of
        an accuracy. docs/architecture.md lists all measures.
    trained_by
        Who or what trained the run, such as ``"my loop"``.
    seed
        Seed of the run: comparisons pair runs of one seed.
    history
        Evaluations in their order, each with a ``step`` and numbers such as ``test_acc`` in [0, 1].

    Raises
    ------
    InputError
        If a setting, measure or name is unknown or breaks its rule, or the store has the run with other
        results.
    StoreError
        If the store cannot be written.
    """
    check_study_name(study, may_be_figure=False)
    run = _recorded_run(settings, trained_by, seed)
    result = _checked_measures(measures)
    evaluations = _checked_history(history)
    outcome = {
        "state": "diverged" if "diverged_at" in result else "done",
        "result": result,
        "history": evaluations,
    }
    end = datetime.now(UTC)
    start = end - timedelta(seconds=min(float(result.get("seconds", 0.0)), _MAX_SECONDS))
    with Store(store) as opened, opened.writer(atomic=True):
        is_new = run.key not in opened.states([run.key])
        if not is_new:
            _check_equal(opened.row(run.key), outcome)
        opened.append(study, [run])
        if is_new:
            opened.start(
                [run.key], host=platform.node(), versions={"recorder": code_version()}, at=_text(start)
            )
            opened.finish({run.key: outcome}, at=_text(end))
    return run.key


def _recorded_run(settings: Mapping[str, Any], trained_by: str, seed: int) -> RecordedRun:
    if not isinstance(settings, Mapping):
        raise InputError(
            f"settings is a {type(settings).__name__}; it must map names to values, such as "
            "{'dataset': 'digits', 'model': 'mine', 'n': 1000}."
        )
    for name in ("seed", TRAINED_BY):
        if name in settings:
            raise InputError(
                f"settings has {name}; it is an argument of its own. Use {name}={short_repr(settings[name])}."
            )
    stated = {name: _plain(value) for name, value in settings.items() if value is not None}
    return RecordedRun.of(**stated, seed=_plain(seed), trained_by=trained_by)


def _checked_measures(measures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measures in types of JSON."""
    if not isinstance(measures, Mapping):
        raise InputError(
            f"measures is a {type(measures).__name__}; it must map names to values, such as "
            "{'test_acc_last': 0.93}."
        )
    result: dict[str, Any] = {"image_note": ""}
    for name, value in measures.items():
        if name not in MEASURES:
            raise unknown("measure", str(name), MEASURES)
        value = _plain(value)
        if (rule := broken_rule(name, value)) is not None:
            raise InputError(f"{name} is {short_repr(value)}; it must be {rule}.")
        if value is not None:
            result[name] = int(value) if name in INTEGER_MEASURES else value
    if "diverged_at" not in result and not any(name in result for name in ACCURACIES):
        raise InputError(
            f"measures has {', '.join(map(str, measures)) or 'nothing'}; it must have a test accuracy, "
            "such as test_acc_last, or diverged_at, the step at which the training diverged."
        )
    if "diverged_at" in result and "majority_share" not in result:
        raise InputError(
            f"measures has diverged_at {result['diverged_at']} and no majority_share; a diverged run counts "
            "as accuracy at chance. State majority_share too, the share of the commonest class of the test "
            "images."
        )
    return result


def _checked_history(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the evaluations in types of JSON."""
    if hasattr(history, "to_dict"):
        raise InputError(
            f"history is a {type(history).__name__}; it must be a list of evaluations. Use "
            "history.to_dict('records')."
        )
    if isinstance(history, Mapping | str) or not isinstance(history, Iterable):
        raise InputError(
            f"history is a {type(history).__name__}; it must be a list of evaluations, such as "
            "[{'step': 100, 'test_acc': 0.9}]."
        )
    evaluations = []
    for number, line in enumerate(history):
        if not isinstance(line, Mapping) or "step" not in line or not all(isinstance(n, str) for n in line):
            raise InputError(
                f"history[{number}] is {short_repr(line)}; it must map names to numbers, 'step' among them."
            )
        evaluations.append({name: _plain(value) for name, value in line.items()})
    if (fault := fault_of_history(evaluations)) is not None:
        raise InputError(f"{fault.removeprefix('its ')}. Leave it out, or correct it.")
    if any(set(line) != set(evaluations[0]) for line in evaluations):
        raise InputError(
            "evaluations of history have different names; each must have the same. Leave out what some lack."
        )
    for name in evaluations[0] if evaluations else ():
        shares = [line[name] for line in evaluations]
        if ("_acc" in name or name in ("memorised", "recovered")) and not all(0 <= x <= 1 for x in shares):
            wrong = next(x for x in shares if not 0 <= x <= 1)
            raise InputError(f"{name} in history is {wrong}; it must be a number in [0, 1].")
    return evaluations


def _check_equal(row: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
    """Refuse another result of a run that the store has."""
    names = [
        name for name in dict.fromkeys((*row["result"], *outcome["result"])) if name not in CIRCUMSTANCES
    ]
    differing = [name for name in names if row["result"].get(name) != outcome["result"].get(name)]
    histories = row["history"], outcome["history"]
    if not differing and (histories[0] == histories[1] or not all(histories)):  # an import has no history
        return
    stored, given = "another history", "this one"
    if differing:
        name = differing[0]
        stored = f"{name} {short_repr(row['result'].get(name))}"
        given = short_repr(outcome["result"].get(name))
    raise InputError(
        f"run {row['key']} with these settings and seed is recorded already, with {stored} and not {given}. "
        "State the setting that differs, such as the loss with its parameters, or another seed or trained_by."
    )


def _plain(value: Any) -> Any:
    """Return a number of NumPy or torch as one of Python; anything else as it is."""
    if type(value).__module__.partition(".")[0] in ("numpy", "torch") and getattr(value, "ndim", 1) == 0:
        return value.item()
    return value


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
