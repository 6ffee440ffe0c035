"""Graphs of `torch.compile`, called without its guards.

At every call, torch.compile checks the assumptions of its graph. This takes half a millisecond for the hundred tensors
of a ResNet-20, as long as a batch of a small network. During a slice only the contents of the tensors change. Once it
is known which tensor is which input of the graph, the graph can be called directly.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_flatten, tree_unflatten

from surfaceviz.problem.forward.compile_stance import compile_stance
from surfaceviz.pytree import leaves, signature

State = Mapping[str, Tensor]
BatchFunction = Callable[[State, Any], Any]  # -> measurements, or outputs
Compiled = Callable[..., Any]
Backend = Callable[[fx.GraphModule, Any], Compiled]
Source = str | int  # name of a tensor of the state, or number of a tensor of the batch

# torch passes over code whose address it remembers as that of generated code, which may have been freed since; code
# objects that were tried are held, so that the next one has another address.
_ATTEMPTS = 4
ADDITIONS = (operator.add, operator.iadd, torch.add)  # as targets of graph nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedGraph:
    """A graph of torch.compile, and the results of its first run.

    Attributes:
        compiled: the function that the backend returned.
        sources: source of each input; None where an input is not a tensor of the state or the batch.
        outputs: tensors that the graph returned.
        result: what the captured function returned.
        guarded: the captured function, compiled, with guards.
    """

    compiled: Compiled
    sources: list[Source] | None
    outputs: Sequence[Tensor]
    result: Any
    guarded: BatchFunction


def capture_graph(function: BatchFunction, backend: Backend | str, state: State, batch: Any) -> CapturedGraph:
    """Run ``function`` once and return its graph for tensors of these shapes.

    A graph break is an error, because code outside the graph would be slow.

    Raises:
        RuntimeError: torch ran the function without compiling it.
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

    # torch caches graphs by code object, only a few for each, so that this function needs its own code object.
    def one(state: State, batch: Any) -> Any:
        return function(state, batch)

    codes = [one.__code__]
    guarded: BatchFunction = torch.compile(one, backend=recording, dynamic=False, fullgraph=True)
    while not ran and len(codes) <= _ATTEMPTS:
        codes.append(one.__code__.replace())
        one.__code__ = codes[-1]
        with compile_stance("default"):  # the user's stance may be another one
            result = guarded(state, batch)
    if not ran:
        raise RuntimeError("torch.compile ran the function without compiling it")
    ((compiled, inputs, outputs),) = ran
    sources = _sources(inputs, state, batch)
    return CapturedGraph(compiled=compiled, sources=sources, outputs=outputs, result=result, guarded=guarded)


def _sources(inputs: Sequence[Any], state: State, batch: Any) -> list[Source] | None:
    known: dict[int, Source] = {id(tensor): name for name, tensor in state.items()}
    known |= {id(leaf): number for number, leaf in enumerate(leaves(batch))}
    return [known[id(x)] for x in inputs] if all(id(x) in known for x in inputs) else None


def graph_inputs(sources: Sequence[Source], state: State, batch: Any) -> list[Tensor]:
    """Return the inputs of a captured graph."""
    rows = leaves(batch)
    return [state[source] if isinstance(source, str) else rows[source] for source in sources]


def compile_without_guards(function: BatchFunction, backend: Backend | str) -> BatchFunction:
    """Return ``function(state, batch)``, compiled once for each batch signature and called without guards."""
    known: dict[str, BatchFunction] = {}

    def run(state: State, batch: Any) -> Any:
        signature = batch_signature(batch)
        if signature in known:
            return known[signature](state, batch)
        captured = capture_graph(function, backend, state, batch)
        known[signature] = _without_guards(captured) or captured.guarded
        return captured.result

    return run


def batch_signature(batch: Any) -> str:
    """Return the part of a batch that a graph depends on: shapes, strides and dtypes of tensors, values of the rest."""
    return signature(batch)


def _without_guards(captured: CapturedGraph) -> BatchFunction | None:
    """Return the graph as a function of state and batch; None where an input or a result is not a tensor of theirs."""
    places = {id(tensor): place for place, tensor in enumerate(captured.outputs)}
    flat, shape = tree_flatten(captured.result)
    sources, compiled = captured.sources, captured.compiled
    if sources is None or any(id(leaf) not in places for leaf in flat):
        return None
    results = [places[id(leaf)] for leaf in flat]

    def call(state: State, batch: Any) -> Any:
        out = compiled(*graph_inputs(sources, state, batch))
        return tree_unflatten([out[place] for place in results], shape)

    return call
