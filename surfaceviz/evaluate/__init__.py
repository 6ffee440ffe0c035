"""Values at theta + alpha delta + beta eta: precisions, engines, and the selection of an engine by timing."""

from surfaceviz.evaluate.engine import EngineConfig
from surfaceviz.evaluate.evaluator import EvaluationContext, Evaluator, PointValues, uninformed_loss
from surfaceviz.evaluate.perturb import Perturber
from surfaceviz.evaluate.precision import DTYPES, allow_tf32, default_dtype, master_dtype
from surfaceviz.evaluate.select_engine import SelectedEngine, select_engine

__all__ = [
    "DTYPES",
    "EngineConfig",
    "EvaluationContext",
    "Evaluator",
    "Perturber",
    "PointValues",
    "SelectedEngine",
    "allow_tf32",
    "default_dtype",
    "master_dtype",
    "select_engine",
    "uninformed_loss",
]  # fmt: skip
