"""A number with its interval as text."""

from dilution.utils.estimate import Estimate


def test_an_estimate_is_given_with_its_interval():
    assert Estimate(0.301, 0.2841, 0.329).percent() == "30.1 % [28.4, 32.9]"
    assert Estimate(0.301, 0.2841, 0.329).percent(0) == "30 % [28, 33]"
    assert Estimate(1234.4, 1000, 1500).text(",.0f") == "1,234 [1,000, 1,500]"
