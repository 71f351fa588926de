"""What a user names as ``module:name``: functions and classes of their own."""

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from dilution.errors import InputError, unknown

_loaded: dict[str, str] = {}
"""SHA-256 of the file of each module as it was when it was imported here."""


def is_reference(name: str) -> bool:
    """Return whether a name is written as one of an object in a module: ``"my_nets:small"``."""
    module, _, attribute = name.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def resolve(name: str, kind: str) -> Any:
    """Import the object that ``module:name`` names.

    Modules are found as ``python -m`` finds them: in the current directory first. Importing a module runs
    its code. A module whose file has changed since it was imported here is imported anew, so that what runs
    is what :func:`source_digest` identifies.

    Parameters
    ----------
    name
        Such as ``"my_nets:small"``; attributes of attributes have dots.
    kind
        What it is to be, for messages: ``"model"``.

    Returns
    -------
    object
        A function or class, or another object that can be called.

    Raises
    ------
    InputError
        If it is not written like that, the module does not exist or raises on import, there is nothing of
        this name in it, or what there is cannot be called.
    """
    if not is_reference(name):
        raise InputError(
            f"{kind} is {name!r}; an object of your own is written module:name, such as "
            "'my_module:my_function' for my_function in my_module.py of the folder you are in."
        )
    module, _, attributes = name.partition(":")
    found: Any = _module(module, kind, name)
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise InputError(f"{kind} is {name!r}: {_missing(found, module, attribute)}")
        found = getattr(found, attribute)
    if not callable(found):
        raise InputError(
            f"{kind} is {name!r}, which is {_a(found)}; it must be a function or class, which is called."
        )
    return found


def source_digest(name: str, kind: str) -> str:
    """Return the SHA-256 of the file of the module in ``module:name``; of that file alone.

    Parameters
    ----------
    name, kind
        As :func:`resolve` takes them.

    Raises
    ------
    InputError
        If the module is in no file, as one that was typed into an interpreter.
    """
    module = name.partition(":")[0]
    file = getattr(_module(module, kind, name), "__file__", None)
    if file is None or not Path(file).is_file():
        raise InputError(
            f"{kind} is {name!r}, in a module without a file; what identifies a run must be in one. Save it "
            "as a module, such as my_module.py in the folder you are in, and give 'my_module:name'."
        )
    return _digest(file)


def raised(error: BaseException) -> str:
    """Say which exception a user's code raised, and what it says."""
    said = str(error).strip()
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _module(module: str, kind: str, name: str) -> ModuleType:
    """Import a module, anew if its file has changed."""
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)  # for good, as `python -m` does: its functions may import when called
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    try:
        found = importlib.import_module(module)
        file = getattr(found, "__file__", None)
        digest = _digest(file) if file and Path(file).is_file() else ""
        if _loaded.setdefault(module, digest) != digest:
            found = importlib.reload(found)
            _loaded[module] = digest
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module}.".startswith(f"{missing}."):
            raise InputError(
                f"{kind} is {name!r}, and there is no module {missing} in {folder} or among the packages "
                f"that are installed. Go to the folder that holds {missing}.py, or mend the name."
            ) from None
        raise InputError(
            f"{kind} is {name!r}, and importing {module} raised {raised(error)}. Mend the module; "
            f"`python -c 'import {module}'` shows where."
        ) from None
    return found


def _missing(found: Any, module: str, attribute: str) -> str:
    """Say that there is nothing of a name, and which functions and classes there are."""
    names = [
        name
        for name, each in vars(found).items()
        if not name.startswith("_") and callable(each) and getattr(each, "__module__", "") == module
    ]
    if not names:
        return f"{module} has no {attribute!r}, and no function or class of its own."
    return str(unknown(f"function or class in {module}", attribute, names))


def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _a(thing: object) -> str:
    """Return the kind of an object, with its article."""
    kind = type(thing).__name__
    return f"an {kind}" if kind[0].lower() in "aeiou" else f"a {kind}"
