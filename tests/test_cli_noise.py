from commands import dilution, refused, succeeded


def test_show_noise_prints_the_noise_rate_first_and_then_the_distribution():
    printed = succeeded(dilution("show", "noise", "--alpha", 20, "--delta", 1))
    assert printed.startswith("noise rate 0.8571: 14.29 % of the labels are right")
    assert "wrong 1  14.29 %" in printed


def test_show_noise_prints_the_share_of_the_classes_that_it_leaves_out():
    printed = succeeded(dilution("show", "noise", "--classes", 100))
    assert printed.count("wrong ") == 20 + 1
    assert "75.24 % on 79 more wrong classes" in printed


def test_show_noise_refuses_an_impossible_noise_level():
    refused(dilution("show", "noise", "--alpha", -1), "alpha is -1", "must be")
    refused(dilution("show", "noise", "--alpha", "nan"), "alpha is nan")
    refused(dilution("show", "noise", "--alpha", "many"), "--alpha", "valid number")
    refused(dilution("show", "noise", "--delta", 1.4), "delta is 1.4; it must lie in [0, 1]")
