"""The remedy where a model file names code of a user, which a file alone never has run."""

import shlex

from dilution.models import names_factory


def trust_remedy(file: str, argument: str, name: str, function: str) -> str:
    """Return how a user who trusts the code that a model file names loads the model.

    Parameters
    ----------
    file
        The model file.
    argument
        Argument of :func:`dilution.load_model`, and option of the command line, that names the code.
    name
        What the file names: ``module:name``, or another text for an object of a program.
    function
        What to pass for such an object: ``"the function"``.
    """
    if not names_factory(name):
        return f"Pass {function}: dilution.load_model({file!r}, {argument}=function)."
    return (
        f"If you trust that code, name it: dilution.load_model({file!r}, {argument}={name!r}), or "
        f"--{argument} {shlex.quote(name)} on the command line."
    )
