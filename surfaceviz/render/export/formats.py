"""Registry of export formats: a new format is a writing module and a line here.

Writing modules are imported when a file is written, so that the command line can list the formats at no cost.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from surfaceviz.records import Slice
    from surfaceviz.render.export.options import ExportOptions


class Write(Protocol):
    """A function that returns the bytes of a file."""

    def __call__(self, surface: Slice, options: ExportOptions, suffix: str) -> bytes:
        """Return the bytes; ``suffix`` is the lower-case ending of the file's name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A file format of another program.

    Attributes:
        write: ``module:function`` in `surfaceviz.render.export`, a `Write`.
        suffixes: endings that choose the format, the default one first.
        ndim: the dimensions of the slices that it holds.
        drawn: whether it holds a drawn shape, and so uses the options of drawing; it then holds no rays.
    """

    write: str
    suffixes: tuple[str, ...]
    ndim: tuple[int, ...] = (1, 2)
    drawn: bool = True

    def load(self) -> Write:
        """Return the writing function."""
        module, function = self.write.split(":")
        write: Write = getattr(importlib.import_module(f"surfaceviz.render.export.{module}"), function)
        return write


FORMATS = {
    "vts": Format(write="paraview:write_vts", suffixes=(".vts",)),
    "vtp": Format(write="paraview:write_vtp", suffixes=(".vtp",)),
    "gltf": Format(write="meshes:write_gltf", suffixes=(".gltf", ".glb"), ndim=(2,)),
    "obj": Format(write="meshes:write_obj", suffixes=(".obj",), ndim=(2,)),
    "stl": Format(write="meshes:write_stl", suffixes=(".stl",), ndim=(2,)),
    "npz": Format(write="tables:npz", suffixes=(".npz",), drawn=False),
    "csv": Format(write="tables:csv_table", suffixes=(".csv",), drawn=False),
    "netcdf": Format(write="tables:netcdf", suffixes=(".nc",), drawn=False),
}


def format_of_suffix(path: Path) -> str | None:
    """Return the format that a name's ending chooses; None where there is none."""
    suffix = path.suffix.lower()
    return next((name for name, each in FORMATS.items() if suffix in each.suffixes), None)


def known_suffixes() -> list[str]:
    """Return all endings that choose a format: the default one of each format, then the others."""
    first = [each.suffixes[0] for each in FORMATS.values()]
    return first + [suffix for each in FORMATS.values() for suffix in each.suffixes[1:]]
