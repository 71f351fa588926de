"""The gradient under label noise beside that of the clean labels, at the weights of a trained model.

Cross entropy is linear in the label, so the gradient over all n(1 + α) labels is that over the n images with
the histogram of their labels in place of single ones. If wrong labels cancelled, it would be the gradient
over the n clean labels divided by 1 + α: shorter, and of the same direction (Rolnick et al. 2017, section 5).
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.training.config import Targets
from dilution.training.evaluation import Normalise

_BATCH_SIZE = 500


@dataclass(frozen=True)
class GradientComparison:
    """The gradient over noisy labels beside that over clean ones.

    Parameters
    ----------
    ratio
        Length of the noisy gradient, divided by that of the clean one.
    cosine
        Cosine of the angle between both.
    """

    ratio: float
    cosine: float


def compare_gradients(
    model: nn.Module, normalise: Normalise, training: Dilution, targets: Targets = "pooled"
) -> GradientComparison:
    """Return how the mean gradient over all labels differs from that over the clean ones.

    Layers behave as in an evaluation, so that no gradient depends on a batch.

    Parameters
    ----------
    model
        The model; it is not changed.
    normalise
        Normalisation of its images.
    training
        The training set; its noisy examples show the same images as the clean ones.
    targets
        ``"expected"``: the expected histogram of the labels of an image takes the place of the drawn one.

    Raises
    ------
    InputError
        If the noisy examples show other images, or a gradient is zero or not finite.
    """
    if training.image_source.name != "same":
        raise InputError(
            f"image_source is {training.image_source.name!r}; gradients over noisy and over clean labels are "
            "compared on the same images. Give image_source='same'."
        )
    model = copy.deepcopy(model).to(training.data.device).eval()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    sums = torch.zeros(2, sum(weight.numel() for weight in weights), dtype=torch.float64)
    for index in torch.arange(training.n, device=training.data.device).split(_BATCH_SIZE):
        rows = training.clean_rows[index]
        images, true = normalise(training.data.take(rows)), training.data.labels[rows]
        logits = model(images)
        clean = nn.functional.one_hot(true, training.classes).float()
        noisy = _label_weights(training, index, true, targets)
        for place, target in enumerate((noisy, clean)):
            by_logits = logits.detach().softmax(dim=1) * target.sum(dim=1, keepdim=True) - target
            parts = torch.autograd.grad(logits, weights, by_logits, retain_graph=place == 0)
            sums[place] += torch.cat([part.flatten() for part in parts]).double().cpu()
    lengths = sums.norm(dim=1)
    if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
        raise InputError(
            "a gradient is zero or not finite; two directions cannot be compared. Use fewer steps or a "
            "smaller learning rate."
        )
    return GradientComparison(float(lengths[0] / lengths[1]), float(sums[0] @ sums[1] / lengths.prod()))


def _label_weights(training: Dilution, index: Tensor, true: Tensor, targets: Targets) -> Tensor:
    """Return weights of the labels of images, of sum 1 on average, float32 of shape (b, classes)."""
    if targets == "expected":
        overall = torch.as_tensor(training.overall, dtype=torch.float32, device=true.device)
        return overall[true]
    return training.histogram(index).float() * (training.n / len(training))
