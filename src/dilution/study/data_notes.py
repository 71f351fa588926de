"""Notes on the data of runs: kept in the store, so that later tables and pages have them too."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dilution.study.datasets import open_data
from dilution.study.prepare import data_names
from dilution.study.run_spec import Run
from dilution.study.store import Store

NOTES_PREFIX = "notes/"
"""Names of artifacts that are notes on data start with it."""


def keep_data_notes(store: Store, runs: Sequence[Run], root: str | None) -> None:
    """Keep the notes on the data of runs in the store.

    Parameters
    ----------
    store
        The store; this process is its writer.
    runs
        Runs with the fingerprints of their data.
    root
        Folder of downloaded data.
    """
    opened = {(name, run.fingerprint) for run in runs for name in data_names(run)}
    for name, fingerprint in sorted(opened):
        notes = list(open_data(name, fingerprint, root).notes)
        artifact = _artifact_name(name, fingerprint)
        if notes != (store.artifact(artifact) or []):
            store.keep_artifact(artifact, notes)


def data_notes(store: Store, settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the notes that the store keeps on the data of runs, each once: ``"mine.csv: 3 rows …"``.

    Parameters
    ----------
    store
        The store.
    settings
        Settings of the runs: ``dataset``, ``image_source`` and ``fingerprint``.
    """
    opened = {
        (run[name], run["fingerprint"]): None for run in settings for name in ("dataset", "image_source")
    }
    notes = {
        f"{name}: {note}": None
        for name, fingerprint in opened
        for note in store.artifact(_artifact_name(name, fingerprint)) or []
    }
    return list(notes)


def _artifact_name(name: str, fingerprint: str) -> str:
    return f"{NOTES_PREFIX}{name}/{fingerprint}"
