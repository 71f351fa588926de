"""Schedules of the learning rate by name, with parameters, and ``module:function`` of the user."""

from dilution.training.schedules.base import LrFactor, Schedule
from dilution.training.schedules.builtin import Constant, Cosine, Linear, Step
from dilution.training.schedules.own import OwnSchedule
from dilution.training.schedules.registry import SCHEDULES, list_schedules, resolve_schedule

__all__ = [
    "SCHEDULES",
    "Constant",
    "Cosine",
    "Linear",
    "LrFactor",
    "OwnSchedule",
    "Schedule",
    "Step",
    "list_schedules",
    "resolve_schedule",
]
