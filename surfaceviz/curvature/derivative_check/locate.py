"""The module, function or operator whose derivatives are wrong, found by checking each on its recorded inputs.

Source: ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from surfaceviz.curvature.derivative_check.branches import eager_attention
from surfaceviz.curvature.derivative_check.compare import compare
from surfaceviz.curvature.derivative_check.functions import LossFunction, TensorFunction
from surfaceviz.curvature.products.hvp import graph_nodes
from surfaceviz.errors import is_out_of_memory
from surfaceviz.problem.estimates import sum_and_weight
from surfaceviz.problem.forward.model_tensors import tensor_places
from surfaceviz.problem.functional import loss_sums
from surfaceviz.pytree import leaves, map_tensors

_MOST_CALLS = 400  # operators and modules that are checked; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A recorded call: a function of the float tensors in ``arguments``."""

    title: str
    run: Callable[[Any, Any], Any]  # (state, arguments) -> outputs
    state: dict[str, Tensor]
    arguments: Any


def find_cause(function: LossFunction, order: int) -> str:
    """Return the smallest part of a loss whose derivatives are wrong, in words; '' if none is found."""
    for calls in (_module_calls, _loss_call, _operator_calls):
        for call in _recorded(calls, function):
            wrong, names = _is_wrong(call, order)
            if wrong:
                own = [] if calls is _operator_calls else _own_operators(call, order)
                parts = names or own
                inside = f", in {' and '.join(parts)}" if parts else ""
                return f"{call.title}{inside}"
    with torch.enable_grad():
        return " and ".join(_custom_functions(loss_sums(function.problem)(_with_grad(function), function.batch)[0]))


def _recorded(calls: Callable[[LossFunction], Iterator[_Call]], function: LossFunction) -> list[_Call]:
    """Return the calls of one kind; none where the loss raises."""
    try:
        return list(calls(function))
    except Exception as error:  # another kind of calls is looked at
        if is_out_of_memory(error):
            raise
        return []


def find_undifferentiable(function: LossFunction) -> str:
    """Return the smallest module whose second derivative raises, in words; '' if there is none."""
    for call in _recorded(_module_calls, function):
        try:
            tested = _function_of(call)
            tested.product([torch.ones_like(tensor) for tensor in tested.point])
        except RuntimeError as error:
            if not is_out_of_memory(error):
                return call.title
    return ""


def _with_grad(function: LossFunction) -> dict[str, Tensor]:
    known = set(function.names)
    return {n: t.requires_grad_() if n in known else t for n, t in function.state().items()}


def _is_wrong(call: _Call, order: int) -> tuple[bool, list[str]]:
    """Return whether the derivatives of a call are wrong, and the functions with a hand-written backward inside."""
    try:
        function = _function_of(call)
        wrong = compare(function, order=order).agrees is False
        return wrong, _custom_functions(function.total) if wrong else []
    except Exception as error:  # whatever it is, another part is looked at
        if is_out_of_memory(error):
            raise
        return False, []


def _function_of(call: _Call) -> TensorFunction:
    """Return a call as a scalar function: a fixed random combination of its outputs."""
    names = [name for name, tensor in call.state.items() if tensor.is_floating_point()]
    inputs = [leaf for leaf in leaves(call.arguments) if _is_float(leaf)]

    def run(tensors: list[Tensor]) -> Tensor:
        state = {n: t.clone() for n, t in call.state.items()} | dict(zip(names, tensors[: len(names)], strict=True))
        given = iter(tensors[len(names) :])
        arguments = map_tensors(lambda leaf: next(given) if _is_float(leaf) else leaf, call.arguments)
        torch.manual_seed(0)
        outputs = [leaf for leaf in leaves(call.run(state, arguments)) if _is_float(leaf)]
        generator = torch.Generator().manual_seed(3)
        return torch.stack([
            (out * torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out)).sum() for out in outputs
        ]).sum()  # fmt: skip

    return TensorFunction(run, [*(call.state[name] for name in names), *inputs])


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _copied(tree: Any) -> Any:
    return map_tensors(lambda tensor: tensor.detach().clone(), tree)


def _module_calls(function: LossFunction) -> Iterator[_Call]:
    """Yield the first call of each module, children before their parents."""
    calls: dict[int, tuple[str, nn.Module, Any]] = {}
    waiting: dict[int, Any] = {}
    handles = []
    for name, module in function.problem.model.named_modules():

        def before(of: nn.Module, args: Any, kwargs: Any) -> None:
            if id(of) not in calls:
                waiting[id(of)] = (_copied(args), _copied(kwargs))

        def after(of: nn.Module, _args: Any, _result: Any, name: str = name) -> None:
            if id(of) not in calls and id(of) in waiting:
                calls[id(of)] = (name, of, waiting.pop(id(of)))

        handles += [
            module.register_forward_pre_hook(before, with_kwargs=True, prepend=True),
            module.register_forward_hook(after),
        ]
    try:
        with eager_attention():
            function.value()
    finally:
        for handle in handles:
            handle.remove()
    at_point = function.state()
    own_model = function.problem.model
    known = {
        id(t): at_point[n] for n, t in (*own_model.named_parameters(), *own_model.named_buffers()) if n in at_point
    }
    for name, module, arguments in list(calls.values())[:_MOST_CALLS]:
        own = {place: known[id(tensor)] for place, tensor in tensor_places(module).items() if id(tensor) in known}
        title = f"module {name} ({type(module).__name__})" if name else f"the model ({type(module).__name__})"
        yield _Call(
            title=title, state=own, arguments=arguments,
            run=partial(_run_module, module),
        )  # fmt: skip


def _run_module(module: nn.Module, state: dict[str, Tensor], arguments: Any) -> Any:
    args, kwargs = arguments
    return functional_call(module, state, args, kwargs, tie_weights=False)


def _loss_call(function: LossFunction) -> Iterator[_Call]:
    """Yield the loss as a function of the outputs."""
    problem, batch = function.problem, function.batch
    if not problem.has_loss:
        return
    state = function.state()
    with torch.enable_grad():
        outputs = _copied(_outputs(function, state))
    yield _Call(
        title="the loss", state={}, arguments=(outputs,),
        run=lambda _state, given: sum_and_weight(problem.measure_outputs_loss(given[0], problem.targets(batch)))[0],
    )  # fmt: skip


def _outputs(function: LossFunction, state: dict[str, Tensor]) -> Any:
    from surfaceviz.problem.functional import outputs  # noqa: PLC0415

    return outputs(function.problem)(state, function.batch)


class _Recorder(TorchFunctionMode):
    """Records calls of torch's functions on float tensors that need a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, _Call] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        given = leaves((args, kwargs))
        wanted = any(_is_float(leaf) and leaf.requires_grad for leaf in given)
        wanted = wanted and not name.startswith("__") and not name.endswith("_") and len(self.calls) < _MOST_CALLS
        kept = _copied((tuple(args), kwargs)) if wanted and name not in self.calls else None
        result = func(*args, **kwargs)
        if kept is not None and any(_is_float(leaf) and leaf.grad_fn is not None for leaf in leaves(result)):
            self.calls[name] = _Call(
                title=f"torch's {name}", state={}, arguments=kept, run=lambda _state, call: func(*call[0], **call[1])
            )
        return result


def _own_operators(call: _Call, order: int) -> list[str]:
    """Return torch's first function in a call whose derivatives are wrong, as a list of at most one name."""
    function = _function_of(call)
    recorder = _Recorder()
    with recorder:
        function.gradient([torch.zeros_like(tensor) for tensor in function.point])
    return [each.title for each in recorder.calls.values() if _is_wrong(each, order)[0]][:1]


def _operator_calls(function: LossFunction) -> Iterator[_Call]:
    """Yield the first call of each of torch's functions."""
    recorder = _Recorder()
    with recorder, torch.enable_grad():
        loss_sums(function.problem)(_with_grad(function), function.batch)
    yield from recorder.calls.values()


def _custom_functions(total: Tensor) -> list[str]:
    """Return the names of functions with a hand-written backward in the graph of a tensor."""
    names = []
    for node in graph_nodes(total):
        if hasattr(node, "_forward_cls"):
            name = type(node).__name__.removesuffix("Backward")
            names.append("a backward hook" if name == "BackwardHookFunction" else f"{name}.backward")
    return list(dict.fromkeys(names))


def training_only_module(
    function_at: Callable[[], LossFunction], model: nn.Module, agrees: Callable[[LossFunction], bool]
) -> str:
    """Return the module whose training mode makes the gradient right, in words; '' if there is none.

    Args:
        function_at: returns a new function of the loss, for the model as it is now.
        model: the model, in eval mode.
        agrees: whether the gradient of a loss agrees with differences.
    """
    for name, module in model.named_modules():
        if type(module).__module__.startswith("torch."):
            continue
        with _training(module):
            try:
                right = agrees(function_at())
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                right = False
        if right:
            return f"module {name} ({type(module).__name__})" if name else type(module).__name__
    return ""


@contextmanager
def _training(module: nn.Module) -> Iterator[None]:
    before = module.training
    module.training = True
    try:
        yield
    finally:
        module.training = before
