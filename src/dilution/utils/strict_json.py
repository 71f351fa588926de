"""JSON of strangers: whatever is wrong with a text is a ValueError, however deep or long it is."""

import json
from typing import Any


def parse_json(text: str | bytes, *, constants: bool = True) -> Any:
    """Return the value that a JSON text describes.

    Parameters
    ----------
    text
        The text; bytes in UTF-8, UTF-16 or UTF-32.
    constants
        Whether NaN and Infinity are read, which JSON itself does not have.

    Raises
    ------
    ValueError
        If it is no JSON, a whole number in it has more digits than Python converts, or its lists and objects
        lie too deep in one another; the text says which.
    """
    try:
        return json.loads(text, parse_constant=None if constants else _refuse_constant)
    except (json.JSONDecodeError, UnicodeDecodeError, _ConstantError):
        raise
    except RecursionError:
        raise NestedTooDeeplyError("its lists or objects lie too deep in one another") from None
    except ValueError:  # the limit of conversions, whose message names a function of Python
        raise ValueError("a whole number in it has more than 4,300 digits") from None


class NestedTooDeeplyError(ValueError):
    """Lists and objects lie deeper in one another than Python follows."""


class _ConstantError(ValueError):
    """A constant that JSON does not have."""


def _refuse_constant(name: str) -> None:
    raise _ConstantError(f"{name} is no number of JSON")
