"""The blocks of code in the documentation: their marks, and how they are run."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from surfaceviz import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([
    ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "gallery").rglob("*.md"), ROOT / "CONTRIBUTING.md",
])  # fmt: skip
RUN, LONG, GALLERY, TEST_COMMAND = "run", "run: long", "run: gallery", "test"
EXCERPT, RUN_BY, NOT_RUN = "excerpt: ", "run by: ", "not run: "
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"<!-- ([^\n]*) -->\n\s*\Z")
_OWN_NETWORK = ROOT / "docs" / "start" / "own-network.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code, with the mark in the comment above it; an empty mark where there is none."""

    page: str
    line: int
    language: str
    mark: str
    code: str

    @property
    def place(self) -> str:
        """Return the page and the line of the block."""
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the shell and Python blocks of a page."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        if found["language"] not in ("sh", "bash", "python"):
            continue
        mark = _MARK.search(text[: found.start()])
        indent = len(found["indent"])
        yield Block(
            page=page.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            mark=mark.group(1) if mark else "",
            code="".join(line[indent:] if line.strip() else line for line in found["code"].splitlines(keepends=True)),
        )


def write_own_network(folder: Path) -> None:
    """Write ``mine.py``, the file of the page on own networks, which other pages use."""
    code = next(block.code for block in blocks_of(_OWN_NETWORK) if block.code.startswith("# mine.py"))
    (folder / "mine.py").write_text(code)


def run_block(block: Block) -> None:
    """Run a block in the current folder; fail with its place where it fails.

    A Python block whose first line is ``# NAME.py`` is written to that file and not run: a command below it runs it.
    """
    if block.language == "python":
        _run_python(block)
        return
    commands = _plain_commands(block.code)
    if commands is None:
        _run_shell(block)
        return
    for command in commands:
        code = cli.run(shlex.split(command, comments=True)[1:])
        assert code == 0, f"{block.place}: exit code {code} of {command}"


def _run_python(block: Block) -> None:
    name = re.match(r"# (\w+\.py)\n", block.code)
    path = Path(name.group(1) if name else "block.py")
    path.write_text(block.code)
    compile(block.code, block.place, "exec")
    if name:
        return
    sys.path.insert(0, str(Path.cwd()))
    try:
        runpy.run_path(str(path))
    finally:
        sys.path.remove(str(Path.cwd()))
        sys.modules.pop("mine", None)


def _plain_commands(code: str) -> list[str] | None:
    """Return the commands of a block that needs no shell; None for other blocks."""
    lines = [line for line in code.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    plain = all(
        line.startswith("surfaceviz ") and not re.search(r"[;|&>$`]|\*(?!')", line.split(" #")[0]) for line in lines
    )
    return lines if plain else None


def _run_shell(block: Block) -> None:
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", block.code],
        env=environment, check=False, text=True, stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{block.place}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
