"""Descriptions that are taken from docstrings."""

import inspect
from collections.abc import Callable
from typing import Any


def returned(function: Callable[..., Any]) -> str:
    """Return what a function returns, by the first line of its docstring: "Return …" without "Return".

    Markup and the full stop are left out. Empty if Python runs with ``-OO``, which removes docstrings.
    """
    first_line = (inspect.getdoc(function) or "").partition("\n")[0]
    return first_line.removeprefix("Return ").rstrip(".").replace("``", "")
