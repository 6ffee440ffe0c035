"""A recorder of kinks: a rectifier's input is exactly 0, a maximum is attained twice, a mask is about to change.

A dispatch mode sees every operator that a model runs: from `functional.relu`, a module or a method, in place or not,
with or without gradients. It is below autograd, where ``requires_grad`` is not visible. So dependence on the parameters
is tracked by storages, which views and in-place operations share. An input pixel that is 0 is not a kink of the loss.

Jumps of the second derivative (ELU, Huber's loss) count as well. The mode sees operators, not formulas: relu(x)^3 has
two derivatives, and is counted. It does not see values that Python or numpy compute, fractional pools, and fused
kernels (`multi_margin_loss`, cuDNN's ReLU RNN); `curvature.critical_points` looks for these by differences.

Source: ours.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.backends import mha
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from surfaceviz.curvature.nonsmooth.elementwise import FIXED, kinks_of
from surfaceviz.curvature.nonsmooth.ties import REDUCTIONS, SORTS, ties_of
from surfaceviz.pytree import leaves

_OperatorCall: TypeAlias = tuple[int, str, torch.Size]  # number of the call, short name of the operator, shape


@dataclass(frozen=True, slots=True)
class KinkCounts:
    """The number of values of a model at which it has no derivative.

    Attributes:
        counts: an operator's short name, such as ``relu`` or ``max_pool2d`` -> entries at a kink, or windows that tie.
    """

    counts: dict[str, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The counts as text, '' if there are none.

        >>> KinkCounts({"relu": 3, "max_pool2d": 1}).words
        '3 entries of relu, 1 tie of max_pool2d'
        """
        return ", ".join(f"{number} {_unit(name, number)} of {name}" for name, number in self.counts.items())

    def __str__(self) -> str:
        return self.words


@contextmanager
def recording_kinks(parameters: Iterable[Tensor]) -> Iterator[KinkCounts]:
    """Count the kinks that a model meets in the ``with`` block; the counts are set at its end.

    Only values computed from ``parameters`` count. Maxima that tie at 0 in a tensor without negative entries (dead
    units) do not count. Ties of equal functions (such as a filter over pixels of one colour) count; `count_kinks`
    excludes them.
    """
    kinks = KinkCounts()
    with _run_under(_KinkRecorder(parameters, without_dead=True)) as watch:
        yield kinks
    for (_, name, _), places in watch.found.items():
        kinks.counts[name] = kinks.counts.get(name, 0) + len(places)


def count_kinks(parameters: Sequence[Tensor], run: Callable[[Sequence[Tensor]], object]) -> KinkCounts:
    """Return the kinks of the loss itself, those that a small step of the parameters crosses.

    A kink of `recording_kinks` counts if it is on different branches at theta + eps v and theta - eps v, for a random
    v. Dead units, filters over an empty patch and maxima over copies stay on one branch and do not count. Values that
    are equal by chance count; float32 has some in a million windows.

    Args:
        parameters: theta.
        run: runs the model with given parameters, in their dtype; called once, and twice more if a kink was found.
    """
    with _run_under(_KinkRecorder(parameters)) as here:
        run(parameters)
    sides: list[dict[_OperatorCall, Tensor]] = []
    for sign in (1, -1) if here.found else ():
        moved = _moved(parameters, sign)
        with _run_under(_KinkRecorder(moved, here.found)) as side:
            run(moved)
        sides.append(side.found)
    total: Counter[str] = Counter()
    for call, places in here.found.items():
        one, other = (side.get(call, torch.tensor(math.nan)) for side in sides)
        # A call that a moved model did not make, because it took another path, is NaN and counts as crossed.
        crossed = (one != 0) & (other != 0) & (one != other)
        total[call[1]] += int(crossed.expand(places.shape).sum())
    return KinkCounts({name: number for name, number in total.items() if number})


def _moved(parameters: Sequence[Tensor], sign: int) -> list[Tensor]:
    """Return theta +- eps v, eps the square root of the rounding times the size of the weights."""
    generator = torch.Generator().manual_seed(0)
    moved = []
    for tensor in parameters:
        theta = tensor.detach()
        v = torch.randn(theta.shape, generator=generator, dtype=theta.dtype).to(theta.device)
        size = float(theta.abs().square().mean().sqrt()) or 1.0  # zeros also move
        step = sign * math.sqrt(torch.finfo(theta.dtype).eps) * size
        moved.append((theta + step * v).requires_grad_(tensor.requires_grad))
    return moved


@contextmanager
def _run_under(recorder: _KinkRecorder) -> Iterator[_KinkRecorder]:
    """Enter the mode with torch's fused transformer layer disabled, because it hides its operators."""
    fused = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        with recorder:
            yield recorder
    finally:
        mha.set_fastpath_enabled(fused)


class _KinkRecorder(TorchDispatchMode):
    """Records the positions of kinks; or, for given positions, the branch of each.

    Attributes:
        found: call -> flat positions (n,), or branch labels (n,), where 0 means on both branches.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        places: Mapping[_OperatorCall, Tensor] | None = None,
        *,
        without_dead: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: dict[_OperatorCall, Tensor] = {}
        self._places, self._without_dead = places, without_dead
        self._numbers = count()
        # A weak reference keeps the address of a storage from being given to another, not its memory.
        self._dependent: dict[int, StorageWeakRef] = {}
        self._mark(parameters)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():  # composite operators are not decomposed there
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if not any(map(self._depends, leaves((args, kwargs)))):
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        checked = func.namespace == "aten" and args and isinstance(args[0], Tensor) and args[0].is_floating_point()
        checked = checked and torch._C._current_autograd_node() is None  # noqa: SLF001  backward passes repeat kinks
        if checked:  # before it runs, because it may overwrite its input
            self._check_entries(name.removesuffix("_"), args, kwargs)
        result = func(*args, **kwargs)
        # Operators in place on lists return nothing.
        self._mark(leaves((result, args[:1])) if name.endswith("_") else leaves(result))
        if checked and (ties := ties_of(name, args, kwargs, result, exact=self._places is None)):
            tied = ties.tied
            if self._without_dead and ties.most is not None and bool(tied.any()) and bool((args[0] >= 0).all()):
                tied = tied & (ties.most != 0)
            self._note(name, tied, ties.label)
        return result

    def _mark(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            if tensor.layout is torch.strided:
                reference = StorageWeakRef(tensor.untyped_storage())
                self._dependent[reference.cdata] = reference

    def _depends(self, value: Any) -> bool:
        strided = isinstance(value, Tensor) and value.layout is torch.strided
        return strided and value.untyped_storage()._cdata in self._dependent  # noqa: SLF001  its address

    def _check_entries(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        # The kinks of `prelu` stay where they are, whatever its slope depends on.
        if any(map(self._depends, leaves(args[:1] if name in FIXED else args))):
            for kink in kinks_of(name, args, kwargs):
                self._note(name, kink.tied, kink.side)

    def _note(self, name: str, tied: Tensor, label: Callable[[], Tensor]) -> None:
        call = (next(self._numbers), _short(name), tied.shape)
        if self._places is None:
            places = tied.flatten().nonzero().squeeze(-1)
            if len(places):
                self.found[call] = places
        elif call in self._places:
            self.found[call] = label().flatten()[self._places[call]]


def _short(name: str) -> str:
    """Return the public name of an operator."""
    name = "conversion to integers" if name == "_to_copy" else name
    return name.removesuffix("_with_indices").removesuffix("_with_noise").removesuffix("_kernel").lstrip("_")


def _unit(name: str, number: int) -> str:
    ties = name in (*REDUCTIONS, *SORTS, "aminmax") or "pool" in name
    return ("tie" if number == 1 else "ties") if ties else ("entry" if number == 1 else "entries")
