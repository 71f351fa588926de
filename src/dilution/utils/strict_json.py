"""JSON of strangers: whatever is wrong with a text is a ValueError, however deep or long it is."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Return the value that a JSON text describes.

    Parameters
    ----------
    text
        The text; bytes in UTF-8, UTF-16 or UTF-32.

    Raises
    ------
    ValueError
        If it is no JSON, a whole number in it has more digits than Python converts, or its lists and objects
        lie too deep in one another; the text says which.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError:
        raise ValueError("its lists or objects lie too deep in one another") from None
    except ValueError:  # the limit of conversions, whose message names a function of Python
        raise ValueError("a whole number in it has more than 4,300 digits") from None
