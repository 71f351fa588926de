"""Sphinx extension: the pages of the API reference, written from ``__all__`` of the package and its parts.

Each public object has one entry, under the shortest name from which it can be imported, on the page of its
part: ``dilution.train`` on the page of ``dilution.training``. Pages are written to docs/generated/. A public
object without a docstring is a warning.
"""

import ast
import importlib
import inspect
import pkgutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

import dilution

FOLDER = "generated"
ROOT = dilution.__name__

logger = logging.getLogger(__name__)


@dataclass
class Entry:
    """A public object.

    Parameters
    ----------
    name
        Shortest name from which it can be imported, such as ``"dilution.train"``.
    value
        The object.
    module
        Module that defines it.
    page
        Module on whose page its entry is.
    aliases
        All names under which it can be found, the public ones and that of its definition.
    """

    name: str
    value: Any
    module: str
    page: str
    aliases: set[str] = field(default_factory=set)

    @property
    def short(self) -> str:
        """Name without its package."""
        return self.name.rpartition(".")[2]

    @property
    def is_constant(self) -> bool:
        """Whether this is neither a class nor a function; such an object has no docstring of its own."""
        return not (inspect.isclass(self.value) or inspect.isroutine(self.value))

    @property
    def docstring(self) -> str:
        """Its docstring; of a constant, the string below its definition."""
        if self.is_constant:
            return "\n".join(_analyzer(self.module).find_attr_docs().get(("", self.short), []))
        return inspect.cleandoc(self.value.__doc__ or "")

    @property
    def summary(self) -> str:
        """First paragraph of the docstring, on one line."""
        return " ".join(self.docstring.strip().partition("\n\n")[0].split())


@cache
def _analyzer(module: str) -> ModuleAnalyzer:
    analyzer = ModuleAnalyzer.for_module(module)
    analyzer.analyze()
    return analyzer


def parts() -> list[ModuleType]:
    """Return the packages below ``dilution`` with an ``__all__``, without ``cli``."""
    names = [part.name for part in pkgutil.iter_modules(dilution.__path__) if part.ispkg]
    modules = [importlib.import_module(f"{ROOT}.{name}") for name in names if name != "cli"]
    return [module for module in modules if getattr(module, "__all__", ())]


def _defined_in(module: ModuleType, name: str) -> str:
    """Return the module that defines a name which a package imports, read from its import statements."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            for imported in node.names:
                if (imported.asname or imported.name) == name:
                    return _defined_in(importlib.import_module(str(node.module)), imported.name)
    return module.__name__


@cache
def entries() -> list[Entry]:
    """Return every public object once, sorted by page and name."""
    known: dict[tuple[str, str], Entry] = {}
    for module in [*parts(), dilution]:  # the shortest names come last
        for short in module.__all__:
            value = getattr(module, short)
            home = _defined_in(module, short)
            name = f"{module.__name__}.{short}"
            entry = known.setdefault((home, short), Entry(name, value, home, module.__name__))
            entry.name = min(entry.name, name, key=len)
            entry.aliases |= {name, f"{home}.{short}"}
    return sorted(known.values(), key=lambda entry: (entry.page, entry.short.lower()))


def heading(text: str) -> list[str]:
    """Return the lines of a page's title."""
    return [text, "=" * len(text), ""]


def table(rows: list[Entry]) -> list[str]:
    """Return the lines of a table of names with their summaries."""
    lines = [".. list-table::", "   :widths: 30 70", "   :width: 100%", ""]
    for entry in rows:
        lines += [f"   * - :py:obj:`{entry.short} <{entry.name}>`", f"     - {entry.summary}"]
    return [*lines, ""]


def described(entry: Entry) -> list[str]:
    """Return the lines that document an object."""
    if entry.is_constant:
        annotation = _analyzer(entry.module).annotations.get(("", entry.short))
        package, _, short = entry.name.rpartition(".")
        lines = [f".. py:data:: {short}", f"   :module: {package}"]
        lines += [f"   :type: {annotation}"] if annotation else []
        return [*lines, "", *(f"   {line}".rstrip() for line in entry.docstring.splitlines()), ""]
    if not inspect.isclass(entry.value):
        return [f".. autofunction:: {entry.name}", ""]
    directive = "autoexception" if issubclass(entry.value, BaseException) else "autoclass"
    foreign = {base.__name__ for base in entry.value.__mro__ if not base.__module__.startswith(ROOT)}
    lines = [f".. {directive}:: {entry.name}", f"   :inherited-members: {', '.join(sorted(foreign))}"]
    return [*lines, *(["   :show-inheritance:"] if entry.value.__bases__ != (object,) else []), ""]


def pages() -> dict[str, str]:
    """Return the pages of the reference, reStructuredText by name."""
    written = {}
    for module in [dilution, *parts()]:
        name = module.__name__
        own = [entry for entry in entries() if entry.page == name]
        lines = [*heading(name), f".. automodule:: {name}", "   :no-members:", ""]
        if module is dilution:
            top = [entry for entry in entries() if entry.name.count(".") == 1]
            for page in sorted({entry.page for entry in top}):
                about = f"Defined in :doc:`{page}`:" if page != name else "Defined here:"
                lines += [about, "", *table([entry for entry in top if entry.page == page])]
        else:
            lines += table(own)
        written[name] = "\n".join([*lines, *(line for entry in own for line in described(entry))])
    return written


def write_pages(app: Sphinx) -> None:
    """Write the pages of the reference, and remove those of packages that are gone."""
    for entry in entries():
        if not entry.docstring.strip():
            logger.warning("%s has no docstring (%s)", entry.name, entry.module)
    texts = {f"{name}.rst": text for name, text in pages().items()}
    texts["contributing.md"] = include("CONTRIBUTING.md")
    texts["changelog.md"] = include("CHANGELOG.md")
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        if file.name not in texts:
            file.unlink()
    for name, text in texts.items():
        file = folder / name
        if not file.exists() or file.read_text("utf-8") != text:  # an unchanged page is not built again
            file.write_text(text, "utf-8")


def include(name: str) -> str:
    """Return a page that shows a Markdown file of the repository's root."""
    return f":::{{include}} ../../{name}\n:relative-docs: docs/\n:::\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
