"""The files of a study: HDF5, figure and table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from surfaceviz.errors import StoreError
from surfaceviz.pipeline.outputs import Inputs, claimed
from surfaceviz.pipeline.study.request import StudyRequest
from surfaceviz.records.studies import StudyResult, study_rows
from surfaceviz.render.figure_io import put, save
from surfaceviz.render.study_figure import draw_study
from surfaceviz.store import OutputFile
from surfaceviz.store.study import holds_study, write_study

_TABLE = "# surfaceviz study"


def write_study_files(result: StudyResult, request: StudyRequest) -> list[tuple[str, Path]]:
    """Write what holds and shows a study into the folder of the request; return a label and the path of each file.

    Raises:
        StoreError: a file can't be written, or is not an earlier output of this command.
    """
    if request.output is None:
        return []
    try:
        request.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{request.output} can't be made: {error.strerror or error}. Give another folder") from error
    paths = study_paths(request)
    with claimed(*paths.values(), inputs=Inputs()):
        if paths["file"].exists() and not (request.overwrite or holds_study(paths["file"])):
            raise StoreError(f"{paths['file']} holds no study; give another folder, or overwrite")
        write_study(OutputFile(paths["file"], keep=not request.overwrite), result)
        own = request.overwrite or _is_own_table(paths["table"])
        put(paths["table"], _csv(result).encode("utf-8", "backslashreplace"), overwrite=own)
        save(draw_study(result), paths["picture"], overwrite=request.overwrite)
    return list(paths.items())


def study_paths(request: StudyRequest) -> dict[str, Path]:
    """Return the files of a request that has a folder, by label."""
    assert request.output is not None
    endings = {"file": "h5", "table": "csv", "picture": "png"}
    return {label: request.output / f"study-{request.name}.{ending}" for label, ending in endings.items()}


def _csv(result: StudyResult) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_TABLE, result.name])
    writer.writerows(study_rows(result))
    return text.getvalue()


def _is_own_table(path: Path) -> bool:
    try:
        return path.read_text(encoding="utf-8").startswith(_TABLE)
    except (OSError, UnicodeDecodeError):
        return False
