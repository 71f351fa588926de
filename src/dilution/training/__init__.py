"""Training on a diluted set."""

from dilution.training.batches import BatchSampler
from dilution.training.checkpoint import Checkpoint
from dilution.training.config import TrainConfig
from dilution.training.confusability import confusability
from dilution.training.device import device_of, device_title
from dilution.training.estimators import ESTIMATORS, kind_of
from dilution.training.memory import keep_freed_memory
from dilution.training.probe import seconds_per_step
from dilution.training.result import TrainResult
from dilution.training.trainer import Task, train, train_together

__all__ = [
    "ESTIMATORS",
    "BatchSampler",
    "Checkpoint",
    "Task",
    "TrainConfig",
    "TrainResult",
    "confusability",
    "device_of",
    "device_title",
    "keep_freed_memory",
    "kind_of",
    "seconds_per_step",
    "train",
    "train_together",
]
