"""How many labels to buy, and of which quality."""

from typing import TYPE_CHECKING, Any

from dilution.planning.plan import plan
from dilution.planning.queries import LabelKind, PlanEstimate, Purchase
from dilution.planning.result import Plan

if TYPE_CHECKING:
    from dilution.planning.page import write_plan

__all__ = ["LabelKind", "Plan", "PlanEstimate", "Purchase", "plan", "write_plan"]


def __getattr__(name: str) -> Any:
    if name == "write_plan":  # lazily: matplotlib takes a while to import
        from dilution.planning.page import write_plan

        return write_plan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
