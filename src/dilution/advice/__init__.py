"""How to train a model under label noise."""

from typing import TYPE_CHECKING, Any

from dilution.advice.advise import advise
from dilution.advice.result import Advice

if TYPE_CHECKING:
    from dilution.advice.page import write_advice

__all__ = ["Advice", "advise", "write_advice"]


def __getattr__(name: str) -> Any:
    if name == "write_advice":  # lazily: matplotlib takes a while to import
        from dilution.advice.page import write_advice

        return write_advice
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
