"""Calling what `torch.compile` made without its guards.

At every call torch.compile checks that nothing changed that its graph was made from: half a millisecond for the
hundred tensors of a ResNet-20, as long as a batch of a small network takes. During a slice nothing changes but
what the tensors hold: once it is known which input of the graph is which tensor, the graph can be called by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from surfaceviz.pytree import leaves, map_leaves

State = Mapping[str, Tensor]
Measuring = Callable[[State, Any], Any]  # -> measurements, or outputs
Compiled = Callable[..., Any]
Backend = Callable[[fx.GraphModule, Any], Compiled]
Source = str | int  # the name of a tensor of the state, or the number of one of the batch


@dataclass(frozen=True, slots=True)
class Capture:
    """A graph that torch.compile made, and what it gave when it first ran.

    Attributes:
        compiled: what the backend made of it.
        sources: where each of its inputs comes from; None where one is no tensor of state and batch.
        outputs: the tensors that it gave.
        result: what the function gave that the graph was made from.
        guarded: that function, compiled.
    """

    compiled: Compiled
    sources: list[Source] | None
    outputs: Sequence[Tensor]
    result: Any
    guarded: Measuring


def capture(function: Measuring, backend: Backend | str, state: State, batch: Any) -> Capture:
    """Return the graph of ``function`` for tensors of these shapes, having run it once.

    A graph break is an error, for what lies outside the graph would be slow.
    """
    make: Backend = torch._dynamo.lookup_backend(backend) if isinstance(backend, str) else backend  # noqa: SLF001
    ran: list[tuple[Compiled, tuple[Any, ...], Any]] = []

    def recording(module: fx.GraphModule, examples: Any) -> Compiled:
        compiled = make(module, examples)

        def call(*inputs: Any) -> Any:
            outputs = compiled(*inputs)
            ran[:] = [(compiled, inputs, outputs)]
            return outputs

        return call

    # torch keeps what it compiled by code object, and no more than a few each: this has one of its own.
    def one(state: State, batch: Any) -> Any:
        return function(state, batch)

    one.__code__ = one.__code__.replace()
    guarded: Measuring = torch.compile(one, backend=recording, dynamic=False, fullgraph=True)
    result = guarded(state, batch)
    ((compiled, inputs, outputs),) = ran
    return Capture(compiled, _sources(inputs, state, batch), outputs, result, guarded)


def _sources(inputs: Sequence[Any], state: State, batch: Any) -> list[Source] | None:
    known: dict[int, Source] = {id(tensor): name for name, tensor in state.items()}
    known |= {id(leaf): number for number, leaf in enumerate(leaves(batch))}
    return [known[id(x)] for x in inputs] if all(id(x) in known for x in inputs) else None


def arguments(sources: Sequence[Source], state: State, batch: Any) -> list[Tensor]:
    """Return the inputs of a captured graph."""
    rows = leaves(batch)
    return [state[source] if isinstance(source, str) else rows[source] for source in sources]


def compile_straight(function: Measuring, backend: Backend | str) -> Measuring:
    """Return ``function(state, batch)`` compiled, once for each kind of batch, and called without guards."""
    known: dict[str, Measuring] = {}

    def run(state: State, batch: Any) -> Any:
        kind = kind_of(batch)
        if kind in known:
            return known[kind](state, batch)
        captured = capture(function, backend, state, batch)
        known[kind] = _straight(captured) or captured.guarded
        return captured.result

    return run


def kind_of(batch: Any) -> str:
    """Return what a graph depends on: of tensors not the numbers, of others their value."""
    return repr(
        map_leaves(lambda leaf: (leaf.shape, leaf.stride(), leaf.dtype) if isinstance(leaf, Tensor) else leaf, batch)
    )


def _straight(captured: Capture) -> Measuring | None:
    """Return the graph as a function of state and batch; None where an input or a result is none of theirs."""
    places = {id(tensor): place for place, tensor in enumerate(captured.outputs)}
    flat, shape = tree_flatten(captured.result)
    sources, compiled = captured.sources, captured.compiled
    if sources is None or any(id(leaf) not in places for leaf in flat):
        return None
    results = [places[id(leaf)] for leaf in flat]

    def call(state: State, batch: Any) -> Any:
        out = compiled(*arguments(sources, state, batch))
        return tree_unflatten([out[place] for place in results], shape)

    return call
