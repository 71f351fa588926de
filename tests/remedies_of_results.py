"""Remedies in messages on benchmarks, comparisons, tables and recorded runs."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution
from remedies import (
    arguments,
    case,
    case_of_call,
    case_of_command,
    case_of_value,
    commands,
    named,
    options,
    paste,
    refusal,
    store_file,
    train,
    with_options,
)
from stores import KEYS

import dilution as package
from dilution.benchmarking import resolve_methods
from dilution.data import load
from dilution.noise import Dilution, canonical_noise
from dilution.training import TrainConfig, TrainTask, train_together
from dilution.training.losses import LossContext, resolve_loss

case_of_command(
    "a benchmark with one seed has no intervals",
    "dilution benchmark digits --methods gce --noises alpha-5 --seeds 1",
    with_options,
)

UNTRAINABLE = """
from pathlib import Path

from torch import nn


class Network(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))

    def forward(self, images):
        assert len(images) == 2 or Path("mended").exists(), "not mended"
        return super().forward(images)
"""


def benchmark_of_own_network(*more: str) -> Any:
    words = (
        "--noises",
        "alpha-5",
        "--seeds",
        "2",
        "--model",
        "own_network_to_mend:Network",
        "--workers",
        "0",
    )
    return dilution("benchmark", "digits", "--methods", "cross_entropy", *words, *more)


def benchmark_that_fails() -> str:
    Path("own_network_to_mend.py").write_text(UNTRAINABLE, "utf-8")
    result = benchmark_of_own_network()
    assert result.exit_code == 2, result.output
    return result.output


def mend_and_retry(message: str) -> None:
    Path("mended").touch()
    (option,) = options(message)
    result = benchmark_of_own_network(option)
    assert result.exit_code == 0, result.output


case("no run of a benchmark has finished", benchmark_that_fails, mend_and_retry)
case(
    "a method is neither a name nor settings",
    lambda: refusal(resolve_methods, {"mine": 3}),
    lambda message: check_resolved(
        resolve_methods({"mine": ast.literal_eval(named(r"such as (\{.*\})", message))})
    ),
)


def check_resolved(methods: list[Any]) -> None:
    assert [method.name for method in methods] == ["cross_entropy", "mine"]


def start_alone() -> str:
    # test_training_distributed trains in two processes; here they only must be started together
    Path("my script.py").write_text("import os\nassert os.environ['WORLD_SIZE'] == '2'\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", SimpleNamespace(__file__="my script.py"))
        return refusal(train, parallel=True)


def start_together(message: str) -> None:
    (command,) = commands(message)
    launcher = f"{shlex.quote(sys.executable)} -m torch.distributed.run --standalone"  # on any port
    subprocess.run(
        command.replace("torchrun", launcher), shell=True, check=True, timeout=120, capture_output=True
    )


case("processes are not started together", start_alone, start_together)
case(
    "a time limit is reached",
    lambda: dilution(*shlex.split("reproduce fig1 --workers 0 --time-limit 1s")).output,
    lambda message: [paste(command) for command in re.findall(r"Resume: (.*)", message)].index(None),
)


TWO_CLASSES = LossContext(("a", "b"), 10, np.eye(2), takes_weights=True, device=torch.device("cpu"))
SINGULAR = "backward(T=[[0.5, 0.5], [0.5, 0.5]])"


def with_transition() -> str:
    data = load("digits")
    noisy = Dilution(data.train, 1, n=50)
    task = TrainTask("mlp1", noisy, data.test, 0, 5, TrainConfig(loss="gce"), transition=torch.eye(10))
    return refusal(train_together, [task])


def mean_loss() -> str:
    Path("own_mean.py").write_text(
        "import torch\n\nclass Loss(torch.nn.CrossEntropyLoss):\n    linear = True\n", "utf-8"
    )
    return refusal(resolve_loss("own_mean:Loss").check, TWO_CLASSES)


def without_mean(message: str) -> None:
    argument = named(r"give (reduction='none')", message)
    resolve_loss(f"own_mean:Loss({argument})").check(TWO_CLASSES)


def one_label_loss() -> str:
    Path("own_loss.py").write_text("def make():\n    return lambda logits, labels: logits[:, 0]\n", "utf-8")
    return refusal(resolve_loss("own_loss:make").check, TWO_CLASSES)


def set_loss(message: str) -> None:
    settings = dict(arguments(message))
    assert settings, message
    TrainConfig(**settings)


def name_loss(message: str) -> None:
    for text in re.findall(r"'(gce[^']*)'", message.partition("such as")[2]):
        resolve_loss(text)


case("a loss needs the inverse of T", lambda: refusal(resolve_loss(SINGULAR).check, TWO_CLASSES), set_loss)
case("a loss has no parameters", lambda: refusal(resolve_loss, "mae(q=1)"), set_loss)


def name_noise(noise: str) -> None:
    canonical_noise(noise)


case_of_call("a noise has no parameters", name_noise, noise="observed(rate=0.4)")
case("a loss is no name", lambda: refusal(resolve_loss, 3), name_loss)
case("a parameter of a loss has no name", lambda: refusal(resolve_loss, "gce(0.3)"), name_loss)
case("a loss of one label gets several", one_label_loss, set_loss)
case("a loss is a mean", mean_loss, without_mean)
case("a loss and a transition matrix are given", with_transition, set_loss)
case_of_call("a strategy has a loss with a memory", TrainConfig, strategy="co_teaching", loss="elr")
case_of_call("a strategy has a loss of its own", TrainConfig, strategy="divide_mix", loss="gce")
case_of_call("a ramp is longer than the training", train, strategy="co_teaching")
case_of_call("a warm-up is longer than the training", train, strategy="divide_mix")


def added_run() -> str:
    """Return the key of a stored run with added labels."""
    store_file(filled=True)
    return KEYS[3]


case_of_command(
    "a run has several labels per image",
    f"dilution show run {KEYS[3]} --store 'my results.sqlite' --labels 'my labels.npy'",
    lambda command, message: [
        command.replace("my labels.npy", named(r"Write to (.*\.npz) instead", message))
    ],
    added_run,
)
for option, given in {"--labels": "gce", "--width": "3feet"}.items():
    case_of_command(
        f"a figure is given {option} {given}",
        f"dilution report --store 'my results.sqlite' {option} {given}",
        lambda command, message, option=option: [
            re.sub(rf"{option} \S+$", lambda _: value, command)  # noqa: B023
            for value in re.findall(rf"({option} (?:'[^']*'|[\d.]+[a-z]+))", message)
        ],
        lambda: store_file(filled=True),
    )

COMPARED = pd.DataFrame(
    [
        {"loss": loss, "lr": lr, "seed": seed, "state": "done", "test_acc_last": 0.5 + lr + 0.01 * seed}
        for loss in ("gce", "mae")
        for lr in (0.1, 0.2)
        for seed in range(3)
    ]
)
case_of_call("decimals of a table are negative", package.latex_table, table=COMPARED, decimals=-1)
case_of_call("rows of a table are a list", package.latex_table, table=COMPARED, rows=["loss"])
case_of_call("differences between seeds", package.differences, table=COMPARED, by="seed")
case_of_call("no named setting varies", package.differences, table=COMPARED[COMPARED["loss"] == "gce"])
APART = COMPARED[(COMPARED["loss"] == "gce") == (COMPARED["lr"] == 0.1)]


def compare_apart(message: str) -> None:
    compared = eval(
        named(r"Use (dilution\.compare\(.*\))\.$", message), {"dilution": package, "table": APART}
    )
    assert len(compared.pairs) == 3


case("no two runs are a pair", lambda: refusal(package.differences, APART, "loss"), compare_apart)


COUNTS = [[30.0, 10.0], [5.0, 15.0]]


def to_probabilities(message: str) -> None:
    changed = eval(named(r"with (T / .*)\.$", message), {"T": np.array(COUNTS)})
    package.transition(changed)


case("a noise matrix has counts", lambda: refusal(package.transition, COUNTS), to_probabilities)


def take_the_loss_of_the_label(message: str) -> None:
    scope = {"losses": torch.zeros(4, 3), "labels": torch.tensor([0, 2, 1, 0])}
    assert eval(named(r"that of the label: (.*)\.$", message), scope).shape == (4,)


def lose_every_class(module: str = "loses_every_class") -> str:
    Path(f"{module}.py").write_text(
        "def factory():\n    return lambda logits, labels: -logits.log_softmax(dim=1)\n"
    )
    data = package.load("digits")
    noisy = package.Dilution(data.train, alpha=0, n=40)
    return refusal(package.train, "mlp1", noisy, test=data.test, loss=f"{module}:factory", steps=1)


case("a loss has a value per class", lose_every_class, take_the_loss_of_the_label)


def name_columns(message: str) -> None:
    columns = ast.literal_eval(named(r"columns=(\[.*\])", message))
    assert "toprule" in package.latex_table(COMPARED, rows="loss", columns=columns)


case(
    "runs differ in more than a table shows",
    lambda: refusal(package.latex_table, COMPARED, rows="loss", columns=[]),
    name_columns,
)
RECORDED: dict[str, Any] = {
    "store": "recorded.sqlite",
    "settings": {"dataset": "digits", "model": "mine", "n": 100},
    "measures": {"test_acc_last": 0.5},
    "trained_by": "my loop",
}
case_of_call("a recorded run is of a figure", package.record, study="fig1/digits", **RECORDED)


def record_with(settings: dict[str, Any], **arguments: Any) -> None:
    """Record a run with an argument in place of the setting of its name."""
    settings = {key: value for key, value in settings.items() if key not in arguments}
    package.record(**RECORDED | {"study": "mine", "settings": settings} | arguments)


case_of_call(
    "the seed of a recorded run is among its settings",
    record_with,
    settings={**RECORDED["settings"], "seed": 3},
)
case_of_value(
    "a history is a data frame",
    package.record,
    "history",
    pd.DataFrame({"step": [1, 2], "test_acc": [0.1, 0.2]}),
    study="mine",
    **RECORDED,
)
