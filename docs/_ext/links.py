"""Sphinx extension: links that Sphinx alone cannot follow.

In Markdown these are links to the pages at the root of the repository, and to folders, which become plain
text. In docstrings they are names by which an object is known elsewhere, such as that of the module that
defines it. A name of this package that does not exist is a warning; a name that exists and is not public is
shown without a link.
"""

import builtins
import importlib
from functools import cache
from pathlib import Path
from typing import Any

from api_pages import FOLDER, ROOT, entries
from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

PAGES = {
    "README.md": "index",
    "CONTRIBUTING.md": f"{FOLDER}/contributing",
    "CHANGELOG.md": f"{FOLDER}/changelog",
}
"""Page of the site by Markdown file at the root of the repository."""

logger = logging.getLogger(__name__)


def follow_markdown_links(app: Sphinx, doctree: nodes.document) -> None:
    """Send links to files at the root to their pages, and make links to folders plain text."""
    folder = Path(app.env.doc2path(app.env.current_document.docname)).parent
    root = Path(app.srcdir).parent
    kinds = (addnodes.pending_xref, addnodes.download_reference)
    for node in [node for kind in kinds for node in doctree.findall(kind) if node.get("reftype") == "myst"]:
        if node.get("refdomain") == "doc" and node["reftarget"] in app.env.found_docs:
            continue
        target, _, anchor = node["reftarget"].partition("#")
        if node.get("refdomain") == "doc":  # a file outside of docs/, by its absolute path without suffix
            target, anchor = f"{target}.md", node.get("reftargetid")
        path = folder / target if (folder / target).exists() else root / target  # of an included page
        if path.is_dir():
            node.replace_self(node.children)
        elif path.parent.resolve() == root and path.name in PAGES:
            link = addnodes.pending_xref("", *node.children, **node.attributes)
            link.attributes.update(refdomain="doc", reftarget=PAGES[path.name], reftargetid=anchor or None)
            node.replace_self(link)


@cache
def public_names() -> dict[str, set[str]]:
    """Return the public names of the objects that are known under each name, dotted or bare."""
    names: dict[str, set[str]] = {}
    for entry in entries():
        for alias in {*entry.aliases, entry.short}:
            names.setdefault(alias, set()).add(entry.name)
    return names


def public_name(target: str) -> str | None:
    """Return the public name of an object or of its attribute; None if there is none, or several."""
    prefix, rest = target, ""
    while prefix:
        if len(known := public_names().get(prefix, ())) == 1:
            return next(iter(known)) + rest
        prefix, _, last = prefix.rpartition(".")
        rest = f".{last}{rest}"
    return None


def exists(target: str) -> bool:
    """Return whether a dotted name can be imported, or got from what can be."""
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            fields = getattr(value, "__annotations__", {})  # a field may have no default
            if not hasattr(value, part):
                return part in fields
            value = getattr(value, part)
        return True
    return False


def resolve_python_name(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    """Return a link to an object under its public name, or plain text."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if (name := public_name(target)) is not None and name != target:
        role, domain = node["reftype"], env.domains.python_domain
        if link := domain.resolve_xref(env, node["refdoc"], app.builder, role, name, node, content):
            return link
    is_role = "refwarn" in node  # the others are types, which may be of other packages
    ours = target.startswith(f"{ROOT}.") or (is_role and not hasattr(builtins, target))
    if ours and not exists(name or target):
        logger.warning("%r is not a name of this package", target, location=node)
    return content


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.add_lexer("output", TextLexer)  # the language of blocks that show what an example prints
    app.connect("doctree-read", follow_markdown_links)
    app.connect("missing-reference", resolve_python_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
