"""Requests for pictures, movies and windows; the defaults of options are those of `PlotOptions`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surfaceviz.render.plot_options import AnimationOptions, PlotOptions

if TYPE_CHECKING:
    from surfaceviz.records import Curvature, Slice

    Source = Slice | Curvature | str | Path

SURFACE = "surface"  # the kind of picture that movies and windows show


@dataclass(frozen=True, slots=True)
class PlotRequest:
    """A picture.

    Attributes:
        sources: records, or files.
        options: what is drawn.
        output: a PNG, SVG or PDF; None writes no file.
    """

    sources: tuple[Source, ...]
    options: PlotOptions
    output: Path | None = None

    @classmethod
    def of(cls, *sources: Source, output: str | Path | None = None, **options: Any) -> PlotRequest:
        """Return the request for what was typed; ``options`` are the fields of `PlotOptions`."""
        return cls(sources, PlotOptions(**options), None if output is None else Path(output))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnimationRequest:
    """A movie of surfaces in 3-D.

    Attributes:
        sources: 2-D slices, or their files.
        options: what is drawn.
        animation: how it moves.
        output: a GIF or MP4.
    """

    sources: tuple[Source, ...]
    options: PlotOptions
    animation: AnimationOptions
    output: Path

    @classmethod
    def of(
        cls,
        *sources: Source,
        output: str | Path,
        way: str = AnimationOptions().way,
        frames: int = AnimationOptions().frames,
        **options: Any,
    ) -> AnimationRequest:
        """Return the request for what was typed; ``options`` are the fields of `PlotOptions` that kind surface uses.

        Raises:
            ValueError: a kind that is not drawn in 3-D.
        """
        kind = options.pop("kind", SURFACE)
        if kind not in (PlotOptions().kind, SURFACE):
            raise ValueError(f"--animate makes movies of --kind surface, not of {kind}")
        shown = PlotOptions(kind=SURFACE, **options)
        return cls(sources=sources, options=shown, animation=AnimationOptions(way, frames), output=Path(output))


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
