"""The optimizers by name."""

from functools import lru_cache

from dilution.training.optimizers.base import OptimizerSetting
from dilution.training.optimizers.builtin import SGD, Adadelta, Adam, AdamW
from dilution.training.optimizers.own import OwnOptimizer
from dilution.utils.docstrings import returned
from dilution.utils.named_setting import named, text_of

OPTIMIZERS: dict[str, type[OptimizerSetting]] = {
    optimizer.name: optimizer for optimizer in (Adadelta, SGD, Adam, AdamW)
}
"""Built-in optimizers by name. Another one is ``module:factory``, ``torch.optim:RMSprop`` for example."""


def list_optimizers() -> dict[str, str]:
    """Return the names of the built-in optimizers, each with a one-line description."""
    return {name: returned(optimizer) for name, optimizer in OPTIMIZERS.items()}


def resolve_optimizer(optimizer: object) -> OptimizerSetting:
    """Return an optimizer by its text; the factory of one of the user is not imported.

    Parameters
    ----------
    optimizer
        ``"adam"``, ``"adam(beta2=0.98)"``, ``"module:factory(beta=2)"``, or such an object itself.

    Raises
    ------
    InputError
        If there is no such optimizer, or a parameter breaks its rule.
    """
    return _resolved(text_of(optimizer, OptimizerSetting, ("sgd", "adam(beta2=0.98)")))


@lru_cache(maxsize=256)
def _resolved(text: str) -> OptimizerSetting:
    return named(text, "optimizer", OPTIMIZERS, OwnOptimizer)
