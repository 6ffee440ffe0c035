"""Bugs that are put in on purpose, to see that the walk finds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from surfaceviz import atomic_write, lock, store
from surfaceviz.store import output_file


def _part_with_a_known_name(target: Path, mode: int) -> tuple[Path, int]:
    part = target.with_name(f".{target.name}.part")
    return part, os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, mode)


def _write_in_place(path: Path, content: bytes, **_rest: object) -> object:
    Path(path).write_bytes(content)
    return atomic_write.identity(path)


def put_in(bug: str) -> None:
    """Put a bug in on purpose."""
    module: Any = {
        "parts have a known name": atomic_write, "any file is a lock": lock,
        "whatever is there is replaced": output_file,
        "files are written in place": atomic_write,
    }.get(bug)  # fmt: skip
    if bug == "parts have a known name":
        module.new_part = _part_with_a_known_name
    elif bug == "any file is a lock":
        module._is_ours = lambda _descriptor: True
    elif bug == "whatever is there is replaced":
        module.write_bytes = lambda path, image, **_expected: store.write_bytes(path, image)
    elif bug == "files are written in place":
        module.write_bytes = _write_in_place
    elif bug:
        raise ValueError(f"no bug is called {bug!r}")
