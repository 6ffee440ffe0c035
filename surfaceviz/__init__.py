"""surfaceviz: what the loss of a neural network looks like around a trained minimum.

surface = surfaceviz.slice(surfaceviz.Problem(model, loader, "cross_entropy"), axes=[(-1, 1, 25), (-1, 1, 25)])
surfaceviz.plot(surface)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surfaceviz.errors import SurfacevizError
    from surfaceviz.foreign import read_reference
    from surfaceviz.losses import PerSample
    from surfaceviz.parts import merge
    from surfaceviz.pipeline.api import slice  # noqa: A004  the field's word for a cut
    from surfaceviz.pipeline.api_curvature import hessian, hessian_map
    from surfaceviz.pipeline.exchange import export
    from surfaceviz.pipeline.page import report
    from surfaceviz.pipeline.picture import animate, plot, view
    from surfaceviz.pipeline.sharpness import sharpness
    from surfaceviz.problem import Problem
    from surfaceviz.records import Curvature, HessianMap, Slice, Spectrum
    from surfaceviz.store import read, read_curvature

__all__ = [
    "Curvature", "HessianMap", "PerSample", "Problem", "Slice", "Spectrum", "SurfacevizError", "animate", "export",
    "hessian", "hessian_map", "merge", "plot", "read", "read_curvature", "read_reference", "report", "sharpness",
    "slice", "view",
]  # fmt: skip

# Names come when asked for, so that drawing a stored file needs no torch and --help none of all this.
_HOMES = {
    "Curvature": "records",
    "HessianMap": "records",
    "Spectrum": "records",
    "hessian": "pipeline.api_curvature",
    "hessian_map": "pipeline.api_curvature",
    "read_curvature": "store",
    "PerSample": "losses",
    "Problem": "problem",
    "Slice": "records",
    "SurfacevizError": "errors",
    "merge": "parts",
    "animate": "pipeline.picture",
    "plot": "pipeline.picture",
    "view": "pipeline.picture",
    "export": "pipeline.exchange",
    "read": "store",
    "read_reference": "foreign",
    "report": "pipeline.page",
    "sharpness": "pipeline.sharpness",
    "slice": "pipeline.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'surfaceviz' has no attribute {name!r}")
    return getattr(importlib.import_module(f"surfaceviz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
