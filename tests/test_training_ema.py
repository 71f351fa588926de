"""The exponential moving average of weights."""

import pytest
import torch

from dilution.training.ema import WeightEMA


def test_the_average_starts_at_the_first_weights_and_follows_exponentially():
    module = torch.nn.Linear(1, 1, bias=False)
    average = WeightEMA(module, 0.75)
    expected = None
    for value in (2.0, 4.0, -8.0):
        torch.nn.init.constant_(module.weight, value)
        average.update()
        expected = value if expected is None else 0.75 * expected + 0.25 * value
        assert float(average.module.weight.detach()) == pytest.approx(expected)
