"""DivideMix: the examples are divided by their losses, and those with doubtful labels count as unlabelled."""

import math
import warnings
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from dilution.errors import InputError
from dilution.training.losses import Loss
from dilution.training.strategies.base import Procedure, Strategy, StrategyContext, TrainingBatch
from dilution.training.strategies.examples import Examples
from dilution.training.strategies.networks import Network


class DivideMix(Strategy):
    """DivideMix (Li, Socher & Hoi 2020): two networks, division by losses, and MixMatch.

    After `warm_up` epochs of plain training of both networks, each epoch begins with a division: a mixture of
    two normal distributions is fitted to the losses of all examples under a network, scaled to 0 … 1. The
    probability w of the component with the smaller mean is that of a correct label, and the *other* network
    takes the examples with w > τ as labelled, the rest as unlabelled. In each batch, with y the label and p
    the mean prediction of a network over `views` augmentations, the targets are

    labelled: q = w y + (1 − w) p; unlabelled: q = (p₁ + p₂)/2; both sharpened: q ← q^(1/T) / Σ_k q_k^(1/T).

    Images and targets are mixed with those of a random permutation j of all views, with β from Beta(α, α):

    x' = λ x + (1 − λ) x_j; q' = λ q + (1 − λ) q_j; λ = max(β, 1 − β).

    The loss, with π uniform, f the prediction for x' and f̄ its mean over the batch, is the sum of

    the mean of −Σ_k q'_k log f_k over labelled examples, λ_u times the mean of (q'_k − f_k)² over unlabelled
    ones, and Σ_k π_k log(π_k / f̄_k). λ_u is `lambda_u` · min(1, e/`ramp_epochs`) with e complete epochs since
    the warm-up, so it is 0 in the first epoch after it.

    Parameters
    ----------
    warm_up
        Epochs of plain training. Published: 10 for CIFAR-10, 30 for CIFAR-100.
    threshold
        τ, from 0 to below 1. Published: 0.5, and 0.6 with 90 % noise.
    temperature
        T, above 0, at most 1. Published: 0.5.
    lambda_u
        Largest λ_u. Published for symmetric noise in CIFAR-10: 0 at 20 %, 25 at 50 % and 80 %, 50 at 90 %.
    ramp_epochs
        Epochs in which λ_u grows, by an equal step from one epoch to the next. Published: 16.
    alpha
        α of the mixing. Published: 4.
    views
        Augmentations of each image. Published: 2.
    penalty
        Weight of the negative entropy that is added to the loss of the warm-up. Published: 0 for symmetric
        noise, 1 for asymmetric noise.
    """

    name: ClassVar[str] = "divide_mix"
    networks: ClassVar[int | None] = 2
    # Trained on two views, which both predict; all examples predicted. 5.3 where views are equal.
    cost: ClassVar[float | None] = 6.0

    warm_up: Annotated[int, Field(ge=0)] = 10
    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.5
    temperature: Annotated[float, Field(gt=0, le=1)] = 0.5
    lambda_u: Annotated[float, Field(ge=0)] = 25.0
    ramp_epochs: Annotated[float, Field(gt=0)] = 16.0
    alpha: Annotated[float, Field(gt=0)] = 4.0
    views: Annotated[int, Field(ge=1, le=8)] = 2
    penalty: Annotated[float, Field(ge=0)] = 0.0

    def check_loss(self, loss: Loss) -> None:
        if loss.text != "cross_entropy":
            raise InputError(
                f"strategy is {self.text!r} and loss is {loss.text!r}; the strategy has a loss of its own, "
                "made of cross entropy and squared errors. Leave loss out, or give strategy='plain'."
            )

    def check(self, context: StrategyContext) -> None:
        if context.epochs <= self.warm_up:
            shorter = self.model_copy(update={"warm_up": int(context.epochs / 3)})
            raise InputError(
                f"strategy is {self.text!r}, which trains plainly for {self.warm_up} epochs, and the "
                f"training has {context.epochs:.3g}. Give strategy={shorter.text!r}, or more than "
                f"{self.warm_up} epochs."
            )

    def of_replica(self, context: StrategyContext) -> Procedure:
        return _DivideMix(self, context)


class _DivideMix(Procedure):
    networks = 2
    clean: Tensor  # (2, examples): for each network the probability of a correct label

    def __init__(self, strategy: DivideMix, context: StrategyContext) -> None:
        super().__init__()
        self._strategy, self._classes = strategy, context.classes
        self.register_buffer("clean", torch.ones(2, context.examples))

    def start_epoch(self, networks: Sequence[Network], examples: Examples, epoch: int) -> None:
        if epoch >= self._strategy.warm_up:
            for number, network in enumerate(networks):
                self.clean[1 - number] = clean_probabilities(examples.losses(network))

    def forward(self, networks: Sequence[Network], batch: TrainingBatch) -> Tensor:
        if batch.epoch < self._strategy.warm_up:
            return torch.stack([self._warm_up_loss(network, batch) for network in networks]).sum()
        views = [batch.view(number) for number in range(self._strategy.views)]
        p = [_mean_prediction(network, views) for network in networks]
        labels = F.one_hot(batch.labels, self._classes).float()
        losses = []
        for network, own, w in zip(networks, p, self.clean[:, batch.index, None], strict=True):
            labelled = w > self._strategy.threshold
            q = torch.where(labelled, w * labels + (1 - w) * own, (p[0] + p[1]) / 2)
            q = (q.log() / self._strategy.temperature).softmax(dim=1)
            losses.append(self._mixed_loss(network, views, q, labelled[:, 0], batch))
        return torch.stack(losses).sum()

    def _warm_up_loss(self, network: Network, batch: TrainingBatch) -> Tensor:
        logits = network(batch.images)
        log_f = logits.log_softmax(dim=1)
        negative_entropy = (log_f.exp() * log_f).sum(dim=1)
        losses: Tensor = batch.losses(logits) + self._strategy.penalty * negative_entropy
        return losses.mean()

    def _mixed_loss(
        self, network: Network, views: list[Tensor], q: Tensor, labelled: Tensor, batch: TrainingBatch
    ) -> Tensor:
        """Return the loss of a network on its mixed images."""
        strategy = self._strategy
        x, q, labelled = torch.cat(views), q.repeat(len(views), 1), labelled.repeat(len(views))
        beta = batch.random.beta(strategy.alpha, strategy.alpha)
        weight = max(beta, 1 - beta)
        partner = torch.from_numpy(batch.random.permutation(len(x))).to(x.device)
        x, q = torch.lerp(x[partner], x, weight), torch.lerp(q[partner], q, weight)
        log_f = network(x).log_softmax(dim=1)
        log_mean = log_f.logsumexp(dim=0) - math.log(len(x))
        loss: Tensor = -(log_mean + math.log(self._classes)).mean()  # the term with π
        if bool(labelled.any()):
            loss = loss - (q * log_f).sum(dim=1)[labelled].mean()
        if not bool(labelled.all()):
            ramp = min(1.0, (batch.epoch - strategy.warm_up) / strategy.ramp_epochs)
            loss = loss + strategy.lambda_u * ramp * (q - log_f.exp()).square()[~labelled].mean()
        return loss


def _mean_prediction(network: Network, views: list[Tensor]) -> Tensor:
    """Return the mean probabilities over augmentations of the same images, shape (b, classes)."""
    predictions: dict[int, Tensor] = {}
    for view in views:  # without augmentation all views are one tensor, which is predicted once
        if id(view) not in predictions:
            predictions[id(view)] = network.predict(view).softmax(dim=1)
    return torch.stack([predictions[id(view)] for view in views]).mean(dim=0)


def clean_probabilities(losses: Tensor) -> Tensor:
    """Return the probability of a correct label by the loss of each example.

    Parameters
    ----------
    losses
        Losses of all examples, shape (examples,).

    Returns
    -------
    Tensor
        float32, shape (examples,): the probability of the component with the smaller mean, of two normal
        distributions; 1 for all if the losses are equal, or not finite, as those of a diverged network.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    low, high = losses.min(), losses.max()
    if not bool((high - low).isfinite()) or not bool(high > low):
        return torch.ones_like(losses)
    scaled = ((losses - low) / (high - low)).double().cpu().numpy()[:, None]
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)  # as published
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten iterations are published, converged or not
        mixture.fit(scaled)
    probabilities = mixture.predict_proba(scaled)[:, mixture.means_.argmin()]
    return torch.from_numpy(probabilities).to(losses)
