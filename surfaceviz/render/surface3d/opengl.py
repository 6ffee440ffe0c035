"""Check for OpenGL, since VTK ends the process where there is none."""

from __future__ import annotations

import ctypes

from surfaceviz.errors import GraphicsError, missing_package

# VTK takes a screen's OpenGL, else EGL's, else OSMesa's: without looking whether there is one.
_LAST = "vtkOSOpenGLRenderWindow"
_OSMESA = ("libOSMesa.so.8", "libOSMesa.so")
_EGL = "libEGL.so.1"


def check_opengl() -> None:
    """Raise where there is no OpenGL.

    Raises:
        GraphicsError: with the package that is missing, and how to install it.
    """
    try:
        import pyvista  # noqa: F401
        import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  which the window is made by
        from vtkmodules.vtkRenderingCore import vtkRenderWindow
    except ImportError as error:
        raise GraphicsError(missing_package(error, "3d")) from error
    if type(vtkRenderWindow()).__name__ != _LAST or any(map(_loads, _OSMESA)):
        return
    if not _loads(_EGL):
        raise GraphicsError(f"no OpenGL: {_EGL} is missing (Debian's package libegl1)")
    raise GraphicsError(
        "no OpenGL: EGL finds no device, not even Mesa's (Debian's packages libegl-mesa0, libgl1-mesa-dri)"
    )


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
