"""Baseline: pixels of the rendered picture, found by their colour, against where the camera puts them.

What is rendered is looked for in the image by the colour of its marks, which nothing else in the picture has.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

import surfaceviz
from surfaceviz import render, store
from surfaceviz.errors import GraphicsError
from surfaceviz.records import Mark, Slice, Spectrum, Trajectory
from surfaceviz.render import style
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions
from surfaceviz.render.quantity import quantity
from surfaceviz.render.surface3d import opengl
from surfaceviz.render.surface3d.camera import PRESETS, Camera, Projection
from surfaceviz.render.surface3d.draw import scenes_of
from surfaceviz.render.surface3d.renderer import OffscreenRenderer
from surfaceviz.render.surface3d.scene import FLOOR, HEIGHT, Scene, make_scene
from surfaceviz.render.surface3d.window import build

PIXELS = (500, 400)


def _surface(shape: tuple[int, int] = (21, 13), *, scale: float = 1.0, title: str = "net", **more: Any) -> Slice:
    """Return a shallow bowl, steep along beta alone, over alpha in -1 .. 1 and beta in -1 .. 2."""
    axes = (np.linspace(-1, 1, shape[0]), np.linspace(-1, 2, shape[1]))
    z = np.broadcast_to(1 + scale * axes[1] ** 2, shape).copy()
    values = {"train_loss": z, "train_accuracy": 1 / z}
    made = Slice(
        axes=axes,
        values=values,
        origin=np.ones(shape, np.uint8),
        centre={"train_loss": 1.0},
        provenance={"problem": title},
    )
    return replace(made, **more)


def _scene(surface: Slice, **look: Any) -> Scene:
    return scenes_of([surface], PlotOptions(levels="linear", **look))[0][0]


def _centre_of(pixels: NDArray[np.uint8], colour: str, tolerance: int = 12) -> NDArray[np.float64]:
    """Return the middle (column, row) of the pixels of a colour."""
    near = np.all(np.abs(pixels.astype(int) - np.array(to_rgb(colour)) * 255) <= tolerance, axis=-1)
    assert near.sum() > 10
    rows, columns = np.nonzero(near)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


@pytest.mark.parametrize(
    "view", [Camera.at(-70, 50), Camera.at(25, 35, 1.4), Camera.at(*PRESETS["top"]), Camera.at(200, 60)]
)
def test_the_marked_centre_is_at_the_pixel_where_the_camera_projects_it(view: Camera) -> None:
    renderer = OffscreenRenderer(_scene(_surface()), PIXELS)
    renderer.render(Camera.at(-90, 20))  # the second picture of a renderer is not that of its first view
    shot = renderer.render(view)
    renderer.close()
    scene = _scene(_surface())
    assert scene.theta is not None
    where = shot.projection(scene.theta[None])[0]
    assert not shot.hides(scene.theta)
    np.testing.assert_allclose(where, _centre_of(shot.pixels, style.INK), atol=1.5)


def test_the_projection_is_that_of_a_pinhole_camera() -> None:
    """An independent pinhole: x' = f (x . right) / (x . forward), f from the angle of view."""
    view, scene = Camera.at(-58, 38), _scene(_surface())
    renderer = OffscreenRenderer(scene, PIXELS)
    projection = renderer.render(view).projection
    renderer.close()
    place = view.place(scene.half, PIXELS[0] / PIXELS[1])
    forward = -view.towards
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    points = np.array([[-0.3, 0.8, 0.1], [0.6, -1, FLOOR], [0, 0, HEIGHT]])
    seen = points - place
    focal = PIXELS[1] / 2 / np.tan(np.radians(11))
    expected = focal * np.stack([seen @ right, -(seen @ up)], 1) / (seen @ forward)[:, None] + np.array(PIXELS) / 2
    np.testing.assert_allclose(projection(points), expected, atol=1e-6)


def test_a_mark_behind_the_surface_is_hidden() -> None:
    """Behind a wall that rises towards the camera the point on the far side is not seen; from above it is."""
    surface = _surface(marks=(Mark("b", (0.0, 0.5), {}),))
    surface.values["train_loss"][:] = 1 + 9 * (surface.axes[1] < -0.5)
    renderer = OffscreenRenderer(_scene(surface), PIXELS)
    point = _scene(surface).points[0].place
    assert renderer.render(Camera.at(-90, 3)).hides(point)
    assert not renderer.render(Camera.at(-90, 89)).hides(point)
    renderer.close()


@pytest.mark.parametrize("view", [Camera.at(*angles) for angles in PRESETS.values()])
def test_the_box_fits_the_picture_from_every_side(view: Camera) -> None:
    scene = _scene(_surface())
    renderer = OffscreenRenderer(scene, PIXELS)
    projection = renderer.render(view).projection
    renderer.close()
    corners = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (FLOOR, HEIGHT)]) * [*scene.half, 1]
    share = projection(corners) / PIXELS
    assert share.min() > 0.04
    assert share.max() < 0.96
    assert max(np.ptp(share, axis=0)) > 0.75


def test_a_surface_steep_in_beta_rises_along_the_second_axis_only() -> None:
    scene = _scene(_surface())
    x, y, z = scene.vertices.T
    for column in np.unique(y):
        assert np.ptp(z[y == column]) < 1e-12
    assert np.ptp(z[x == x.min()]) > 0.5
    assert list(scene.half) == pytest.approx([2 / 3, 1.0])
    assert (x.min(), x.max(), y.min(), y.max()) == pytest.approx((-2 / 3, 2 / 3, -1, 1))


def test_triangles_look_upwards() -> None:
    scene = _scene(_surface())
    a, b, c = (scene.vertices[scene.triangles[:, k]] for k in range(3))
    assert np.all(np.cross(b - a, c - a)[:, 2] > 0)


def test_heights_are_linear_in_the_value_or_its_logarithm() -> None:
    surface = _surface()
    for levels, of in (("linear", lambda z: z), ("log", np.log10)):
        (scene,), _ = scenes_of([surface], PlotOptions(levels=levels))
        norm = scene.levels.norm()
        expected = (of(surface.values["train_loss"]) - norm.vmin) / (norm.vmax - norm.vmin) * HEIGHT  # type: ignore[operator]
        heights = {round(float(y), 9): float(z) for _, y, z in scene.vertices}
        for beta, z in zip(surface.axes[1], expected[0], strict=True):
            assert heights[round(float(2 * (beta + 1) / 3 - 1), 9)] == pytest.approx(z)


def test_several_surfaces_share_one_scale_of_heights_and_colours() -> None:
    small, large = scenes_of([_surface(), _surface(scale=3.0)], PlotOptions(levels="linear"))[0]
    assert small.levels is large.levels
    assert np.ptp(large.vertices[:, 2]) == pytest.approx(3 * np.ptp(small.vertices[:, 2]))


def test_a_cell_with_a_corner_that_is_not_finite_is_a_hole() -> None:
    surface = _surface((5, 4))
    surface.values["train_loss"][0, 0] = np.inf
    surface.values["train_loss"][4, 3] = np.nan
    levels = scenes_of([surface], PlotOptions(levels="linear"))[0][0].levels
    coarse = make_scene(surface, quantity(surface), levels, coarse=True)
    assert len(coarse.triangles) == 2 * (4 * 3 - 2)
    surface.values["train_loss"][1::2] = np.nan
    with pytest.raises(ValueError, match="no cell of the surface has four finite corners"):
        scenes_of([surface], PlotOptions(levels="linear"))


def test_above_the_clip_the_surface_is_cut_off() -> None:
    """1 + beta^2 < 2 is -1 < beta < 1: seen from above, the last third of the picture along beta is bare."""
    renderer = OffscreenRenderer(_scene(_surface((21, 31)), clip=2.0), (300, 300))
    shot = renderer.render(Camera.at(*PRESETS["top"]))
    renderer.close()
    scene = _scene(_surface((21, 31)), clip=2.0)
    rows = [int(shot.projection(np.array([[0.3, y, 0.0]]))[0, 1]) for y in (0.28, 0.39)]  # beta 0.92 and 1.09
    column = int(shot.projection(np.array([[0.3, 0.0, 0.0]]))[0, 0])
    colours = [np.ptp(shot.pixels[row, column].astype(int)) for row in rows]
    assert colours[0] > 40
    assert colours[1] < 10  # grey: the floor
    assert scene.levels.top == 2.0


def test_marks_paths_and_points_lie_on_the_surface() -> None:
    path = Trajectory(
        coordinates=np.array([[0.5, 1.5], [0.2, 0.5], [9.0, 0.0]]),
        step=np.arange(3.0),
        distance=np.array([1.0, 0.5, 0.1]),
    )
    scene = _scene(_surface(marks=(Mark("b.pt", (0.5, 1.5), {}), Mark("far", (4, 4), {})), trajectory=path))
    norm = scene.levels.norm()
    height = (1 + 1.5**2 - norm.vmin) / (norm.vmax - norm.vmin)  # type: ignore[operator]
    (mark,) = scene.points
    np.testing.assert_allclose(mark.place, [1 / 3, 2 / 3, height], atol=2e-3)
    np.testing.assert_allclose(scene.path[0], mark.place)
    assert np.isnan(scene.path[2]).any()


def test_a_picture_names_its_axes_models_and_points() -> None:
    figure = render.draw_surfaces([_surface(marks=(Mark("b_$1$.pt", (0.5, 1.5), {}),))], PlotOptions(camera="-58,38"))
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert r"$\alpha$" in texts
    assert r"$\beta$" in texts
    assert "train loss" in texts
    assert r"b_\$1\$.pt" in texts
    assert {"-1", "0", "1"} <= set(texts)


def test_side_by_side_panels_have_one_colour_bar(tmp_path: Path) -> None:
    for name, title in (("a", "plain"), ("b", "skip")):
        store.write(tmp_path / f"{name}.h5", _surface(title=title))
    output = tmp_path / "both.png"
    figure = surfaceviz.plot(tmp_path / "a.h5", tmp_path / "b.h5", kind="surface", output=output, size="page")
    assert [ax.get_title() for ax in figure.axes] == ["plain", "skip", ""]
    image = iio.imread(output)
    assert image[..., :3].std() > 20


def test_without_opengl_matplotlib_draws_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """VTK's last resort is OSMesa, without which it would end the process."""
    monkeypatch.setenv("VTK_DEFAULT_OPENGL_WINDOW", "vtkOSOpenGLRenderWindow")
    monkeypatch.setattr(opengl, "_OSMESA", ("libNoSuchMesa.so.8",))
    with pytest.raises(GraphicsError, match=r"no OpenGL: EGL finds no device, .* \(Debian's packages libegl-mesa0"):
        render.draw_surfaces([_surface()], PlotOptions(camera="-58,38"))
    monkeypatch.setattr(opengl, "_EGL", "libNoSuchEGL.so.1")
    said: list[str] = []
    figure = render.draw_surfaces([_surface(title="flat")], PlotOptions(camera="-58,38"), warn=said.append)
    assert said == [
        "no OpenGL: libNoSuchEGL.so.1 is missing (Debian's package libegl1); drawn by matplotlib instead, without light"
    ]
    assert figure.axes[0].name == "3d"
    assert figure.axes[0].get_title() == "flat"
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow
def test_without_opengl_the_command_does_not_crash(tmp_path: Path) -> None:
    """Where there is an OSMesa it draws, else matplotlib does: in neither case VTK ends the process."""
    store.write(tmp_path / "a.h5", _surface())
    command = [sys.executable, "-m", "surfaceviz", "plot", "a.h5", "--kind", "surface"]
    without = {**os.environ, "VTK_DEFAULT_OPENGL_WINDOW": "vtkOSOpenGLRenderWindow"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=without)
    assert (done.returncode, done.stdout) == (0, "picture: a.png\n")
    assert iio.imread(tmp_path / "a.png").std() > 20


@pytest.mark.slow
def test_nothing_is_said_on_stderr(tmp_path: Path) -> None:
    store.write(tmp_path / "a.h5", _surface())
    command = [sys.executable, "-m", "surfaceviz", "plot", "a.h5", "--kind", "surface"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout == "picture: a.png\n"


def _frames(path: Path) -> NDArray[np.uint8]:
    """Return a movie's frames; a video is turned into a GIF first, by the program itself."""
    if path.suffix == ".gif":
        return np.asarray(iio.imread(path))
    with tempfile.TemporaryDirectory() as folder:
        gif = Path(folder) / "a.gif"
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", path, gif], check=True)
        return np.asarray(iio.imread(gif))


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_an_orbit_comes_around(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    surfaceviz.plot(_surface())  # another figure in between changes nothing
    render.animate([_surface()], PlotOptions(), path, animation=AnimationOptions("orbit", 4))
    frames = _frames(path)
    assert len(frames) == 4
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0
    changes = [float(np.abs(a.astype(float) - b).mean()) for a, b in itertools.pairwise(frames)]
    assert min(changes) > 1
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_trajectory_grows(tmp_path: Path) -> None:
    steps = np.linspace(1, 0, 5)
    path = Trajectory(
        coordinates=np.stack([0.8 * steps, 1.5 * steps], 1), step=np.arange(5.0), distance=np.full(5, np.nan)
    )
    scene = _scene(_surface(trajectory=path))
    renderer = OffscreenRenderer(scene, PIXELS)
    shots = [renderer.render(Camera.at(-90, 60), until=k) for k in (1, 3, 5, 1)]
    renderer.close()
    white = [int(np.all(shot.pixels > 240, axis=-1).sum()) for shot in shots]  # unknown distances are white balls
    assert white[0] < white[1] < white[2]
    assert white[3] == white[0]
    with pytest.raises(ValueError, match="no file has a trajectory"):
        render.animate([_surface()], PlotOptions(), tmp_path / "a.gif", animation=AnimationOptions("trajectory"))


def test_bad_requests_are_told_what_would_do(tmp_path: Path) -> None:
    line = Slice(
        axes=(np.linspace(0, 1, 4),), values={"train_loss": np.ones(4)}, origin=np.ones(4, np.uint8), centre={}
    )
    with pytest.raises(ValueError, match="kind surface draws surfaces, and these slices are curves"):
        surfaceviz.plot(line, kind="surface")
    with pytest.raises(ValueError, match="a surface needs 2 x 2 points, got 1 x 5; use --kind heat"):
        surfaceviz.plot(_surface((1, 5)), kind="surface")
    for camera in ("up", "1", "1,2,3,4", "nan,3", "0,91", "0,10,0", "0,10,-1"):
        with pytest.raises(ValueError, match="camera: expected one of corner, front"):
            surfaceviz.plot(_surface(), kind="surface", camera=camera)
    with pytest.raises(ValueError, match="movies are written as gif or mp4"):
        render.animate([_surface()], PlotOptions(), tmp_path / "a.png", animation=AnimationOptions())
    with pytest.raises(ValueError, match="kind surface has no --show-points"):
        surfaceviz.plot(_surface(), kind="surface", points=True)


def test_a_window_needs_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(GraphicsError, match="no screen to open a window on .* `surfaceviz report`"):
        render.show([_surface()], PlotOptions(camera="0,30"))
    assert "DISPLAY" not in os.environ


def test_a_window_has_all_surfaces_under_one_camera() -> None:
    surfaces = [_surface(title="a"), _surface(title="b")]
    plotter = build(
        surfaces, scenes_of(surfaces, PlotOptions())[0], Camera.at(-58, 38), off_screen=True, window_size=[400, 200]
    )
    image = plotter.screenshot(return_img=True)
    assert plotter.renderers[0].camera is plotter.renderers[1].camera
    assert image[:, :200].std() > 10
    assert image[:, 200:].std() > 10
    plotter.close()


def test_a_projection_counts_rows_from_above() -> None:
    assert Projection(np.eye(4), 100, 50)(np.array([[0.0, 0, 0], [-1, 1, 0]])).tolist() == [[50, 25], [0, 0]]


def test_distances_have_one_scale_of_colours_over_all_panels() -> None:
    near, far = (
        _surface(
            trajectory=Trajectory(
                coordinates=np.array([[0.5, 1.0], [0.0, 0.0]]), step=np.arange(2.0), distance=np.array([d, 0.0])
            )
        )
        for d in (1.0, 10.0)
    )
    scenes, _ = scenes_of([near, far], PlotOptions())
    assert [(s.colours.vmin, s.colours.vmax) for s in scenes if s.colours is not None] == [(0, 10)] * 2


def test_an_unfinished_slice_is_shown_as_its_finest_whole_lattice() -> None:
    surface = _surface((17, 9))
    surface.values["train_loss"][1::2], surface.origin[1::2] = np.nan, 0
    figure = surfaceviz.plot(surface, kind="surface")
    assert figure.axes[0].get_title() == "net\n81 of 153 points so far"


def test_an_axis_seen_from_its_end_has_no_texts() -> None:
    figure = render.draw_surfaces([_surface()], PlotOptions(camera="front"))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert r"$\alpha$" in texts
    assert r"$\beta$" not in texts


def test_points_with_a_spectrum_are_numbered_on_from_panel_to_panel() -> None:
    def spectrum(place: tuple[float, float]) -> Spectrum:
        found = np.array([-1.0, 20.0])
        return Spectrum(
            eigenvalues=found,
            residuals=np.zeros(2),
            converged=np.ones(2, bool),
            place=place,
            dimension=9,
            bottom=1,
            norm=20.0,
            loss=1.0,
            gradient_norm=0.1,
            kind="saddle",
            reason="both signs",
        )

    first, second = _surface(title="a", spectra=(spectrum((0, 0)), spectrum((0.5, 1.0)))), _surface(title="b")
    options = PlotOptions(camera="-58,38", spectrum=True)
    figure = render.draw_surfaces([first, replace(second, spectra=(spectrum((0, 1.0)),))], options)
    texts = [[text.get_text() for text in ax.texts if "lambda" in text.get_text()] for ax in figure.axes[:2]]
    assert texts == [["$\\lambda_{\\max}$ 20\nsaddle"] * 2, ["$\\lambda_{\\max}$ 20\nsaddle"]]
    numbers = [
        {text.get_text() for text in ax.texts if text.get_bbox_patch()} & {"1", "2", "3"} for ax in figure.axes[:2]
    ]
    assert numbers == [{"1", "2"}, {"3"}]
    bare = render.draw_surfaces([first], PlotOptions())
    assert not [text for ax in bare.axes for text in ax.texts if "lambda" in text.get_text()]
