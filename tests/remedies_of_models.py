"""Remedies in messages on fitted models and on fitting."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fitted_models import untrained
from remedies import (
    LABELS,
    PIXELS,
    ROWS,
    arguments,
    case,
    case_of_call,
    digits,
    expressions,
    named,
    paste,
    refusal,
    table,
)
from remedies_of_training import evaluated

import dilution as package
from dilution.data import Arrays
from dilution.data.registry import load_unsplit
from dilution.fitting.extractor import Extractor
from dilution.fitting.learner_selection import select_learners
from dilution.fitting.linear_head import LinearHead
from dilution.study import Execution


def fitted_to_table(cells: str = "1,5", name: str = "own.csv") -> Any:
    """Return a model for a table with a column of numbers."""
    return untrained(load_unsplit(table("x;label\n" + f"{cells};a\n2;b\n" * 4, name)).arrays)


def predict_proposals(message: str) -> None:
    fitted_to_table("1.5").save("model.dilution")
    names = re.findall(r"\S+#decimal=\w+", message)
    assert names, message
    for name in names:
        paste(f"dilution predict model.dilution {name}")


def new_points() -> str:
    return refusal(fitted_to_table("1,5").predict, table("x\n1.5\n2.5\n"))


def new_thousands() -> str:
    return refusal(fitted_to_table("3").predict, table("x\n'1,234'\n".replace("'", '"')))


case("new numbers have another decimal mark", new_points, predict_proposals)
case("new numbers may have either decimal mark", new_thousands, predict_proposals)


def replace_marks(message: str) -> None:
    frame = pd.DataFrame({"x": ["1,234"]})
    calls = [call for call in expressions(message) if call.startswith("frame.replace")]
    assert len(calls) == 2, message
    for call in calls:
        fitted_to_table("3").predict(eval(call, {"frame": frame}))


case(
    "new numbers of a DataFrame may have either decimal mark",
    lambda: refusal(fitted_to_table("3").predict, pd.DataFrame({"x": ["1,234"]})),
    replace_marks,
)


def file_of_others(save: str) -> Callable[[], str]:
    def provoke() -> str:
        Path("own.pt2").write_text("mine")
        return refusal(getattr(fitted_to_table(), save), "own.pt2")

    return provoke


def overwrite(save: str) -> Callable[[str], None]:
    def apply(message: str) -> None:
        (setting,) = re.findall(r"(\w+)=True", message)
        getattr(fitted_to_table(), save)("own.pt2", **{setting: True})

    return apply


case("a model would replace a file", file_of_others("save"), overwrite("save"))
case("an export would replace a file", file_of_others("export"), overwrite("export"))
case(
    "an export has another extension",
    lambda: refusal(fitted_to_table().export, "own.onnx"),
    lambda message: fitted_to_table().export(named(r"Pass (\S+)\.", message)) and None,
)


def own_network(shape: Any, classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0], classes))


def model_of_own(name: str) -> Callable[[], str]:
    def provoke() -> str:
        Path("own_net.py").write_text(
            "from torch import nn\n"
            "def small(shape, classes):\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], classes))\n"
        )
        model = fitted_to_table()
        member = package.fitting.Network(own_network(model.shape, 2), model.members[0].normalise)
        replace(model, model=name, members=[member]).save("own.dilution")
        return refusal(package.load_model, "own.dilution")

    return provoke


def name_network(message: str) -> None:
    evaluated(function=own_network)(message)
    for option in re.findall(r"--model \w+:\w+", message):
        paste(f"dilution predict own.dilution own.csv {option}")


case("a model in a file is one of the user's own", model_of_own("own_net:small"), name_network)
case("a model in a file has no name to import", model_of_own("Small"), name_network)


def npz_of_models() -> str:
    np.savez("own.npz", pixels=PIXELS)
    return refusal(untrained(digits().train).predict, "own.npz")


def write_images(message: str) -> None:
    scope = {"numpy": np, "file": "other.npz", "images": digits().test.images.numpy()}
    for call in expressions(message):
        eval(call, scope | ({"file": "other.npy"} if ".save(" in call else {}))
    for file in ("other.npy", "other.npz"):
        assert len(untrained(digits().train).predict(file)) == len(digits().test)


case("a file of arrays has no images", npz_of_models, write_images)


SMALL_FIT = {"n_bootstrap": 2, "folds": 2, "execution": Execution(workers=0, progress=False)}


def fit_rows(n: int = 40, **settings: Any) -> None:
    package.fit((ROWS[:n], LABELS[:n]), **(SMALL_FIT | {"model": "sklearn:forest"} | settings))


def fit_digits(**settings: Any) -> None:
    data = digits().train.subset(torch.arange(60))
    small = replace(data, images=data.images[:, :, ::2, ::2])  # too small for a convolutional network
    package.fit(small, method="plain", **SMALL_FIT, **settings)


def fit_by_method(message: str) -> None:
    true = np.arange(160) % 2
    features = true[:, None] + np.random.default_rng(0).normal(0, 0.1, (160, 2))
    labels = np.where(np.arange(160) % 5 == 0, 1 - true, true)
    package.fit((features, labels), model="sklearn:logistic", **dict(arguments(message)), **SMALL_FIT)


def diverging_recipe() -> str:
    Path("r.toml").write_text("[recipe]\nlr = 1e30\n")
    return refusal(fit_rows, model="mlp1", method="plain", recipe="r.toml")


def classifier_of(labels: Any) -> Any:
    settings = {"method": "plain", "model": "sklearn:forest", "folds": 2, "n_bootstrap": 2, "random_state": 0}
    return package.NoisyLabelClassifier(**settings).fit(ROWS, labels)


DAYS = LABELS.astype("datetime64[D]")


def save_with_text(message: str) -> None:
    remedy = named(r"Fit the classifier to (\S+)\.$", message)
    assert classifier_of(eval(remedy, {"y": DAYS})).save("text.dilution").exists()


case_of_call("a method needs more examples", fit_rows, n=3, method="prune", model="sklearn:forest")
case_of_call("a method is of no use here", fit_rows, method="forward", model="sklearn:forest")
case_of_call("trees are asked for images", fit_digits, model="sklearn:forest")
case_of_call("trees are given a loss of networks", fit_rows, method="plain", loss="gce")
case("a loss needs a noise that is unknown", lambda: refusal(fit_rows, loss="forward"), fit_by_method)


def select_for_many_classes(model: str) -> None:
    classes = tuple(map(str, range(501)))
    rows = Arrays(torch.zeros(1002, 3, 1, 1), torch.arange(1002) % 501, classes)
    select_learners(model, rows, None, "cpu")


case_of_call("trees are asked for many classes", select_for_many_classes, model="sklearn:forest")
case(
    "a network diverges in a fit",
    diverging_recipe,
    lambda message: fit_rows(model="mlp1", method="plain", **dict(arguments(message))),
)
case("classes are days", lambda: refusal(classifier_of(DAYS).save, "days.dilution"), save_with_text)
case(
    "a model in a file is no classifier",
    lambda: refusal(package.NoisyLabelClassifier.load, untrained(digits().train).save("model.dilution")),
    evaluated(),
)


def features_of_own(name: str) -> Callable[[], str]:
    """Return a function that saves a model of features by a function of that name, and reads it."""

    def provoke() -> str:
        Path("mean_colours.py").write_text("def mean(images):\n    return images.mean(axis=(2, 3))\n")
        head = LinearHead(np.ones((3, 2)), np.zeros(2), np.array(False))
        extractor = Extractor(name, own_colours, 3)
        shape = (3, 8, 8)
        package.fitting.FittedModel("head", shape, torch.uint8, ("a", "b"), [head], extractor=extractor).save(
            "own.dilution"
        )
        np.save("new.npy", np.zeros((2, *shape), dtype=np.uint8))
        return refusal(package.load_model, "own.dilution")

    return provoke


def own_colours(images: Any) -> Any:
    return images.mean(axis=(2, 3))


def name_features(message: str) -> None:
    evaluated(function=own_colours)(message)
    for option in re.findall(r"--features \w+:\w+", message):
        paste(f"dilution predict own.dilution new.npy {option}")


case("features of a model are by a module of yours", features_of_own("mean_colours:mean"), name_features)
case("features of a model are by a function of yours", features_of_own("mean"), name_features)
