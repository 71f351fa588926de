"""Settings that can be refused before any data are opened: names of models, recipes, precisions."""

from pathlib import Path
from typing import Any

from dilution.errors import InputError
from dilution.models import name_model
from dilution.training.config import check_precision
from dilution.training.estimators import ESTIMATORS, check_model_name, is_custom
from dilution.training.recipes import ADVISED, read_recipe
from dilution.utils.named_call import name_in
from dilution.utils.references import resolve


def check_settings(
    model: Any = None,
    recipe: str | Path | None = None,
    precision: str = "float32",
    *,
    takes_steps: bool = False,
    weighs_labels: bool = False,
) -> None:
    """Refuse settings that are wrong for any data; reading data may take minutes.

    Parameters
    ----------
    model
        Name of a model or estimator, an object as :func:`dilution.models.name_model` takes it, or None. The
        module of ``module:name`` is imported.
    recipe
        ``"advised"``, the path of a recipe, or None.
    precision
        Precision of products.
    takes_steps
        Whether the model must be trained in optimizer steps.
    weighs_labels
        Whether it learns weights of labels, which no training strategy does.

    Raises
    ------
    InputError
        If there is no such model or precision, or the recipe breaks a rule.
    DataError
        If the recipe cannot be read.
    """
    check_precision(precision)
    settings = read_recipe(recipe) if recipe is not None and str(recipe) != ADVISED else {}
    strategy = settings.get("strategy", "plain")
    if weighs_labels and strategy != "plain":
        raise InputError(
            f"{recipe} names the strategy {strategy!r}, which judges examples by one label each, and models "
            "learn weights of labels here. Leave strategy out of the recipe."
        )
    name = name_model(model)
    if name is None:
        return
    check_model_name(name)
    if is_custom(name):
        resolve(name_in(name), "model")
    if takes_steps and name in ESTIMATORS:
        raise InputError(
            f"model is {name!r}, an estimator that takes no optimizer steps: it has no batch size or "
            "learning rate to advise. Name a model."
        )
