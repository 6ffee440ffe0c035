"""Fully connected networks with several weight sets at once, features first.

With k sets of weights and n samples an activation is (k, features, n). The first layer, whose input all sets share, is
one product with all weights in a row; the others are batched products; the softmax finds its classes along the second
last axis, with samples in a row, where a CPU is several times faster than across them. What is no chain of linear
layers and pointwise functions is left to `torch.func.vmap`. Ours.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch.nn import functional

from surfaceviz.errors import SurfacevizError
from surfaceviz.evaluate.captured_graph import Measuring, State, arguments, capture

_POINTWISE = (
    torch.relu, torch.tanh, torch.sigmoid, functional.relu, functional.tanh, functional.sigmoid, functional.gelu,
    functional.silu, functional.leaky_relu, functional.elu, functional.softplus, functional.hardtanh, functional.selu,
)  # fmt: skip
_RELU = (torch.relu, functional.relu, "relu")
_SUM = (operator.add, operator.iadd, torch.add)
_FLAT = (torch.flatten,)

Function = Callable[..., Any]
Stacked = Callable[[State, Any], Tensor]


class NotStackableError(SurfacevizError):
    """The graph is no chain of linear layers and pointwise functions."""


def stacked_function(function: Measuring, moving: Collection[str], state: State, batch: Any) -> Stacked | None:
    """Return ``function`` for states in which the ``moving`` tensors are stacked: its outputs, shape (k, n, out).

    None where the function is none that this module knows.

    Args:
        function: gives the outputs, shape (n, out), of (state, batch) with one set of weights.
        moving: names.
        state: one set.
        batch: whose shapes all batches have.
    """
    try:
        captured = capture(function, _backend, state, batch)
    except torch._dynamo.exc.TorchDynamoException:  # noqa: SLF001  no graph of it, or one that is left to vmap
        return None
    if captured.sources is None or captured.result is not captured.outputs[0]:
        return None
    sources, graph = captured.sources, captured.compiled.graph  # type: ignore[attr-defined]
    stacked = {number for number, source in enumerate(sources) if source in moving}
    if not stacked or stacked & graph.elsewhere:
        return None

    def call(state: State, batch: Any) -> Tensor:
        outputs: Tensor = graph(arguments(sources, state, batch), stacked)
        return outputs

    return call


def _backend(module: fx.GraphModule, _examples: Any) -> Function:
    function: Any = partial(module.forward)
    function.graph = _Graph(module)
    return cast("Function", function)


class _Graph:
    """A function of a graph's inputs, and of the numbers of those that are stacked.

    Raises:
        NotStackableError: a node of it is not known.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        self._nodes = list(module.graph.nodes)
        depend: set[fx.Node] = set()  # on a linear layer
        inputs: list[fx.Node] = [node for node in self._nodes if node.op == "placeholder"]
        self.elsewhere: set[int] = set()  # numbers of inputs that others than linear layers use
        for node in self._nodes:
            if node.op in ("placeholder", "output"):
                continue
            if not _known(node, depend):
                raise NotStackableError(f"{node.target} is no linear layer and no pointwise function")
            used = node.all_input_nodes[:1] if _is_linear(node) else node.all_input_nodes
            self.elsewhere |= {inputs.index(x) for x in used if x in inputs}
            if _is_linear(node) or any(x in depend for x in node.all_input_nodes):
                depend.add(node)
        (self._result,) = self._nodes[-1].args[0]
        if self._result not in depend:
            raise NotStackableError("the outputs depend on no linear layer")

    def __call__(self, inputs: Sequence[Tensor], stacked: Collection[int]) -> Tensor:
        values: dict[fx.Node, Any] = {}
        given = iter(enumerate(inputs))
        sets = next(inputs[i].shape[0] for i in sorted(stacked))
        for node in self._nodes[:-1]:
            if node.op == "placeholder":
                number, tensor = next(given)
                values[node] = _Shared(tensor, number in stacked)
            else:
                values[node] = _evaluated(node, values, sets)
        outputs: Tensor = values[self._result]
        return outputs.transpose(1, 2)


def _is_linear(node: fx.Node) -> bool:
    return node.target is functional.linear or node.target is torch._C._nn.linear  # noqa: SLF001  the same function


def _known(node: fx.Node, rewritten: set[fx.Node]) -> bool:
    if _is_linear(node):
        x, *weights = node.all_input_nodes
        flat = x.meta["example_value"].ndim == 2  # noqa: PLR2004
        return flat and node.args[0] is x and not node.kwargs and all(w.op == "placeholder" for w in weights)
    touched = [x for x in node.all_input_nodes if x in rewritten]
    if not touched:  # of what all sets share: the input, flattened say
        return True
    if node.target in _POINTWISE or (node.op == "call_method" and node.target in ("relu", "tanh", "sigmoid")):
        return len(node.all_input_nodes) == 1
    if node.target in _FLAT:
        return list(node.args[1:]) == [1] and not node.kwargs
    return node.target in _SUM and len(touched) == 2 and not node.kwargs  # noqa: PLR2004


@dataclass(slots=True)
class _Shared:
    """What is no activation: the samples, or weights, those of all sets or one tensor for all of them."""

    tensor: Tensor
    stacked: bool

    def of(self, sets: int) -> Tensor:
        return self.tensor if self.stacked else self.tensor.expand(sets, *self.tensor.shape)


def _evaluated(node: fx.Node, values: dict[fx.Node, Any], sets: int) -> Any:
    if _is_linear(node):
        x, weight, *bias = (values[each] for each in node.args if isinstance(each, fx.Node))
        return _linear(x, weight, bias[0] if bias else None, sets)
    if node.target in _FLAT and isinstance(node.args[0], fx.Node) and isinstance(values[node.args[0]], Tensor):
        return values[node.args[0]]  # features are flat already
    arguments, keywords = fx.map_arg((node.args, node.kwargs), lambda n: _plain(values[n]))
    if node.target in _RELU and _read_once(node.all_input_nodes[0]):
        return cast("Tensor", arguments[0]).relu_()
    if node.op == "call_method":
        return _rewrapped(getattr(arguments[0], str(node.target))(*arguments[1:], **keywords), node, values)
    assert callable(node.target)
    return _rewrapped(node.target(*arguments, **keywords), node, values)


def _read_once(node: fx.Node) -> bool:
    """Return whether a node's value is a linear layer's alone, which may be written into."""
    return _is_linear(node) and len(node.users) == 1


def _plain(value: Any) -> Any:
    return value.tensor if isinstance(value, _Shared) else value


def _rewrapped(result: Any, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    """Return a result of shared values as shared."""
    shared = all(isinstance(values[x], _Shared) for x in node.all_input_nodes)
    return _Shared(result, stacked=False) if shared else result


def _linear(x: Tensor | _Shared, weight: _Shared, bias: _Shared | None, sets: int) -> Tensor:
    """Return W x + b for each set, (k, out, n), of x (k, in, n), or (n, in) that all sets share."""
    w = weight.of(sets)
    b = None if bias is None else bias.of(sets)[:, :, None]
    if isinstance(x, _Shared):
        wide = _product(w.reshape(-1, w.shape[2]), x.tensor).view(sets, w.shape[1], -1)
        return wide if b is None else wide.add_(b)
    return torch.bmm(w, x) if b is None else torch.baddbmm(b, w, x)


def _product(a: Tensor, x: Tensor) -> Tensor:
    """Return a x' of a (m, i) and x (n, i): by oneDNN in float32, which on CPUs is never slower than the BLAS."""
    if a.dtype == torch.float32 and a.device.type == "cpu" and torch.backends.mkldnn.is_available():
        made: Tensor = torch.ops.mkldnn._linear_pointwise(a.contiguous(), x.contiguous(), None, "none", [], "")  # noqa: SLF001
        return made
    return functional.linear(a, x)
