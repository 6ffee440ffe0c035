"""theta + alpha delta + beta eta -> the values there: precisions, engines, and choosing one by measuring."""

from surfaceviz.evaluate.choose import Chosen, choose
from surfaceviz.evaluate.evaluator import BN_MODES, Evaluator, Values, World, uninformed_loss
from surfaceviz.evaluate.how import ENGINES, How
from surfaceviz.evaluate.place import Placer
from surfaceviz.evaluate.precision import DTYPES, default_dtype, master_dtype, tensor_float

__all__ = [
    "BN_MODES", "DTYPES", "ENGINES", "Chosen", "Evaluator", "How", "Placer", "Values", "World", "choose",
    "default_dtype", "master_dtype", "tensor_float", "uninformed_loss",
]  # fmt: skip
