"""HTML for notebooks: an answer and a table."""

from html import escape

import pandas as pd

_MAX_ROWS = 20


def notebook_html(answer: str, table: pd.DataFrame | None = None) -> str:
    """Return an answer and a table as HTML, with every text escaped.

    Parameters
    ----------
    answer
        The answer.
    table
        The main table; a long one is shortened. None: no table.
    """
    paragraph = f"<p>{escape(answer)}</p>"
    if table is None:
        return paragraph
    cells = table.to_html(index=False, max_rows=_MAX_ROWS, float_format="{:.4g}".format, border=0)
    return f"{paragraph}\n{cells}"
