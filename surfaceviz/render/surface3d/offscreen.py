"""Off-screen rendering of scenes; messages of the graphics library appear only if it fails."""

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
    """Yield a function that renders each scene from a camera, up to an iterate.

    Raises:
        GraphicsError: there is no OpenGL, or it fails.
    """
    with ExitStack() as stack:
        with _failing():
            from surfaceviz.render.surface3d.opengl import check_opengl

            check_opengl()
            from surfaceviz.render.surface3d.renderer import OffscreenRenderer

            renderers = []
            for scene in scenes:
                renderers.append(OffscreenRenderer(scene, pixels))
                stack.callback(renderers[-1].close)

        def render(camera: Camera, until: int | None) -> list[RenderedImage]:
            with _failing():
                return [renderer.render(camera, until=until) for renderer in renderers]

        yield render


@contextmanager
def _failing() -> Iterator[None]:
    """Turn an error of the library into one line with its last message."""
    with quiet() as last_words:
        try:
            yield
        except RuntimeError as error:
            raise GraphicsError(f"OpenGL fails: {last_words() or error}") from error
