"""Text of unknown origin in a form that a terminal shows and does not obey."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return a text with the escape of every character that is not printable.

    These are control characters, line ends, marks of the writing direction, and bytes that are not UTF-8.

    >>> printable("loss\x1b[2J\nfile  other.h5")
    'loss\\x1b[2J\\nfile  other.h5'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
