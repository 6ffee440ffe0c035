"""The user's secret key, which marks what this user made, and the list of what this user trusts.

The key lies in ``$XDG_STATE_HOME/surfaceviz`` (``~/.local/state/surfaceviz``), the list in
``$XDG_CONFIG_HOME/surfaceviz`` (``~/.config/surfaceviz``). Without a folder to keep them in nothing is marked: files
are then read as those of others.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from functools import lru_cache
from pathlib import Path

_BYTES = 32
_READING, _WRITING = 0o044, 0o022  # permissions of group and others


def sign(purpose: str, text: str) -> str:
    """Return this user's mark of a text, hexadecimal; empty if there is no key and none can be made."""
    key = _key(_folder("XDG_STATE_HOME", ".local/state"))
    return (
        hmac.new(key, f"{purpose}\0{text}".encode(errors="surrogateescape"), hashlib.sha256).hexdigest() if key else ""
    )


def is_signed(purpose: str, text: str, mark: str) -> bool:
    """Return whether a mark of a text is this user's."""
    own = sign(purpose, text)
    return bool(own) and hmac.compare_digest(own.encode(), mark.encode(errors="replace"))


def trust(text: str) -> bool:
    """Add a text to the list of what this user trusts; return whether it could be kept."""
    folder = _folder("XDG_CONFIG_HOME", ".config")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "trusted", os.O_WRONLY | os.O_CREAT | os.O_APPEND | _no_follow(), 0o600)
        with os.fdopen(descriptor, "a", encoding="ascii") as stream:
            stream.write(f"{_digest(text)}\n")
    except OSError:
        return False
    return True


def is_trusted(text: str) -> bool:
    """Return whether this user trusts a text."""
    found = _own_bytes(_folder("XDG_CONFIG_HOME", ".config") / "trusted", forbidden=_WRITING)
    return _digest(text).encode() in found.split()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _folder(variable: str, default: str) -> Path:
    given = os.environ.get(variable, "")
    base = Path(given) if Path(given).is_absolute() else Path(os.path.expanduser("~")) / default  # noqa: PTH111  no error without a home
    return base / "surfaceviz"


@lru_cache(maxsize=4)
def _key(folder: Path) -> bytes:
    """Return the key in a folder, made if there is none; empty if that is not possible or others may read it."""
    path = folder / "key"
    if not os.path.lexists(path):
        with contextlib.suppress(OSError):
            _make_key(path)
    key = _own_bytes(path, forbidden=_READING | _WRITING)
    return key if len(key) == _BYTES else b""


def _make_key(path: Path) -> None:
    """Make a key; that of a process that was faster stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, beside = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_BYTES))
        os.link(beside, path)
    finally:
        os.unlink(beside)  # noqa: PTH108


def _own_bytes(path: Path, *, forbidden: int) -> bytes:
    """Return the bytes of a regular file of this user's; empty if it is missing, or has a forbidden permission."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _no_follow())
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        mine = not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & forbidden)
        return stream.read() if mine and stat.S_ISREG(found.st_mode) else b""


def _no_follow() -> int:
    return getattr(os, "O_NOFOLLOW", 0)
