"""How to train a network under label noise."""

from dilution.advice.advising import Advice, advise
from dilution.advice.page import write_advice
from dilution.advice.reasons import answer, growth, reasons

__all__ = ["Advice", "advise", "answer", "growth", "reasons", "write_advice"]
