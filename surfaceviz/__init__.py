"""surfaceviz: what the loss of a neural network looks like around a trained minimum.

surface = surfaceviz.slice(surfaceviz.Problem(model, loader, "cross_entropy"), axes=[(-1, 1, 25), (-1, 1, 25)])
surfaceviz.plot(surface)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from surfaceviz.version import VERSION

if TYPE_CHECKING:
    from surfaceviz.api.compare import compare
    from surfaceviz.api.critical_points import critical_points
    from surfaceviz.api.edge import edge
    from surfaceviz.api.export import export, import_reference
    from surfaceviz.api.hessian import hessian, hessian_map
    from surfaceviz.api.minima import minima
    from surfaceviz.api.plot import animate, plot, view
    from surfaceviz.api.report import report
    from surfaceviz.api.sharpness import sharpness
    from surfaceviz.api.slice import slice  # noqa: A004  the field's word for a cut
    from surfaceviz.api.train import train
    from surfaceviz.api.trajectory import trajectory
    from surfaceviz.api.weights import directions_of, weights_at
    from surfaceviz.errors import SurfacevizError
    from surfaceviz.notebook import NotebookReporter
    from surfaceviz.problem.losses import PerSample
    from surfaceviz.problem.problem import Problem
    from surfaceviz.recording.callbacks import lightning_callback, transformers_callback
    from surfaceviz.recording.recorder import Recorder
    from surfaceviz.records import Curvature, Edge, HessianMap, Minima, Slice, Spectrum
    from surfaceviz.records.studies import CriticalPoints, StudyResult
    from surfaceviz.reference_format import read_reference
    from surfaceviz.reporting import QuietReporter, Reporter
    from surfaceviz.store import read, read_curvature, read_edge
    from surfaceviz.store.merge import merge
    from surfaceviz.store.study import read_study
    from surfaceviz.studies.run import study

__all__ = [
    "CriticalPoints", "Curvature", "Edge", "HessianMap", "Minima", "NotebookReporter", "PerSample", "Problem",
    "QuietReporter", "Recorder", "Reporter", "Slice", "Spectrum", "StudyResult", "SurfacevizError", "animate",
    "compare", "critical_points", "directions_of", "edge", "export", "hessian", "hessian_map", "import_reference",
    "lightning_callback", "merge", "minima", "plot", "read", "read_curvature", "read_edge", "read_reference",
    "read_study", "report", "sharpness", "slice", "study", "train", "trajectory", "transformers_callback", "view",
    "weights_at",
]  # fmt: skip

__version__ = VERSION

# Names come when asked for, so that drawing a stored file needs no torch and --help none of all this.
_HOMES = {
    "Curvature": "records",
    "Edge": "records",
    "HessianMap": "records",
    "Minima": "records",
    "Spectrum": "records",
    "edge": "api.edge",
    "hessian": "api.hessian",
    "hessian_map": "api.hessian",
    "read_curvature": "store",
    "read_edge": "store",
    "NotebookReporter": "notebook",
    "QuietReporter": "reporting",
    "Reporter": "reporting",
    "directions_of": "api.weights",
    "weights_at": "api.weights",
    "PerSample": "problem.losses",
    "Problem": "problem.problem",
    "Recorder": "recording.recorder",
    "lightning_callback": "recording.callbacks",
    "transformers_callback": "recording.callbacks",
    "Slice": "records",
    "SurfacevizError": "errors",
    "merge": "store.merge",
    "minima": "api.minima",
    "animate": "api.plot",
    "compare": "api.compare",
    "plot": "api.plot",
    "view": "api.plot",
    "export": "api.export",
    "import_reference": "api.export",
    "read": "store",
    "read_reference": "reference_format",
    "report": "api.report",
    "sharpness": "api.sharpness",
    "slice": "api.slice",
    "critical_points": "api.critical_points",
    "CriticalPoints": "records.studies",
    "StudyResult": "records.studies",
    "study": "studies.run",
    "read_study": "store.study",
    "train": "api.train",
    "trajectory": "api.trajectory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'surfaceviz' has no attribute {name!r}")
    return getattr(importlib.import_module(f"surfaceviz.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
