"""Sphinx extension: docstrings in numpydoc form, with the types that the source writes.

The docstrings leave types to the annotations. Sphinx would show evaluated annotations: a dozen lines for
``ArrayLike``, and the validators of pydantic. Its extension napoleon, whose parser does the work here, would
take the words before a colon in the docstring of a property for a type.

A section of parameters that names one that does not exist, or leaves one out, is a warning.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

from api_pages import ROOT
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, NumpyDocstring
from sphinx.util import logging

SECTIONS = Config(napoleon_google_docstring=False, napoleon_use_rtype=False)

logger = logging.getLogger(__name__)


def written(annotation: ast.expr) -> str:
    """Return the source of a type, without the validators of ``Annotated``."""

    class Bare(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            if ast.unparse(node.value) == "Annotated" and isinstance(node.slice, ast.Tuple):
                return self.visit(node.slice.elts[0])
            return self.generic_visit(node)

    bare = Bare().visit(annotation)
    quoted = isinstance(bare, ast.Constant) and isinstance(bare.value, str)
    return str(bare.value) if quoted else ast.unparse(bare)


def definition(value: Any) -> ast.AST | None:
    """Return the syntax tree of a class or function; None if it has no source."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None


def of_function(function: Callable[..., Any]) -> dict[str, str]:
    """Return the types of the parameters by name, that of the result under ``"return"``."""
    node = definition(inspect.unwrap(function))
    if not isinstance(node, ast.FunctionDef):
        return {}
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    types = {argument.arg: written(argument.annotation) for argument in arguments if argument.annotation}
    return types | ({"return": written(node.returns)} if node.returns else {})


def of_class(cls: type) -> dict[str, str]:
    """Return the types of what a class is made from: parameters of ``__init__``, and fields with a type."""
    types: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        node = definition(base) if base.__module__.startswith(ROOT) else None
        if isinstance(node, ast.ClassDef):
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
            types |= {ast.unparse(part.target): written(part.annotation) for part in fields}
            if "__init__" in vars(base):
                types |= of_function(base.__init__)  # type: ignore[misc]
    types.pop("return", None)
    return types


def parameters(value: Any) -> set[str]:
    """Return the names of what a function or class is called with."""
    try:
        names = set(inspect.signature(value).parameters) - {"self", "cls"}
    except (TypeError, ValueError):
        return set()
    return {name for name in names if not name.startswith("_")}


def check(name: str, value: Any, described: list[str]) -> None:
    """Compare the parameters that a docstring describes with those that there are."""
    names = parameters(value)
    if not described or not names:
        return
    inherited = set().union(*map(parameters, value.__mro__[1:])) if inspect.isclass(value) else set()
    for parameter in sorted(set(described) - names):
        logger.warning("%s: the docstring describes %r, which is not a parameter", name, parameter)
    for parameter in sorted(names - set(described) - inherited):
        logger.warning("%s: the docstring describes other parameters and not %r", name, parameter)


def parse(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Replace the sections of a docstring by field lists, and add the types."""
    text = "\n".join(lines)
    kind = "method" if what in ("attribute", "property") else what
    lines[:] = NumpyDocstring(text, SECTIONS, app, kind, name, value, options).lines()
    if what == "property":
        value = getattr(value, "fget", None) or value.func  # of a property, or of a cached one
    if not callable(value):
        return
    types = of_class(value) if inspect.isclass(value) else of_function(value)
    described = [line.split(":")[1].split()[-1].lstrip("\\*") for line in lines if line.startswith(":param ")]
    check(name, value, described)
    lines += [f":type {name}: {escaped(types[name])}" for name in described if name in types]
    if what == "property" and "return" in types:
        lines += ["", f":Type: {escaped(types['return'])}", ""]


def escaped(annotation: str) -> str:
    """Return a type whose names are no links of reStructuredText: ``np.bool_`` would be one."""
    return re.sub(r"(?<=\w)_(?!\w)", r"\\_", annotation)


def sign(
    app: Sphinx, what: str, name: str, value: Any, options: Any, arguments: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Return the signature with the type of the result."""
    del app, name, options
    if what in ("function", "method"):
        result = of_function(getattr(value, "__func__", value)).get("return", result)
    return arguments, result


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("autodoc-process-docstring", parse)
    app.connect("autodoc-process-signature", sign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
