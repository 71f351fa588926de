"""Remedies in messages on noise, training, optimizers, early stopping and saved weights."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from commands import dilution
from remedies import (
    LABELS,
    PIXELS,
    ROWS,
    arguments,
    case,
    case_of_call,
    case_of_value,
    digits,
    expressions,
    named,
    noisy,
    paste,
    refusal,
    spec,
    train,
)
from scipy import special as scipy_special

import dilution as package
from dilution.data import from_numpy, load, read_label_file
from dilution.noise import Dilution
from dilution.study import Execution, Study
from dilution.study.prepare import prepare
from dilution.study.run_spec import Run
from dilution.training import TrainConfig, TrainTask, confusability, train_together
from dilution.training.early_stopping import resolve_early_stopping
from dilution.training.evaluation import Normalise
from dilution.training.gradients import compare_gradients
from dilution.training.optimizers import resolve_optimizer

case_of_call(
    "fresh images are exhausted",
    lambda **s: package.Dilution(digits().train, alpha=1, **s),
    image_source="fresh",
)
case_of_call(
    "features meet images as a source",
    lambda **s: package.Dilution(from_numpy(features=ROWS, labels=LABELS).train, alpha=1, **s),
    image_source=digits().train,
)
case_of_call("targets are pooled over other images", train, targets="pooled", image_source="white_noise")
case_of_call("replaced labels have other images", noisy, label_mode="replaced", image_source="white_noise")
case_of_value("a checkpoint is a path alone", train, "checkpoint", "training.pt")
case(
    "settings are given as a table",
    lambda: refusal(train, config={"lr": 0.1}),
    lambda message: train(**dict(arguments(message))),
)
case_of_call("delta is outside its range", package.structured, delta=2)
case_of_call("an order needs confusability", package.structured, delta=0.5, order="confusing")


def gradients(image_source: str) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    training = noisy(image_source=image_source)
    compare_gradients(model, Normalise(training.data, training.clean_rows), training)


case_of_call("gradients are compared over other images", gradients, image_source="white_noise")
case_of_call("a run pools the labels of other images", spec, targets="pooled", image_source="white_noise")
case_of_call(
    "a run compares gradients over other images", spec, compare_gradients=True, image_source="white_noise"
)
case_of_call("a run of other noise has a delta", spec, delta=0.5)


def too_few_for_confusability() -> str:
    return refusal(confusability, digits().train.subset(torch.arange(5)))


def apply_order(message: str) -> None:
    for key, value in arguments(message):
        package.Dilution(
            digits().train.subset(torch.arange(5)), alpha=1, noise=package.structured(0.5, **{key: value})
        )


case("images are too few for confusability", too_few_for_confusability, apply_order)


def evaluated(**scope: Any) -> Callable[[str], None]:
    """Return a function that evaluates the expressions of a message."""

    def apply(message: str) -> None:
        calls = [call for call in expressions(message) if call.startswith("dilution.")]
        assert calls, message
        for call in calls:
            eval(call, {"dilution": package, "torch": torch, **scope})

    return apply


case("the data of noise are no arrays", lambda: refusal(package.Dilution, [1], alpha=1), evaluated())
case(
    "noise is no noise model",
    lambda: refusal(package.Dilution, digits().train, alpha=1, noise="symmetric"),
    evaluated(),
)


def noise_of_the_text(message: str) -> None:
    data = digits().train.subset(torch.arange(60))
    call = named(r"Give noise=(dilution\..*)\.$", message)
    noise = eval(call, {"dilution": package, "data": data})
    Dilution(data, alpha=1 if noise.name == "structured" else None, noise=noise)


def own_noise_as_text() -> str:
    Path("own_swap.py").write_text(
        "import dilution\n\ndef make(rate):\n    return dilution.symmetric(rate)\n"
    )
    return refusal(package.Dilution, digits().train, noise="own_swap:make(rate=0.3)")


for text in ("symmetric(rate=0.4)", "structured(delta=1)", "idn(rate=0.4)"):
    case(
        f"noise is the text {text}",
        lambda text=text: refusal(package.Dilution, digits().train, noise=text),
        noise_of_the_text,
    )
case("noise is a text that names a factory", own_noise_as_text, noise_of_the_text)
case(
    "the data of a training have no noise model",
    lambda: refusal(package.train, "mlp1", digits().train, test=digits().test),
    lambda message: evaluated(data=digits())(message),
)
case("the test data are no arrays", lambda: refusal(package.train, "mlp1", noisy(), test=[1]), evaluated())
case(
    "observed labels have no matrix",
    lambda: refusal(package.observed().added, 2, 1.0, 0),
    lambda message: evaluated(
        data=from_numpy(PIXELS, LABELS, noisy_labels=LABELS).train, noise=package.observed()
    )(message),
)


def with_their_labels(pattern: str) -> Callable[[str], None]:
    """Return a function that opens the data that a message names, beside a file of labels."""

    def open_data(message: str) -> None:
        np.save("theirs.npy", digits().train.labels.numpy())
        for name in re.findall(pattern, message):
            load(shlex.split(name)[0])
        assert re.search(pattern, message), message

    return open_data


case(
    "the data have no observed labels",
    lambda: refusal(package.observed().labels, digits().train, 0),
    with_their_labels(r"such as (digits#\S+)\.$"),
)
case(
    "a built-in data set has no such option",
    lambda: refusal(load, "digits#classes=5,labels=theirs.npy"),
    with_their_labels(r"(?:are|,|both:) (digits#\S+?)(?=,? |\.$)"),
)
case(
    "a plan would ignore a file of labels",
    lambda: refusal(package.plan, "digits#labels=theirs.npy", target=0.9, eta=0.2, store="s.sqlite"),
    with_their_labels(r"dilution diagnose (\S+) estimates"),
)


def spoilt_label_file() -> str:
    Path("labels.npy").write_bytes(b"1, 0, 1")
    return refusal(read_label_file, "labels.npy", digits().train)


def save_labels(message: str) -> None:
    labels = digits().train.labels.numpy().astype(float)
    if "astype" in message:
        labels = eval(named(r"(labels\.astype\(int\))", message), {"labels": labels})
        np.save("labels.npy", labels)
    else:
        call = named(r"(numpy\.save\(path, labels\))", message)
        eval(call, {"numpy": np, "path": "labels.npy", "labels": labels.astype(int)})
    assert len(read_label_file("labels.npy", digits().train)) == len(labels)


def labels_of_floats() -> str:
    np.save("labels.npy", digits().train.labels.numpy().astype(float))
    return refusal(read_label_file, "labels.npy", digits().train)


case("a file of labels is damaged", spoilt_label_file, save_labels)
case("a file of labels has floats", labels_of_floats, save_labels)


def other_flips(message: str) -> None:
    call = named(r"(asymmetric\(.*\))\.$", message)
    package.Dilution(digits().train, noise=eval(call, {"asymmetric": package.asymmetric}))


case(
    "a map flips classes that there are not",
    lambda: refusal(package.Dilution, digits().train, noise=package.asymmetric(0.4, "cifar10")),
    other_flips,
)


def other_rate(message: str) -> None:
    package.symmetric(rate=float(named(r"rate=([0-9.]+)\.$", message)))


case("a rate of labels is above 1", lambda: refusal(package.symmetric, 1.5), other_rate)


def named_noise(message: str) -> None:
    assert spec(alpha=None, noise=named(r"noise=\"([^\"]+)\"", message)).noise


case("a noise lacks its rate", lambda: refusal(spec, alpha=None, noise="symmetric"), named_noise)
case(
    "a noise with settings of its own has parameters",
    lambda: refusal(spec, noise="uniform(rate=0.4)"),
    lambda message: spec(noise=named(r"noise='(\w+)' beside alpha", message)),
)


def draw_labels_first(message: str) -> None:
    command = named(r"(dilution data noisy .+), then", message)
    paste(command.replace("DATA", "digits") + " --model perceptron --epochs 1")
    file = named(r"labels=\"([^\"]+)\"", message)
    (prepared,) = prepare([spec(alpha=None, labels=file)], None)
    assert prepared.noise == "observed"


case(
    "noise follows a model",
    lambda: refusal(spec, alpha=None, noise="idn(rate=0.4)"),
    draw_labels_first,
)


def factory_of_no_noise() -> str:
    Path("own_no_noise.py").write_text("def make():\n    return 0.4\n")
    return refusal(prepare, [spec(alpha=None, noise="own_no_noise:make")], None)


case("a factory makes no noise", factory_of_no_noise, evaluated())


def probabilities_of_others() -> str:
    return refusal(package.Dilution, digits().train, noise=package.idn(0.4, [[0.5, 0.5]]))


def predict_probabilities(message: str) -> None:
    data = digits().train.subset(torch.arange(60))
    call = named(r"(dilution\.predicted_probabilities\(data\))", message)
    package.Dilution(data, noise=package.idn(0.4, eval(call, {"dilution": package, "data": data})))


case("probabilities are those of other data", probabilities_of_others, predict_probabilities)


def averaged_predictions(epochs: float) -> None:
    data = digits().train.subset(torch.arange(60))
    package.predicted_probabilities(data, model="perceptron", epochs=epochs, average_epochs=True)


case_of_call("predictions are averaged over a part of an epoch", averaged_predictions, epochs=1.5)


def softmax_of_noise(message: str) -> None:
    logits = np.array([[1.0, 2.0], [0.0, 0.5]])
    call = named(r"(scipy\.special\.softmax\(logits, axis=1\))", message)
    package.idn(0.4, eval(call, {"scipy": SimpleNamespace(special=scipy_special), "logits": logits}))


case(
    "probabilities of noise are logits",
    lambda: refusal(package.idn, 0.4, [[1.0, 2.0], [0.0, 0.5]]),
    softmax_of_noise,
)

case_of_call(
    "a weight decay is given twice",
    TrainConfig,
    optimizer="torch.optim:SGD(weight_decay=0.1)",
    weight_decay=0.2,
)


def decays(weight_decay: float) -> None:
    resolve_optimizer("torch.optim:Rprop").check(weight_decay)


case_of_call("an optimizer has no weight decay", decays, weight_decay=0.1)


def train_on_weights(early_stopping: str) -> None:
    data = load("digits")
    config = TrainConfig(targets="pooled", steps=1, early_stopping=early_stopping)
    task = TrainTask("mlp1", Dilution(data.train, 1, n=50), data.test, 0, 5, config)
    train_together([replace(task, label_weights=torch.full((len(data.train), 10), 0.1))])


case_of_call("nothing is held out for early stopping", train_on_weights, early_stopping="noisy_val")

SAVED = {"dataset": "digits", "n": 50, "alpha": 1.0, "model": "mlp1", "steps": 2, "n_evals": 1}


def saved_key(store: str, **settings: Any) -> str:
    """Return the key of a run that is trained in a store, with weights or without."""
    execution = Execution(workers=0, progress=False, **settings)
    table = package.run(Study.of("saved", [Run.of(**SAVED)]), store=store, execution=execution)
    return str(table["key"].item())


def save_weights(message: str) -> None:
    """Run the study in another store in both ways that the message names."""
    execution = eval(named(r"(Execution\(.*\))", message), {"Execution": Execution})
    key = saved_key("other.sqlite", save_weights=execution.save_weights)
    assert package.load_weights(key, "other.sqlite").run.key == key
    lines = [f"{name} = {value!r}" for name, value in SAVED.items()]
    Path("saved.toml").write_text("\n".join(["[base]", *lines]), "utf-8")
    option = named(r"with (--save-weights best)", message).split()
    ended = dilution("run", "saved.toml", *option, "--store", "third.sqlite", "--workers", 0)
    assert ended.exit_code == 0, ended.output
    assert package.load_weights(key, "third.sqlite").run.key == key


def other_weights(message: str) -> None:
    ((name, value),) = [(key, value) for key, value in re.findall(r"(which)='(\w+)'", message)]
    package.load_weights(saved_key("s.sqlite"), "s.sqlite", **{name: value})


def weights_of_own_network() -> str:
    Path("own_saved.py").write_text(
        "from torch import nn\n\n\ndef net(shape, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))\n",
        "utf-8",
    )
    execution = Execution(workers=0, progress=False, save_weights="best")
    study = Study.of("own", [Run.of(**SAVED | {"model": "own_saved:net"})])
    table = package.run(study, store="s.sqlite", execution=execution)
    return refusal(package.load_weights, table["key"].item(), "s.sqlite")


def load_own_network(message: str) -> None:
    (call,) = expressions(message)
    assert eval(call, {"dilution": package}).run.model == "own_saved:net"


case(
    "no weights of a run were saved",
    lambda: refusal(package.load_weights, saved_key("s.sqlite"), "s.sqlite"),
    save_weights,
)
case(
    "other weights of a run were saved",
    lambda: refusal(package.load_weights, saved_key("s.sqlite", save_weights="last"), "s.sqlite"),
    other_weights,
)
case("the saved model of a run is one's own", weights_of_own_network, load_own_network)


def stop_sooner(message: str) -> None:
    rule = resolve_early_stopping("noisy_val")
    assert not rule.never_stops(240, int(named(r"n_evals=(\d+)", message)))
    sooner = resolve_early_stopping(named(r"or (noisy_val\(patience=\d+\))", message))
    assert not sooner.never_stops(240, 6)


case("no training stops early", lambda: resolve_early_stopping("noisy_val").never_stops(240, 6), stop_sooner)
case_of_call("a schedule has no drops", TrainConfig, schedule="step(drops=[])")
