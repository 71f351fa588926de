"""Models and estimators by name: one type decides how a name is trained."""

import pytest

from dilution.errors import InputError
from dilution.models import MODELS
from dilution.training import ESTIMATORS, check_model_name, is_custom, resolve_trainable

SHAPE = (1, 8, 8)
OWN = """
    from sklearn.naive_bayes import GaussianNB
    from torch import nn

    def model(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

    def estimator(shape, classes):
        return GaussianNB()
"""


@pytest.mark.parametrize("name", [*MODELS, *ESTIMATORS])
def test_models_take_steps_and_estimators_do_not(name):
    assert resolve_trainable(name, SHAPE, 10).takes_steps == (name in MODELS)
    assert not is_custom(name)
    assert check_model_name(name) == name


def test_a_custom_name_is_decided_by_what_its_factory_returns(module):
    name = module(OWN)
    assert resolve_trainable(f"{name}:model", SHAPE, 10).takes_steps
    assert not resolve_trainable(f"{name}:estimator", SHAPE, 10).takes_steps
    assert is_custom(f"{name}:model")
    assert is_custom(f"{name}:estimator")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sklearn:forrest", "'sklearn:forrest' is not an estimator. Did you mean 'sklearn:forest'"),
        ("forest", "'forest' is not a model. Did you mean 'sklearn:forest'"),
        ("conv3", "'conv3' is not a model. Did you mean 'conv"),
        (3, "model is a int; it must be a name"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name, message):
    for refuse in (check_model_name, lambda name: resolve_trainable(name, SHAPE, 10)):
        with pytest.raises(InputError) as refused:
            refuse(name)
        assert message in str(refused.value)
