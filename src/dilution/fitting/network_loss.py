"""The loss of the networks of a fit: which losses they can have, and which models keep their own."""

from collections.abc import Sequence
from typing import Any

from dilution.errors import InputError
from dilution.fitting.learners import Learner, NetworkLearner
from dilution.training.losses import LOSSES, TransitionLoss, resolve_loss


def check_network_loss(loss: Any) -> str | None:
    """Return the canonical text of a loss for the networks of a fit; None if none is named.

    Parameters
    ----------
    loss
        As for :func:`dilution.fit`.

    Raises
    ------
    InputError
        If there is no such loss, a parameter breaks its rule, or it needs more than weights of labels.
    """
    if loss is None:
        return None
    resolved = resolve_loss(loss)
    if resolved.is_linear is False:
        known = [
            name for name, kind in LOSSES.items() if kind.is_linear and not issubclass(kind, TransitionLoss)
        ]
        raise InputError(
            f"loss is {resolved.text!r}, which depends on more than logits and one label; the networks of a "
            f"fit learn weights of labels. Use one of {', '.join(map(repr, known))}."
        )
    if isinstance(resolved, TransitionLoss) and resolved.T is None:
        raise InputError(
            f"loss is {resolved.text!r}, and the noise of these labels is known only once it is estimated. "
            "Use --method forward (method='forward'), which does so, in place of the loss; or name a file "
            "with T[true, noisy], such as the transition.csv of dilution diagnose."
        )
    return resolved.text


def describe_network_loss(learners: Sequence[Learner], loss: str | None) -> tuple[str, ...]:
    """Return a note on a loss that the user named: which models have it, and which keep their own.

    Parameters
    ----------
    learners
        The kinds of models.
    loss
        Canonical text of the loss; None if none is named.

    Raises
    ------
    InputError
        If none of the models is a network.
    """
    if loss is None:
        return ()
    networks = [learner.name for learner in learners if isinstance(learner, NetworkLearner)]
    others = [learner.name for learner in learners if not isinstance(learner, NetworkLearner)]
    if not networks:
        raise InputError(
            f"loss is {loss!r}, and the model is {' and '.join(others)}, which has a loss of its own; only "
            "networks take one. Use --model mlp2 (model='mlp2'), or leave --loss (loss=) out."
        )
    keep = f"; {', '.join(others)} keep their own" if others else ""
    return (f"{', '.join(networks)} learns with the loss {loss}{keep}",)
