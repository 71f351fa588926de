"""The figures of Rolnick, Veit, Belongie and Shavit (2017), one module each."""

from dilution.figures.registry import FIGURES, figure
from dilution.figures.reproduce import Reproduction, judged, report, reproduce

__all__ = ["FIGURES", "Reproduction", "figure", "judged", "report", "reproduce"]
