"""What models learn under each method, and where a method is not offered."""

from types import SimpleNamespace

import numpy as np
import pytest

from dilution.diagnosis.noise_fit import NoiseFit
from dilution.fitting.methods import METHODS, make_targets, obstacle

UNIFORM = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
NONE_VERIFIED = np.full(12, -1)


def noise(transition=UNIFORM, probs=None):
    """Return a noise fit; by default the models are sure of the classes 0, 1 and 2 in turns."""
    probs = np.full((12, 3), 0.01) + 0.97 * np.eye(3)[np.arange(12) % 3] if probs is None else probs
    return NoiseFit(transition, 1.0, np.zeros(3), probs, np.full(3, 1 / 3), transition)


def diagnosed(learned=True):
    return SimpleNamespace(learned=learned, labels=LABELS, classes=("a", "b", "c"))


def targets(method, verified=NONE_VERIFIED, weights=None, fit=None):
    weights = np.ones(12) if weights is None else weights
    return make_targets(method, LABELS, verified, weights, fit or noise(), 3)


def test_plain_keeps_every_label_with_the_weight_of_its_example():
    weights = np.arange(12.0)
    given = targets("plain", weights=weights)
    assert given.transition is None
    np.testing.assert_array_equal(given.weights.sum(axis=1), weights)
    np.testing.assert_array_equal(given.weights[1:].argmax(axis=1), LABELS[1:])


def test_prune_gives_label_issues_no_weight_and_reweight_that_of_being_right():
    p_wrong = noise().judge_labels(LABELS).p_wrong
    assert 0 < (p_wrong > 0.5).sum() < 12
    np.testing.assert_array_equal(targets("prune").weights.sum(axis=1), p_wrong <= 0.5)
    np.testing.assert_allclose(targets("reweight").weights.sum(axis=1), 1 - p_wrong)


def test_forward_keeps_the_labels_and_names_the_transition_matrix():
    given = targets("forward")
    np.testing.assert_array_equal(given.transition, UNIFORM)
    np.testing.assert_array_equal(given.weights.argmax(axis=1), LABELS)


@pytest.mark.parametrize("method", METHODS)
def test_verified_labels_count_in_full_under_every_method(method):
    verified = NONE_VERIFIED.copy()
    verified[0], verified[5] = 2, 1
    given = targets(method, verified)
    assert given.weights[0].sum() == given.weights[5].sum() == 1
    assert given.weights[0].argmax() % 3 == 2
    assert given.weights[5].argmax() % 3 == 1


def test_verified_labels_are_no_noisy_ones_to_forward_correction():
    verified = NONE_VERIFIED.copy()
    verified[0] = 2
    given = targets("forward", verified)
    np.testing.assert_array_equal(given.transition, np.hstack([UNIFORM, np.eye(3)]))
    assert given.weights[0].tolist() == [0, 0, 0, 0, 0, 1]
    assert given.weights[1].tolist() == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("method", ["forward", "prune", "reweight"])
def test_methods_are_not_offered_without_a_model_that_learned_or_without_noise(method):
    assert "no better" in obstacle(
        method, diagnosed(learned=False), noise(), takes_transition=True, takes_weights=True
    )
    clean = noise(np.eye(3) * 0.994 + 0.002)
    assert "nothing to correct" in obstacle(
        method, diagnosed(), clean, takes_transition=True, takes_weights=True
    )
    assert (
        not obstacle(method, diagnosed(), noise(), takes_transition=True, takes_weights=True)
        or method == "prune"
    )


def test_forward_needs_networks_and_classes_that_labels_tell_apart():
    assert "only networks" in obstacle(
        "forward", diagnosed(), noise(), takes_transition=False, takes_weights=True
    )
    blurred = noise(np.full((3, 3), 1 / 3) + 0.01 * np.eye(3) - 0.01 / 3)
    assert "nearly singular" in obstacle(
        "forward", diagnosed(), blurred, takes_transition=True, takes_weights=True
    )


def test_prune_keeps_examples_of_every_class():
    sure_of_b = np.full((12, 3), 0.005)
    sure_of_b[:, 1] = 0.99
    assert "class 'a' would remain" in obstacle(
        "prune", diagnosed(), noise(probs=sure_of_b), takes_transition=True, takes_weights=True
    )
    of_labels = noise(probs=np.full((12, 3), 0.01) + 0.97 * np.eye(3)[LABELS])
    assert "no label" in obstacle("prune", diagnosed(), of_labels, takes_transition=True, takes_weights=True)


def test_plain_is_always_offered():
    assert not obstacle(
        "plain", diagnosed(learned=False), noise(), takes_transition=False, takes_weights=True
    )


def test_reweight_needs_models_that_take_weights():
    assert not obstacle("reweight", diagnosed(), noise(), takes_transition=True, takes_weights=True)
    reason = obstacle("reweight", diagnosed(), noise(), takes_transition=True, takes_weights=False)
    assert "takes no sample_weight" in reason
