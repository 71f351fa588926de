"""Names of version 0.1, and how files that use them are brought to today's names.

Version 0.1 called a learning rate ``rate`` and a model ``network``; :data:`SETTINGS` and
:data:`MEASURES` list every change. Stores, studies in TOML, recipes and exported tables of 0.1
still open: each is converted here, in memory or in the store, and the user is told by an
:class:`OldNamesWarning`. Nothing else knows an old name. Version 0.1 was never released; this
module may go with 0.3.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

SETTINGS = {
    "order": "targets",
    "rate": "lr",
    "batch": "batch_size",
    "averaging": "ema_decay",
    "flips": "hflip",
    "crops": "translate",
    "evaluations": "n_evals",
    "validation": "n_val",
    "network": "model",
    "labels": "label_mode",
    "images": "image_source",
}
"""Settings of a run, old name to new."""

VALUES: dict[str, dict[Any, Any]] = {"targets": {"examples": "sampled"}}
"""Values that changed, by the new name of their setting."""

MEASURES = {
    "alpha_used": "alpha_expected",
    "alpha_delivered": "alpha_empirical",
    "rate_requested": "noise_rate_expected",
    "rate_delivered": "noise_rate_empirical",
    "matrix_requested": "transition_expected",
    "matrix_delivered": "transition_empirical",
    "test_last": "test_acc_last",
    "test_clean": "test_acc_at_best_clean_val",
    "test_top5": "test_acc_top5",
    "test_noisy": "test_acc_at_best_noisy_val",
    "test_oracle": "test_acc_max",
    "validation_clean": "val_acc_clean",
    "step_clean": "step_at_best_clean_val",
    "step_noisy": "step_at_best_noisy_val",
    "majority": "majority_share",
    "together": "group_size",
}
"""Measures of a run, old name to new."""

HISTORY = {
    "validation_clean": "val_acc_clean",
    "validation_noisy": "val_loss_noisy",
    "validation_agreement": "val_acc_noisy",
    "test": "test_acc",
    "test_top5": "test_acc_top5",
}
"""Columns of a training's history, old name to new."""

FIGURES = {"human": "human_labels", "learners": "baselines"}
"""Figures, old name to new; the study of a figure is called ``figure/dataset/preset``."""

VERIFIED_LABELS = {"row": "id", "right": "verified_label"}
"""Columns of a file of verified labels, old name to new."""

EXTERNAL_IMAGES_STREAM = "external pictures"
"""Random stream of the order of external images. It keeps this name when this module goes: the name
determines the numbers."""

INDEXES = ("runs_by_state", "states_of_runs", "suspects")
"""Indexes of a store of version 0.1."""

RUN_COUNTERS = "crashes, cut_off, seal"
"""Columns of a run in a store of version 0.1 that are crashes, shared_crashes and checksum today."""

CHECKSUM_COLUMN = "seal"
"""Column of an artifact in a store of version 0.1 that is checksum today."""

_PROTOCOL = 2  # the protocol of 0.1, a part of its keys
_LATER: dict[str, Any] = {  # left out of its keys
    **{"precision": "float32", "flips": False, "crops": 0, "labels": "added"},
    "compare_gradients": False,  # 0.1 did not have it
}
_ADDED = {
    **{"loss": "cross_entropy", "mixup": 0.0, "labels": "", "strategy": "plain"},
    **{"early_stopping": "none", "test_part": None},
}
"""Settings that 0.1 did not have, under today's names, with the value that trains as it did."""


class OldNamesWarning(UserWarning):
    """A file uses names of version 0.1 and was read under today's names."""


def warn(what: str, names: Iterable[str]) -> None:
    """Tell the user that a file was converted, with the names that changed."""
    new = SETTINGS | MEASURES | VERIFIED_LABELS
    pairs = ", ".join(f"{name} is now {new[name]}" for name in sorted(set(names)) if name in new)
    warnings.warn(
        f"{what} uses names of version 0.1 and was read under today's names{': ' if pairs else ''}{pairs}.",
        OldNamesWarning,
        stacklevel=3,
    )


def old_names(settings: Mapping[str, Any]) -> set[str]:
    """Return those of these settings that are of version 0.1 and of no later one.

    ``labels`` was what ``label_mode`` is; today it is a file of labels.
    """
    return {name for name, value in settings.items() if name in SETTINGS and not _is_label_file(name, value)}


def _is_label_file(name: str, value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return name == "labels" and not any(part in ("added", "replaced") for part in values)


def new_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings under today's names and values; those that have not changed stay as they are.

    A list of values, as a grid has it, is converted value by value.
    """
    converted: dict[str, Any] = {}
    renamed = old_names(settings)
    for old, value in settings.items():
        name = SETTINGS[old] if old in renamed else old
        known = VALUES.get(name, {})
        if isinstance(value, list):
            converted[name] = [known.get(part, part) if isinstance(part, str) else part for part in value]
        else:
            converted[name] = known.get(value, value) if isinstance(value, str) else value
    return converted


def new_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measures of a run under today's names."""
    return {MEASURES.get(name, name): value for name, value in result.items()}


def new_history(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the history of a training, one mapping per evaluation, under today's names."""
    return [{HISTORY.get(name, name): value for name, value in row.items()} for row in rows]


def new_study(name: str) -> str:
    """Return the name of a study; those of figures that were renamed change."""
    figure, slash, rest = name.partition("/")
    return FIGURES.get(figure, figure) + slash + rest if slash else name


def new_artifact(name: str) -> str:
    """Return the name of an artifact; ``recipe/<study>`` follows the name of its study."""
    kind, slash, study = name.partition("/")
    return f"recipe/{new_study(study)}" if slash and kind == "recipe" else name


def old_key(settings: Mapping[str, Any]) -> str:
    """Return the key that version 0.1 gave to a run.

    Parameters
    ----------
    settings
        Every setting of the run under today's names, as JSON holds them.
    """
    to_old = {new: old for old, new in SETTINGS.items()}
    spec: dict[str, Any] = {}
    for new, setting in settings.items():
        if new in _ADDED and _ADDED[new] == setting:
            continue
        name, value = to_old.get(new, new), setting
        if isinstance(value, str):
            value = {after: before for before, after in VALUES.get(new, {}).items()}.get(value, value)
        if name not in _LATER or _LATER[name] != value:
            spec[name] = value
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{_PROTOCOL}/{text}".encode()).hexdigest()[:16]


def new_columns(columns: Iterable[str]) -> dict[str, str]:
    """Return old name to new for the columns of an exported table of 0.1; empty for one of today."""
    names = list(columns)
    if "network" not in names:  # every exported table of 0.1 has this column
        return {}
    return {name: new for name, new in (SETTINGS | MEASURES).items() if name in names}


def new_verified_columns(columns: Iterable[str]) -> dict[str, str]:
    """Return old name to new for the columns of verified labels of 0.1; empty for a file of today."""
    return VERIFIED_LABELS if VERIFIED_LABELS.keys() <= set(columns) else {}
