"""The gradient noise scale against theory and against autograd."""

import numpy as np
import pytest
import torch

import dilution
from dilution.advice.half_trained import train_halfway
from dilution.advice.noise_scale import forward_corrected_gradient, measure_noise_scale
from dilution.errors import InputError
from dilution.noise import Dilution


def blobs(n=4000, classes=4, seed=0):
    """Return Gaussian classes that overlap, as rows of features."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = random.normal(size=(classes, 16))
    features = (centres[labels] + 0.8 * random.normal(size=(n, 16))).astype(np.float32)
    return dilution.from_numpy(
        features=features, labels=labels, test_features=features[:200], test_labels=labels[:200]
    )


@pytest.fixture(scope="module")
def scales():
    data = blobs().train
    model = train_halfway("mlp1", Dilution(data, 0), 400, seed=0)
    return [measure_noise_scale(model, Dilution(data, alpha), seed=0) for alpha in (0.0, 3.0)]


@pytest.mark.trains
def test_the_noise_scale_grows_as_the_square_of_the_labels_per_clean_one(scales):
    clean, noisy = scales
    assert 4**1.5 < noisy.label.value / clean.label.value < 4**2.5
    assert noisy.label.low < noisy.label.value < noisy.label.high


@pytest.mark.trains
def test_pooling_divides_the_noise_scale_by_about_the_labels_per_image(scales):
    clean, noisy = scales
    assert clean.label.value == pytest.approx(clean.image.value, rel=0.2)
    assert 2 < noisy.label.value / noisy.image.value < 8


@pytest.mark.trains
def test_the_noise_scale_is_that_of_all_gradients_at_once():
    """Compare with |G|² and tr Σ from the gradient of every image, by autograd."""
    data = blobs(n=512).train
    noisy = Dilution(data, 0)
    model = train_halfway("perceptron", noisy, 51, seed=1)
    gradients = []
    for image, label in zip(data.images, data.labels, strict=True):
        model.module.zero_grad()
        logits = model.module(model.prepare(image[None]))
        torch.nn.functional.cross_entropy(logits, label[None]).backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.module.parameters()]))
    stacked = torch.stack(gradients).double()
    trace = float(stacked.var(dim=0).sum())
    square = float((stacked.mean(dim=0) ** 2).sum()) - trace / len(stacked)
    scale = measure_noise_scale(model, noisy, seed=0)
    assert scale.image.value == pytest.approx(trace / square, rel=0.05)


def test_the_forward_corrected_gradient_is_that_of_its_loss():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 3, generator=random, dtype=torch.float64, requires_grad=True)
    transition = torch.rand(3, 3, generator=random, dtype=torch.float64)
    transition /= transition.sum(dim=1, keepdim=True)
    weights = torch.rand(7, 3, generator=random, dtype=torch.float64)
    loss = -(weights * (logits.softmax(dim=1) @ transition).log()).sum() / 7
    loss.backward()
    torch.testing.assert_close(forward_corrected_gradient(logits.detach(), weights, transition), logits.grad)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    as_weights = torch.nn.functional.one_hot(labels, 3).double()
    torch.testing.assert_close(
        forward_corrected_gradient(logits.detach(), as_weights, transition),
        forward_corrected_gradient(logits.detach(), labels, transition),
    )


@pytest.mark.trains
def test_too_few_examples_for_a_noise_scale_are_refused():
    data = blobs(n=100).train
    model = train_halfway("mlp1", Dilution(data, 0), 10, seed=0)
    with pytest.raises(InputError, match="at least 128"):
        measure_noise_scale(model, Dilution(data, 1), seed=0)
