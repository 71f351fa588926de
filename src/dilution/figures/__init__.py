"""The figures of Rolnick, Veit, Belongie and Shavit (2017), and figures beyond the paper."""

from dilution.figures.registry import FIGURES, PAPER_FIGURES, get_figure, list_figures
from dilution.figures.reproduce import estimate, reproduce
from dilution.figures.store_report import Reproduction, judge_claims, report

__all__ = [
    "FIGURES",
    "PAPER_FIGURES",
    "Reproduction",
    "estimate",
    "get_figure",
    "judge_claims",
    "list_figures",
    "report",
    "reproduce",
]
