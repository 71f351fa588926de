"""The function `train`: its arguments are checked before anything is trained."""

import pytest
import torch

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training import TrainConfig, TrainTask, train


def test_arguments_that_do_not_match_are_refused():
    digits = load("digits")
    noisy = Dilution(digits.train, 1, n=50)
    with pytest.raises(InputError, match="train takes a Dilution"):
        train("mlp1", digits.train, test=digits.test)
    with pytest.raises(InputError, match=r"test is a DataSet.*test split"):
        train("mlp1", noisy, test=digits)
    other = Arrays(torch.zeros(9, 1, 5, 5, dtype=torch.uint8), torch.arange(9), digits.train.classes)
    with pytest.raises(InputError, match=r"test images are \(1, 5, 5\).*training images \(1, 8, 8\)"):
        train("mlp1", noisy, test=other)
    with pytest.raises(InputError, match="seed is -1"):
        train("mlp1", noisy, test=digits.test, seed=-1)


def test_the_repr_of_a_task_leaves_the_data_out():
    digits = load("digits")
    task = TrainTask("mlp1", Dilution(digits.train, 1, n=50), digits.test, 0, 5, TrainConfig(lr=0.5))
    assert repr(task) == (
        "TrainTask(model='mlp1', noisy=Dilution(n=50, alpha=1.0, noise=uniform(), seed=0, examples=100), "
        "n_val=5, seed=0, config=TrainConfig(lr=0.5))"
    )
