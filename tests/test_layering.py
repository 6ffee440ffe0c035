"""Baseline: the levels and doors of the design, read off the imports with `ast`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import surfaceviz

ROOT = Path(surfaceviz.__file__).parent
LEVELS = {
    "printable": -1,
    "version": -1,
    "errors": 0,
    "options": 0,
    "records": 0,
    "reporting": 0,
    "pytree": 0,
    "start_folder": 0,
    "file_kinds": 0,
    "atomic_write": 0,
    "notebook": 1,
    "signals": 1,
    "lock": 1,
    "inputs": 1,
    "render": 1,
    "comparison": 1,
    "store": 2,
    "refine": 2,
    "topology": 2,
    "reference_format": 3,
    "execute": 2,
    "problem": 2,
    "recording": 2,
    "zoo": 3,
    "evaluate": 3,
    "curvature": 3,
    "directions": 4,
    "symmetry": 4,
    "sharpness_measures": 5,
    "pipeline": 6,
    "api": 7,
    "studies": 8,
    "cli": 9,
}
DOORS = {
    "h5py": {"store", "reference_format"},
    "matplotlib": {"render"},
    "typer": {"cli"},
    "rich": {"cli"},
    "mpi4py": {"execute"},
    "pyvista": {"render"},
    "vtk": {"render"},
    "vtkmodules": {"render"},
    "plotly": {"render"},
    "multiprocessing": {"execute"},
    "sklearn": set(),  # the digits are in the package; scikit-learn is the oracle of the tests
    "IPython": {"notebook"},
}


def _modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).with_suffix("").parts[0]
        if room not in ("__init__", "__main__"):
            yield room, path, ast.parse(path.read_text())


def _imports(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names that a module imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _rooms(tree: ast.Module) -> Iterator[str]:
    for name in _imports(tree):
        parts = name.split(".")
        if parts[0] == "surfaceviz" and len(parts) > 1:
            yield parts[1]


def test_every_module_has_a_level() -> None:
    assert {room for room, _, _ in _modules()} == set(LEVELS)


def test_imports_run_downhill() -> None:
    uphill = [
        f"{path.relative_to(ROOT)} imports {other}"
        for room, path, tree in _modules()
        for other in _rooms(tree)
        if other != room and LEVELS[other] >= LEVELS[room]
    ]
    assert uphill == []


def test_heavy_libraries_have_one_door() -> None:
    strays = [
        f"{path.relative_to(ROOT)} imports {name}"
        for room, path, tree in _modules()
        for name in _imports(tree)
        if room not in DOORS.get(name.split(".")[0], {room})
    ]
    assert strays == []


def test_drawing_and_storing_need_no_torch() -> None:
    for room, path, tree in _modules():
        if room in ("render", "store", "records", "errors"):
            assert set(_rooms(tree)) <= {
                "records", "errors", "atomic_write", "file_kinds", "start_folder", "inputs", "lock",
                "printable", room,
            }, path  # fmt: skip
            assert not any(name.startswith("torch") for name in _imports(tree)), path
