"""Calling what `torch.compile` made without its guards.

At every call torch.compile checks that nothing changed that its graph was made from: half a millisecond for the
hundred tensors of a ResNet-20, as long as a batch of a small network takes. During a slice nothing changes but
what the tensors hold: once it is known which input of the graph is which tensor, the graph can be called by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from surfaceviz.tree import leaves

State = Mapping[str, Tensor]
Measuring = Callable[[State, Any], Any]  # -> measurements, or outputs
Compiled = Callable[..., Any]
Backend = Callable[[fx.GraphModule, Any], Compiled]


def compile_straight(function: Measuring, backend: Backend | str) -> Measuring:
    """Return ``function(state, batch)`` compiled, once for each shape of batch.

    A graph break is an error, for what lies outside the graph would be slow.
    """
    make: Backend = torch._dynamo.lookup_backend(backend) if isinstance(backend, str) else backend  # noqa: SLF001
    ran: list[tuple[Compiled, tuple[Any, ...], Any]] = []

    def recording(module: fx.GraphModule, examples: Any) -> Compiled:
        compiled = make(module, examples)

        def call(*inputs: Any) -> Any:
            outputs = compiled(*inputs)
            ran.append((compiled, inputs, outputs))
            return outputs

        return call

    # torch keeps what it compiled by code object, and no more than a few each: a problem gets one of its own.
    function.__code__ = function.__code__.replace()
    guarded: Measuring = torch.compile(function, backend=recording, dynamic=False, fullgraph=True)
    known: dict[tuple[Any, ...], Measuring] = {}

    def run(state: State, batch: Any) -> Any:
        shape = tuple(leaf.shape for leaf in leaves(batch))
        if shape in known:
            return known[shape](state, batch)
        ran.clear()
        measured = guarded(state, batch)
        known[shape] = (_straight(*ran[0], state, batch, measured) if len(ran) == 1 else None) or guarded
        ran.clear()
        return measured

    return run


def _straight(
    compiled: Compiled,
    inputs: tuple[Any, ...],
    outputs: Any,
    state: State,
    batch: Any,
    measured: Any,
) -> Measuring | None:
    """Return the graph as a function of state and batch; None where an input or a result is none of theirs."""
    names = {id(tensor): name for name, tensor in state.items()}
    numbers = {id(leaf): number for number, leaf in enumerate(leaves(batch))}
    places = {id(tensor): place for place, tensor in enumerate(outputs)}
    sources = [names.get(id(x), numbers.get(id(x))) for x in inputs]
    if any(source is None for source in sources):
        return None
    flat, shape = torch.utils._pytree.tree_flatten(measured)  # noqa: SLF001
    if any(id(leaf) not in places for leaf in flat):
        return None
    results = [places[id(leaf)] for leaf in flat]

    def call(state: State, batch: Any) -> Any:
        rows = leaves(batch)
        out = compiled(*[state[s] if isinstance(s, str) else rows[s] for s in sources])  # type: ignore[index]
        return torch.utils._pytree.tree_unflatten([out[place] for place in results], shape)  # noqa: SLF001

    return call
