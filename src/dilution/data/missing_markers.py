"""Texts that mark missing values in many files. In features they are missing values, in labels classes."""

MISSING_MARKERS = frozenset(
    (
        *("#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "None", "n/a", "null"),
        *("-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "NaN", "nan"),
    )
)
"""As pandas has them."""
