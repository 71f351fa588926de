"""Which kinds of models are averaged: by default networks and trees for tables, a ConvNet for images."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dilution.data import Arrays
from dilution.errors import InputError, short_repr
from dilution.fitting.learners import EPOCHS, BoostingLearner, ForestLearner, Learner, NetworkLearner
from dilution.models import default_model, name_model
from dilution.training import resolve_trainable

_MOST_VALUES = 2_000  # features · classes up to which boosting is tried: each round has a tree per class
_LEAST_FOR_BOOSTING = 2_000  # examples per tree of a round: of fewer a forest makes more, in less time
_LARGE_BUDGETS = 3  # budgets of a network that is slow to train


def select_learners(model: Any, data: Arrays, recipe: Any, device: str) -> list[Learner]:
    """Return the kinds of models that are averaged.

    Parameters
    ----------
    model, recipe
        As for :func:`fit`.
    data
        The examples.
    device
        Device of networks.
    """
    boosting = BoostingLearner(len(data.classes))
    trees: dict[str, Learner] = {"sklearn:forest": ForestLearner(), "sklearn:boosting": boosting}
    name = name_model(model)
    if name is not None and name in trees:
        if data.dtype != torch.float32:
            raise InputError(
                f"model is {name!r}, which is for tables, and the data are images. Use model='conv2', or "
                "pass features of the images."
            )
        return [trees[name]]
    named = default_model(data.shape) if name is None else name
    if not resolve_trainable(named, data.shape, len(data.classes)).takes_steps:
        raise InputError(
            f"model is {short_repr(named)}; a fitted model holds networks, random forests and boosted trees. "
            f"Use {', '.join(map(repr, trees))}, or the name of a network such as 'mlp2'."
        )
    network = NetworkLearner(named, recipe, device)
    if not network.is_stackable(data):
        network = replace(network, budgets=EPOCHS[:_LARGE_BUDGETS])
    if name is not None or data.dtype != torch.float32:
        return [network]
    is_narrow = int(np.prod(data.shape)) * len(data.classes) <= _MOST_VALUES
    if is_narrow and len(data) >= _LEAST_FOR_BOOSTING * boosting.trees_per_round:
        return [network, *trees.values()]
    return [network, trees["sklearn:forest"]]
