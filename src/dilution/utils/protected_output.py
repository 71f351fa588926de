"""Output that loses no work: characters that a terminal lacks, a closed pipe, a closed terminal."""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, cast

from dilution.utils.printable import printable, without_controls

_READER_IS_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EIO, errno.ENXIO, errno.EBADF)
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT)
_ASCII = "dilution-ascii"
_ERRORS = "dilution-transliterate"
_TRANSLITERATIONS = {
    "α": "alpha", "η": "eta", "δ": "delta", "×": "x", "·": "*", "±": "+-", "−": "-", "–": "-", "—": "-",
    "≤": "<=", "≥": ">=", "≈": "~", "→": "->", "…": "...", "█": "#", "√": "sqrt", "¼": "1/4", "½": "1/2",
    "∞": "inf", "’": "'", "‘": "'", "“": '"', "”": '"', "²": "^2", "σ": "sigma", "μ": "mu",
}  # fmt: skip
"""Characters of this program's own sentences. Others, such as those of names, are escaped."""


@contextmanager
def protected_output(*, controls: bool = False) -> Iterator[OutputFile | None]:
    """Have standard output and standard error lose no work within a ``with`` block.

    Characters that their encoding lacks are transliterated or escaped. Once nobody reads a stream any more,
    what is written to it is dropped, so that the program can finish. So is progress on standard error when
    its disk is full; results on standard output are not.

    Parameters
    ----------
    controls
        Whether control characters are written as they are. Otherwise they are escaped: a terminal would obey
        those in the name of a file, a class or a study.

    Yields
    ------
    OutputFile or None
        The file of standard output; None if standard output is closed, or was replaced by the caller.
    """
    streams = sys.stdout, sys.stderr
    codecs.register_error(_ERRORS, _transliterate)
    errors_ignored = (*_READER_IS_GONE, *_DISK_IS_FULL)
    sys.stdout = _protected(sys.stdout, sys.__stdout__, _READER_IS_GONE, controls=controls)
    sys.stderr = _protected(sys.stderr, sys.__stderr__, errors_ignored, controls=controls)
    try:
        yield sys.stdout.file if isinstance(sys.stdout, _OutputStream) else None
    finally:
        sys.stdout, sys.stderr = streams


def with_controls(stream: TextIO) -> TextIO:
    """Return a stream to the same place on which control characters are not escaped.

    It is for a program's own bar of progress: texts of others must be escaped before.

    Parameters
    ----------
    stream
        Any stream; one that is not protected is returned as it is.
    """
    return cast("TextIO", _Unescaped(stream)) if isinstance(stream, _OutputStream) else stream


def show_passing(stream: TextIO, line: str) -> None:
    """Show a line in place of the one at the cursor, which stays at its beginning for whatever comes next.

    Parameters
    ----------
    stream
        A terminal, protected or not.
    line
        The line, in which control characters are escaped; empty text removes the one that is there.
    """
    stream = with_controls(stream)
    stream.write(f"\r\x1b[2K{printable(line)}\r")
    stream.flush()


class OutputFile(io.RawIOBase):
    """A file descriptor that accepts everything once its reader is gone.

    Parameters
    ----------
    descriptor
        The file descriptor.
    ignored
        Numbers of the errors after which nothing is written any more.
    """

    def __init__(self, descriptor: int, ignored: Sequence[int] = _READER_IS_GONE) -> None:
        self._descriptor, self._ignored = descriptor, ignored
        self.reader_is_gone = False

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write bytes and return how many were written, or dropped because the reader is gone."""
        while not self.reader_is_gone:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # a terminal that another program left in non-blocking mode
                select.select([], [self._descriptor], [])
            except OSError as error:
                if error.errno not in self._ignored:
                    raise
                self.reader_is_gone = True
        return len(data)


class _OutputStream(io.TextIOWrapper):
    """A text stream to an :class:`OutputFile`."""

    def __init__(self, file: OutputFile, encoding: str, *, controls: bool = False) -> None:
        super().__init__(io.BufferedWriter(file), encoding=encoding, errors=_ERRORS, line_buffering=True)
        self.file, self._controls = file, controls

    def write(self, text: str) -> int:
        """Write a text, with escapes for control characters."""
        return super().write(text if self._controls else without_controls(text))

    def write_controls(self, text: str) -> int:
        """Write a text of this program as it is."""
        return super().write(text)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding. ASCII has a name of its own: click takes it for a mistake and would write UTF-8."""
        name = super().encoding
        return _ASCII if codecs.lookup(name).name == "ascii" else name


class _Unescaped:
    """A protected stream on which control characters are not escaped."""

    def __init__(self, stream: _OutputStream) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text of this program as it is."""
        return self._stream.write_controls(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _find_ascii(name: str) -> codecs.CodecInfo | None:
    """Return the codec of the own name of ASCII: libraries look up the encoding of standard output."""
    if name.replace("_", "-") != _ASCII:
        return None
    codec = codecs.lookup("ascii")
    return codecs.CodecInfo(
        codec.encode,
        codec.decode,
        codec.streamreader,
        codec.streamwriter,
        codec.incrementalencoder,
        codec.incrementaldecoder,
        name=_ASCII,
    )


codecs.register(_find_ascii)


def _protected(stream: Any, original: Any, ignored: Sequence[int], *, controls: bool) -> Any:
    """Return a protected stream to the file of a stream; the stream itself if it is not the original one."""
    if stream is None or stream is not original:
        return stream
    stream.flush()
    return _OutputStream(OutputFile(stream.fileno(), ignored), stream.encoding, controls=controls)


def _transliterate(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII text for characters that cannot be encoded, and the position after them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_TRANSLITERATIONS.get(character) or _escape(character) for character in text), error.end


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode()
