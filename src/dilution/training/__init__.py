"""Training on a diluted set."""

from dilution.training.batches import BatchOrderer
from dilution.training.confusion import confusability
from dilution.training.loop import TrainResult, train
from dilution.training.settings import TrainSettings

__all__ = ["BatchOrderer", "TrainResult", "TrainSettings", "confusability", "train"]
