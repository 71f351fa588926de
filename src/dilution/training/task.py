"""The description of one training in memory."""

from dataclasses import dataclass

from dilution.data import Arrays
from dilution.noise import Dilution
from dilution.training.config import TrainConfig


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
        Clean examples held out for validation.
    config
        Configuration of the training; an estimator ignores it.
    compare_gradients
        Whether the gradient over noisy labels is compared with that over clean ones at the end of the
        training of a model; see :func:`dilution.training.gradients.compare_gradients`.
    """

    model: str
    noisy: Dilution
    test: Arrays
    seed: int
    n_val: int
    config: TrainConfig
    compare_gradients: bool = False

    def __repr__(self) -> str:
        """Return the task without its data sets."""
        return (
            f"TrainTask(model={self.model!r}, noisy={self.noisy!r}, n_val={self.n_val}, seed={self.seed}, "
            f"config={self.config!r})"
        )
