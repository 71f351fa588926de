"""The measures of a finished run: their names, and the rule that each value must keep."""

from typing import Any

from dilution.utils.finite_numbers import is_finite_number

MEASURES = (
    "alpha_expected",
    "alpha_empirical",
    "noise_rate_expected",
    "noise_rate_empirical",
    "test_acc_last",
    "test_acc_at_best_clean_val",
    "test_acc_top5",
    "test_acc_at_best_noisy_val",
    "test_acc_at_best_noisy_acc",
    "test_acc_max",
    "test_acc_at_half_steps",
    "val_acc_clean",
    "val_loss_noisy",
    "val_acc_noisy",
    "step_at_best_clean_val",
    "step_at_best_noisy_val",
    "step_at_best_noisy_acc",
    "steps_done",
    "stopped_at",
    "memorised_last",
    "recovered_last",
    "n_available",
    "n_test",
    "majority_share",
    "gradient_ratio",
    "gradient_cosine",
    "seconds",
    "group_size",
    "device",
    "diverged_at",
    "image_note",
)
"""Measures of a finished run, in the order of the table of results."""

CIRCUMSTANCES = ("seconds", "group_size", "device", "image_note")
"""Measures that describe how a run was executed; the others are equal whenever the run is trained."""

TEXT_MEASURES = ("device", "image_note")

INTEGER_MEASURES = (
    *("step_at_best_clean_val", "step_at_best_noisy_val", "step_at_best_noisy_acc", "steps_done"),
    *("n_available", "n_test", "group_size", "diverged_at", "stopped_at"),
)

FRACTION_MEASURES = (
    *("noise_rate_expected", "noise_rate_empirical", "val_acc_clean", "majority_share", "test_acc_last"),
    *("test_acc_at_best_clean_val", "test_acc_top5", "test_acc_at_best_noisy_val", "test_acc_max"),
    *("test_acc_at_best_noisy_acc", "test_acc_at_half_steps", "memorised_last", "recovered_last"),
    "val_acc_noisy",
)

MAX_INTEGER = 2**53
"""Largest integer of a table: beyond it not every format has every integer."""


def broken_rule(name: str, value: Any) -> str | None:
    """Return the rule that the value of a measure breaks, or None if it keeps its rule.

    Parameters
    ----------
    name
        One of :data:`MEASURES`.
    value
        The value; None means that it was not measured.
    """
    if value is None:
        return None
    if name in TEXT_MEASURES:
        return None if isinstance(value, str) else "text"
    if name in INTEGER_MEASURES:
        whole = is_finite_number(value) and value == int(value) and 0 <= value <= MAX_INTEGER
        return None if whole else "an integer, 0 or more"
    if name == "gradient_cosine":
        return None if is_finite_number(value) and -1 - 1e-9 <= value <= 1 + 1e-9 else "a number from −1 to 1"
    if name in FRACTION_MEASURES:
        return None if is_finite_number(value) and 0 <= value <= 1 else "a number in [0, 1]"
    return None if is_finite_number(value) and value >= 0 else "a number, 0 or more"
