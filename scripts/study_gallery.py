"""The page of the studies, gallery/studies.md, from their files in gallery/studies; a missing file is computed."""

from __future__ import annotations

import time
from pathlib import Path

import surfaceviz
from surfaceviz.records.studies import StudyResult, study_rows
from surfaceviz.render import save
from surfaceviz.render.study_figure import draw_study
from surfaceviz.studies.registry import STUDIES

GALLERY = Path(__file__).resolve().parent.parent / "gallery"
_HEAD = """# Studies

Small worlds whose loss surface is known, measured with the public functions: `surfaceviz study NAME`. This page is
made by `python scripts/make_gallery.py --studies` from the files in `gallery/studies`; a study whose file is removed
is computed again. "Allowed" is the difference that counts as agreement: rounding for a closed form, three standard
errors of both samples for a share. Rows without a known number show what the text speaks of.
"""


def make_studies() -> None:
    """Draw all studies, those without a file after a run, and write the page."""
    folder, parts = GALLERY / "studies", [_HEAD]
    for name in STUDIES:
        begun = time.perf_counter()
        path = folder / f"study-{name}.h5"
        if path.exists():
            result = surfaceviz.read_study(path)
            save(draw_study(result), path.with_suffix(".png"))
        else:
            result = surfaceviz.study(name, output=folder)
        print(f"{time.perf_counter() - begun:6.1f} s  {name}", flush=True)
        parts.append(section(result))
    (GALLERY / "studies.md").write_text("\n".join(parts))


def section(result: StudyResult) -> str:
    """Return a study's part of the page."""
    head, *rows = study_rows(result)
    table = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(_cells(row))} |" for row in rows)]
    return "\n".join([
        f"## {result.title}\n",
        f"`surfaceviz study {result.name}`\n",
        f"**{result.question}**\n",
        f"![{result.title}](studies/study-{result.name}.png)\n",
        f"{result.see}\n",
        f"What would mislead: {result.misleads}\n",
        *table,
        f"\nKnown from: {result.sources}.\n",
    ])  # fmt: skip


def _cells(row: tuple[str, ...]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in row]
