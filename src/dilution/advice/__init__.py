"""How to train a network under label noise."""

from dilution.advice.advise import Advice, advise
from dilution.advice.explain import answer, growth, reasons
from dilution.advice.page import write_advice

__all__ = ["Advice", "advise", "answer", "growth", "reasons", "write_advice"]
