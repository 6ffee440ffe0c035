"""Advice for inputs on which a model raises: numbers of another type, token numbers, other shapes."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn

from surfaceviz.errors import ProblemError
from surfaceviz.problem.batch_parts import parts_of
from surfaceviz.pytree import leaves

_TYPES = re.compile(r"dtype|Input type|scalar type|not\simplemented for")
_WIDTHS = ("in_features", "in_channels", "input_size")  # attributes of layers
_SHAPES = re.compile(r"shapes? |size|dimension|channels", re.IGNORECASE)


def input_hint(model: nn.Module, batch: Any, error: BaseException) -> str:
    """Return a line on the inputs of a batch that may explain an error of the model, or an empty string."""
    try:
        inputs = [leaf for leaf in leaves(parts_of(batch)[0]) if isinstance(leaf, Tensor)]
    except ProblemError:
        return ""
    said, kinds = str(error), sorted({str(leaf.dtype).removeprefix("torch.") for leaf in inputs})
    is_float = all(leaf.is_floating_point() or leaf.is_complex() for leaf in inputs)
    if "'indices'" in said:
        return f"the inputs are {', '.join(kinds)}; for token numbers give x.long()"
    if "index out of range in self" in said:
        rows = min((each.num_embeddings for each in model.modules() if isinstance(each, nn.Embedding)), default=None)
        known = "" if rows is None else f", and the smallest here has {rows}, for 0 to {rows - 1}"
        return (
            f"the inputs have numbers from {min(int(x.min()) for x in inputs)} to {max(int(x.max()) for x in inputs)}; "
            f"an embedding has a row for each{known}"
        )
    if _TYPES.search(said) and inputs and not is_float:
        return f"the inputs are {', '.join(kinds)}; give floats, such as x.float(), or x.float() / 255 for pixels"
    if _SHAPES.search(said) and inputs:
        return f"the inputs have shape {', '.join(str(tuple(leaf.shape)) for leaf in inputs)}{_first_layer(model)}"
    return ""


def _first_layer(model: nn.Module) -> str:
    """Return words on the inputs that the first layer with a fixed number of them takes; empty where none has one."""
    for name, module in model.named_modules():
        for width in _WIDTHS:
            if isinstance(size := getattr(module, width, None), int):
                where = f"layer {name} ({type(module).__name__})" if name else type(module).__name__
                return f"; {where} takes inputs with {width}={size}"
    return ""
