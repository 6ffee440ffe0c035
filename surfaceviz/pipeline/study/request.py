"""The request for a study: the user's options. Importing this module does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from surfaceviz.start_folder import anchored


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRequest:
    """The user's options for a study.

    Attributes:
        name: the study's name.
        quick: whether to run the short variant.
        output: the folder of the files; None writes none.
        overwrite: whether files of the same names that are no earlier outputs are replaced.
    """

    name: str
    quick: bool
    output: Path | None
    overwrite: bool

    @classmethod
    def of(
        cls,
        name: str,
        *,
        quick: bool = False,
        output: str | Path | None = None,
        overwrite: bool = False,
        default_output: bool = False,
    ) -> StudyRequest:
        """Return the request that raw options describe; their defaults are defined only here.

        ``default_output`` writes into the current folder where no output is given.
        """
        folder = Path() if output is None and default_output else output
        return cls(name=name, quick=quick, output=None if folder is None else anchored(folder), overwrite=overwrite)
