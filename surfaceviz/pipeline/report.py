"""Wiring of reports: read the slices, write the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from surfaceviz.pipeline.outputs import Inputs, claimed
from surfaceviz.records import Slice
from surfaceviz.records.arrays import html_frame
from surfaceviz.render.labels import with_names
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.report import page, save_page
from surfaceviz.store import holds_edge, holds_training_curvature, read


@dataclass(frozen=True, slots=True)
class Page:
    """A written report.

    Attributes:
        path: of the page.
        size: in bytes.
    """

    path: Path
    size: int

    def _repr_html_(self) -> str:
        return html_frame(self.path.read_text(encoding="utf-8"))


def run_report(
    slices: Sequence[Slice | str | Path], output: Path, options: PlotOptions, *, overwrite: bool = False
) -> Page:
    """Write the page of slices, with the title, the labels and the names of axes of ``options``.

    Raises:
        ValueError: nothing to show, mixed dimensions, no finite value, curvature along a training, or another ending.
        SchemaError: a file can't be read.
        MissingPackageError: plotly is not installed.
        StoreError: the page can't be written.
    """
    for given in slices:
        if not isinstance(given, Slice) and (holds_training_curvature(given) or holds_edge(given)):
            raise ValueError(
                f"{given}: report: slices only; got curvature along a training. Draw it by surfaceviz plot"
            )
    surfaces = [given if isinstance(given, Slice) else read(given) for given in slices]
    shown = with_names(surfaces, options.label, options.axis_name)
    text = page(shown, names=options.label or _names(slices), title=options.title)
    files = tuple(given for given in slices if not isinstance(given, Slice))
    with claimed(output, inputs=Inputs(files=files)):
        return Page(output, save_page(text, output, overwrite=overwrite))


def _names(slices: Sequence[Slice | str | Path]) -> list[str]:
    """Return distinct names of slices: numbers, stems of files, or paths where stems are equal."""
    stems = [str(i + 1) if isinstance(given, Slice) else Path(given).stem for i, given in enumerate(slices)]
    count = Counter(stems)
    return [stem if count[stem] == 1 else str(given) for stem, given in zip(stems, slices, strict=True)]
