"""Training strategies by name: what a step does with a batch, for one or several networks."""

from dilution.training.strategies.base import Procedure, Strategy, StrategyContext, TrainingBatch
from dilution.training.strategies.co_teaching import CoTeaching
from dilution.training.strategies.custom import CustomStrategy
from dilution.training.strategies.divide_mix import DivideMix
from dilution.training.strategies.examples import Examples
from dilution.training.strategies.networks import AveragedNetworks, Network, join_networks
from dilution.training.strategies.plain import Plain
from dilution.training.strategies.registry import STRATEGIES, list_strategies, resolve_strategy

__all__ = [
    "STRATEGIES",
    "AveragedNetworks",
    "CoTeaching",
    "CustomStrategy",
    "DivideMix",
    "Examples",
    "Network",
    "Plain",
    "Procedure",
    "Strategy",
    "StrategyContext",
    "TrainingBatch",
    "join_networks",
    "list_strategies",
    "resolve_strategy",
]
