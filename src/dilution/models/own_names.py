"""Names of models that a factory of the user makes: ``module:factory``, with parameters in brackets."""

from dilution.utils.named_call import format_call, name_in, parse_call
from dilution.utils.references import is_reference


def names_factory(name: str) -> bool:
    """Return whether a name has the form ``module:factory`` or ``module:factory(parameter=value)``."""
    return is_reference(name_in(name))


def canonical_name(name: str) -> str:
    """Return the name in the one spelling by which models are identified: parameters sorted.

    Raises
    ------
    InputError
        If the text between the brackets has another form.
    """
    return format_call(*parse_call(name, "model"))
