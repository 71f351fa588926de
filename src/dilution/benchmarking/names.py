"""Names between commas, which may have parameters in brackets."""

from collections.abc import Sequence

from dilution.errors import InputError, short_repr
from dilution.utils.named_call import split_outside_brackets


def split_names(names: str | Sequence[str], option: str, example: str) -> list[str]:
    """Return names from a list, or from a text in which commas outside brackets separate them.

    Parameters
    ----------
    names
        The names, or the text.
    option
        What they are, for messages: ``"methods"``.
    example
        A correct text, for messages.

    Raises
    ------
    InputError
        If there is none, or one of them is empty or no text.
    """
    parts = split_outside_brackets(names, ",") if isinstance(names, str) else list(names)
    if not parts or not all(isinstance(name, str) and name.strip() for name in parts):
        raise InputError(
            f"{option} is {short_repr(names)}; it must be names between commas, such as {example}."
        )
    return [name.strip() for name in parts]
