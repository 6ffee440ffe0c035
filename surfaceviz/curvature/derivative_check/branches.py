"""A recorder of branches: the side of every rectifier, the winner of every maximum, every mask and every rounding.

Two points on the same branches lie on one smooth piece of a loss, as far as its operators show it. Source: ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.backends import mha
from torch.utils._python_dispatch import TorchDispatchMode

from surfaceviz.curvature.nonsmooth.elementwise import kinks_of, rounding
from surfaceviz.curvature.nonsmooth.ties import POOLS
from surfaceviz.pytree import leaves

_STEPS = ("floor", "ceil", "trunc", "round")
_MASKS = ("gt", "ge", "lt", "le", "eq", "ne", "_to_copy")  # their results are recorded
_EXTREMES = ("amax", "amin", "max", "min")


class Branches(TorchDispatchMode):
    """Records the branches of the operators in a ``with`` block, or counts those that differ from recorded ones.

    Args:
        before: the branches at another point; None to record.

    Attributes:
        found: the branches, tensors in the order of the operators.
        crossed: an operator's name -> entries on other branches than ``before``.
    """

    def __init__(self, before: Sequence[Tensor] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[Tensor] = []
        self.crossed: Counter[str] = Counter()
        self._before = before
        self._number = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: else torch imports its compiler, which takes a second."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, func.overloadpacket.__name__.rstrip("_")
        checked = func.namespace == "aten" and args and isinstance(args[0], Tensor) and args[0].is_floating_point()
        if checked and name not in _MASKS and name not in _STEPS:
            for kink in kinks_of(name, args, kwargs):  # before it runs, because it may overwrite its input
                self._note(name, kink.x > kink.at)
        result = func(*args, **kwargs)
        if name in _STEPS or (name in _EXTREMES and isinstance(result, Tensor)):
            self._note(name, result if name in _STEPS else _attained(args, result))
        elif checked and (name in POOLS or (name in _EXTREMES and not isinstance(result, Tensor))):
            self._note(name, result[1], lambda index: _lower(name, args, kwargs, result[0], index=index))
        elif "empty" not in name and any(leaf.is_floating_point() for leaf in leaves((args, kwargs))):
            for leaf in leaves(result):
                if isinstance(leaf, Tensor) and not (leaf.is_floating_point() or leaf.is_complex()):
                    self._note(name, leaf)
        return result

    def _note(self, name: str, branch: Tensor, lower: Callable[[Tensor], Tensor] | None = None) -> None:
        """Record a branch, or count the entries that left it; ``lower`` tells where a former winner is lower now."""
        if self._before is None:
            self.found.append(branch.detach().clone())
            return
        self._number += 1
        before = self._before[self._number - 1] if self._number <= len(self._before) else None
        if before is None or before.shape != branch.shape:  # another path through the model
            self.crossed[name] += 1
        elif not torch.equal(before, branch):
            changed = before != branch
            changed = changed & lower(before) if lower else changed
            self.crossed[name] += int(changed.sum())


def _attained(args: Sequence[Any], result: Tensor) -> Tensor:
    """Return where the extreme of a reduction without indices is attained."""
    x: Tensor = args[0]
    axes = args[1] if len(args) > 1 else ()
    if isinstance(axes, Tensor):  # max and min of two tensors
        return x.gt(axes)
    kept = len(args) > 2 and args[2]  # noqa: PLR2004  keepdim
    axes = [axes] if isinstance(axes, int) else list(axes) or list(range(x.ndim))
    for axis in sorted(axis % max(x.ndim, 1) for axis in axes) if not kept else ():
        result = result.unsqueeze(axis)
    return x.eq(result)


def _lower(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], most: Tensor, *, index: Tensor) -> Tensor:
    """Return where the entries at ``index`` are lower than the maxima by more than rounding (or higher than minima)."""
    x: Tensor = args[0]
    if name in POOLS:
        count = 3 if "3d" in name else 2
        there = x.flatten(-count).gather(-1, index.flatten(-count)).view(index.shape)
    else:
        axis = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        kept = kwargs.get("keepdim", args[2] if len(args) > 2 else False)  # noqa: PLR2004
        there = x.gather(axis, index) if kept else x.gather(axis, index.unsqueeze(axis)).squeeze(axis)
    return (most - there).abs().gt(rounding(most))


class eager_attention:  # noqa: N801  a context manager reads as a verb here
    """Disable torch's fused transformer layer, which hides its operators and is not the one that is differentiated."""

    def __enter__(self) -> None:
        self._fused = mha.get_fastpath_enabled()
        mha.set_fastpath_enabled(False)

    def __exit__(self, *_error: object) -> None:
        mha.set_fastpath_enabled(self._fused)
