"""The description of one training in memory."""

from dataclasses import dataclass

from torch import Tensor

from dilution.data import Arrays
from dilution.noise import Dilution
from dilution.training.config import TrainConfig
from dilution.training.kept_weights import KeptStep


@dataclass(frozen=True)
class TrainTask:
    """One training: a model or estimator, its data, seed and configuration.

    Parameters
    ----------
    model
        Name of a model or estimator, as for :func:`dilution.train`.
    noisy
        The diluted set. Its n clean examples include the validation examples.
    test
        Test split.
    seed
        Root seed of the initial weights, the batch order and the augmentation.
    n_val
        Clean examples held out for validation; none with label weights.
    config
        Configuration of the training. An estimator refuses a loss, mixup, a strategy and early stopping, and
        ignores the other settings.
    compare_gradients
        Whether the gradient over noisy labels is compared with that over clean ones at the end of the
        training of a model; see :func:`dilution.training.gradients.compare_gradients`.
    label_weights
        Targets in place of the labels: weights of the classes for each row of the data, float32, shape
        (rows, classes), which pooled targets show. Then all examples are trained on and nothing is evaluated.
    transition
        T[true, noisy] of forward correction, float32, shape (classes, classes); see
        :func:`dilution.training.losses.forward_corrected`. Default: cross entropy.
    compress
        Whether normalised features are compressed; see :class:`dilution.training.evaluation.Normalise`.
    keep
        The step whose weights the model of the result has: ``"last"``; ``"best_noisy_val"``, the evaluation
        with the lowest cross entropy on noisy validation labels; ``"best_noisy_acc"``, that with the highest
        accuracy on them; or ``"best_clean_val"``, that with the highest accuracy on clean ones.
    """

    model: str
    noisy: Dilution
    test: Arrays
    seed: int
    n_val: int
    config: TrainConfig
    compare_gradients: bool = False
    label_weights: Tensor | None = None
    transition: Tensor | None = None
    compress: bool = False
    keep: KeptStep = "last"

    def __repr__(self) -> str:
        """Return the task without its data sets."""
        return (
            f"TrainTask(model={self.model!r}, noisy={self.noisy!r}, n_val={self.n_val}, seed={self.seed}, "
            f"config={self.config!r})"
        )
