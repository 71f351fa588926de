"""The loss of the networks of a fit: by option, in Python, in the classifier; which are refused, and why."""

import numpy as np
import pytest
import torch
from commands import dilution, refused, succeeded
from sklearn.base import clone

from dilution import Execution, InputError, NoisyLabelClassifier, fit
from dilution.fitting.learners import NetworkLearner
from dilution.training import trainer

QUIET = {"folds": 2, "n_bootstrap": 2, "execution": Execution(progress=False)}


def table(n=90, seed=0):
    """Return features and labels of three classes; a quarter is wrong, so that few epochs are best."""
    random = np.random.default_rng(seed)
    true = np.arange(n) % 3
    features = (3 * np.eye(3)[true] + random.normal(size=(n, 3))).astype(np.float32)
    return features, np.where(random.random(n) < 0.25, (true + 1) % 3, true)


@pytest.mark.trains
@pytest.mark.usefixtures("first_budgets", "small_forests")
def test_networks_learn_with_the_loss_and_other_models_keep_their_own():
    data, settings = table(), QUIET | {"method": "plain", "n_models": 1}
    plain, gce = fit(data, **settings), fit(data, loss="gce(q=0.70)", **settings)
    assert "mlp2 learns with the loss gce; sklearn:forest, sklearn:logistic keep their own" in gce.notes
    assert not any("learns with the loss" in note for note in plain.notes)
    assert gce.model.facts["loss"] == "gce"
    assert "loss" not in plain.model.facts
    images = plain_images()
    for number, (first, second) in enumerate(zip(plain.model.members, gce.model.members, strict=True)):
        are_equal = np.array_equal(first.probabilities(images), second.probabilities(images))
        assert are_equal == (number > 0)  # the networks come first


@pytest.mark.trains
@pytest.mark.usefixtures("first_budgets")
def test_a_loss_of_ones_own_fits_as_the_built_in_one_with_its_formula(module):
    name = module("""
        def factory(q=0.7):
            def loss(logits, labels):
                f = logits.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
                return (1 - f**q) / q
            loss.linear = True
            return loss
    """)
    data, settings = table(), QUIET | {"method": "plain", "model": "mlp1", "n_models": 1}
    own, built_in = (fit(data, loss=loss, **settings) for loss in (f"{name}:factory(q=0.4)", "gce(q=0.4)"))
    assert own.model.facts["loss"] == f"{name}:factory(q=0.4)"
    images = plain_images()
    np.testing.assert_allclose(
        own.model.probabilities(images), built_in.model.probabilities(images), atol=1e-3
    )


def plain_images():
    return torch.from_numpy(table()[0])[:, :, None, None]


@pytest.mark.trains
@pytest.mark.usefixtures("first_budgets")
def test_cross_entropy_by_name_gives_the_bits_of_the_default():
    data, settings = table(), QUIET | {"method": "plain", "model": "mlp1", "n_models": 1}
    images = plain_images()
    expected = fit(data, **settings).model.probabilities(images)
    np.testing.assert_array_equal(
        fit(data, loss="cross_entropy", **settings).model.probabilities(images), expected
    )


def test_forward_correction_is_not_trained_with_another_loss(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[recipe]\nloss = "mae"\n')
    assert NetworkLearner("mlp1").takes_transition
    assert NetworkLearner("mlp1", loss="cross_entropy").takes_transition
    assert not NetworkLearner("mlp1", loss="gce").takes_transition
    assert not NetworkLearner("mlp1", recipe).takes_transition
    assert NetworkLearner("mlp1", recipe, loss="cross_entropy").takes_transition  # in place of the recipe's


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "gec"}, "'gec' is not a loss. Did you mean 'gce'"),
        ({"loss": "gce(r=1)"}, "'r' is not a parameter of this loss"),
        ({"loss": 3}, "loss is 3; it must be a name"),
        ({"loss": "elr"}, "loss is 'elr', which depends on more than logits and one label.*Use one of"),
        ({"loss": "forward"}, "Use --method forward"),
        ({"loss": "gce", "model": "sklearn:forest"}, "sklearn:forest, which has a loss of its own"),
    ],
)
def test_losses_that_cannot_be_used_are_refused_before_anything_is_trained(options, words, monkeypatch):
    monkeypatch.setattr(trainer, "_loss", None)
    with pytest.raises(InputError, match=words):
        fit(table(), **QUIET, **options)


@pytest.mark.trains
@pytest.mark.usefixtures("first_budgets")
def test_the_command_line_and_the_classifier_take_it(tmp_path):
    features, labels = table()
    rows = ["a,b,c,label", *[f"{a},{b},{c},x{y}" for (a, b, c), y in zip(features, labels, strict=True)]]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    words = ["fit", "table.csv", "--loss", "gce(q=0.3)", "--model", "mlp1", "--method", "plain", "--folds", 2]
    result = dilution(*words, cwd=tmp_path)
    succeeded(result)
    assert "note: mlp1 learns with the loss gce(q=0.3)\n" in result.stderr
    refused(dilution(*words[:3], "gec", cwd=tmp_path), "Did you mean 'gce'")
    settings = {"method": "plain", "model": "mlp1", "loss": "gce(q=0.3)", "folds": 2, "n_bootstrap": 2}
    classifier = clone(NoisyLabelClassifier(random_state=0, **settings)).fit(features, labels)
    assert classifier.get_params()["loss"] == "gce(q=0.3)"
    assert classifier.model_.facts["loss"] == "gce(q=0.3)"
