"""Sphinx's configuration: `python -m sphinx -W -c docs . build/site` builds the site from the top folder.

The pages are plain Markdown, whose links also work on a code host. The sections and links of `docs/index.md` are the
table of contents, and the names listed in `docs/reference/python.md` are replaced by their docstrings.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

project = "surfaceviz"
author = "the surfaceviz authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]

root_doc = "docs/index"
include_patterns = ["CHANGELOG.md", "CONTRIBUTING.md", "docs/**", "gallery/**"]
exclude_patterns = ["build", "surfaceviz", "scripts", "tests", ".*", "dist", "**/*.h5"]

html_theme = "furo"
html_title = "surfaceviz"
html_extra_path = ["site"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
toc_object_entries = False

_LINK = re.compile(r"^- \[([^]]+)\]\(([^)]+)\.md\)", re.MULTILINE)
_NAME = re.compile(r"^- `surfaceviz\.(\w+)`: .*\n(?:  .*\n)*", re.MULTILINE)
_CODE_OR_BAR = re.compile(r"``.*?``|\|")
_ARGUMENTS_ONLY = ("Problem", "PerSample")  # classes that users construct and hand over
_TREE = "\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def _add_contents(_app: Sphinx, name: str, source: list[str]) -> None:
    """Add trees of contents to the index and the gallery, and docstrings to the page of the Python interface."""
    if name == root_doc:
        for part in re.split(r"^## ", source[0], flags=re.MULTILINE)[1:]:
            pages = "\n".join(f"{title} <{path}>" for title, path in _LINK.findall(part))
            source[0] += _TREE.format(caption=part.splitlines()[0], pages=pages)
    if name == "gallery/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\npages/*\n```\n"
    if name == "docs/reference/python":
        source[0] = _NAME.sub(_directive, source[0])


def _directive(found: re.Match[str]) -> str:
    import surfaceviz

    name = found.group(1)
    kind = "class" if isinstance(getattr(surfaceviz, name), type) else "function"
    options = "\n   :members:" if kind == "class" and name not in _ARGUMENTS_ONLY else ""
    return f"\n```{{eval-rst}}\n.. auto{kind}:: surfaceviz.{name}{options}\n```\n\n"


def _escape_bars(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Escape the bars of norms in docstrings, which reStructuredText takes for substitutions, outside of code."""
    lines[:] = [
        _CODE_OR_BAR.sub(lambda found: "\\|" if found.group() == "|" else found.group(), line) for line in lines
    ]


def setup(app: Sphinx) -> None:
    """Connect the additions to Sphinx."""
    assert Path(app.confdir).name == "docs"
    app.connect("source-read", _add_contents)
    app.connect("autodoc-process-docstring", _escape_bars)
