"""The Python interface to reports, which needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surfaceviz.records import Slice
from surfaceviz.render.report import page, save_page
from surfaceviz.store import holds_training_curvature, read


@dataclass(frozen=True, slots=True)
class Page:
    """A report that was written.

    Attributes:
        path: of the page.
        size: in bytes.
    """

    path: Path
    size: int


def report(*slices: Slice | str | Path, output: str | Path = "report.html", title: str = "") -> Page:
    """Write one self-contained page that shows slices, and return where it is.

    Args:
        slices: records, or files; all 1-D or all 2-D.
        output: an HTML file.
        title: of the page; by default the problems' names.

    Raises:
        ValueError: nothing to show, mixed dimensions, no finite value, a course of curvature, or another ending.
        SchemaError: a file that can't be read.
        StoreError: a page that can't be written.
    """
    for given in slices:
        if not isinstance(given, Slice) and holds_training_curvature(given):
            raise ValueError(
                f"{given}: report: slices only; this is a course along checkpoints: surfaceviz plot draws it"
            )
    surfaces = [given if isinstance(given, Slice) else read(given) for given in slices]
    text = page(surfaces, names=_names(slices), title=title)
    return Page(Path(output), save_page(text, Path(output)))


def _names(slices: Sequence[Slice | str | Path]) -> list[str]:
    """Return what tells slices apart: numbers, stems of files, or where these are the same their paths."""
    stems = [str(i + 1) if isinstance(given, Slice) else Path(given).stem for i, given in enumerate(slices)]
    count = Counter(stems)
    return [stem if count[stem] == 1 else str(given) for stem, given in zip(stems, slices, strict=True)]
