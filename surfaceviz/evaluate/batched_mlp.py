"""Fully connected networks evaluated with several weight sets at once.

With k weight sets and n samples, an activation has shape ``(k, features, n)``. All sets share the input of the first
layer, so that this layer is one product with all weights stacked in rows. The other layers are batched products. The
softmax runs along the second last axis, with samples contiguous, which is several times faster on a CPU. A model that
is not a chain of linear layers and pointwise functions is left to `torch.func.vmap`. Ours.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch.nn import functional

from surfaceviz.errors import SurfacevizError
from surfaceviz.evaluate.captured_graph import ADDITIONS, BatchFunction, State, capture_graph, graph_inputs

_POINTWISE = (
    torch.relu, torch.tanh, torch.sigmoid, functional.relu, functional.tanh, functional.sigmoid, functional.gelu,
    functional.silu, functional.leaky_relu, functional.elu, functional.softplus, functional.hardtanh, functional.selu,
)  # fmt: skip
_RELU = (torch.relu, functional.relu, "relu")
_FLAT = (torch.flatten,)

Function = Callable[..., Any]
Stacked = Callable[[State, Any], Tensor]


class NotAnMlpError(SurfacevizError):
    """A graph that is not a chain of linear layers and pointwise functions."""


def make_batched_mlp(function: BatchFunction, moving: Collection[str], state: State, batch: Any) -> Stacked | None:
    """Return ``function`` for k stacked weight sets, with outputs of shape ``(k, n, out)``.

    Return None where the function is not a fully connected network of known layers.

    Args:
        function: computes outputs of shape ``(n, out)`` from (state, batch) with one weight set.
        moving: names of the tensors that are stacked.
        state: one weight set.
        batch: a batch with the shapes of all batches.
    """
    try:
        captured = capture_graph(function, _backend, state, batch)
    except torch._dynamo.exc.TorchDynamoException:  # noqa: SLF001  there is no graph, or it is left to vmap
        return None
    if captured.sources is None or captured.result is not captured.outputs[0]:
        return None
    sources, graph = captured.sources, captured.compiled.graph  # type: ignore[attr-defined]
    stacked = {number for number, source in enumerate(sources) if source in moving}
    if not stacked or stacked & graph.used_elsewhere:
        return None

    def call(state: State, batch: Any) -> Tensor:
        outputs: Tensor = graph(graph_inputs(sources, state, batch), stacked)
        return outputs

    return call


def _backend(module: fx.GraphModule, _examples: Any) -> Function:
    function: Any = partial(module.forward)
    function.graph = _BatchedGraph(module)
    return cast("Function", function)


class _BatchedGraph:
    """A graph as a function of its inputs and the numbers of the stacked inputs.

    Raises:
        NotAnMlpError: the graph has a node of another kind.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        self._nodes = list(module.graph.nodes)
        depend: set[fx.Node] = set()  # on a linear layer
        inputs: list[fx.Node] = [node for node in self._nodes if node.op == "placeholder"]
        self.used_elsewhere: set[int] = set()  # numbers of inputs that are not only weights of linear layers
        for node in self._nodes:
            if node.op in ("placeholder", "output"):
                continue
            if not _known(node, depend):
                raise NotAnMlpError(f"{node.target} is neither a linear layer nor a pointwise function")
            used = node.all_input_nodes[:1] if _is_linear(node) else node.all_input_nodes
            self.used_elsewhere |= {inputs.index(x) for x in used if x in inputs}
            if _is_linear(node) or any(x in depend for x in node.all_input_nodes):
                depend.add(node)
        (self._result,) = self._nodes[-1].args[0]
        if self._result not in depend:
            raise NotAnMlpError("the outputs do not depend on a linear layer")

    def __call__(self, inputs: Sequence[Tensor], stacked: Collection[int]) -> Tensor:
        values: dict[fx.Node, Any] = {}
        given = iter(enumerate(inputs))
        sets = next(inputs[i].shape[0] for i in sorted(stacked))
        for node in self._nodes[:-1]:
            if node.op == "placeholder":
                number, tensor = next(given)
                values[node] = _SharedTensor(tensor, number in stacked)
            else:
                values[node] = _evaluate(node, values, sets)
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
    if not touched:  # a value that all sets share, such as the flattened input
        return True
    if node.target in _POINTWISE or (node.op == "call_method" and node.target in ("relu", "tanh", "sigmoid")):
        return len(node.all_input_nodes) == 1
    if node.target in _FLAT:
        return list(node.args[1:]) == [1] and not node.kwargs
    return node.target in ADDITIONS and len(touched) == 2 and not node.kwargs  # noqa: PLR2004


@dataclass(slots=True)
class _SharedTensor:
    """A tensor that is not an activation: samples, or weights, stacked or shared by all sets."""

    tensor: Tensor
    stacked: bool

    def expanded(self, sets: int) -> Tensor:
        return self.tensor if self.stacked else self.tensor.expand(sets, *self.tensor.shape)


def _evaluate(node: fx.Node, values: dict[fx.Node, Any], sets: int) -> Any:
    if _is_linear(node):
        x, weight, *bias = (values[each] for each in node.args if isinstance(each, fx.Node))
        return _linear(x, weight, bias[0] if bias else None, sets)
    if node.target in _FLAT and isinstance(node.args[0], fx.Node) and isinstance(values[node.args[0]], Tensor):
        return values[node.args[0]]  # features are flat already
    arguments, keywords = fx.map_arg((node.args, node.kwargs), lambda n: _tensor_of(values[n]))
    if node.target in _RELU and _may_overwrite(node.all_input_nodes[0]):
        return cast("Tensor", arguments[0]).relu_()
    if node.op == "call_method":
        return _mark_shared(getattr(arguments[0], str(node.target))(*arguments[1:], **keywords), node, values)
    assert callable(node.target)
    return _mark_shared(node.target(*arguments, **keywords), node, values)


def _may_overwrite(node: fx.Node) -> bool:
    """Return whether a node is a linear layer with one user, so that its value may be overwritten."""
    return _is_linear(node) and len(node.users) == 1


def _tensor_of(value: Any) -> Any:
    return value.tensor if isinstance(value, _SharedTensor) else value


def _mark_shared(result: Any, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    """Mark a result as shared where all its inputs are."""
    shared = all(isinstance(values[x], _SharedTensor) for x in node.all_input_nodes)
    return _SharedTensor(result, stacked=False) if shared else result


def _linear(x: Tensor | _SharedTensor, weight: _SharedTensor, bias: _SharedTensor | None, sets: int) -> Tensor:
    """Return W x + b of each set, ``(k, out, n)``, for x of shape ``(k, in, n)``, or ``(n, in)`` shared by all sets."""
    w = weight.expanded(sets)
    b = None if bias is None else bias.expanded(sets)[:, :, None]
    if isinstance(x, _SharedTensor):
        wide = _product(w.reshape(-1, w.shape[2]), x.tensor).view(sets, w.shape[1], -1)
        return wide if b is None else wide.add_(b)
    return torch.bmm(w, x) if b is None else torch.baddbmm(b, w, x)


def _product(a: Tensor, x: Tensor) -> Tensor:
    """Return a x' for a ``(m, i)`` and x ``(n, i)``: by oneDNN in float32, which is never slower than BLAS on CPUs."""
    if a.dtype == torch.float32 and a.device.type == "cpu" and torch.backends.mkldnn.is_available():
        made: Tensor = torch.ops.mkldnn._linear_pointwise(a.contiguous(), x.contiguous(), None, "none", [], "")  # noqa: SLF001
        return made
    return functional.linear(a, x)
