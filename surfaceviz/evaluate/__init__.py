"""theta + alpha delta + beta eta -> the values there: precisions, engines, and choosing one by measuring."""

from surfaceviz.evaluate.engine import EngineConfig
from surfaceviz.evaluate.evaluator import EvaluationContext, Evaluator, PointValues, uninformed_loss
from surfaceviz.evaluate.perturb import Perturber
from surfaceviz.evaluate.precision import DTYPES, default_dtype, master_dtype, tensor_float
from surfaceviz.evaluate.select_engine import SelectedEngine, select_engine

__all__ = [
    "DTYPES",
    "EngineConfig",
    "EvaluationContext",
    "Evaluator",
    "Perturber",
    "PointValues",
    "SelectedEngine",
    "default_dtype",
    "master_dtype",
    "select_engine",
    "tensor_float",
    "uninformed_loss",
]  # fmt: skip
