"""The training strategies by name."""

from functools import lru_cache

from dilution.training.strategies.base import Strategy
from dilution.training.strategies.co_teaching import CoTeaching
from dilution.training.strategies.custom import CustomStrategy
from dilution.training.strategies.divide_mix import DivideMix
from dilution.training.strategies.plain import Plain
from dilution.utils.docstrings import returned
from dilution.utils.named_setting import named, text_of

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (Plain, CoTeaching, DivideMix)
}
"""Built-in strategies by name. A new one is one entry here, or ``module:factory`` without any change."""


def list_strategies() -> dict[str, str]:
    """Return the names of the built-in training strategies, each with a one-line description."""
    return {name: returned(strategy) for name, strategy in STRATEGIES.items()}


def resolve_strategy(strategy: object) -> Strategy:
    """Return a strategy by its text; the factory of a custom one is not imported.

    Parameters
    ----------
    strategy
        ``"co_teaching"``, ``"co_teaching(forget_rate=0.2)"``, ``"module:factory(beta=2)"``, or such a
        strategy itself.

    Raises
    ------
    InputError
        If there is no such strategy, or a parameter breaks its rule.
    """
    return _resolved(text_of(strategy, Strategy, ("co_teaching", "co_teaching(forget_rate=0.2)")))


@lru_cache(maxsize=256)
def _resolved(text: str) -> Strategy:
    return named(text, "strategy", STRATEGIES, CustomStrategy)
