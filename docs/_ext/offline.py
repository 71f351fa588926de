"""Sphinx extension: a built page that loads anything from a network is an error."""

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

REMOTE = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|object|embed)\b[^>]*\s(?:src|data|srcset)=["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*rel="(?:canonical|author|license|prev|next)")[^>]*\shref=["']?(?:https?:)?//"""
    r"""|url\(\s*["']?(?:https?:)?//|@import\s+["'](?:https?:)?//""",
    re.IGNORECASE,
)


def check(app: Sphinx, exception: Exception | None) -> None:
    """Search the pages and style sheets for what a browser would fetch from elsewhere."""
    if exception is not None or app.builder.format != "html":
        return
    for file in sorted(Path(app.outdir).rglob("*")):
        if file.suffix in (".html", ".css") and (match := REMOTE.search(file.read_text("utf-8"))):
            raise ExtensionError(f"{file} loads from a network: {match[0]}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
