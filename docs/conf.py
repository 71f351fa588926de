"""Settings of the documentation site; ``make docs`` builds it into docs/_build/html without a network.

The pages are the Markdown files of this folder and the API reference, which ``_ext/api_pages.py`` writes from
``__all__`` of the package and its parts. A warning is an error.
"""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Dilution"
author = "the authors of Dilution"
version = release = metadata.version("dilution")
extensions = [
    "sphinx.ext.autodoc",
    "myst_parser",
    "api_pages",
    "api_docstrings",
    "links",
    "offline",
]
exclude_patterns = ["_build", "_ext"]

html_theme = "furo"
html_title = f"Dilution {version}"
html_copy_source = False
html_show_copyright = False
html_theme_options = {"light_css_variables": {"code-font-size": "80%"}}

# Markdown: anchors of headings are those of GitHub
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

# Docstrings: see _ext/api_docstrings.py for their sections and types
autodoc_typehints = "none"
autodoc_member_order = "bysource"
_FOREIGN = "model_config, set_fit_request, set_score_request"  # of pydantic and scikit-learn
autodoc_default_options = {"members": True, "exclude-members": _FOREIGN}
autodoc_preserve_defaults = True
default_role = "literal"
python_maximum_signature_line_length = 100
toc_object_entries_show_parents = "hide"
