"""Names and texts from files, with escapes for characters that no page, table or terminal should get."""

import re
import unicodedata

MAX_LENGTH = 500
"""Characters of a text on one line of a terminal, such as an error."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that a terminal obeys: controls but tab and end of line, and reversals of what follows."""

_ESCAPED = {"Cc", "Cs", "Zl", "Zp"}  # controls, halves of characters, separators of lines and paragraphs
_TURNS_TEXT = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # reverse what follows


def printable(text: str) -> str:
    r"""Return a text with escapes in place of control characters and of bytes that are not UTF-8.

    Names of files may contain both: ``caf\xe9.png`` is the byte 0xE9 of a name in Latin-1, which Python
    decodes to half a character that cannot be encoded.

    Parameters
    ----------
    text
        Any text, such as a name from ``os.listdir``.
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def one_line(text: str, max_length: int = MAX_LENGTH) -> str:
    r"""Return a text as a part of one line: ends of lines and controls escaped, a long one cut.

    Parameters
    ----------
    text
        Any text, such as the name of a machine.
    max_length
        Characters after which it is cut.
    """
    return printable(text) if len(text) <= max_length else f"{printable(text[:max_length])}…"


def last_line(text: str) -> str:
    """Return the last line of an error that is not blank, as :func:`one_line` does."""
    lines = [line for line in text.splitlines() if line.strip()]
    return one_line(lines[-1].strip()) if lines else "no reason was kept"


def without_controls(text: str) -> str:
    r"""Return a text of several lines with escapes in place of control characters.

    Unlike :func:`printable` it keeps what is only no word: tabs, ends of lines, halves of characters. It is
    fast for a whole page.

    Parameters
    ----------
    text
        Any text.
    """
    return _CONTROL.sub(lambda match: _escaped(match[0]), text)


def page_bytes(text: str) -> bytes:
    r"""Return a page in UTF-8, with escapes in place of control characters and of halves of characters."""
    return without_controls(text).encode("utf-8", "backslashreplace")


def _escaped(character: str) -> str:
    code = ord(character)
    if unicodedata.category(character) not in _ESCAPED and character not in _TURNS_TEXT:
        return character
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode has it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
