"""The tensors of a state at their places in a model, for `torch.func.functional_call`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from surfaceviz.errors import ProblemError
from surfaceviz.problem.parameters import NamedTensor, named_tensors, registered_tensors, unwrap


def model_tensors(model: nn.Module) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """Return a function that maps a state, by the model's own names, to tensors of the model's kind, complex or real.

    Tied tensors appear at each of their places, and a module with two names once: `functional_call`, left to tie them
    itself, swaps such a module's tensors twice and does not put the first ones back.

    Raises:
        ProblemError: a complex tensor in half precision, in which torch does not compute.
    """
    model = unwrap(model)
    chosen = {id(named.tensor): named.own_name for named in named_tensors(model).values()}
    complex_names = [named.own_name for named in named_tensors(model).values() if named.tensor.is_complex()]
    places = {place: chosen[id(tensor)] for place, tensor in tensor_places(model).items()}

    def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        cast = {**state, **{name: _as_complex(name, state[name]) for name in complex_names}}
        return {place: cast[name] for place, name in places.items() if name in cast}

    return convert


def tensor_places(model: nn.Module) -> dict[str, Tensor]:
    """Return every entry of a module's parameters and buffers once, by the first of its names."""
    found: dict[tuple[int, str], NamedTensor] = {}
    for named in registered_tensors(model):
        place = id(named.owner), named.own_name.rpartition(".")[2]
        if place not in found or named.name < found[place].name:
            found[place] = named
    return {named.own_name: named.tensor for named in found.values()}


def _as_complex(name: str, pairs: Tensor) -> Tensor:
    """Return pairs of reals as a complex tensor: a view, or a copy where there is none or where it is differentiated.

    The second derivative of a view would ask the same alignment of every vector.
    """
    if pairs.dtype.itemsize < 4:  # noqa: PLR2004  bytes
        raise ProblemError(f"{name} is complex, for which there is no {pairs.dtype}; take --dtype float32")
    whole = pairs.storage_offset() % 2 == 0 and pairs.stride(-1) == 1 and all(s % 2 == 0 for s in pairs.stride()[:-1])
    return torch.view_as_complex(pairs) if whole and not pairs.requires_grad else torch.complex(*pairs.unbind(-1))
