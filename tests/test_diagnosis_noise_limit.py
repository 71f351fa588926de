"""A limit on the noise rate: which bound decides, and the exit code that follows."""

from types import SimpleNamespace

import pytest

from dilution.diagnosis.noise_limit import EXIT_CODES, check_limit, parse_share
from dilution.errors import InputError
from dilution.utils.estimate import Estimate


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), (" 5 % ", 0.05), ("0.05", 0.05), ("0", 0), ("99.5%", 0.995)]
)
def test_a_share_is_written_in_percent_or_as_a_fraction(text, share):
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["5", "-1%", "100%", "1", "five", "", "nan", "5%%", "1e-2"])
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"--fail-above is .*such as 5% or 0.05") as caught:
        parse_share(text, "--fail-above")
    assert ("For 5 % give 5%." in str(caught.value)) == (text == "5")


@pytest.mark.parametrize(
    ("interval", "is_upper_bound", "learned", "verdict"),
    [
        ((0.01, 0.02, 0.05), False, True, "within"),
        ((0.01, 0.02, 0.051), False, True, "undecided"),
        ((0.05, 0.06, 0.07), False, True, "undecided"),
        ((0.051, 0.06, 0.07), False, True, "above"),
        ((0.2, 0.3, 0.4), True, True, "undecided"),
        ((0.0, 0.01, 0.04), True, True, "within"),
        ((0.0, float("nan"), 0.9), False, False, "undecided"),
    ],
)
def test_labels_are_above_a_limit_only_if_the_lower_bound_is(interval, is_upper_bound, learned, verdict):
    low, value, high = interval
    diagnosis = SimpleNamespace(
        noise_rate=Estimate(value, low, high), is_upper_bound=is_upper_bound, learned=learned
    )
    check = check_limit(diagnosis, 0.05)
    assert check.verdict == verdict
    assert check.exit_code == {"within": 0, "above": 1, "undecided": 3}[verdict] == EXIT_CODES[verdict]
    assert "above 5 %" in check.sentence
    assert check.sentence.startswith("Undecided") == (verdict == "undecided")
