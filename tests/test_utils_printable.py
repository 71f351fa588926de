"""Names of files in pages, tables and terminals."""

import os

from hypothesis import given
from hypothesis import strategies as st

from dilution.utils.printable import printable


@given(st.binary(max_size=20))
def test_any_name_of_a_file_can_be_written_as_utf8_in_one_line(name: bytes) -> None:
    text = printable(os.fsdecode(name))
    assert text.encode().decode() == text
    assert len(text.splitlines()) <= 1
    assert not any(ord(character) < 32 for character in text)


def test_text_of_any_language_stays_and_controls_are_escaped() -> None:
    for text in ("cat/1.png", "日本 é", "👩\u200d👩\u200d👧", "a\u00a0b"):
        assert printable(text) == text
    assert printable("caf\udce9\x1b[2J\n\u2028\u202e.png") == r"caf\xe9\x1b[2J\x0a\u2028\u202e.png"
