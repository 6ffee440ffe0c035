"""The outputs of a comparison next to its file: figure, page and table."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from surfaceviz.comparison.table import interval_rows, notes_of, table_head, table_rows
from surfaceviz.errors import MissingPackageError
from surfaceviz.pipeline.outputs import Inputs, claimed
from surfaceviz.records import Comparison
from surfaceviz.render.comparison.comparison_figure import draw_comparison
from surfaceviz.render.figure_io import Picture, picture_bytes, put, save
from surfaceviz.render.report import page, save_page


def write_outputs(
    comparison: Comparison, path: Path, *, warn: Callable[[str], None], draw: bool = True
) -> Iterator[tuple[str, Path]]:
    """Write what shows a comparison, and yield a label and the path of each file.

    Args:
        comparison: the comparison.
        path: of its file; the others lie next to it.
        warn: called with a line where plotly is not installed, and no page is written.
        draw: whether the figure and the page are written.

    Raises:
        StoreError: a file can't be written, or is not an earlier output of this program.
    """
    yield "file", path
    table = path.with_suffix(".csv")
    pictures, html = [path.with_suffix(".png"), path.with_suffix(".pdf")], path.with_suffix(".html")
    with claimed(table, *([*pictures, html] if draw else []), inputs=Inputs(files=(path,))):
        put(table, _csv(comparison).encode("utf-8", "backslashreplace"), overwrite=_is_own_table(table))
        yield "table", table
        if not draw:
            return
        figure = draw_comparison(comparison, interval_rows(comparison.pairs[0]))
        for picture in pictures:
            save(figure, picture)
            yield "picture", picture
        try:
            text = comparison_page(comparison, figure)
        except MissingPackageError as error:
            warn(f"no page: {error}")
            return
        save_page(text, html)
        yield "page", html


def comparison_page(comparison: Comparison, figure: Picture | None = None) -> str:
    """Return the HTML of a comparison: verdicts, linked planes, spectra and provenance."""
    planes = [network.plane for network in comparison.networks if network.plane is not None]
    names = [network.name for network in comparison.networks if network.plane is not None]
    verdicts: dict[str, Any] = {
        "tables": [{"columns": table_head(pair), "rows": table_rows(pair)} for pair in comparison.pairs],
        "notes": notes_of(comparison),
        "figure": None if figure is None else _data_url(figure),
    }
    return page(planes, names=names, title=" and ".join(comparison.groups), verdicts=verdicts)


def _data_url(figure: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture_bytes(figure)).decode()}"


def _csv(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["# surfaceviz compare"])
    for pair in comparison.pairs:
        writer.writerow(table_head(pair))
        writer.writerows(table_rows(pair))
    return text.getvalue()


def _is_own_table(path: Path) -> bool:
    """Return whether a table is an earlier one of this program."""
    try:
        return path.read_text(encoding="utf-8").startswith("# surfaceviz compare")
    except (OSError, UnicodeDecodeError):
        return False
