"""Functions and classes outside the package, named as ``module:name``: imported, and identified by source."""

import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from dilution.errors import InputError, unknown

_digests: dict[str, str] = {}
"""SHA-256 of the source file of each module when this process imported it."""
_objects: dict[str, Any] = {}
"""Objects of the user's program by the name that stands for them."""
_search_folder: str | None = None
"""Folder of the modules, in a process with another current folder than the user's."""


def search_modules_in(folder: str) -> None:
    """Have :func:`resolve` search a folder instead of the current one.

    Parameters
    ----------
    folder
        The current folder of the process that a user started, for a process on another machine.
    """
    global _search_folder
    _search_folder = folder


def user_folder() -> Path:
    """Return the folder that relative names refer to: the current one of the process that a user started."""
    return Path(_search_folder or Path.cwd())


def register_object(name: str, value: Any) -> None:
    """Have :func:`resolve` return an object for a name, in this process, instead of importing a module.

    Parameters
    ----------
    name
        ``module:name``, for messages and results; the module need not have such an attribute.
    value
        A function, class or other callable that a program passed.
    """
    _objects[name] = value


def registered_object(name: str) -> Any:
    """Return the object that :func:`register_object` was given under a name; None if there is none."""
    return _objects.get(name)


def is_reference(name: str) -> bool:
    """Return whether a name has the form ``module:name``, such as ``"my_nets:small"``."""
    module, _, attribute = name.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def resolve(name: str, kind: str) -> Any:
    """Import and return the function, class or other callable that ``module:name`` names.

    Modules are found in the current folder first, for this import alone. Afterwards the folder is the last on
    the path: a function may import its neighbours when it is called, and what is installed is found before
    a file of the same name. Importing a module runs its code. A module whose file has changed since its
    import is reloaded, so that the code that runs is the code that :func:`source_digest` identifies.

    Parameters
    ----------
    name
        Such as ``"my_nets:small"``; attributes of attributes are separated by dots.
    kind
        What the name stands for, for messages: ``"model"``.

    Raises
    ------
    InputError
        If the name has another form, the module does not exist or its import raises, it has no such
        attribute, or the attribute cannot be called.
    """
    if not is_reference(name):
        raise InputError(
            f"{kind} is {name!r}; an object of your own is written module:name, such as "
            "'my_module:my_function' for my_function in my_module.py of the current folder."
        )
    if name in _objects:
        return _objects[name]
    module, _, attributes = name.partition(":")
    value: Any = _import(module, kind, name)
    for attribute in attributes.split("."):
        if not hasattr(value, attribute):
            raise InputError(f"{kind} is {name!r}: {_explain_missing(value, module, attribute)}")
        value = getattr(value, attribute)
    if not callable(value):
        type_name = type(value).__name__
        article = "an" if type_name[0].lower() in "aeiou" else "a"
        raise InputError(
            f"{kind} is {name!r}, which is {article} {type_name}; it must be a function or class."
        )
    return value


def source_digest(name: str, kind: str) -> str:
    """Return the SHA-256 of the source file of the module in ``module:name``, not of what that imports.

    Parameters
    ----------
    name, kind
        As in :func:`resolve`.

    Raises
    ------
    InputError
        If the module has no file, as one typed into an interpreter.
    """
    module = name.partition(":")[0]
    file = getattr(_import(module, kind, name), "__file__", None)
    if file is None or not Path(file).is_file():
        raise InputError(
            f"{kind} is {name!r}, in a module without a file; a run is identified by the source file. Save "
            "the module, for example as my_module.py in the current folder, and pass 'my_module:name'."
        )
    return _digest(file)


def describe_exception(error: BaseException) -> str:
    """Return type and message of an exception: ``"ValueError: no rows"``."""
    message = str(error).strip()
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _import(module: str, kind: str, name: str) -> ModuleType:
    """Import a module; reload it if its file has changed."""
    folder = str(user_folder())
    importlib.invalidate_caches()  # the file may be newer than the cached listing of its folder
    sys.path.insert(0, folder)
    try:
        is_by_others = module in sys.modules and module not in _digests
        imported = importlib.import_module(module)
        file = getattr(imported, "__file__", None)
        digest = _digest(file) if file and Path(file).is_file() else ""
        is_stale = is_by_others and _changed_since_import(imported)
        if _digests.setdefault(module, digest) != digest or is_stale:
            with suppress(OSError):  # its time has whole seconds: an edit within one of the same size
                Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
            imported = importlib.reload(imported)
            _digests[module] = digest
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if module.endswith(".py"):
            raise InputError(
                f"{kind} is {name!r}; a module is named without the ending of its file. Write "
                f"{name.replace('.py:', ':', 1)!r}."
            ) from None
        if missing and f"{module}.".startswith(f"{missing}."):
            raise InputError(
                f"{kind} is {name!r}, and there is no module {missing} in {folder} or among the installed "
                f"packages. Change to the folder that contains {missing}.py, or correct the name."
            ) from None
        raise InputError(
            f"{kind} is {name!r}, and importing {module} raised {describe_exception(error)}. Correct the "
            f"module; `python -c 'import {module}'` shows the traceback."
        ) from None
    finally:
        with suppress(ValueError):  # the module may have changed the path itself
            sys.path.remove(folder)  # the first of this name
        if folder not in sys.path and "" not in sys.path:
            sys.path.append(folder)
    _check_folder(module, folder, kind, name)
    return imported


def _check_folder(module: str, folder: str, kind: str, name: str) -> None:
    """Refuse a module of the current folder if the process has imported another one of its name.

    A worker process, or the same command later, would import the one of the current folder.
    """
    top = module.partition(".")[0]
    here = importlib.machinery.PathFinder.find_spec(top, [folder])
    origin, imported = here and here.origin, getattr(sys.modules[top], "__file__", None)
    if origin and imported and Path(origin).resolve() != Path(imported).resolve():
        raise InputError(
            f"{kind} is {name!r}; {top} in this process is {imported}, imported before, and {origin} in the "
            "current folder has the same name. Start a new process, or rename one of the files."
        )


def _changed_since_import(module: ModuleType) -> bool:
    """Return whether the file of a module has changed since its import, as far as its bytecode tells.

    Bytecode has the time and the size of the file that it was compiled from, as the import found or wrote it.
    It tells nothing where the import could not write it, or read something else.
    """
    spec = module.__spec__
    if spec is None or type(spec.loader) is not importlib.machinery.SourceFileLoader:
        return False
    if sys.dont_write_bytecode or not spec.origin or not spec.cached:
        return False
    if not os.access(Path(spec.cached).parent, os.W_OK):
        return False
    try:
        status, header = Path(spec.origin).stat(), Path(spec.cached).read_bytes()[:16]
    except OSError:  # no bytecode was written
        return False
    flags, *compiled_from = (int.from_bytes(header[start : start + 4], "little") for start in (4, 8, 12))
    return not flags and compiled_from != [int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF]


def _explain_missing(value: Any, module: str, attribute: str) -> str:
    """Return a message that lists the functions and classes that an object defines."""
    names = [
        name
        for name, member in vars(value).items()
        if not name.startswith("_") and callable(member) and getattr(member, "__module__", "") == module
    ]
    if not names:
        return f"{module} has no {attribute!r}, and no function or class of its own."
    return str(unknown(f"function or class in {module}", attribute, names))


def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
