"""Advice for inputs on which a model raises: numbers of another type, token numbers, other shapes."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from surfaceviz.errors import ProblemError
from surfaceviz.problem.batch_parts import parts_of
from surfaceviz.pytree import leaves

_TYPES = re.compile(r"dtype|Input type|scalar type|not\simplemented for")
_SHAPES = re.compile(r"shapes? |size|dimension|channels", re.IGNORECASE)


def input_hint(batch: Any, error: BaseException) -> str:
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
        return f"the inputs have numbers up to {max(int(x.max()) for x in inputs)}; an embedding has a row for each"
    if _TYPES.search(said) and inputs and not is_float:
        return f"the inputs are {', '.join(kinds)}; give floats, such as x.float(), or x.float() / 255 for pixels"
    if _SHAPES.search(said) and inputs:
        return f"the inputs have shape {', '.join(str(tuple(leaf.shape)) for leaf in inputs)}"
    return ""
