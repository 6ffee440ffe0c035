"""Whether there is an OpenGL to render with, asked before VTK ends the process for want of one."""

from __future__ import annotations

import ctypes
import os
import sys

from surfaceviz.errors import GraphicsError

# What VTK looks for, in turn, and Debian's package for it: a screen's library, one without a screen, software alone.
_LIBRARIES = {"libGL.so.1": "libgl1", "libEGL.so.1": "libegl1", "libOSMesa.so.8": "libosmesa6"}


def check_opengl() -> None:
    """Raise where no OpenGL can be had.

    Raises:
        GraphicsError: with the package that is missing.
    """
    try:
        import pyvista  # noqa: F401
    except ImportError as error:
        raise GraphicsError(f"pyvista can't be imported ({error})") from error
    if not sys.platform.startswith("linux"):
        return
    wanted = dict(_LIBRARIES)
    if not os.environ.get("DISPLAY"):
        wanted.pop("libGL.so.1")
    if not any(_loads(name) for name in wanted):
        raise GraphicsError(f"no OpenGL: {' or '.join(wanted)} is missing (Debian: {' or '.join(wanted.values())})")


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
