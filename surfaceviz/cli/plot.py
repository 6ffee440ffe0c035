"""The command ``plot``: pictures and movies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from surfaceviz.cli.app import app, joined_stem
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import show, warn
from surfaceviz.pipeline.defaults import defaults_of
from surfaceviz.render.kinds import KINDS
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    Kind = str
else:
    Kind = Literal[tuple(KINDS)]

DEFAULTS = defaults_of(PlotOptions)
CONTENT, LAYOUT, MOVIE = "What is drawn", options.LAYOUT, "Movies"
MapQuantity = Literal["ratio", "max", "min", "gradient"]
Scale = Literal["auto", "linear", "log", "paper"]
PictureSize = Literal["auto", "column", "page", "slide"]
Of = Annotated[
    str | None,
    typer.Option(
        metavar="METRIC",
        rich_help_panel=CONTENT,
        help="loss, rise, accuracy, another, or SPLIT_METRIC; the loss by default.",
    ),
]
Clip = Annotated[
    float | None, typer.Option(rich_help_panel=LAYOUT, help="Upper end of the values; larger ones are hatched.")
]
Camera = Annotated[
    str,
    typer.Option(
        metavar="VIEW", rich_help_panel=LAYOUT,
        help="Camera of 3-D: corner, front, side, back, low, top, or AZIMUTH,ELEVATION[,ZOOM] in degrees.",
    ),
]  # fmt: skip
Levels = Annotated[
    Scale,
    typer.Option(
        rich_help_panel=LAYOUT, help="Spacing of levels, or the scale of a curve; paper: 0.1 to 10 in steps of 0.5."
    ),
]

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="Files of slices, or of checkpoints; curves share one plot."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        rich_help_panel=options.OUTPUT,
        help="PNG, SVG or PDF [default: FILE.png]; for a movie GIF or MP4 [default: FILE.gif].",
    ),
]
KindOption = Annotated[
    Kind,
    typer.Option(
        rich_help_panel=CONTENT,
        help="Kind of picture; surface: in 3-D; spectrum: only the spectra in the files.",
    ),
]
ShowPoints = Annotated[
    bool, typer.Option("--show-points", rich_help_panel=CONTENT, help="Dot the points that were evaluated.")
]
Spectrum = Annotated[
    bool,
    typer.Option("--spectrum", rich_help_panel=CONTENT, help="Draw the spectra of points and the local curvature."),
]
Map = Annotated[
    MapQuantity | None,
    typer.Option("--map", rich_help_panel=CONTENT, help="Quantity of the Hessian map behind the contours."),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        rich_help_panel=CONTENT,
        help="Write below how far each quadratic model is right, and lambda_max over the curvature shown.",
    ),
]
SizeOption = Annotated[
    PictureSize, typer.Option(rich_help_panel=LAYOUT, help="Width and font size: of a column, a page, a slide.")
]
Animate = Annotated[
    Literal["orbit", "trajectory"] | None,
    typer.Option(
        rich_help_panel=MOVIE,
        help="A movie: around a surface in 3-D; along the training from above, with --kind surface in 3-D.",
    ),
]
Frames = Annotated[
    int | None,
    typer.Option(min=2, max=3600, rich_help_panel=MOVIE, help=f"Number of frames [{AnimationOptions().frames}]."),
]


@app.command(epilog="Example: surfaceviz plot plain.h5 skip.h5 --kind surface --clip 10 -o both.pdf")
def plot(
    files: Files,
    kind: KindOption = DEFAULTS.kind,
    levels: Levels = DEFAULTS.levels,
    *,
    of: Of = DEFAULTS.of,
    clip: Clip = DEFAULTS.clip,
    show_points: ShowPoints = DEFAULTS.points,
    spectrum: Spectrum = DEFAULTS.spectrum,
    map_: Map = DEFAULTS.map,
    explain: Explain = DEFAULTS.explain,
    size: SizeOption = DEFAULTS.size,
    camera: Camera = DEFAULTS.camera,
    label: options.Label = DEFAULTS.label,
    title: options.Title = DEFAULTS.title,
    axis_name: options.AxisName = DEFAULTS.axis_name,
    animate: Animate = None,
    frames: Frames = None,
    output: Output = None,
    overwrite: options.Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Draw slices: curves overlaid, surfaces next to each other with one set of levels."""
    target = output or Path(joined_stem(files) + (".gif" if animate else ".png"))
    options: dict[str, Any] = {
        "kind": kind, "levels": levels, "of": of, "clip": clip, "points": show_points, "spectrum": spectrum,
        "map": map_, "explain": explain, "size": size, "camera": camera, "label": label or (), "title": title,
        "axis_name": axis_name or (), "overwrite": overwrite,
    }  # fmt: skip
    if animate is not None:
        _write_movie(files, target, animate, frames, options=options)
        return
    if frames is not None:
        raise ValueError("--frames are of a movie: give --animate orbit or trajectory as well")
    from surfaceviz.pipeline.plot.request import PlotRequest
    from surfaceviz.pipeline.plot.run import run_plot

    figure = run_plot(PlotRequest.of(*files, output=target, **options), warn=warn)
    show(f"picture: {target}")
    for line in figure.explanation:
        show(line)


def _write_movie(files: list[Path], target: Path, way: str, frames: int | None, *, options: dict[str, Any]) -> None:
    from surfaceviz.pipeline.plot.request import AnimationRequest
    from surfaceviz.pipeline.plot.run import run_animation

    count: dict[str, Any] = {} if frames is None else {"frames": frames}
    run_animation(AnimationRequest.of(*files, output=target, way=way, **count, **options), advance=_advance())
    show(f"movie: {target}")


def _advance() -> Callable[[int, int], None] | None:
    """Return a function that prints the number of finished frames on a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        return None

    def show_frame(done: int, total: int) -> None:
        print(f"\rframe {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show_frame
