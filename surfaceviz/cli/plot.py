"""The commands that draw what files hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from surfaceviz.cli import options
from surfaceviz.cli.app import app, joined_stem

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["filled", "lines", "heat", "surface", "spectrum"]
Scale = Literal["auto", "linear", "log", "paper"]
Shade = Literal["ratio", "max", "min", "gradient"]
Animation = Literal["orbit", "trajectory"]
PictureSize = Literal["auto", "column", "page", "slide"]
Of = Annotated[
    str | None, typer.Option(metavar="METRIC", help="loss, rise, accuracy, another, or SPLIT_METRIC [the loss].")
]
Clip = Annotated[float | None, typer.Option(help="Cut off above this value; there it is hatched.")]
Camera = Annotated[
    str,
    typer.Option(metavar="VIEW", help="corner, front, side, back, low, top, or AZIMUTH,ELEVATION[,ZOOM] in degrees."),
]
Levels = Annotated[
    Scale, typer.Option(help="Spacing of levels, or the scale of a curve; paper: 0.1 to 10 in steps of 0.5.")
]


@app.command(epilog="Example: surfaceviz plot plain.h5 skip.h5 --kind surface --clip 10 -o both.pdf")
def plot(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Curves are overlaid, surfaces drawn side by side; or of checkpoints."),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="PNG, SVG or PDF [FILE.png]; a movie: GIF or MP4 [FILE.gif].")
    ] = None,
    kind: Annotated[
        Kind, typer.Option(help="Of surfaces; surface: in 3-D; spectrum: the spectra in the files alone.")
    ] = "filled",
    levels: Levels = "auto",
    of: Of = None,
    clip: Clip = None,
    show_points: Annotated[bool, typer.Option("--show-points", help="Dot the points that were evaluated.")] = False,
    spectrum: Annotated[
        bool, typer.Option("--spectrum", help="Draw the spectra of points, and the slice's own curvature there.")
    ] = False,
    map_: Annotated[
        Shade | None, typer.Option("--map", help="Shade the Hessian map under the contours of the loss.")
    ] = None,
    size: Annotated[PictureSize, typer.Option(help="Width and letters: of a column, a page, a slide.")] = "auto",
    camera: Camera = "corner",
    animate: Annotated[
        Animation | None, typer.Option(help="A movie of kind surface: around it, or along the training.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=2, max=3600, help="Of a movie [90].")] = None,
    debug: options.Debug = False,
) -> None:
    """Draw slices: curves overlaid, surfaces side by side with one set of levels."""
    from surfaceviz import render
    from surfaceviz.pipeline import plot as pictures

    target = output or Path(joined_stem(files) + (".gif" if animate else ".png"))
    if animate is not None:
        if kind not in ("filled", "surface"):
            raise ValueError(f"--animate makes movies of --kind surface, not of {kind}")
        pictures.refuse_unused("surface", {"points": show_points, "spectrum": spectrum, "map": map_ is not None})
        pictures.animate(
            *files, output=target, way=animate, levels=levels, of=of, clip=clip, size=size, camera=camera,
            frames=frames or 90, advance=_advance(),
        )  # fmt: skip
        typer.echo(f"movie: {target}")
        return
    if frames is not None:
        raise ValueError("--frames are of a movie: give --animate orbit or trajectory as well")
    render.check_format(target)
    pictures.plot(
        *files, output=target, kind=kind, levels=levels, of=of, clip=clip, points=show_points, spectrum=spectrum,
        shade=map_, size=size, camera=camera, warn=_warn,
    )  # fmt: skip
    typer.echo(f"picture: {target}")


@app.command(epilog="Example: surfaceviz view plain.h5 skip.h5")
def view(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of surfaces, shown side by side.")],
    levels: Levels = "auto",
    of: Of = None,
    clip: Clip = None,
    camera: Camera = "corner",
    debug: options.Debug = False,
) -> None:
    """Open a window to turn surfaces in; q closes it."""
    from surfaceviz.pipeline.plot import view as show

    show(*files, levels=levels, of=of, clip=clip, camera=camera)


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


def _advance() -> Callable[[int, int], None] | None:
    """Return what shows the frames that are done, on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        print(f"\rframe {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show
