"""Training on a diluted set."""

from dilution.train.batches import BatchOrderer
from dilution.train.confusion import confusability
from dilution.train.loop import TrainResult, train
from dilution.train.settings import TrainSettings

__all__ = ["BatchOrderer", "TrainResult", "TrainSettings", "confusability", "train"]
