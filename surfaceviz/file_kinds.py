"""Kinds of files, recognised by their first bytes: which existing file an output may replace unasked."""

from __future__ import annotations

from pathlib import Path

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ANY = (b"",)
_MATPLOTLIB = (b"atplotlib",)  # it names itself in its PNG, SVG and PDF files
# ending -> what a file of the kind begins with, and what one of ours holds
_MARKS: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    "png": ((b"\x89PNG\r\n\x1a\n",), _MATPLOTLIB),
    "svg": ((b"<?xml",), _MATPLOTLIB),
    "pdf": ((b"%PDF-",), _ANY),  # its producer stands at its end
    "gif": ((b"GIF8",), _ANY),
    "mp4": ((b"\0\0\0",), (b"ftyp",)),
    "html": ((b"<!DOCTYPE html>",), (b'content="surfaceviz"', b">To the surfaces</a>")),
    "htm": ((b"<!DOCTYPE html>",), (b'content="surfaceviz"', b">To the surfaces</a>")),
    "csv": ((b"checkpoint,problem,split,",), _ANY),
    "json": ((b'{\n "checkpoints": [',), _ANY),
}


def is_hdf5(head: bytes) -> bool:
    """Return whether a file begins as HDF5 does: the signature at 0 or, behind a user block, at 512, 1024, 2048, ..."""
    places = [0, *(512 * 2**k for k in range(7))]
    return any(head[place : place + len(_HDF5)] == _HDF5 for place in places)


def is_own_output(path: Path, head: bytes, kind: str = "") -> bool:
    """Return whether a file of this name, with these first bytes, is an earlier output of the same kind.

    Pictures carry the name of matplotlib, pages that of this program; of movies and PDF files, only the format is
    recognised. An empty file holds nothing that could be lost. Files for other programs are never replaced unasked.

    Args:
        path: the file.
        head: its first bytes.
        kind: its format; by default the ending of its name.

    >>> is_own_output(Path("a.png"), b"precious"), is_own_output(Path("a.json"), b'{"name": "precious"}')
    (False, False)
    """
    if not head:
        return True
    kind = kind or path.suffix.lower().lstrip(".")
    marks = _MARKS.get(kind)
    if kind in ("h5", "hdf5"):
        return is_hdf5(head)
    return marks is not None and any(head.startswith(start) for start in marks[0]) and any(m in head for m in marks[1])
