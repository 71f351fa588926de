"""Bootstrap intervals of the noise fit."""

import pytest
from noisy_predictions import noisy_predictions, transition_at

from dilution.diagnosis.bootstrap import bootstrap, interval
from dilution.diagnosis.noise_fit import fit_noise


def noise_rate_interval(predictions, samples, seed=0):
    fit = fit_noise(predictions)
    fits = bootstrap(predictions, fit, samples=samples, seed=seed)
    return interval(fit, fits, lambda sample: sample.noise_rate)


@pytest.mark.trains
def test_intervals_contain_the_estimate_and_shrink_with_more_examples():
    widths = []
    for n in (500, 8000):
        estimate = noise_rate_interval(noisy_predictions(transition_at(0.3), n=n)[0], samples=40)
        assert estimate.low <= estimate.value <= estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths[1] < widths[0] / 2


@pytest.mark.trains
def test_most_intervals_contain_the_true_noise_rate():
    covered = 0
    for seed in range(12):
        predictions, true = noisy_predictions(transition_at(0.4), n=800, seed=seed)
        estimate = noise_rate_interval(predictions, samples=20, seed=seed)
        covered += estimate.low <= (predictions.labels != true).mean() <= estimate.high
    assert covered >= 10  # 80 %


def test_the_same_seed_gives_the_same_samples():
    predictions, _ = noisy_predictions(transition_at(0.3), n=300)
    fit = fit_noise(predictions)
    first, again, other = (
        [sample.noise_rate for sample in bootstrap(predictions, fit, samples=3, seed=seed)]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_an_alternative_fit_widens_the_interval_by_its_difference():
    predictions, _ = noisy_predictions(transition_at(0.3), n=300)
    fit = fit_noise(predictions)
    fits = bootstrap(predictions, fit, samples=5)
    other = fits[0]
    narrow = interval(fit, fits, lambda sample: sample.noise_rate)
    wide = interval(fit, fits, lambda sample: sample.noise_rate, other)
    difference = abs(other.noise_rate - fit.noise_rate)
    assert narrow.low - wide.low == pytest.approx(difference)
    assert wide.high - narrow.high == pytest.approx(difference)
