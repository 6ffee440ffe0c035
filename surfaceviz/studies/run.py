"""The Python interface to studies."""

from __future__ import annotations

from pathlib import Path

from surfaceviz.api.interrupts import python_interrupts
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.study.outputs import write_study_files
from surfaceviz.pipeline.study.request import StudyRequest
from surfaceviz.records.studies import StudyResult
from surfaceviz.studies.registry import STUDIES

_DEFAULT = defaults_of(StudyRequest.of)


def study(
    name: str,
    *,
    quick: bool = _DEFAULT.quick,
    output: str | Path | None = _DEFAULT.output,
    overwrite: bool = _DEFAULT.overwrite,
) -> StudyResult:
    """Run a study: a small world whose loss surface is known, measured and compared with what is known.

    Args:
        name: of the study; ``surfaceviz study`` lists them.
        quick: whether to run the short variant, with smaller samples.
        output: the folder for the HDF5 file, the figure and the table; None writes none.
        overwrite: whether files of the same names that are no earlier outputs are replaced.

    Raises:
        ValueError: there is no such study.
        SurfacevizError: a file can't be written.
        KeyboardInterrupt: at Ctrl-C; at SIGTERM `SystemExit`.
    """
    request = StudyRequest.of(**options_for(StudyRequest.of, locals()))
    with python_interrupts(None):
        return run_study(request)[0]


def run_study(request: StudyRequest) -> tuple[StudyResult, list[tuple[str, Path]]]:
    """Return the result of a study, and a label and the path of each file that was written.

    Raises:
        ValueError: there is no such study.
        StoreError: a file can't be written.
    """
    check_study(request.name)
    chosen = STUDIES[request.name]
    result = chosen.load()(quick=request.quick).result(request.name, chosen, quick=request.quick)
    return result, write_study_files(result, request)


def check_study(name: str) -> None:
    """Refuse a name that is not a study's."""
    if name not in STUDIES:
        raise ValueError(f"got study {name!r}; expected one of {', '.join(STUDIES)}. List them by surfaceviz study")
