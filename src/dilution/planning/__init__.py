"""How many labels to buy, and of which quality."""

from dilution.planning.page import write_plan
from dilution.planning.plan import plan
from dilution.planning.queries import LabelKind, PlanEstimate, Purchase
from dilution.planning.result import Plan

__all__ = ["LabelKind", "Plan", "PlanEstimate", "Purchase", "plan", "write_plan"]
