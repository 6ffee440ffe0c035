"""The camera of a 3-D picture, and the projection from the box to its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surfaceviz.records import FloatArray
from surfaceviz.render.surface3d.scene import FLOOR, HEIGHT

PRESETS = {
    "corner": (-58.0, 38.0),
    "front": (-90.0, 22.0),
    "side": (0.0, 22.0),
    "back": (122.0, 38.0),
    "low": (-58.0, 10.0),
    "top": (-90.0, 89.9),
}
RATIO = 1.25  # of a panel's width to its height
ANGLE = 22.0  # degrees that the picture spans upwards; small, so that near things are not much larger
_FILLED = 0.9  # of the picture; around it stand the texts of the axes
_ABOVE = 75.0  # degrees
_FOCUS = np.array([0.0, 0.0, (FLOOR + HEIGHT) / 2])
_NUMBERS = (2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera that looks at the middle of the box.

    Attributes:
        azimuth: degrees, counter-clockwise from above; -90 looks along beta, with alpha to the right.
        elevation: degrees above the floor.
        zoom: above 1 is nearer.
        away: distance of the camera, the same for all frames of an orbit; None: the distance that fits the box.
    """

    azimuth: float
    elevation: float
    zoom: float = 1.0
    away: float | None = None

    @classmethod
    def at(cls, azimuth: float, elevation: float, zoom: float = 1.0) -> Camera:
        """Return the camera in a direction, in degrees."""
        return cls(azimuth=azimuth, elevation=elevation, zoom=zoom)

    @property
    def towards(self) -> FloatArray:
        """The unit vector from the middle of the box to the camera, (3,)."""
        a, e = np.radians([self.azimuth, self.elevation])
        return np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])

    @property
    def focus(self) -> FloatArray:
        """The point that it looks at, (3,)."""
        return _FOCUS

    def place(self, half: tuple[float, float], ratio: float) -> FloatArray:
        """Return the position of the camera from which the box fits a picture, (3,).

        Args:
            half: half the lengths of the floor.
            ratio: of the picture's width to its height.
        """
        away = self.fitting(half, ratio) if self.away is None else self.away
        return self.focus + self.towards * away / self.zoom

    @property
    def parallel(self) -> bool:
        """Whether the projection is parallel: seen from above, perspective would hide the floor's axes."""
        return self.elevation > _ABOVE

    def scale(self, half: tuple[float, float], ratio: float) -> float:
        """Return half the visible height in parallel projection."""
        across, upwards, _ = self._extents(half, ratio)
        return float(np.maximum(across, upwards).max()) / _FILLED / self.zoom

    def fitting(self, half: tuple[float, float], ratio: float) -> float:
        """Return the distance from which the box just fills a picture with its margin.

        A corner c, from the focus, is at (c.right, c.up) / (d - c.towards) from distance d.
        """
        reach = _FILLED * np.tan(np.radians(ANGLE / 2))
        across, upwards, near = self._extents(half, ratio)
        return float(np.max(near + np.maximum(across, upwards) / reach))

    def _extents(self, half: tuple[float, float], ratio: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return how far the corners are from the focus: across (over the ratio), upwards, nearer; (8,) each."""
        x, y, z = np.meshgrid(*([-h, h] for h in half), [FLOOR, HEIGHT])
        corners = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1) - self.focus
        right = np.cross([0.0, 0.0, 1.0], self.towards)
        right /= np.linalg.norm(right)
        up = np.cross(self.towards, right)
        return np.abs(corners @ right) / ratio, np.abs(corners @ up), corners @ self.towards


def parse_camera(given: str) -> Camera:
    """Return the camera for a preset's name or ``AZIMUTH,ELEVATION[,ZOOM]`` asks for.

    >>> parse_camera("30,45,1.5")
    Camera(azimuth=30.0, elevation=45.0, zoom=1.5, away=None)

    Raises:
        ValueError: the text is neither.
    """
    if given in PRESETS:
        return Camera.at(*PRESETS[given])
    try:
        numbers = [float(number) for number in given.split(",")]
    except ValueError:
        numbers = []
    good = len(numbers) in _NUMBERS and np.all(np.isfinite(numbers)) and abs(numbers[1]) <= 90  # noqa: PLR2004
    if not good or (len(numbers) == _NUMBERS[1] and numbers[2] <= 0):
        raise ValueError(
            f"camera: expected one of {', '.join(PRESETS)}, or AZIMUTH,ELEVATION[,ZOOM] in degrees, got {given!r}"
        )
    azimuth, elevation, *zoom = numbers
    return Camera.at(
        azimuth, float(np.clip(elevation, -89.9, 89.9)), *zoom
    )  # straight down, the upward direction is undefined


@dataclass(frozen=True, slots=True)
class Projection:
    """From the box to a picture.

    Attributes:
        matrix: from homogeneous coordinates to those of the clipping cube, (4, 4).
        width, height: of the picture in pixels.
    """

    matrix: FloatArray
    width: int
    height: int

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return the pixels of points (n, 3): column from the left and row from above, (n, 2)."""
        x = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ self.matrix.T
        cube = x[:, :2] / x[:, 3:]
        return np.stack([(cube[:, 0] + 1) / 2 * self.width, (1 - cube[:, 1]) / 2 * self.height], axis=1)
