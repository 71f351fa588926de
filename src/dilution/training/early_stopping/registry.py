"""The rules of early stopping by name."""

from functools import lru_cache

from dilution.training.early_stopping.base import EarlyStopping
from dilution.training.early_stopping.builtin import CleanVal, NoisyVal, NoisyValAccuracy, NoStopping
from dilution.training.early_stopping.own import OwnEarlyStopping
from dilution.utils.docstrings import returned
from dilution.utils.named_setting import named, text_of

EARLY_STOPPING: dict[str, type[EarlyStopping]] = {
    rule.name: rule for rule in (NoStopping, NoisyVal, NoisyValAccuracy, CleanVal)
}
"""Built-in rules by name. A new one is one entry here, or ``module:function`` without any change."""

NONE = NoStopping.name
"""Name of no early stopping."""


def list_early_stopping() -> dict[str, str]:
    """Return the names of the built-in rules of early stopping, each with a one-line description."""
    return {name: returned(rule) for name, rule in EARLY_STOPPING.items()}


def resolve_early_stopping(rule: object) -> EarlyStopping:
    """Return a rule of early stopping by its text; the function of one of the user is not imported.

    Parameters
    ----------
    rule
        ``"noisy_val"``, ``"noisy_val(patience=5)"``, ``"module:function(patience=3)"``, or such an object
        itself.

    Raises
    ------
    InputError
        If there is no such rule, or a parameter breaks its own.
    """
    return _resolved(text_of(rule, EarlyStopping, ("noisy_val", "noisy_val(patience=3)")))


@lru_cache(maxsize=256)
def _resolved(text: str) -> EarlyStopping:
    return named(text, "early_stopping", EARLY_STOPPING, OwnEarlyStopping)
