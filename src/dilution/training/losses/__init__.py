"""Losses by name, with parameters: one file each, and ``module:factory`` of the user."""

from dilution.training.losses.backward import Backward
from dilution.training.losses.base import LabelLoss, Loss, LossContext, log_softmax
from dilution.training.losses.bootstrap_hard import BootstrapHard
from dilution.training.losses.bootstrap_soft import BootstrapSoft
from dilution.training.losses.cross_entropy import CrossEntropy, cross_entropy, cross_entropy_with_gradient
from dilution.training.losses.custom import CustomLoss
from dilution.training.losses.elr import ELR
from dilution.training.losses.forward import Forward, forward_corrected
from dilution.training.losses.gce import GCE
from dilution.training.losses.gradient import ExampleLosses, LossWithGradient, of_replica
from dilution.training.losses.label_smoothing import LabelSmoothing
from dilution.training.losses.mae import MAE
from dilution.training.losses.phuber import PHuber
from dilution.training.losses.registry import LOSSES, list_losses, resolve_loss
from dilution.training.losses.sce import SCE
from dilution.training.losses.transition import TransitionLoss

__all__ = [
    "ELR",
    "GCE",
    "LOSSES",
    "MAE",
    "SCE",
    "Backward",
    "BootstrapHard",
    "BootstrapSoft",
    "CrossEntropy",
    "CustomLoss",
    "ExampleLosses",
    "Forward",
    "LabelLoss",
    "LabelSmoothing",
    "Loss",
    "LossContext",
    "LossWithGradient",
    "PHuber",
    "TransitionLoss",
    "cross_entropy",
    "cross_entropy_with_gradient",
    "forward_corrected",
    "list_losses",
    "log_softmax",
    "of_replica",
    "resolve_loss",
]
