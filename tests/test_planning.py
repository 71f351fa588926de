"""The law of accuracy, and what it answers to somebody who buys labels."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from typer.testing import CliRunner

import dilution
from dilution.cli import app
from dilution.errors import InputError, StoreError
from dilution.planning import Plan, answer
from dilution.planning.accuracy_law import fit_law
from dilution.planning.pilot import Scope, first_runs, next_runs
from dilution.planning.plan import check_learned
from dilution.planning.queries import Kind, cheapest, expected_accuracy, labels_needed, mixed

KAPPA, GAMMA = 1.0, 1.0


def accuracy(n, alpha):
    """Return the accuracy of a world in which theory holds: n counts as n/(1 + alpha)."""
    x = np.log(n / (1 + KAPPA * alpha) ** GAMMA)
    return expit(-6 + 1.2 * x)


def pilot(seed=0, scatter=0.05, largest=4000, alphas=(0.0, 2.0, 5.0, 10.0)):
    random = np.random.default_rng(seed)
    sizes = largest / 2.0 ** np.arange(5)
    n, alpha = (axis.ravel() for axis in np.meshgrid(np.repeat(sizes, 2), alphas))
    share = accuracy(n, alpha)
    noisy = expit(np.log(share / (1 - share)) + random.normal(size=n.shape) * scatter)
    return n, alpha, noisy


@pytest.fixture(scope="module")
def law():
    return fit_law(*pilot(), n_test=10_000)


def true_n(level, alpha):
    return math.exp((math.log(level / (1 - level)) + 6) / 1.2) * (1 + alpha)


@pytest.mark.parametrize("alpha", [0.0, 5.0, 20.0, 50.0])
@pytest.mark.parametrize("level", [0.8, 0.9])
def test_the_examples_needed_lie_in_the_interval_also_beyond_the_noise_of_the_pilot(law, level, alpha):
    low, high = np.quantile(law.needed(level, alpha), [0.02, 0.98])
    assert low <= true_n(level, alpha) <= high
    assert np.median(law.needed(level, alpha)) == pytest.approx(true_n(level, alpha), rel=0.3)


def test_needed_and_accuracy_undo_one_another(law):
    n = law.needed(0.85, 3.0)
    for place in (0, 100, 1000):
        assert law.accuracy(n[place], 3.0)[place] == pytest.approx(0.85, abs=1e-6)


def test_more_examples_never_cost_accuracy(law):
    grown = np.stack([law.accuracy(n, 0.0) for n in np.geomspace(50, 1e8, 60)])
    assert (np.diff(grown, axis=0) >= -1e-12).all()


def test_the_price_of_a_label_is_that_of_theory_where_theory_holds(law):
    low, high = np.quantile(law.exponent(10.0), [0.05, 0.95])
    assert low <= 2 <= high
    assert np.median(law.price(10.0)) == pytest.approx(1 / 121, rel=0.25)


def test_most_intervals_hold_the_truth():
    held = 0
    for seed in range(20):
        drawn = fit_law(*pilot(seed), n_test=10_000).needed(0.9, 30.0)
        low, high = np.quantile(drawn, [0.1, 0.9])
        held += low <= true_n(0.9, 30.0) <= high
    assert held >= 13


def test_an_accuracy_that_no_number_reaches_takes_infinitely_many():
    n, alpha, _ = pilot()
    x = np.log(n / (1 + alpha))
    law = fit_law(n, alpha, expit(2 - 0.3 * (9 - x) ** 2), n_test=10_000)
    assert np.isinf(law.needed(0.99, 0.0)).mean() > 0.5
    assert "levels off" in labels_needed(law, 0.99, 0.0).refused


def test_a_question_far_beyond_the_pilot_is_refused_with_the_pilot_that_settles_it(law):
    assert "pilot" in labels_needed(law, 0.9, 200.0).refused
    assert "pilot" in labels_needed(law, 0.9999, 0.0).refused
    assert "pilot" in expected_accuracy(law, 1e9, 0.0).refused
    assert labels_needed(law, 0.9, 20.0).refused == ""


def test_a_pilot_that_is_too_small_is_refused():
    n, alpha, share = pilot()
    with pytest.raises(InputError, match="at least 8"):
        fit_law(n[:6], alpha[:6], share[:6], n_test=100)


@pytest.mark.parametrize(
    ("tested", "least", "accuracy"), [(60, 0.083, 0.15), (1000, 0.8, 0.82), (10_000, 0.1, 0.09)]
)
def test_a_pilot_that_may_have_guessed_is_refused(tested, least, accuracy):
    runs = pd.DataFrame({"n": [50, 50, 100, 100], "alpha": 0.0, "n_test": tested, "majority_share": least})
    with pytest.raises(
        InputError, match=f"learned too little for a plan: its best runs name {accuracy:.1%} of"
    ):
        check_learned(runs.assign(test_acc_at_best_clean_val=[0.05, 0.06, accuracy - 0.01, accuracy + 0.01]))
    check_learned(runs.assign(test_acc_at_best_clean_val=[0.05, 0.06, least + 0.1, least + 0.12]))


def test_a_mixture_of_one_kind_is_that_kind(law):
    alone = mixed(law, np.array([[5000.0, 0.0]]), np.array([4.0, 0.0]))[:, 0]
    n = 1000 / np.exp(law.discount(4.0))
    assert np.median(alone) == pytest.approx(np.median(n), rel=0.02)


@pytest.mark.parametrize(("better", "buys_better"), [(10.0, True), (40.0, False)])
def test_the_cheapest_labels_are_bought(law, better, buys_better):
    # at α = 4 a clean label is worth (1 + 4)² = 25 of them
    mix = cheapest(law, 0.9, (0.0, 4.0), (Kind(4.0, 1.0), Kind(0.0, better)))
    assert (mix.bought[1] > mix.bought[0]) == buys_better
    spent = mix.bought[0] + better * mix.bought[1]
    assert mix.cost == pytest.approx(spent)


def test_nothing_is_advised_that_the_pilot_cannot_defend(law):
    kinds = (Kind(4.0, 1.0), Kind(0.0, 10.0))
    assert labels_needed(law, 0.9999, 0.0).refused
    assert cheapest(law, 0.9999, (0.0, 4.0), kinds) is None
    noisy = (Kind(200.0, 1e-9), Kind(0.0, 10.0))  # nearly free, and far noisier than the pilot
    mix = cheapest(law, 0.9, (1000.0, 200.0), noisy)
    assert mix.bought[0] == 0
    assert not mix.keep


def test_a_plan_without_an_answer_says_so_first(law):
    runs = pd.DataFrame({"alpha": [0.0, 5.0]})
    kinds = (Kind(4.0, 1.0), Kind(0.0, 10.0))
    said = answer(Plan("mine", 0.9999, (0.0, 4.0), kinds, runs, law))
    assert said.startswith("This pilot cannot say how to reach 99.99 %")
    assert "would settle it" in said


def test_labels_that_may_not_be_enough_are_not_said_to_be_enough(law):
    runs = pd.DataFrame({"alpha": [0.0, 5.0]})
    kinds = (Kind(0.0, 1.0), Kind(0.0, 1.0))
    middle = labels_needed(law, 0.8, 0.0)
    for count, words in (
        (1.01 * middle.value, "are probably, not surely, enough"),
        (2 * middle.high, "are enough"),
    ):
        said = answer(Plan("mine", 0.8, (count, 0.0), kinds, runs, law))
        assert f"{words} for 80 %" in said


def test_failed_runs_end_a_plan_with_their_error(tmp_path, module):
    name = module("""
        class Raises:
            def fit(self, x, y):
                raise ValueError("no way")

            def predict_proba(self, x):
                return x


        def make(shape, classes):
            return Raises()
    """)
    with pytest.raises(StoreError, match="no way"):
        dilution.plan(
            "digits", target=0.8, alpha=1, model=f"{name}:make", store=tmp_path / "s.sqlite", workers=0
        )


def test_labels_that_are_enough_cost_nothing(law):
    enough = 3 * true_n(0.8, 2.0) * 3
    assert cheapest(law, 0.8, (enough, 2.0), (Kind(2.0, 1.0), Kind(0.0, 5.0))).cost == 0


def test_very_noisy_labels_are_left_aside_where_better_ones_are_cheap(law):
    mix = cheapest(law, 0.9, (2000.0, 50.0), (Kind(50.0, 1.0), Kind(0.0, 1.0)))
    assert not mix.keep


def test_a_pilot_begins_within_its_scope_and_goes_on_where_it_tells_most(law):
    scope = Scope("digits", "mlp2", 1000, (0.0, 5.0))
    runs = first_runs(scope)
    assert {run.alpha for run in runs} == {0.0, 5.0}
    assert max(run.n for run in runs) == 1000
    done = pd.DataFrame({"n": [1000], "alpha": [0.0], "seed": [1]})
    more = next_runs(scope, law, done, [(0.9, 20.0)])
    assert len({run.key for run in more} | {run.key for run in runs}) == len(more) + len(runs)
    assert all(run.seed >= 2 for run in more)
    assert any(run.alpha == 5.0 for run in more)


def test_where_each_image_has_one_label_a_run_takes_more_images():
    scope = Scope("digits", "mlp2", 1000, (0.0, 4.0), label_mode="replaced")
    noisy = [run for run in first_runs(scope) if run.alpha == 4.0]
    assert noisy
    assert max(run.n for run in noisy) <= 1000
    assert all(run.label_mode == "replaced" for run in noisy)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"target": 1.2, "alpha": 1}, "1.2"),
        ({"target": 0.9}, "neither"),
        ({"target": 0.9, "alpha": 1, "eta": 0.2}, "both"),
        ({"target": 0.9, "eta": 0.95}, "0.95"),
        ({"target": 0.9, "alpha": -1}, "-1"),
    ],
)
def test_wrong_questions_are_refused(settings, says, tmp_path):
    with pytest.raises(InputError, match=says):
        dilution.plan("digits", store=tmp_path / "plan.sqlite", **settings)


def test_the_command_answers_and_writes_a_page(tmp_path):
    words = ["plan", "digits", "--target", "0.8", "--alpha", "3", "--better-price", "20", "--model"]
    words += [
        "perceptron",
        "--pilot-n",
        "800",
        "--runs",
        "20",
        "--workers",
        "0",
        "--out",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(
        app, [*words, "--store", str(tmp_path / "plan.sqlite")], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "1/(1 + α)²" in result.output
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert page.index("80 %") < page.index("<svg") < page.index("<h3>Method</h3>")
    assert len(pd.read_csv(tmp_path / "out" / "pilot.csv")) >= 20


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": 0.05}, "commonest class alone"),
        ({"target": 0.9, "pilot_n": 100}, "a pilot takes at least 240"),
    ],
)
def test_a_pilot_that_could_say_nothing_is_refused_before_it_trains(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        dilution.plan("digits", alpha=1, **changes, store=tmp_path / "plan.sqlite", workers=0)
    assert not (tmp_path / "plan.sqlite").exists()


@pytest.mark.parametrize(
    "call", [lambda data, **how: dilution.plan(data, target=0.9, **how), dilution.advise]
)
def test_a_class_with_one_example_is_refused(tmp_path, call):
    random = np.random.default_rng(0)
    labels = np.r_[np.arange(600) % 2, 2]
    np.savez(tmp_path / "single.npz", features=random.normal(size=(601, 3)), labels=labels)
    with pytest.raises(InputError, match="has 1 example"):
        call(str(tmp_path / "single.npz"), alpha=1, store=tmp_path / "s.sqlite", workers=0)
