"""The losses by name."""

from functools import lru_cache

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
from dilution.utils.named_setting import named, text_of

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
    return _resolved(text_of(loss, Loss, ("gce", "gce(q=0.3)")))


@lru_cache(maxsize=256)
def _resolved(text: str) -> Loss:
    return named(text, "loss", LOSSES, CustomLoss)
