"""Names with parameters in one text, ``name(key=value, …)``: read without executing anything, and written."""

import ast
import hashlib
import math
import re
import warnings
from collections import Counter
from typing import Any

from dilution.errors import InputError, short_repr
from dilution.utils.printable import one_line
from dilution.utils.whole_numbers import check_digits

_MAX_LENGTH = 1_000_000  # characters
_MATRIX = re.compile(r"\(\([^()\[\]]*\)(?:, ?\([^()\[\]]*\))*,?\)|\[\[[^()\[\]]*\](?:, ?\[[^()\[\]]*\])*\]")
_LONGEST_MATRIX = 40  # characters of a matrix that is shown as it is
_MAX_NAME = 100  # characters of a name in a message
_EXAMPLES = {
    "loss": "gce(q=0.3)",
    "model": "my_nets:small(width=8)",
    "noise": "symmetric(rate=0.4)",
    "strategy": "co_teaching(forget_rate=0.2)",
    "optimizer": "adam(beta2=0.98)",
    "schedule": "cosine(warmup=0.05)",
    "early_stopping": "noisy_val(patience=5)",
}


def name_in(text: str) -> str:
    """Return the name in a text, without its parameters: ``"gce"`` of ``"gce(q=0.3)"``."""
    return text.partition("(")[0].strip()


def parse_call(text: str, kind: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the parameters in a text such as ``"gce(q=0.3)"``.

    Values are literals of Python: numbers, texts, truth values, None, and lists of these. A list becomes a
    tuple.

    Parameters
    ----------
    text
        A name, or a name with parameters in brackets.
    kind
        What the text stands for, for messages: ``"loss"``.

    Raises
    ------
    InputError
        If the text has another form.
    """
    _, bracket, rest = text.partition("(")
    name = name_in(text)
    if not bracket:
        return name, {}
    return name, {keyword.arg: _value(keyword, text, kind) for keyword in _keywords(name, rest, text, kind)}


def shorten_matrices(text: str) -> str:
    """Return a text in which long matrices are short: ``"transition(T=<10 x 10, 1f3c>)"``.

    The four digits are of a SHA-256 of the numbers as they stand, so that other matrices have other texts.

    Parameters
    ----------
    text
        Any text, such as the name of a noise model with its parameters.
    """
    return _MATRIX.sub(_short_matrix, text)


def _short_matrix(found: re.Match[str]) -> str:
    matrix = found.group()
    if len(matrix) <= _LONGEST_MATRIX:
        return matrix
    rows = matrix.count("[") + matrix.count("(") - 1
    columns = matrix.split(")" if matrix[0] == "(" else "]")[0].count(",") + 1
    return f"<{rows} x {columns}, {hashlib.sha256(matrix.encode()).hexdigest()[:4]}>"


def format_call(name: str, parameters: dict[str, Any]) -> str:
    """Return the text of a name and its parameters, sorted by name: what :func:`parse_call` reads."""
    if not parameters:
        return name
    pairs = (f"{key}={_literal(value)}" for key, value in sorted(parameters.items()))
    return f"{name}({', '.join(pairs)})"


def split_outside_brackets(text: str, separator: str) -> list[str]:
    """Return the parts of a text between separators that are in no brackets and no quotes."""
    parts, start, depth, quote = [], 0, 0, ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and depth:
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth = max(0, depth - 1)
        elif depth == 0 and place >= start and text.startswith(separator, place):
            parts.append(text[start:place])
            start = place + len(separator)
    return [*parts, text[start:]]


def _keywords(name: str, rest: str, text: str, kind: str) -> list[Any]:
    """Return the keyword arguments between the brackets as nodes of a syntax tree."""
    example = f", such as {_EXAMPLES[kind]!r}" if kind in _EXAMPLES else ""
    shown = one_line(name, _MAX_NAME)
    form = f"write {kind}='{shown}(parameter=value)'{example}; values are numbers, texts or lists"
    if len(text) > _MAX_LENGTH:
        raise InputError(
            f"{kind} is a text of {len(text):,} characters; it can have {_MAX_LENGTH:,}. Put a matrix into "
            "a file, and give its path."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of a literal that Python only warns of, such as '\d'
            call = ast.parse(f"f({rest.strip()}", mode="eval").body
    except (SyntaxError, ValueError, Warning, RecursionError, MemoryError) as error:
        reason = str(error).partition(" (")[0] or "it is nested too deeply"
        raise InputError(
            f"{kind} is {short_repr(text)}, which cannot be read: {reason}. So {form}."
        ) from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise InputError(f"{kind} is {short_repr(text)}; there is more behind the brackets. So {form}.")
    names = [keyword.arg for keyword in call.keywords]
    if call.args or None in names:
        raise InputError(f"{kind} is {short_repr(text)}; every parameter needs its name. So {form}.")
    for key, count in Counter(names).items():
        if count > 1:
            shown = one_line(str(key), _MAX_NAME)
            raise InputError(
                f"{kind} is {short_repr(text)}, which gives {shown} twice. Leave one of them out."
            )
    return call.keywords


def _value(keyword: ast.keyword, text: str, kind: str) -> Any:
    shown = one_line(str(keyword.arg), _MAX_NAME)
    try:
        value = _plain(ast.literal_eval(keyword.value))
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise InputError(
            f"{kind} is {short_repr(text)}, and the value of {shown} is no finite number, text or "
            "list. Write texts in quotes."
        ) from None
    check_digits(f"{shown} of {kind}", value)
    return value


def _plain(value: Any) -> Any:
    """Return a literal with lists as tuples; anything else that cannot be written again is a ValueError."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("inf")  # of a literal such as 1e999; its text would be a name
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(type(value).__name__)


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)
