"""Training on a diluted set."""

from dilution.training.api import train, train_together
from dilution.training.batches import BatchSampler
from dilution.training.checkpoint import Checkpoint
from dilution.training.config import TrainConfig
from dilution.training.confusability import confusability
from dilution.training.device import device_title, resolve_device
from dilution.training.estimators import ESTIMATORS, check_model_name, is_custom, list_estimators
from dilution.training.memory import keep_freed_memory
from dilution.training.result import TrainResult
from dilution.training.task import TrainTask
from dilution.training.trainable import Trainable, resolve_trainable

__all__ = [
    "ESTIMATORS",
    "BatchSampler",
    "Checkpoint",
    "TrainConfig",
    "TrainResult",
    "TrainTask",
    "Trainable",
    "check_model_name",
    "confusability",
    "device_title",
    "is_custom",
    "keep_freed_memory",
    "list_estimators",
    "resolve_device",
    "resolve_trainable",
    "train",
    "train_together",
]
