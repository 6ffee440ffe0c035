"""Buffers and attributes that a model's forward pass writes: each batch starts from the stored ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from surfaceviz.problem.parameters import named_tensors
from surfaceviz.problem.problem import Problem

State = Mapping[str, Tensor]  # the model's own names -> weights and buffers


class BufferKeeper:
    """Restores the buffers of a state after each batch, so that no batch depends on another.

    The names of buffers whose values changed are added to ``problem.forward_pass.written_buffers``.

    Args:
        problem: the problem.
        learned: the model's own names of buffers that stay as written, such as statistics that are recalibrated.
    """

    def __init__(self, problem: Problem, learned: Collection[str] = ()) -> None:
        self._problem = problem
        buffers = [named for named in named_tensors(problem.model).values() if not named.is_parameter]
        self._owners = {n.own_name: n.owner for n in buffers if n.own_name not in learned}
        self.names = list(self._owners)

    def fresh(self, state: State) -> dict[str, Tensor]:
        """Return the state with copies of its buffers."""
        self.reset_attributes()
        return {**state, **{name: state[name].clone() for name in self.names if name in state}}

    def reset_attributes(self) -> None:
        """Put back the attributes of modules, where the loss was found to depend on earlier passes."""
        if self._problem.forward_pass.initial_attributes is not None:
            self._problem.forward_pass.initial_attributes.restore_attributes()

    def restoring(self, state: State, swapped: Mapping[str, Tensor] | None = None) -> Callable[[], None]:
        """Return a function that puts the buffers of ``state`` back as they are now.

        Args:
            state: holds the buffers, in which they are written in place.
            swapped: the tensors in the model during the pass, to which its buffers are set again.
        """
        kept = {name: state[name].clone() for name in self.names if name in state}
        versions = {name: state[name]._version for name in kept}  # noqa: SLF001  torch has no public counter

        def restore() -> None:
            self.reset_attributes()
            for name, before in kept.items():
                tensor = state[name]
                if tensor._version != versions[name] or name in self._problem.forward_pass.written_buffers:  # noqa: SLF001
                    self._note(name, tensor, before)
                    tensor.copy_(before)
                    versions[name] = tensor._version  # noqa: SLF001
                if swapped is not None:
                    self._put_back(name, swapped[name], before)

        return restore

    def _put_back(self, name: str, tensor: Tensor, before: Tensor) -> None:
        register, key = self._owners[name]._buffers, name.rpartition(".")[2]  # noqa: SLF001  the register itself
        now = register.get(key)
        if now is not tensor:
            self._note(name, now, before)
            register[key] = tensor

    def _note(self, name: str, now: Tensor | None, before: Tensor) -> None:
        if now is None or now.shape != before.shape or not _same_values(now, before):
            self._problem.forward_pass.written_buffers.add(name)

    def each(self, call: Callable[[State, Any], Any], state: State, batches: Sequence[Any]) -> list[Any]:
        """Return the results of a call for each batch, all from the same buffers."""
        restore, made = self.restoring(state), []
        for batch in batches:
            self._problem.draws.reseed()
            made.append(call(state, batch))
            restore()
        return made


def _same_values(now: Tensor, before: Tensor) -> bool:
    if now.is_complex() and not before.is_complex():
        now = torch.view_as_real(now)
    return torch.equal(now.detach(), before) or bool((now.isnan() & before.isnan() | (now == before)).all())


def write_lines(problem: Problem) -> list[str]:
    """Return a warning if forward writes buffers, or attributes on which the loss depends; at most one line each."""
    lines = []
    if problem.forward_pass.written_buffers:
        names = sorted(problem.forward_pass.written_buffers)
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""  # noqa: PLR2004
        lines.append(
            f"forward writes buffers in eval mode ({', '.join(names[:4])}{more}); each batch starts from the stored "
            "ones"
        )
    if problem.forward_pass.history:
        lines.append(problem.forward_pass.history)
    return lines
