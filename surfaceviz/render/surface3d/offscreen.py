"""Stages for scenes, with what the graphics library says held back unless it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from surfaceviz.errors import GraphicsError
from surfaceviz.render.surface3d.camera import Camera
from surfaceviz.render.surface3d.quiet import quiet
from surfaceviz.render.surface3d.scene import Scene

if TYPE_CHECKING:
    from surfaceviz.render.surface3d.renderer import RenderedImage

RenderAll = Callable[[Camera, int | None], "list[RenderedImage]"]


@contextmanager
def offscreen_renderer(scenes: Sequence[Scene], pixels: tuple[int, int]) -> Iterator[RenderAll]:
    """Give what takes the picture of each scene from a camera, up to an iterate, for a ``with`` block.

    Raises:
        GraphicsError: there is no OpenGL, or it fails.
    """
    with ExitStack() as stack:
        with _failing():
            from surfaceviz.render.surface3d.opengl import check_opengl

            check_opengl()
            from surfaceviz.render.surface3d.renderer import OffscreenRenderer

            stages = []
            for scene in scenes:
                stages.append(OffscreenRenderer(scene, pixels))
                stack.callback(stages[-1].close)

        def render(camera: Camera, until: int | None) -> list[RenderedImage]:
            with _failing():
                return [renderer.render(camera, until=until) for renderer in stages]

        yield render


@contextmanager
def _failing() -> Iterator[None]:
    """Turn what the library raises into a line with what it said last."""
    with quiet() as last_words:
        try:
            yield
        except RuntimeError as error:
            raise GraphicsError(f"OpenGL fails: {last_words() or error}") from error
