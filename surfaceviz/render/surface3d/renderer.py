"""Rendering of scenes by pyvista, off screen or in a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyvista as pv
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from surfaceviz.records import FloatArray
from surfaceviz.render import style
from surfaceviz.render.surface3d.camera import ANGLE, Camera, Projection
from surfaceviz.render.surface3d.scene import BETWEEN, FLOOR, HEIGHT, Scene

_BALL = 0.028  # the radius of a mark
_LIFT = 0.004  # of lines above the surface, so that it doesn't swallow them
_SAMPLES = 8  # of a pixel
_CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedImage:
    """A rendered picture: its pixels, (height, width, 3) uint8, and where points of the box are on it."""

    pixels: NDArray[np.uint8]
    projection: Projection
    depth: FloatArray  # (height, width), -1 near to 1 far; NaN where there is nothing
    towards: FloatArray  # from the box to the camera, (3,)

    def hides(self, point: FloatArray) -> bool:
        """Return whether a point of the box, (3,), is behind something."""
        x = self.projection.matrix @ np.append(point + 2 * _BALL * self.towards, 1.0)  # not by its own mark
        column, row = self.projection(point[None])[0].astype(int)
        if not (0 <= row < self.projection.height and 0 <= column < self.projection.width):
            return False
        before = self.depth[row, column]
        return bool(np.isfinite(before) and before < x[2] / x[3])


class OffscreenRenderer:
    """A scene and an off-screen window of so many pixels; `close` it.

    Args:
        scene: what stands in it.
        pixels: width and height.
        line: the width of contour lines in pixels.
    """

    def __init__(self, scene: Scene, pixels: tuple[int, int], *, line: float = 2.0) -> None:
        self._scene, self._pixels, self._line = scene, pixels, line
        self._plotter = pv.Plotter(off_screen=True, window_size=list(pixels), lighting="none")
        add_scene(self._plotter, scene, line)
        self._box_edges: list[Any] = []
        self._shown_path: list[Any] = []

    def render(self, camera: Camera, *, until: int | None = None) -> RenderedImage:
        """Return the picture from a camera, with the first ``until`` iterates of the path."""
        self._draw_path(until)
        self._draw_box_edges(camera)
        set_camera(self._plotter, self._scene, camera, self._pixels[0] / self._pixels[1])
        self._plotter.render()  # a screenshot is else of the view before
        pixels = np.asarray(self._plotter.screenshot(return_img=True))[..., :3]
        depth = self._depth()
        return RenderedImage(
            pixels=pixels,
            projection=projection_of(self._plotter, self._pixels),
            depth=depth,
            towards=camera.towards,
        )

    def close(self) -> None:
        """Close the window."""
        self._plotter.close()

    def _depth(self) -> FloatArray:
        import vtkmodules.util.numpy_support as support
        from vtkmodules.vtkCommonCore import vtkFloatArray

        width, height = self._pixels
        values = vtkFloatArray()
        window: Any = self._plotter.render_window
        window.GetZbufferData(0, 0, width - 1, height - 1, values)
        z = support.vtk_to_numpy(values).reshape(height, width)[::-1].astype(float)
        return np.where(z < 1, 2 * z - 1, np.nan)

    def _draw_path(self, until: int | None) -> None:
        for actor in self._shown_path:
            self._plotter.remove_actor(actor, render=False)
        self._shown_path = add_path(self._plotter, self._scene, until, self._line)

    def _draw_box_edges(self, camera: Camera) -> None:
        """Draw the edges of the box but for those that would cross the surface."""
        for actor in self._box_edges:
            self._plotter.remove_actor(actor, render=False)
        self._box_edges = [
            self._plotter.add_mesh(
                lines, color="#aaaaaa", line_width=max(1.0, self._line / 2), lighting=False, render=False
            )
            for lines in box_edges(self._scene.half, camera)
        ]


def add_scene(plotter: Any, scene: Scene, line: float) -> None:
    """Put light, the surface, its contours, the floor and the marks of a scene on a plotter."""
    plotter.set_background("white")
    plotter.enable_anti_aliasing("msaa", multi_samples=_SAMPLES)
    for place, strength in (((-4, -2, 5), 0.85), ((5, -3, 3), 0.3), ((0, 5, 4), 0.2)):
        plotter.add_light(pv.Light(position=place, light_type="scene light", intensity=strength))
    plotter.add_light(pv.Light(light_type="headlight", intensity=0.25))  # for what is seen from below
    norm = scene.levels.norm()
    colours = {"cmap": _colours(), "clim": [norm.vmin, norm.vmax], "show_scalar_bar": False, "render": False}
    mesh = _mesh(scene)
    plotter.add_mesh(
        mesh, scalars="z", smooth_shading=True, ambient=0.3, diffuse=0.72, specular=0.1, specular_power=25, **colours
    )
    lines = _lines(mesh, scene)
    if lines is not None:
        above, floor = lines.copy(), lines.copy()
        above.points[:, 2] += _LIFT
        floor.points[:, 2] = FLOOR + _LIFT
        plotter.add_mesh(above, color="#ffffff", opacity=0.75, line_width=line * 0.6, lighting=False, render=False)
        plotter.add_mesh(floor, scalars="z", line_width=line, lighting=False, **colours)
    plotter.add_mesh(_floor(scene.half), color="#f4f4f4", lighting=False, render=False)
    if scene.theta is not None:
        _add_ball(plotter, scene.theta, style.INK)
    for point in scene.points:
        _add_ball(
            plotter, point.place, style.INK if point.number is not None else style.MARK, small=point.number is not None
        )


def _colours() -> ListedColormap:
    colours = colormaps[style.MAP](np.linspace(0, 1, 256))
    return ListedColormap(colours)


def _mesh(scene: Scene) -> Any:
    faces = np.hstack([np.full((len(scene.triangles), 1), 3), scene.triangles]).ravel()
    mesh = pv.PolyData(scene.vertices, faces)
    mesh.point_data["z"] = scene.scalars
    mesh = mesh.compute_normals(
        cell_normals=False, split_vertices=False, auto_orient_normals=False, consistent_normals=False
    )
    if scene.levels.clip is None:
        return mesh
    return mesh.clip_scalar(scalars="z", value=float(scene.levels.transform(np.array(scene.levels.top))))


def _lines(mesh: Any, scene: Scene) -> Any | None:
    """Return the contours of a mesh; None where no level crosses it."""
    low, high = scene.scalars.min(), scene.scalars.max()
    if scene.levels.clip is not None:
        high = min(high, float(scene.levels.transform(np.array(scene.levels.clip))) - 1e-9)  # there the surface ends
    places = scene.levels.transform(scene.levels.edges)
    inside = places[(places > low) & (places < high)]
    lines = mesh.contour(isosurfaces=list(inside), scalars="z", compute_normals=False) if len(inside) else None
    return lines if lines is not None and lines.n_points else None


def _floor(half: tuple[float, float]) -> Any:
    corners = np.column_stack([_CORNERS * half, np.full(4, FLOOR)])
    return pv.PolyData(corners, [4, 0, 1, 2, 3])


def _add_ball(plotter: Any, place: FloatArray, colour: str, *, small: bool = False) -> None:
    ball = pv.Sphere(radius=_BALL * (0.7 if small else 1.0), center=place, theta_resolution=24, phi_resolution=24)
    plotter.add_mesh(ball, color=colour, lighting=False, render=False)
    rim = pv.Sphere(radius=1.35 * _BALL * (0.7 if small else 1.0), center=place)
    plotter.add_mesh(rim, color="white", lighting=False, culling="front", render=False)  # seen on dark ground


def add_path(plotter: Any, scene: Scene, until: int | None, width: float) -> list[Any]:
    """Draw the path of a training up to an iterate, coloured by its distance where that is known; return the actors."""
    shown = np.all(np.isfinite(scene.path), axis=1)
    if until is not None:
        shown[until:] = False
    if not shown.any():
        return []
    actors = []
    whole = np.all(np.isfinite(scene.track), axis=1)
    whole[BETWEEN * (len(shown) - 1 if until is None else until - 1) + 1 :] = False
    for run in np.split(np.arange(len(whole)), np.flatnonzero(np.diff(whole)) + 1):
        if whole[run[0]] and len(run) > 1:
            line = pv.lines_from_points(scene.track[run] + [0, 0, _LIFT])
            actors.append(plotter.add_mesh(line, color=style.INK, line_width=width * 1.4, lighting=False, render=False))
    for k in np.flatnonzero(shown):
        known = scene.colours is not None and np.isfinite(scene.distance[k])
        colour = colormaps[style.PATH_MAP](scene.colours(scene.distance[k]))[:3] if known else "white"  # type: ignore[misc]
        ball = pv.Sphere(radius=_BALL * 0.55, center=scene.path[k], theta_resolution=12, phi_resolution=12)
        actors.append(plotter.add_mesh(ball, color=colour, lighting=False, render=False))
    return actors


def box_edges(half: tuple[float, float], camera: Camera) -> list[Any]:
    """Return the lines of the box that lie behind the surface, as seen from a view."""
    corners = _CORNERS * half
    nearest = int(np.argmax(corners @ camera.towards[:2]))
    low, high = (np.column_stack([corners, np.full(4, z)]) for z in (FLOOR, HEIGHT))
    edges = [(low[k], low[(k + 1) % 4]) for k in range(4)]
    edges += [(low[k], high[k]) for k in range(4) if k != nearest]
    edges += [(high[k], high[(k + 1) % 4]) for k in range(4) if nearest not in (k, (k + 1) % 4)]
    return [pv.Line(*edge) for edge in edges]


def set_camera(plotter: Any, scene: Scene, camera: Camera, ratio: float) -> None:
    """Point a plotter's camera."""
    own = plotter.camera
    own.position, own.focal_point, own.up = tuple(camera.place(scene.half, ratio)), tuple(camera.focus), (0, 0, 1)
    own.view_angle = ANGLE
    own.parallel_projection = camera.parallel
    own.parallel_scale = camera.scale(scene.half, ratio)
    plotter.reset_camera_clipping_range()


def projection_of(plotter: Any, pixels: tuple[int, int]) -> Projection:
    """Return where a plotter's camera puts points of the box."""
    width, height = pixels
    found = plotter.camera.GetCompositeProjectionTransformMatrix(width / height, -1, 1)
    return Projection(np.array([[found.GetElement(i, j) for j in range(4)] for i in range(4)]), width, height)
