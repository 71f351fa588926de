"""The noise level: one place checks alpha and eta, and computes alpha from a noise rate or a matrix."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dilution
from dilution.data import Arrays
from dilution.errors import InputError
from dilution.noise import (
    Dilution,
    alpha_for_eta,
    alpha_for_matrix,
    check_alpha,
    check_noise_level,
    equivalent_alpha,
    matrix,
    structured,
    uniform,
    uniform_noise_level,
)
from dilution.study import Run

T = np.array([[0.7, 0.2, 0.1, 0.0], [0.1, 0.5, 0.3, 0.1], [0.0, 0.0, 1.0, 0.0], [0.25, 0.25, 0.1, 0.4]])
WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "neither of alpha and eta given; give one"),
    ({"alpha": 1, "eta": 0.4}, "both of alpha and eta given; give one"),
    ({"alpha": -1.0}, r"alpha is -1\.0; it must be ≥ 0\. alpha=0 is no noise at all"),
    ({"alpha": float("nan")}, "alpha is nan; it must be a finite number"),
    ({"alpha": float("inf")}, "alpha is inf; it must be a finite number"),
    ({"alpha": 1.1e9}, r"alpha is 1\.1e\+09; it must be at most 1e\+09"),
    ({"eta": -0.1}, r"eta is -0\.1; it must lie in \[0, 1\)"),
    ({"eta": 1.0}, r"eta is 1\.0; it must lie in \[0, 1\)"),
    ({"eta": float("nan")}, "eta is nan; it must be a finite number"),
]


def diluted(data: Arrays, **level: Any) -> Any:
    return Dilution(data, **level)


def run(data: Arrays, **level: Any) -> Any:
    return Run.of(dataset="digits", n=100, model="mlp1", **level)


def plan(data: Arrays, **level: Any) -> Any:
    return dilution.plan("digits", target=0.95, **level)


def advise(data: Arrays, **level: Any) -> Any:
    if not level:
        pytest.skip("advise takes labels as they are where neither is given")
    return dilution.advise("digits", **level)


@pytest.mark.parametrize(("level", "message"), WRONG)
@pytest.mark.parametrize("use", [diluted, run, plan, advise])
def test_every_use_refuses_the_same_values_in_the_same_words(make_data, use, level, message) -> None:
    with pytest.raises(InputError, match=message):
        use(make_data(30), **level)
    with pytest.raises(InputError, match=message):
        check_noise_level(level.get("alpha"), level.get("eta"))


@pytest.mark.parametrize(("level", "message"), [case for case in WRONG if list(case[0]) == ["alpha"]])
def test_the_command_line_refuses_the_same_alphas(level, message) -> None:
    from typer.testing import CliRunner

    from dilution.cli import app

    result = CliRunner().invoke(app, ["show", "noise", "--alpha", str(level["alpha"])])
    assert result.exit_code == 2
    assert re.search(message, result.stderr)


@pytest.mark.parametrize("alpha", [True, "20", 1j, [1], None])
def test_an_alpha_that_is_no_number_is_refused_with_its_value(alpha: object) -> None:
    with pytest.raises(InputError) as refused:
        check_alpha(alpha, "better_alpha")
    assert str(refused.value).startswith(f"better_alpha is {alpha!r}; it must be a finite number")


def test_the_noise_level_of_uniform_noise_is_infinite_where_labels_carry_no_information() -> None:
    assert equivalent_alpha(0.45, 10) == pytest.approx(1)
    assert equivalent_alpha(0.9, 10) == np.inf
    assert uniform_noise_level(None, 0.45, 10) == pytest.approx(1)
    assert uniform_noise_level(3, None, 10) == 3
    with pytest.raises(InputError, match=r"eta is 0\.9; with 10 classes it must lie in \[0, 0\.9\)"):
        uniform_noise_level(None, 0.9, 10)


@given(st.integers(2, 200), st.floats(0, 0.999), st.integers(0, 99))
def test_alpha_for_eta_inverts_the_noise_rate(m: int, share: float, seed: int) -> None:
    prior = np.random.default_rng(seed).dirichlet(np.ones(m))
    for noise in (
        uniform(),
        structured(0.7),
        matrix(np.random.default_rng(seed).dirichlet(np.ones(m), size=m)),
    ):
        eta = share * (1 - prior @ np.diag(noise.added(m, 1, seed)))
        alpha = alpha_for_eta(eta, noise, prior, seed)
        noise_rate = 1 - prior @ np.diag(noise.overall(m, alpha, seed))
        assert noise_rate == pytest.approx(eta, abs=1e-9)


@pytest.mark.parametrize("eta", [-0.1, 0.9, 0.95, float("nan")])
def test_an_eta_that_no_alpha_reaches_is_refused_with_its_range(eta: float) -> None:
    with pytest.raises(InputError, match=rf"eta is {eta}; .* must lie in \[0, 0\.9\)"):
        alpha_for_eta(eta, uniform(), np.full(10, 0.1), 0)


def test_a_matrix_of_all_labels_gives_the_least_alpha_and_its_added_labels() -> None:
    alpha, Q = alpha_for_matrix(T)
    assert alpha == pytest.approx(1 / 0.4 - 1)
    np.testing.assert_allclose((np.eye(4) + alpha * Q) / (1 + alpha), T, atol=1e-12)
    assert Q.min() == pytest.approx(0, abs=1e-12)
    assert alpha_for_matrix(np.eye(3))[0] == 0


@given(st.integers(2, 12), st.integers(0, 999))
def test_a_set_drawn_from_a_matrix_of_all_labels_expects_that_matrix(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = 0.9 * rng.dirichlet(np.full(m, 0.3), size=m) + 0.1 * np.eye(m)
    alpha, Q = alpha_for_matrix(wanted)
    data = Arrays(torch.zeros(m, 1, 1, 1, dtype=torch.uint8), torch.arange(m))
    expected = Dilution(data, alpha, noise=matrix(Q), label_mode="replaced").expected_noise_summary()
    np.testing.assert_allclose(
        expected.transition_expected, wanted / wanted.sum(1, keepdims=True), atol=1e-12
    )


def test_a_class_whose_label_is_never_right_has_no_alpha() -> None:
    with pytest.raises(InputError, match=r"has 0 at \[1, 1\]; the diagonal must be positive"):
        alpha_for_matrix([[1, 0], [1, 0]])
