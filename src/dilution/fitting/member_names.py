"""The members of a fitted model in words: their kinds, how many networks there are, and their shares."""

from dilution.diagnosis.feature_head import HEAD
from dilution.fitting.boosted_trees import BoostedTrees
from dilution.fitting.estimator_learner import FittedEstimator
from dilution.fitting.fitted_model import FittedModel, Member, Network
from dilution.fitting.forest import Forest
from dilution.fitting.linear import Linear
from dilution.fitting.linear_head import LinearHead

_NAMES = {
    BoostedTrees: "sklearn:boosting",
    Forest: "sklearn:forest",
    Linear: "sklearn:logistic",
    LinearHead: HEAD,
}


def describe_members(model: FittedModel) -> str:
    """Return all members of a model in words: ``"mlp2 × 4"``, ``"55% mlp2 × 4 and 45% sklearn:forest"``.

    Parameters
    ----------
    model
        The model.
    """
    counts: dict[str, int] = {}
    shares: dict[str, float] = {}
    for member, share in zip(model.members, model.shares, strict=True):
        name = _name(member, model)
        counts[name] = counts.get(name, 0) + 1
        shares[name] = shares.get(name, 0.0) + share
    parts = [name if count == 1 else f"{name} × {count}" for name, count in counts.items()]
    if len(parts) > 1:
        parts = [f"{share:.0%} {part}" for share, part in zip(shares.values(), parts, strict=True)]
    *others, last = parts
    text = f"{', '.join(others)} and {last}" if others else last
    return text if model.extractor is None else f"{text} on features of {model.extractor.name}"


def _name(member: Member, model: FittedModel) -> str:
    """Return the name under which `model` of :func:`dilution.fit` chooses such a member."""
    if isinstance(member, Network | FittedEstimator):
        return model.model
    return _NAMES.get(type(member), type(member).__name__)
