"""Requests for pictures, movies and windows; the defaults of options are those of `PlotOptions`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surfaceviz.pipeline.outputs import Inputs
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions
from surfaceviz.start_folder import anchored

if TYPE_CHECKING:
    from surfaceviz.records import Curvature, Edge, Slice
    from surfaceviz.records.studies import StudyResult

    Source = Slice | Curvature | Edge | StudyResult | str | Path

SURFACE, FROM_ABOVE = "surface", "trajectory"  # the kinds of picture that movies and windows show


def anchored_sources(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """Return records as they are, and files as paths in the folder where the command started."""
    return tuple(anchored(each) if isinstance(each, str | Path) else each for each in sources)


def inputs_of(sources: tuple[Source, ...]) -> Inputs:
    """Return the files among sources."""
    return Inputs(files=tuple(each for each in sources if isinstance(each, str | Path)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotRequest:
    """A picture.

    Attributes:
        sources: records, or files.
        options: what is drawn.
        output: a PNG, SVG or PDF; None writes no file.
        overwrite: whether a file that is not an earlier picture is replaced.
    """

    sources: tuple[Source, ...]
    options: PlotOptions
    output: Path | None = None
    overwrite: bool = False

    @classmethod
    def of(
        cls, *sources: Source, output: str | Path | None = None, overwrite: bool = False, **options: Any
    ) -> PlotRequest:
        """Return the request for what was typed; ``options`` are the fields of `PlotOptions`."""
        path = None if output is None else anchored(output)
        return cls(sources=anchored_sources(sources), options=PlotOptions(**options), output=path, overwrite=overwrite)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnimationRequest:
    """A movie of surfaces.

    Attributes:
        sources: 2-D slices, or their files.
        options: what is drawn.
        animation: how it moves.
        output: a GIF or MP4.
        overwrite: whether a file that is not a movie is replaced.
    """

    sources: tuple[Source, ...]
    options: PlotOptions
    animation: AnimationOptions
    output: Path
    overwrite: bool = False

    @classmethod
    def of(
        cls,
        *sources: Source,
        output: str | Path,
        way: str = AnimationOptions().way,
        frames: int = AnimationOptions().frames,
        overwrite: bool = False,
        **options: Any,
    ) -> AnimationRequest:
        """Return the request for what was typed; ``options`` are the fields of `PlotOptions` that its kind uses.

        A movie along a training is from above, unless kind surface is given; all others are in 3-D.

        Raises:
            ValueError: a kind that has no movie, an explanation, or a title as well as labels.
        """
        usual, allowed = (FROM_ABOVE, (FROM_ABOVE, SURFACE)) if way == FROM_ABOVE else (SURFACE, (SURFACE,))
        kind = options.pop("kind", usual)
        if kind not in (PlotOptions().kind, *allowed):
            raise ValueError(f"--animate {way} makes movies of --kind {' or '.join(allowed)}, not of {kind}")
        if options.get("explain"):
            raise ValueError("a movie has no --explain: leave it out, or draw a picture")
        if options.get("title") and (len(sources) > 1 or options.get("label")):
            raise ValueError("a movie has no title next to the names of its surfaces; give --label for each instead")
        shown = PlotOptions(kind=usual if kind == PlotOptions().kind else kind, **options)
        return cls(
            sources=anchored_sources(sources), options=shown, animation=AnimationOptions(way, frames),
            output=anchored(output), overwrite=overwrite,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """A window of surfaces in 3-D.

    Attributes:
        sources: 2-D slices, or their files.
        options: what is drawn.
    """

    sources: tuple[Source, ...]
    options: PlotOptions

    @classmethod
    def of(cls, *sources: Source, **options: Any) -> ViewRequest:
        """Return the request for what was typed; ``options`` are the fields of `PlotOptions` that kind surface uses."""
        return cls(sources, PlotOptions(kind=SURFACE, **options))
