"""Encodings of text files that name their encoding by a byte order mark."""

import codecs

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def marked_encoding(start: bytes) -> str | None:
    """Return the encoding that a byte order mark names, which decodes without the mark; None without one.

    Parameters
    ----------
    start
        The first bytes of the file, at least four if it has so many.
    """
    return next((encoding for mark, encoding in _ENCODINGS if start.startswith(mark)), None)


def decode_marked(content: bytes) -> str:
    """Return the text of a file in the encoding that its byte order mark names, in UTF-8 without one.

    Raises
    ------
    UnicodeDecodeError
        If the bytes are no text in that encoding.
    """
    return content.decode(marked_encoding(content[:4]) or "utf-8")
