import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import InputError
from dilution.noise import LabelNoise, matrix, observed, structured, uniform
from dilution.noise.transition import Matrix, _say_once

CLASSES = st.one_of(st.integers(2, 12), st.integers(2, 1000))
ALPHA = st.one_of(st.just(0.0), st.floats(1e-12, 1e-3), st.floats(1e-3, 100), st.floats(100, 1e12))
DELTA = st.floats(0, 1)
ORDER = st.sampled_from(["confusing", "reverse", "random"])


def confusability(classes: int, seed: int = 0) -> Matrix:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), size=classes)


def structured_noise(delta: float, order: str, classes: int, seed: int = 0) -> LabelNoise:
    return structured(delta, order, None if order == "random" else confusability(classes, seed))


def false_steps(P: Matrix) -> Matrix:
    """Off-diagonal entries of each row, largest first; shape (classes, classes − 1)."""
    off = P[~np.eye(len(P), dtype=bool)].reshape(len(P), -1)
    return -np.sort(-off, axis=1)


@given(CLASSES, ALPHA, DELTA, ORDER, st.integers(0, 99))
def test_rows_of_every_structured_matrix_are_distributions(
    m: int, alpha: float, delta: float, order: str, seed: int
) -> None:
    noise = structured_noise(delta, order, m, seed)
    for rows in (noise.added(m, alpha, seed), noise.overall(m, alpha, seed)):
        assert rows.shape == (m, m)
        assert rows.min() >= 0
        np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=0, atol=1e-9)


@given(st.integers(2, 60), ALPHA, st.integers(0, 99))
def test_rows_of_uniform_and_of_any_given_matrix_are_distributions(m: int, alpha: float, seed: int) -> None:
    table = confusability(m, seed)
    for noise, added in ((uniform(), np.full((m, m), 1 / m)), (matrix(table), table)):
        np.testing.assert_allclose(noise.added(m, alpha, seed), added, rtol=1e-12)
        P = noise.overall(m, alpha, seed)
        np.testing.assert_allclose(P.sum(axis=1), 1, rtol=0, atol=1e-9)
        np.testing.assert_allclose(P, (np.eye(m) + alpha * added) / (1 + alpha), rtol=1e-12)


@given(CLASSES, ALPHA, DELTA, ORDER)
def test_the_true_class_keeps_its_probability_at_every_delta_and_order(
    m: int, alpha: float, delta: float, order: str
) -> None:
    P = structured_noise(delta, order, m).overall(m, alpha, 0)
    np.testing.assert_allclose(np.diag(P), (1 + alpha / m) / (1 + alpha), rtol=1e-9)


@given(CLASSES, ALPHA, ORDER)
def test_delta_zero_is_uniform_noise(m: int, alpha: float, order: str) -> None:
    np.testing.assert_allclose(structured_noise(0, order, m).added(m, alpha, 0), uniform().added(m, alpha, 0))


@given(CLASSES, ALPHA.filter(bool), ORDER)
def test_at_delta_one_the_most_common_false_label_is_as_likely_as_the_true_one(
    m: int, alpha: float, order: str
) -> None:
    P = structured_noise(1, order, m).overall(m, alpha, 0)
    p_true = (1 + alpha / m) / (1 + alpha)
    first = false_steps(P)[:, 0]
    if p_true <= 0.5:
        np.testing.assert_allclose(first, p_true, rtol=1e-6)
    else:  # the false mass is too small for that: all of it lies on the first class
        np.testing.assert_allclose(first, alpha * (1 - 1 / m) / (1 + alpha), rtol=1e-9)
        assert (false_steps(P)[:, 1:] == 0).all()


@given(CLASSES, st.floats(1e-3, 1e4), DELTA, ORDER)
def test_false_labels_form_a_linear_staircase_cut_off_at_zero(
    m: int, alpha: float, delta: float, order: str
) -> None:
    P = structured_noise(delta, order, m).overall(m, alpha, 0)
    p_true = (1 + alpha / m) / (1 + alpha)
    flat = (1 - delta) * (1 - p_true) / (m - 1)
    skewed = false_steps(P) - flat  # delta times the staircase
    np.testing.assert_allclose(skewed, np.broadcast_to(skewed[0], skewed.shape), atol=1e-12)
    assert skewed.min() >= -1e-12
    if p_true > 0.5:
        return
    above = skewed[0][skewed[0] > 1e-12]
    drops = -np.diff(above)
    if len(drops):
        slope = drops[0]
        assert slope >= -1e-12
        np.testing.assert_allclose(drops, slope, atol=1e-12)
        if len(above) < m - 1:  # the next step would be at or below zero
            assert above[-1] - slope <= 2e-12


@given(st.integers(2, 200), st.floats(1e-3, 1e4), st.floats(0.01, 1), st.integers(0, 99))
def test_confusing_ranks_by_confusability_and_reverse_is_its_reverse(
    m: int, alpha: float, delta: float, seed: int
) -> None:
    table = np.round(confusability(m, seed), 2)  # with ties
    confusing = structured(delta, "confusing", table).added(m, alpha, 0)
    reverse = structured(delta, "reverse", table).added(m, alpha, 0)
    for c in range(0, m, max(1, m // 5)):
        false = np.delete(np.arange(m), c)
        ranked = false[np.argsort(-table[c, false], kind="stable")]
        assert (np.diff(confusing[c, ranked]) <= 0).all()
        assert (np.diff(reverse[c, ranked]) >= 0).all()
        np.testing.assert_array_equal(reverse[c, ranked], confusing[c, ranked[::-1]])


def test_random_order_comes_from_the_seed_and_differs_among_true_classes() -> None:
    noise = structured(1, "random")
    one, again, other = (noise.added(10, 20, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    ranks = {tuple(np.argsort(np.delete(row, c))) for c, row in enumerate(one)}
    assert len(ranks) == 10


def test_random_order_puts_every_false_class_first_equally_often() -> None:
    first = np.zeros((4, 4))
    for seed in range(600):
        Q = structured(1, "random").added(4, 5, seed)
        np.fill_diagonal(Q, 0)
        first[np.arange(4), Q.argmax(axis=1)] += 1
    false = first[~np.eye(4, dtype=bool)]
    assert ((false - 200) ** 2 / 200).sum() < 26.1  # chi-square, 8 degrees of freedom, p = 0.001


@given(CLASSES, ALPHA)
def test_uniform_noise_of_alpha_has_the_rate_of_the_formula(m: int, alpha: float) -> None:
    rate = alpha / (1 + alpha) * (m - 1) / m
    P = uniform().overall(m, alpha, 0)
    assert 1 - np.diag(P).mean() == pytest.approx(rate, abs=1e-12)


def test_a_matrix_is_copied_and_its_rows_are_scaled_to_one() -> None:
    table = np.array([[0.5, 0.4999999], [0, 1]])
    noise = matrix(table)
    table[:] = 9
    Q = noise.added(2, 1, 0)
    Q[:] = 7
    np.testing.assert_allclose(noise.added(2, 1, 0).sum(axis=1), 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize("delta", [-0.1, 1.4, float("nan"), float("inf"), "most", None])
def test_delta_outside_its_range_is_refused_with_its_value(delta: object) -> None:
    with pytest.raises(InputError, match=rf"delta is '?{delta}'?; it must lie in \[0, 1\]"):
        structured(delta)


def test_an_unknown_order_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"'confusng' is not a noise order. Did you mean 'confusing'"):
        structured(0.5, "confusng")


@pytest.mark.parametrize("order", ["confusing", "reverse"])
def test_an_order_by_confusability_needs_a_finite_square_matrix(order: str) -> None:
    with pytest.raises(InputError, match=f"order='{order}' needs confusability="):
        structured(0.5, order)
    with pytest.raises(InputError, match=r"confusability has shape \(3, 3\); the data have 4 classes"):
        structured(0.5, order, np.ones((3, 3))).added(4, 1, 0)
    holed = np.ones((3, 3))
    holed[0, 1] = np.nan
    with pytest.raises(InputError, match=r"confusability contains nan \(1 of 9"):
        structured(0.5, order, holed)
    with pytest.raises(InputError, match="confusability is no table of numbers"):
        structured(0.5, order, [[1, 2], [3]])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[0.5, 0.6], [0, 1]], r"row 0 of the noise matrix sums to 1\.1"),
        ([[1, 0], [0, 0]], "row 1 of the noise matrix sums to 0"),
        ([[0.5, 0.5, 0], [0.5, 0.5, 0]], r"shape \(2, 3\); it must be square"),
        ([0.5, 0.5], r"shape \(2,\)"),
        ([[1, 0], [-0.25, 1.25]], r"has -0\.25 at \[1, 0\]"),
        ([[1, 0], [float("nan"), 1]], r"has nan at \[1, 0\]"),
        ([[float("inf"), 0], [0, 1]], r"has inf at \[0, 0\]"),
        ([["a", "b"], ["c", "d"]], "no table of numbers .*'a'"),
        ([[1, 0], [1]], "no table of numbers"),
        (np.empty((0, 0)), "shape \\(0, 0\\)"),
    ],
)
def test_a_matrix_that_breaks_a_rule_is_refused_with_what_is_wrong(table: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        matrix(table)


def test_a_matrix_that_looks_like_that_of_all_labels_is_said_to_be_that_of_the_added_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _say_once.cache_clear()
    for table in ([[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.6, 0.4]]):
        matrix(table)
    assert caplog.messages == []
    for _ in range(2):
        matrix([[0.6, 0.4], [0.4, 0.6]])
    (message,) = caplog.messages
    assert "T itself is the noise `transition`" in message


def test_a_matrix_of_another_number_of_classes_is_refused_when_used() -> None:
    with pytest.raises(InputError, match="the noise matrix has 3 rows; the data have 10 classes"):
        matrix(np.eye(3)).added(10, 1, 0)


@pytest.mark.parametrize(
    ("noise", "text"),
    [
        (uniform(), "uniform()"),
        (structured(0.5, "confusing", np.ones((3, 3))), "structured(delta=0.5, order='confusing')"),
        (matrix(np.eye(4)), "matrix(4×4)"),
        (observed(), "observed()"),
    ],
)
def test_the_repr_of_a_noise_model_is_short(noise: LabelNoise, text: str) -> None:
    assert repr(noise) == text
