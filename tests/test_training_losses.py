"""Cross entropy of labels and of weights, and its gradient."""

import pytest
import torch

from dilution.training.losses import cross_entropy, cross_entropy_with_gradient, forward_corrected


def test_cross_entropy_is_linear_in_the_target():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]], dtype=torch.float64)
    log_f = logits.log_softmax(dim=1)
    labels = torch.tensor([0, 2])
    expected = -(log_f[0, 0] + log_f[1, 2]) / 2
    assert float(cross_entropy(logits, labels)) == pytest.approx(float(expected))
    one_hot = torch.nn.functional.one_hot(labels, 3).double()
    assert float(cross_entropy(logits, one_hot)) == pytest.approx(float(expected))
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.5, 0.5]], dtype=torch.float64)
    assert float(cross_entropy(logits, weights)) == pytest.approx(float(-(weights * log_f).sum() / 2))


@pytest.mark.parametrize("kind", ["labels", "weights"])
def test_the_gradient_is_that_of_autograd_for_each_replica(kind):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 7, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(5, (2, 7), generator=generator)
    weights = torch.rand(2, 7, 5, generator=generator, dtype=torch.float64)
    targets = labels if kind == "labels" else weights
    losses, gradient = cross_entropy_with_gradient(logits, targets)
    expected = cross_entropy(logits, targets)
    expected.sum().backward()
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(gradient, logits.grad)


def test_forward_corrected_compares_labels_with_their_predicted_distribution():
    logits = torch.tensor([[[1.0, 0.0, -1.0], [0.5, 0.5, 3.0]]], dtype=torch.float64)
    transition = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.4, 0.6]]], dtype=torch.float64)
    loss, _ = forward_corrected(transition)(logits, torch.tensor([[2, 1]]))
    noisy = logits.softmax(dim=-1) @ transition
    assert float(loss) == pytest.approx(-float(noisy[0, 0, 2].log() + noisy[0, 1, 1].log()) / 2)


def test_forward_correction_with_the_identity_is_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    weights = torch.rand(2, 6, 4, generator=generator, dtype=torch.float64)
    identity = torch.eye(4, dtype=torch.float64).expand(2, 4, 4)
    for expected, given in zip(
        cross_entropy_with_gradient(logits, weights),
        forward_corrected(identity)(logits, weights),
        strict=True,
    ):
        torch.testing.assert_close(given, expected)


def test_one_transition_matrix_serves_all_replicas_together_and_each_alone():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (2, 6), generator=generator)
    transition = torch.rand(4, 4, generator=generator, dtype=torch.float64).softmax(dim=-1)
    together = forward_corrected(transition)(logits, labels)
    alone = [forward_corrected(transition)(logits[replica], labels[replica]) for replica in range(2)]
    for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(whole, torch.stack(parts))
    separately = forward_corrected(torch.stack([transition] * 2))(logits, labels)
    torch.testing.assert_close(separately, together)


@pytest.mark.parametrize("columns", [4, 8])  # with 8, the last four are labels that were looked up
def test_the_gradient_of_forward_correction_is_that_of_autograd(columns):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 6, columns, generator=generator, dtype=torch.float64)
    transitions = torch.rand(2, 4, columns, generator=generator, dtype=torch.float64).softmax(dim=-1)
    losses, gradient = forward_corrected(transitions)(logits, weights)
    expected = -(weights * (logits.softmax(dim=-1) @ transitions).log()).sum(dim=(-2, -1)) / 6
    expected.sum().backward()
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(gradient, logits.grad)
