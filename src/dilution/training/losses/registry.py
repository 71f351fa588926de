"""The losses by name."""

from functools import lru_cache

from dilution.errors import InputError, short_repr, unknown
from dilution.training.losses.backward import Backward
from dilution.training.losses.base import Loss
from dilution.training.losses.bootstrap_hard import BootstrapHard
from dilution.training.losses.bootstrap_soft import BootstrapSoft
from dilution.training.losses.cross_entropy import CrossEntropy
from dilution.training.losses.custom import CustomLoss
from dilution.training.losses.elr import ELR
from dilution.training.losses.forward import Forward
from dilution.training.losses.gce import GCE
from dilution.training.losses.label_smoothing import LabelSmoothing
from dilution.training.losses.mae import MAE
from dilution.training.losses.phuber import PHuber
from dilution.training.losses.sce import SCE
from dilution.utils.docstrings import returned
from dilution.utils.named_call import parse_call
from dilution.utils.references import is_reference

LOSSES: dict[str, type[Loss]] = {
    loss.name: loss
    for loss in (
        CrossEntropy,
        LabelSmoothing,
        MAE,
        GCE,
        SCE,
        BootstrapSoft,
        BootstrapHard,
        Forward,
        Backward,
        PHuber,
        ELR,
    )
}
"""Built-in losses by name. A new loss is one entry here, or ``module:factory`` without any change."""


def list_losses() -> dict[str, str]:
    """Return the names of the built-in losses, each with a one-line description."""
    return {name: returned(loss) for name, loss in LOSSES.items()}


def resolve_loss(loss: object) -> Loss:
    """Return a loss by its text; the factory of a custom one is not imported.

    Parameters
    ----------
    loss
        ``"gce"``, ``"gce(q=0.3)"``, ``"module:factory(beta=2)"``, or such a loss itself.

    Raises
    ------
    InputError
        If there is no such loss, or a parameter breaks its rule.
    """
    if isinstance(loss, Loss):
        loss = loss.text  # runs keep the text, so one that is not registered must be refused
    if not isinstance(loss, str):
        raise InputError(
            f"loss is {short_repr(loss)}; it must be a name, such as 'gce' or 'gce(q=0.3)', or "
            "'module:factory' of a loss of your own."
        )
    return _resolved(loss)


@lru_cache(maxsize=256)
def _resolved(text: str) -> Loss:
    name, parameters = parse_call(text, "loss")
    if name in LOSSES:
        return LOSSES[name](**parameters)
    if is_reference(name):
        return CustomLoss(reference=name, parameters=parameters)
    raise unknown("loss", name, LOSSES)
