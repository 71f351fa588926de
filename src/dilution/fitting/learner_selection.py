"""Which kinds of models are averaged: networks, trees and a linear model for tables, a ConvNet for images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dilution.data import Arrays
from dilution.diagnosis.many_classes import MANY_BUDGETS, MANY_CLASSES, describe_many, has_many_classes
from dilution.errors import InputError
from dilution.fitting.estimator_learner import EstimatorLearner
from dilution.fitting.learners import EPOCHS, Learner, NetworkLearner
from dilution.fitting.linear_learner import LinearLearner
from dilution.fitting.tree_learners import BoostingLearner, ForestLearner
from dilution.models import default_model, name_model
from dilution.training import ESTIMATORS, resolve_trainable

_MOST_VALUES = 2_000  # features · classes up to which boosting is tried: each round has a tree per class
_LEAST_FOR_BOOSTING = 2_000  # examples per tree of a round: of fewer a forest makes more, in less time
_MOST_PRODUCTS = 10**7  # examples · features · classes up to which logistic regression takes little time
_LARGE_BUDGETS = 3  # budgets of a network that is slow to train


def select_learners(
    model: Any, data: Arrays, recipe: Any, device: str, loss: str | None = None
) -> list[Learner]:
    """Return the kinds of models that are averaged.

    Parameters
    ----------
    model, recipe
        As for :func:`fit`.
    data
        The examples.
    device
        Device of networks.
    loss
        Canonical text of the loss of networks. Default: that of the recipe, or cross entropy.
    """
    boosting = BoostingLearner(len(data.classes))
    linear = LinearLearner()
    trees: dict[str, Learner] = {"sklearn:forest": ForestLearner(), "sklearn:boosting": boosting}
    of_tables = trees | {linear.name: linear}
    name = name_model(model)
    if name is not None and name in of_tables:
        if data.dtype != torch.float32:
            raise InputError(
                f"model is {name!r}, which is for tables, and the data are images. Use model='conv2', or "
                "pass features of the images."
            )
        if name in trees and has_many_classes(len(data.classes)):
            raise InputError(
                f"model is {name!r}, and there are {len(data.classes):,} classes; trees, whose nodes hold a "
                f"share per class, take at most {MANY_CLASSES}. Use model='mlp2', or merge classes."
            )
        return [of_tables[name]]
    named = default_model(data.shape) if name is None else name
    if not resolve_trainable(named, data.shape, len(data.classes)).takes_steps:
        if named in ESTIMATORS:
            raise InputError(
                f"model is {named!r}; fit knows {', '.join(map(repr, of_tables))} and networks such as "
                "'mlp2' by name. Use one of these, or in Python pass a classifier: "
                "model=sklearn.neighbors.KNeighborsClassifier()."
            )
        return [EstimatorLearner.of(named, data)]
    network = NetworkLearner(named, recipe, device, loss=loss)
    if not network.is_stackable(data):
        network = replace(network, budgets=EPOCHS[:_LARGE_BUDGETS])
    if is_many := has_many_classes(len(data.classes)):
        network = replace(network, budgets=MANY_BUDGETS)
    if name is not None or data.dtype != torch.float32:
        return [network]
    n_weights = int(np.prod(data.shape)) * len(data.classes)
    small: list[Learner] = [linear] if len(data) * n_weights <= _MOST_PRODUCTS else []
    if is_many:
        return [network, *small]
    if n_weights <= _MOST_VALUES and len(data) >= _LEAST_FOR_BOOSTING * boosting.trees_per_round:
        return [network, *trees.values(), *small]
    return [network, trees["sklearn:forest"], *small]


def describe_selection(learners: Sequence[Learner], data: Arrays) -> tuple[str, ...]:
    """Return a note on what is not fitted because the classes are many.

    Parameters
    ----------
    learners
        The kinds of models.
    data
        The examples.
    """
    if not any(isinstance(learner, NetworkLearner) for learner in learners):
        return ()
    budgets = " or ".join(map(str, MANY_BUDGETS))
    trees = "no trees, and " if data.dtype == torch.float32 else ""
    return describe_many(
        len(data.classes), f"models are {trees}networks of {budgets} epochs in place of up to {EPOCHS[-1]}"
    )
