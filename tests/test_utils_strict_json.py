"""JSON of strangers is a value, or a ValueError that says what is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.utils.strict_json import parse_json

BAD = {
    "deep": ("[" * 900_000, "too deep"),
    "deep objects": ('{"a":' * 900_000, "too deep"),
    "digits": ("9" * 5000, "more than 4,300 digits"),
    "cut off": ('{"a": [1,', "Expecting"),
    "empty": ("", "Expecting"),
    "no UTF-8": (b'"\xff"', "utf-8"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_a_value_error(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text)


@given(st.binary() | st.text())
def test_any_text_is_a_value_or_a_value_error(text: str | bytes) -> None:
    try:
        json.dumps(parse_json(text))
    except ValueError:
        return
