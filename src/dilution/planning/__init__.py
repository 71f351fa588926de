"""How many labels to buy, and of which quality."""

from dilution.planning.page import answer, details, write_plan
from dilution.planning.plan import Plan, plan

__all__ = ["Plan", "answer", "details", "plan", "write_plan"]
