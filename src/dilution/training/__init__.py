"""Training on a diluted set."""

from dilution.training.api import train, train_together
from dilution.training.batches import BatchSampler
from dilution.training.checkpoint import Checkpoint
from dilution.training.config import TrainConfig
from dilution.training.confusability import confusability, predicted_probabilities
from dilution.training.device import device_title, resolve_device
from dilution.training.early_stopping import list_early_stopping
from dilution.training.estimators import ESTIMATORS, check_model_name, is_custom, list_estimators
from dilution.training.losses import list_losses
from dilution.training.memory import keep_freed_memory
from dilution.training.model_noise import noise_for_data
from dilution.training.optimizers import list_optimizers
from dilution.training.result import TrainResult
from dilution.training.schedules import list_schedules
from dilution.training.strategies import list_strategies
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
    "list_early_stopping",
    "list_estimators",
    "list_losses",
    "list_optimizers",
    "list_schedules",
    "list_strategies",
    "noise_for_data",
    "predicted_probabilities",
    "resolve_device",
    "resolve_trainable",
    "train",
    "train_together",
]
