"""The state of a store: how many runs of each study are in which state, over rows that keep all rules."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dilution.study.recorded_run import TRAINED_BY
from dilution.study.schema import STATES
from dilution.study.store import Store


@dataclass(frozen=True)
class StoreStatus:
    """What is in a store.

    Parameters
    ----------
    counts
        Number of runs per study and state, in the order of :data:`STATES`.
    failures
        Key and error of each failed run.
    has_writer
        Whether a process writes the store; without one, running runs were interrupted.
    notes
        One line per version of the code that trained finished runs and is not running now.
    recorded
        Number of runs that were recorded per study and name of who trained them, where there are any.
    """

    counts: Mapping[str, Mapping[str, int]]
    failures: Sequence[tuple[str, str]]
    has_writer: bool
    notes: Sequence[str]
    recorded: Mapping[str, Mapping[str, int]]


def read_status(store: Store) -> StoreStatus:
    """Return what is in a store; every row is checked as it is when results are read.

    Parameters
    ----------
    store
        The store.

    Raises
    ------
    StoreError
        If the store cannot be read, a run breaks a rule, or a study has lost a run.
    """
    has_writer = store.is_written()
    members = store.members()
    states, trained_by = {}, {}
    for row in store.rows():  # read after the members: runs are only added
        states[row["key"]] = row["state"]
        if TRAINED_BY in row["spec"]:
            trained_by[row["key"]] = row["spec"][TRAINED_BY]
    counts: dict[str, dict[str, int]] = {}
    recorded: dict[str, dict[str, int]] = {}
    for study, keys in members.items():
        of_states = Counter(states[key] for key in keys)
        counts[study] = {state: of_states[state] for state in STATES if of_states[state]}
        if of_trainers := Counter(trained_by[key] for key in keys if key in trained_by):
            recorded[study] = dict(of_trainers)
    return StoreStatus(
        counts, store.failures(), has_writer or store.is_written(), store.other_code_notes(states), recorded
    )
