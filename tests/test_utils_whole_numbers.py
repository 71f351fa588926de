"""Whole numbers that cannot be printed and counts that never end are refused at once, by every function."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dilution
from dilution.errors import InputError, short_repr
from dilution.utils.whole_numbers import check_count, check_digits

HUGE = 16**6000  # int's repr raises ValueError, and so does float's constructor

ARGUMENTS: dict[str, dict[str, Any]] = {
    "diagnose": {"data": "digits"},
    "plan": {"data": "digits", "target": 0.9, "alpha": 1.0},
    "advise": {"data": "digits"},
    "fit": {"data": "digits"},
    "reproduce": {"figure": "fig1"},
    "run": {"study": "a"},
    "train": {"model": "mlp1", "noisy": None, "test": None},
    "structured": {"delta": 0.5},
    "Dilution": {"alpha": 1.0},
    "Run": {"dataset": "digits", "model": "mlp1", "n": 100, "alpha": 1.0},
    "TrainConfig": {},
    "Execution": {},
}
"""Public functions and classes with settings that are numbers, and valid arguments."""


def numbers(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that are numbers."""
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if re.search(r"\b(int|float)\b", str(parameter.annotation))
        and not any(word in str(parameter.annotation) for word in ("tuple", "ArrayLike", "Mapping"))
    ]


CASES = [(name, setting) for name in ARGUMENTS for setting in numbers(getattr(dilution, name))]


@pytest.mark.parametrize(("name", "setting"), CASES, ids=[f"{name} {setting}" for name, setting in CASES])
def test_a_setting_of_thousands_of_digits_is_refused_by_every_function(
    name: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ARGUMENTS[name] | {setting: HUGE}
    if setting == "eta":
        arguments.pop("alpha", None)
    if name == "Dilution":
        arguments["data"] = dilution.load("digits").train
    if name == "train":
        data = dilution.load("digits")
        arguments |= {"noisy": dilution.Dilution(data.train, 1), "test": data.test}
    with pytest.raises(InputError) as caught:
        getattr(dilution, name)(**arguments)
    assert setting in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value",
    [HUGE, -HUGE, [1, [HUGE]], {"a": {"b": HUGE}}, (HUGE,)],
    ids=["n", "-n", "list", "table", "tuple"],
)
def test_long_numbers_are_refused_at_any_depth(value: object) -> None:
    with pytest.raises(InputError, match=r"^n\S* is a whole number of more than 300 digits"):
        check_digits("n", value)
    assert len(short_repr(value)) < 300


def test_numbers_that_a_float_holds_pass() -> None:
    check_digits("n", [10**299, -(10**299), 1e308, True, "9" * 5000, None])
    check_digits("n", {"a": 1})


@pytest.mark.parametrize("value", [0, 11, -HUGE, True, 2.0, "2", None, 10**9], ids=short_repr)
def test_a_count_outside_its_range_is_refused_with_the_range(value: object) -> None:
    with pytest.raises(InputError, match=r"^folds is .*(from 1 to 10\.|digits)"):
        check_count("folds", value, 1, 10)


def test_counts_inside_pass() -> None:
    for value in (1, 10, np.int64(3)):
        check_count("folds", value, 1, 10)


@pytest.mark.parametrize(
    ("name", "setting", "value", "limit"),
    [
        ("diagnose", "repeats", 10**9, "1,000"),
        ("diagnose", "n_bootstrap", 10**9, "100,000"),
        ("diagnose", "folds", 10**9, "1,000,000"),
        ("fit", "n_bootstrap", 10**18, "100,000"),
        ("fit", "n_models", 10**18, "1,000"),
        ("advise", "epochs", 1e308, "1,000,000"),
    ],
)
def test_what_would_never_end_is_refused_before_anything_is_trained(
    name: str, setting: str, value: float, limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"^{setting} is .* {limit}\b"):
        getattr(dilution, name)(**ARGUMENTS[name] | {setting: value})


@pytest.mark.parametrize("noise", [{"alpha": 1e-200}, {"alpha": 1e-30}, {"eta": 1e-200}])
@pytest.mark.parametrize("label_mode", ["added", "replaced"])
def test_noise_without_a_noisy_label_is_refused_before_anything_is_trained(
    noise: dict[str, float], label_mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"(alpha|eta) is 1e-\d+ and n is 1,437; that adds no noisy label"):
        dilution.advise("digits", label_mode=label_mode, **noise)


class Unprintable:
    """An object whose repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_an_object_without_a_repr_is_named_by_its_type() -> None:
    assert short_repr(Unprintable()) == "a value of the type Unprintable that cannot be printed"
    assert "int" in short_repr(HUGE)
