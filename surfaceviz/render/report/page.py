"""One HTML file that holds everything: plotly.js, our own scripts and styles, and the data."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from surfaceviz.errors import MissingPackageError, missing_package
from surfaceviz.records import Slice
from surfaceviz.render.figure_io import put
from surfaceviz.render.report.payload import payload

_ASSETS = files("surfaceviz.render.report") / "assets"
_SCRIPTS = ("data", "words", "scale", "theme", "surface", "contour", "cut", "spectrum", "tables", "controls", "page")
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}  # in JSON they occur only within strings
SUFFIXES = (".html", ".htm")


def page(
    surfaces: Sequence[Slice], *, names: Sequence[str], title: str = "", verdicts: Mapping[str, Any] | None = None
) -> str:
    """Return the HTML of a report: one page that needs no other file and no network.

    Args:
        surfaces: all 1-D or all 2-D.
        names: of their files.
        title: of the page; by default the problems' names.
        verdicts: tables of verdicts: ``tables``, each with columns and rows, and notes; None for none.

    Raises:
        ValueError: no slice, mixed dimensions, or a slice with nothing to draw.
        MissingPackageError: plotly is not installed.
    """
    title = title or " and ".join(dict.fromkeys(s.title or n for s, n in zip(surfaces, names, strict=True)))
    data = {**payload(surfaces, names, title), "verdicts": verdicts}
    scripts = {"plotly": _settled(_plotly_script()), "script": _own_script()}
    return Template(_asset("page.html")).substitute(
        title=html.escape(title),
        policy=_policy(scripts.values()),
        style=_asset("page.css"),
        payload=encode_json(data),
        **scripts,
    )


def save_page(text: str, path: Path, *, overwrite: bool = False) -> int:
    """Write a page atomically, and return its size in bytes.

    Raises:
        ValueError: the name does not end in .html or .htm.
        StoreError: it can't be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a report is a web page; end the name in .html")
    image = text.encode("utf-8", "replace")  # names of files may hold bytes that are not text
    put(path, image, overwrite=overwrite)
    return len(image)


def encode_json(data: Mapping[str, Any]) -> str:
    r"""Return JSON that can end no script element, whatever text is in it.

    >>> print(encode_json({"name": "</script>"}))
    {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII only, so no U+2028 either
    return text.translate({ord(sign): escape for sign, escape in _UNSAFE.items()})


def _policy(scripts: Iterable[str]) -> str:
    """Return a content security policy: these scripts by their hashes, no other, and no request at all.

    plotly.js writes style attributes, and makes pictures to save from data and blob addresses.
    """
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _plotly_script() -> str:
    """Return plotly.js.

    Raises:
        MissingPackageError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs  # noqa: PLC0415  the extra "report"
    except ImportError as error:
        raise MissingPackageError(f"a page needs plotly.js, but {missing_package(error, 'report')}") from error
    return str(get_plotlyjs())


def _own_script() -> str:
    """Return our own scripts as one, in strict mode, that leaves no name behind."""
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return _settled(f'"use strict";\n(() => {{\n{parts}\n}})();\n')


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _settled(script: str) -> str:
    """Return a script with the line ends that a browser hashes."""
    return script.replace("\r\n", "\n").replace("\r", "\n")
