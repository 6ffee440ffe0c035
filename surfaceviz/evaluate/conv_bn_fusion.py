"""A `torch.compile` backend for CPUs that folds batch norms into convolutions and runs these in oneDNN's layout.

In eval mode a batch norm after a convolution is a scale and a shift of its filters:

    w'_i = w_i g_i / sqrt(v_i + eps),   b'_i = (b_i - m_i) g_i / sqrt(v_i + eps) + beta_i

Weights are folded and laid out once per point, not once per batch. Activations stay in the blocked layout from
one convolution to the next, and rectifiers and sums work in place. No code is generated, so that the engine starts
at once. Source: the identity is Jacob et al., arXiv 1712.05877, section 3.2; the rest is ours.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from surfaceviz.evaluate.captured_graph import ADDITIONS
from surfaceviz.evaluate.onednn_conv import OneDnnConvolution, to_blocked
from surfaceviz.problem.call_arguments import batch_norm_arguments, convolution_arguments

_RELU = (functional.relu, functional.relu_, torch.relu, torch.relu_, "relu", "relu_")
_IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.setitem)
_POOL = (functional.max_pool2d, torch.max_pool2d)
_MAX_GROWTH = 25.0  # decades of the filters since the first point, summed over the layers, that can not overflow
_DTYPES = (torch.float32, torch.bfloat16)


class CannotFuseError(RuntimeError):
    """A graph that this backend can not rewrite."""


class ConvBnFusion:
    """The backend, which keeps its convolutions to release their filters."""

    def __init__(self) -> None:
        self._convolutions: list[OneDnnConvolution] = []

    def __call__(self, module: fx.GraphModule, _examples: Sequence[Any]) -> Callable[..., Any]:
        """Return the graph's function with its convolutions in oneDNN's layout.

        Raises:
            CannotFuseError: it has none, writes into a value with other users, or torch was built without oneDNN.
        """
        run, convolutions = _fuse(module)
        self._convolutions += convolutions
        return run

    def release(self) -> None:
        """Free the folded filters of a point, which are a copy of the weights."""
        for convolution in self._convolutions:
            convolution.release()


def _fuse(module: fx.GraphModule) -> tuple[Callable[..., Any], list[OneDnnConvolution]]:
    if not torch.backends.mkldnn.is_available():
        raise CannotFuseError("this torch has no oneDNN")
    original = fx.GraphModule(module, copy.deepcopy(module.graph))
    graph = module.graph
    blocked: set[fx.Node] = set()  # nodes with values in oneDNN's layout
    for node in list(graph.nodes):
        _rewrite(graph, node, blocked)
    if not blocked:
        raise CannotFuseError("no convolution to fold")
    for node in blocked:
        _convert_for_users(graph, node, blocked)
    graph.lint()
    module.recompile()
    convolutions = [node.target for node in blocked if isinstance(node.target, OneDnnConvolution)]

    def run(*inputs: Tensor) -> Any:
        outputs = module.forward(*inputs)
        # oneDNN's rectifier and pooling turn NaN into 0: where values might overflow, the original graph runs.
        return outputs if sum(c.growth for c in convolutions) < _MAX_GROWTH else original.forward(*inputs)

    return run, convolutions


def _rewrite(graph: fx.Graph, node: fx.Node, blocked: set[fx.Node]) -> None:
    if _is_convolution(node):
        _rewrite_convolution(graph, node, blocked)
    elif node.target in ADDITIONS and not node.kwargs:
        _rewrite_sum(graph, node, blocked)
    elif node.args and node.args[0] in blocked:
        first = node.args[0]
        assert isinstance(first, fx.Node)
        if node.target in _RELU:
            alone = len(first.users) == 1 or _writes(node)
            _replace(graph, node, blocked, functional.relu_ if alone else functional.relu, (first,))
        elif node.target in _POOL and _is_plain_pool(node):
            kept = {key: value for key, value in node.kwargs.items() if key != "return_indices"}
            _replace(graph, node, blocked, torch.max_pool2d, node.args, kept)
        elif _writes(node) and len(first.users) > 1:
            raise CannotFuseError(f"{node.target} writes into a tensor that other nodes read")


def _is_plain_pool(node: fx.Node) -> bool:
    """Return whether a pooling returns no indices and has no dilation."""
    dilation = node.args[4] if len(node.args) > 4 else node.kwargs.get("dilation", 1)  # noqa: PLR2004
    return dilation in (1, (1, 1)) and len(node.args) < 7 and not node.kwargs.get("return_indices", False)  # noqa: PLR2004


def _writes(node: fx.Node) -> bool:
    """Return whether an operation writes into its first argument."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    named = name.endswith("_") and not name.endswith("__")
    flagged = node.kwargs.get("inplace") or (len(node.args) > 1 and node.args[1] is True)  # an axis 1 is not a flag
    return named or node.target in _IN_PLACE or bool(flagged)


def _rewrite_sum(graph: fx.Graph, node: fx.Node, blocked: set[fx.Node]) -> None:
    """Add in the blocked layout where one term has it already, in place where no other node needs that term."""
    terms = [term for term in node.args if isinstance(term, fx.Node)]
    if len(terms) != 2 or not any(term in blocked for term in terms):  # noqa: PLR2004
        return
    values = [_value(term) for term in terms]
    if values[0].shape != values[1].shape or values[0].dtype != values[1].dtype:
        return
    if _writes(node) and terms[0] not in blocked and len(terms[0].users) > 1:
        return
    converted = [term if term in blocked else _blocked(graph, node, term) for term in terms]
    pairs = zip(converted, terms, strict=True)
    alone = (new for new, term in pairs if new is not term or len(term.users) == 1)
    free = converted[0] if _writes(node) else next(alone, None)
    if free is None:
        _replace(graph, node, blocked, torch.add, tuple(converted))
    else:
        _replace(graph, node, blocked, Tensor.add_, (free, converted[1] if free is converted[0] else converted[0]))


def _blocked(graph: fx.Graph, node: fx.Node, term: fx.Node) -> fx.Node:
    """Return an ordinary tensor's node in the blocked layout."""
    with graph.inserting_before(node):
        new = graph.call_function(to_blocked, (term,))
    new.meta = dict(term.meta)
    return new


def _is_convolution(node: fx.Node) -> bool:
    if node.op != "call_function" or node.target is not torch.conv2d or node.kwargs:
        return False
    x, weight, bias, _, padding, *_ = _convolution_arguments(node)
    settled = isinstance(weight, fx.Node) and weight.op == "placeholder"
    settled &= bias is None or (isinstance(bias, fx.Node) and bias.op == "placeholder")
    if not settled or isinstance(padding, str) or not isinstance(x, fx.Node):
        return False
    value, filters = _value(x), _value(weight)
    return value.dtype in _DTYPES and value.dtype == filters.dtype and value.ndim == 4 and value.device.type == "cpu"  # noqa: PLR2004


def _rewrite_convolution(graph: fx.Graph, node: fx.Node, blocked: set[fx.Node]) -> None:
    x, weight, bias, stride, padding, dilation, groups = _convolution_arguments(node)
    last, norm = node, _norm_after(node)
    statistics: tuple[Any, ...] = ()
    convolution = OneDnnConvolution(
        stride=_pair(stride), padding=_pair(padding), dilation=_pair(dilation), groups=groups
    )
    if norm is not None:
        last, statistics = norm, norm.args[1:5]
        convolution.eps = batch_norm_arguments(norm.args, norm.kwargs)["eps"]
    _replace(graph, last, blocked, convolution, (x, weight, bias, *statistics))
    if last is not node:
        graph.erase_node(node)


def _convolution_arguments(node: fx.Node) -> list[Any]:
    """Return a convolution's input, weight, bias, stride, padding, dilation and groups."""
    given = convolution_arguments(node.args, node.kwargs)
    return [given[name] for name in ("input", "weight", "bias", "stride", "padding", "dilation", "groups")]


def _norm_after(node: fx.Node) -> fx.Node | None:
    """Return the batch norm in eval mode that is the only user of a convolution, with inputs as its statistics."""
    user = next(iter(node.users))
    if len(node.users) != 1 or user.target is not functional.batch_norm or user.args[0] is not node:
        return None
    given = batch_norm_arguments(user.args, user.kwargs)
    inputs = [given[key] for key in ("running_mean", "running_var", "weight", "bias")]
    known = all(each is None or (isinstance(each, fx.Node) and each.op == "placeholder") for each in inputs)
    return user if known and inputs[0] is not None and given["training"] is False and len(user.args) >= 5 else None  # noqa: PLR2004


def _replace(
    graph: fx.Graph,
    node: fx.Node,
    blocked: set[fx.Node],
    target: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
) -> None:
    with graph.inserting_before(node):
        new = graph.call_function(target, args, kwargs)
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    graph.erase_node(node)
    blocked.add(new)


def _convert_for_users(graph: fx.Graph, node: fx.Node, blocked: set[fx.Node]) -> None:
    """Convert a value to an ordinary tensor for each user that can not read the blocked layout.

    The conversion comes right before the user, because other nodes may have written into the value by then.
    """
    for user in [user for user in node.users if user not in blocked]:
        with graph.inserting_before(user):
            dense = graph.call_function(_dense, (node,))
        user.replace_input_with(node, dense)


def _dense(x: Tensor) -> Tensor:
    return x.to_dense()


def _value(node: fx.Node) -> Tensor:
    value: Tensor = node.meta["example_value"]
    return value


def _pair(given: Any) -> list[int]:
    return list(given) if isinstance(given, tuple | list) else [given, given]
