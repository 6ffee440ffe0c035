"""Attributes of a model's modules, kept and restored: a pass may leave tensors, hooks or counters in them."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.problem.forward.random_draws import is_generator, restore_state, same_state, state_of

_REGISTERS = ("_parameters", "_buffers")
_SWAPPED = (*_REGISTERS, "_flat_weights", "training", "momentum")  # which differ while weights are swapped in
_CONTAINERS: tuple[type, ...] = (dict, OrderedDict, list, set, deque)


class ModuleState:
    """The attributes of all modules of a model, as they are now.

    Containers are copied one level deep, so that hooks, lists of weights and caches come back. Tensors that are plain
    attributes, or lie in a container, are cloned where they are no parameter or buffer; random generators keep their
    state.

    Args:
        model: the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.modules())
        registered = {id(t) for m in self._modules for t in (*m._parameters.values(), *m._buffers.values())}  # noqa: SLF001
        self._attributes = [dict(vars(module)) for module in self._modules]
        self._contents = [
            (value, list(value.items() if isinstance(value, dict) else value))
            for attributes in self._attributes
            for value in attributes.values()
            if type(value) in _CONTAINERS
        ]
        tensors = {id(t): t for t in self._plain() if isinstance(t, Tensor) and id(t) not in registered}
        self._tensors = [(t, t._version, t.detach().clone()) for t in tensors.values()]  # noqa: SLF001
        generators = {id(value): value for value in self._plain() if is_generator(value)}
        self._generators = [(generator, state_of(generator)) for generator in generators.values()]

    def _plain(self) -> Iterator[Any]:
        for attributes in self._attributes:
            yield from attributes.values()
        for _, items in self._contents:
            for item in items:
                yield item[1] if isinstance(item, tuple) and len(item) == 2 else item  # noqa: PLR2004  (key, value)

    def restore(self) -> None:
        """Put everything back, the registers of parameters and buffers too."""
        for module, attributes in zip(self._modules, self._attributes, strict=True):
            now = vars(module)
            if list(now) != list(attributes) or any(now[name] is not value for name, value in attributes.items()):
                now.clear()
                now.update(attributes)
        self._restore_contents(())

    def restore_attributes(self) -> None:
        """Put back all except parameters and buffers, which may be swapped for others at the time."""
        for module, attributes in zip(self._modules, self._attributes, strict=True):
            now = vars(module)
            for name in [name for name in now if name not in attributes]:
                del now[name]
            now.update({name: value for name, value in attributes.items() if name not in _SWAPPED})
        self._restore_contents(
            {id(attributes[name]) for attributes in self._attributes for name in _SWAPPED if name in attributes}
        )

    def _restore_contents(self, except_ids: Any) -> None:
        for container, items in self._contents:
            now = list(container.items() if isinstance(container, dict) else container)
            if id(container) not in except_ids and not _same(now, items):
                container.clear()
                container.update(items) if isinstance(container, dict | set) else container.extend(items)
        for tensor, version, before in self._tensors:
            if tensor._version != version or not torch.equal(tensor, before):  # noqa: SLF001
                tensor.data.copy_(before)
        for generator, state in self._generators:
            restore_state(generator, state)

    def used_generators(self) -> list[Any]:
        """Return the random generators that have another state now."""
        return [generator for generator, state in self._generators if not same_state(state_of(generator), state)]

    def changed(self) -> list[str]:
        """Return the names of the attributes that differ, such as ``Encoder.step``."""
        found = []
        cloned = {id(tensor): before for tensor, _, before in self._tensors}
        for module, attributes in zip(self._modules, self._attributes, strict=True):
            for name, value in vars(module).items():
                before = attributes.get(name)
                moved = id(value) in cloned and not torch.equal(value, cloned[id(value)])
                if name not in _SWAPPED and (value is not before or moved) and not _equal(value, before, moved=moved):
                    found.append(f"{type(module).__name__}.{name}")
        return found


@dataclass(slots=True, kw_only=True)
class ForwardPass:
    """Findings about a model's forward pass, which are filled in while it is used.

    Attributes:
        is_probed: whether it was looked at.
        written_buffers: the model's own names of buffers whose values forward changes.
        initial_attributes: the attributes of modules, where the loss depends on those that earlier passes wrote.
        padding_rows: the model's own name of a table of embeddings -> its row that never has a gradient.
        history: a line about such attributes; '' if there are none.
    """

    is_probed: bool = False
    written_buffers: set[str] = field(default_factory=set)
    initial_attributes: ModuleState | None = None
    padding_rows: dict[str, int] = field(default_factory=dict)
    history: str = ""

    @property
    def writes(self) -> bool:
        """Whether forward writes buffers or attributes, through which a sample's loss may depend on its batch."""
        return bool(self.written_buffers) or self.initial_attributes is not None


def _same(now: list[Any], before: list[Any]) -> bool:
    if len(now) != len(before):
        return False
    pairs = (
        (n, b) if isinstance(b, tuple) and isinstance(n, tuple) else ((n,), (b,))
        for n, b in zip(now, before, strict=True)
    )
    return all(len(n) == len(b) and all(x is y for x, y in zip(n, b, strict=True)) for n, b in pairs)


def _equal(value: Any, before: Any, *, moved: bool) -> bool:
    if moved:
        return False
    if isinstance(value, Tensor) and isinstance(before, Tensor):
        return value.shape == before.shape and torch.equal(value, before)
    try:
        return bool(value == before)
    except (RuntimeError, ValueError):
        return False


@contextmanager
def kept_random_states(devices: Any) -> Iterator[None]:
    """Restore the global random states of torch, numpy and Python after a ``with`` block."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  the global one, which a model may use
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def switch_to_eval(model: nn.Module) -> None:
    """Put a model in eval mode by its own `eval`, unless that rewrites weights, as layers do that merge adapters.

    Then only the flags are set, so that the weights that move are those that forward reads.
    """
    own = any(type(m).train is not nn.Module.train or type(m).eval is not nn.Module.eval for m in model.modules())
    if not own:
        model.eval()
        return
    state = ModuleState(model)
    before = {name: tensor.detach().clone() for name, tensor in _tensors(model).items()}
    model.eval()
    after = _tensors(model)
    if before.keys() == after.keys() and all(_same_bits(after[name], before[name]) for name in before):
        return
    state.restore()
    for name, tensor in _tensors(model).items():
        tensor.data.copy_(before[name])
    for module in model.modules():
        module.training = False


def _tensors(model: nn.Module) -> Mapping[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _same_bits(x: Tensor, y: Tensor) -> bool:
    return x.shape == y.shape and torch.allclose(x.detach(), y, rtol=0, atol=0, equal_nan=True)
