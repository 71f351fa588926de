"""Names of models that a factory of the user makes: ``module:factory``, with parameters in brackets."""

from typing import Any

from dilution.utils.named_call import format_call, parse_call
from dilution.utils.references import is_reference

_BRACKET = "("


def reference_of(name: str) -> str:
    """Return a name without its parameters: ``"my_nets:small"`` of ``"my_nets:small(width=8)"``."""
    return name.partition(_BRACKET)[0].strip()


def is_own(name: str) -> bool:
    """Return whether a name has the form ``module:factory`` or ``module:factory(parameter=value)``."""
    return is_reference(reference_of(name))


def split_name(name: str) -> tuple[str, dict[str, Any]]:
    """Return the factory ``module:name`` and its parameters.

    Raises
    ------
    InputError
        If the text between the brackets has another form.
    """
    return parse_call(name, "model")


def canonical_name(name: str) -> str:
    """Return the name in the one spelling by which runs are identified: parameters sorted.

    Raises
    ------
    InputError
        If the text between the brackets has another form.
    """
    return format_call(*split_name(name))
