"""The page of mistakes, docs/mistakes.md, as blocks of code and rows of a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A row: a mistake in words, the code or command that makes it, the line that it gets, and what works."""

    name: str
    given: str
    line: str
    works: str


def code_block(language: str) -> str:
    """Return the page's block of code in a language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found.group(1)


def mistakes() -> list[Mistake]:
    """Return the rows of the table."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return [
        Mistake(name=name, given=_code(given), line=line.replace("\\|", "|"), works=_code(works))
        for name, given, line, works in cells
    ]


def _code(cell: str) -> str:
    assert cell.startswith("`")
    assert cell.endswith("`")
    return cell[1:-1].replace("\\|", "|")
