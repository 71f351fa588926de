"""How to train a model under label noise."""

from dilution.advice.advise import advise
from dilution.advice.page import write_advice
from dilution.advice.result import Advice

__all__ = ["Advice", "advise", "write_advice"]
