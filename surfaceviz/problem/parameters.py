"""Canonical names, filters and fingerprints of a model's tensors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from surfaceviz.errors import ProblemError
from surfaceviz.problem.filter_rules import filter_view, moving_mask
from surfaceviz.pytree import update_digest

WRAPPERS = ("module", "_orig_mod")  # of DataParallel and its kin; of torch.compile

FilterAxes = int | tuple[int, ...] | str  # a user's rule: the filter's axes, or "gain"


def canonical_name(name: str) -> str:
    """Return a tensor's name without the parts that wrappers add at any position.

    >>> canonical_name("module._orig_mod.stage.module.conv.weight")
    'stage.conv.weight'
    """
    *path, last = name.split(".")
    return ".".join([part for part in path if part not in WRAPPERS] + [last])


def unwrap(model: nn.Module) -> nn.Module:
    """Return the user's own module inside `DataParallel`, its distributed twin and `torch.compile`."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]  # noqa: SLF001
        else:
            return model


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTensor:
    """A parameter or buffer: the name we use, the name its model uses, the tensor and its owner."""

    name: str
    own_name: str
    tensor: Tensor
    owner: nn.Module
    is_parameter: bool

    @property
    def moves(self) -> bool:
        """Whether the tensor can lie on a line: floating-point or complex numbers."""
        return self.tensor.is_floating_point() or self.tensor.is_complex()

    @property
    def real(self) -> Tensor:
        """The tensor without its graph; a complex one as pairs of reals, along a last axis of length 2."""
        return as_real(self.tensor.detach())


def as_real(tensor: Tensor) -> Tensor:
    """Return a complex tensor as pairs of reals along a last axis, any other tensor unchanged."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def registered_tensors(model: nn.Module) -> Iterator[NamedTensor]:
    """Yield every parameter and buffer under each of its names: tied tensors and modules have several."""
    for prefix, module in model.named_modules(remove_duplicate=False):
        for is_parameter, tensors in ((True, module._parameters), (False, module._buffers)):  # noqa: SLF001
            for key, tensor in tensors.items():
                if tensor is not None:
                    own_name = f"{prefix}.{key}" if prefix else key
                    yield NamedTensor(
                        name=canonical_name(own_name), own_name=own_name, tensor=tensor, owner=module,
                        is_parameter=is_parameter,
                    )  # fmt: skip


def named_tensors(model: nn.Module) -> dict[str, NamedTensor]:
    """Return every parameter and buffer of ``model`` under its canonical name, sorted by it.

    A tied tensor appears once, under its lexicographically first name.
    """
    found: dict[int, NamedTensor] = {}
    for named in registered_tensors(unwrap(model)):
        old = found.get(id(named.tensor))
        if old is None or named.name < old.name:
            found[id(named.tensor)] = named
    _refuse_collisions(found.values())
    return {named.name: named for named in sorted(found.values(), key=lambda named: named.name)}


def _refuse_collisions(tensors: Iterable[NamedTensor]) -> None:
    seen: dict[str, str] = {}
    for named in tensors:
        other = seen.setdefault(named.name, named.own_name)
        if other != named.own_name:
            raise ProblemError(
                f"{other} and {named.own_name} are both called {named.name} once wrappers' names "
                f"({', '.join(WRAPPERS)}) are dropped; rename that attribute"
            )


def aliases(model: nn.Module) -> dict[str, str]:
    """Return a mapping from every canonical name, including names of tied tensors, to the name in `named_tensors`."""
    chosen = {id(named.tensor): name for name, named in named_tensors(model).items()}
    return {named.name: chosen[id(named.tensor)] for named in registered_tensors(unwrap(model))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The filters of a tensor: viewed as ``shape``, it has one filter for each index along ``axes``.

    ``axes`` is empty for a gain, which has no filters. ``mask``, bool of the tensor's shape, is False for the entries
    that never move (see `moving_mask`); None if all move.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    description: str
    mask: Tensor | None = field(default=None, compare=False, repr=False)

    def moving(self, x: Tensor) -> Tensor:
        """Return ``x`` with 0 where entries never move."""
        return x if self.mask is None else x * self.mask.to(x.device).view(x.shape)

    def sizes(self) -> Tensor:
        """Return the number of entries of each filter that move, broadcastable to ``shape``."""
        return self.dot(moving := self.moving(torch.ones(self.shape, dtype=torch.float64)), moving)

    @property
    def is_gain(self) -> bool:
        """Whether the tensor is a bias, a norm's gain or another vector."""
        return not self.axes

    @property
    def count(self) -> int:
        """The number of filters."""
        return math.prod(self.shape[axis] for axis in self.axes)

    def inner(self) -> tuple[int, ...]:
        """Return the axes that run inside one filter."""
        return tuple(axis for axis in range(len(self.shape)) if axis not in self.axes)

    def dot(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the inner product of each filter of ``x`` and ``y``, broadcastable to ``shape``."""
        product = x.reshape(self.shape) * y.reshape(self.shape)
        return product.sum(self.inner(), keepdim=True) if self.inner() else product

    def scaled(self, x: Tensor, factors: Tensor) -> Tensor:
        """Return ``x`` with each filter multiplied by its entry of ``factors``."""
        return (x.reshape(self.shape) * factors).reshape(x.shape)


def filters_of(
    model: nn.Module,
    rules: Mapping[str, FilterAxes] | None = None,
    theta: Mapping[str, Tensor] | None = None,
    padding_rows: Mapping[str, int] | None = None,
) -> dict[str, Filters]:
    """Return the filters of each floating-point or complex parameter of ``model``, by canonical name.

    ``Linear``, ``Conv*d``, recurrent layers and attention: axis 0; ``ConvTranspose*d``: the output channel, axis 1
    times groups; ``Embedding``: rows; Hugging Face's ``Conv1D``: axis 1; three-dimensional stacks of experts: the
    first two; other parameters: axis 0. Biases, gains of norms, weight-norm magnitudes and bare parameters of at most
    one dimension are gains. A weight follows its module's rule whatever its shape: otherwise a network with one output
    would keep its last layer still, and a recurrent layer of one input its input weights. A weight that is stored
    under another name, by weight norm, spectral norm or pruning, has its module's rule.

    Args:
        model: the network.
        rules: the user's own: pattern on the canonical name -> filter axes, or ``"gain"``; the
            first that matches wins.
        theta: canonical name -> weights and buffers, from which masks of pruning are read; by default the model's.
        padding_rows: the model's own name -> row that never has a gradient, besides those that modules tell.

    Source: Li et al., arXiv 1712.09913, section 4; the axis of each module is ours.
    """
    modules = dict(unwrap(model).named_modules(remove_duplicate=False))
    tensors = {n.own_name: theta[n.name] for n in named_tensors(model).values() if n.name in theta} if theta else None
    return {
        name: _filters(
            named, modules, rules or {}, moving_mask(named.tensor, named.own_name, modules, tensors, row=row)
        )
        for name, named in named_tensors(model).items()
        if named.is_parameter and named.moves
        for row in [(padding_rows or {}).get(named.own_name)]
    }


def _filters(
    named: NamedTensor, modules: Mapping[str, nn.Module], rules: Mapping[str, FilterAxes], mask: Tensor | None
) -> Filters:
    pair = () if not named.tensor.is_complex() else (2,)  # a complex entry is two real ones, of one filter
    if mask is not None and pair:
        mask = mask.unsqueeze(-1).expand(*mask.shape, 2)
    for pattern, axes in rules.items():
        if fnmatchcase(named.name, pattern):
            given = _given(named.name, tuple(named.tensor.shape), axes)
            return replace(given, shape=(*given.shape, *pair), mask=mask)
    shape, chosen, description = filter_view(named.name, named.own_name, named.tensor, modules)
    return Filters(shape=(*shape, *pair), axes=chosen, description=description, mask=mask)


def _given(name: str, shape: tuple[int, ...], axes: FilterAxes) -> Filters:
    if axes == "gain":
        return Filters(shape=shape, axes=(), description="gain, as given")
    chosen = (axes,) if isinstance(axes, int) else axes
    if isinstance(chosen, str) or not all(isinstance(a, int) and 0 <= a < len(shape) for a in chosen):
        raise ValueError(f"rule for {name}: expected 'gain' or axes below {len(shape)}, got {axes!r}")
    return Filters(shape=shape, axes=chosen, description=f"axes {', '.join(map(str, chosen))}, as given")


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a shell-style pattern fits the name, or one of the modules that it lies in.

    >>> matches("stage.0.conv.weight", ["stage.0"]), matches("fc.weight", ["*.bias"])
    (True, False)
    """
    return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*") for pattern in patterns)


def moving_parameters(model: nn.Module, *, only: Sequence[str] = (), freeze: Sequence[str] = ()) -> list[str]:
    """Return the canonical names of the parameters that a random direction moves.

    Those with ``requires_grad``; with ``only``, those that match, whatever their flag; without
    those that match ``freeze``.

    Raises:
        ValueError: a pattern matches no parameter, or no parameter is left.
    """
    parameters = {k: v for k, v in named_tensors(model).items() if v.is_parameter and v.moves}
    some = ", ".join(list(parameters)[:5])
    for pattern in (*only, *freeze):
        if not any(matches(name, [pattern]) for name in parameters):
            raise ValueError(
                f"no parameter fits {pattern!r}; {_part_of_names(pattern, parameters) or f'the names are {some}, ...'}"
            )
    chosen = [
        name
        for name, named in parameters.items()
        if (matches(name, only) if only else named.tensor.requires_grad) and not matches(name, freeze)
    ]
    if not chosen:
        raise ValueError(
            f"none of the {len(parameters)} parameters is left to move (all have requires_grad=False, or are "
            "frozen by a pattern); name those to move by --only PATTERN, '*' for all"
        )
    return chosen


def _part_of_names(pattern: str, names: Iterable[str]) -> str:
    """Return advice for a pattern that is a part of names, '' where it is not."""
    wider = f"*{pattern.strip('*')}*"
    fitting = [name for name in names if fnmatchcase(name.lower(), wider.lower())]
    if not fitting:
        return ""
    same = any(fnmatchcase(name, wider) for name in fitting)
    given = wider if same else f"*{_spelling(pattern.strip('*'), fitting[0])}*"
    return f"a pattern is for a whole name; {given!r} fits {len(fitting)}, such as {fitting[0]}"


def _spelling(part: str, name: str) -> str:
    start = name.lower().find(part.lower())
    return name[start : start + len(part)] if start >= 0 else part


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over the sorted (name, dtype, shape, bytes) of ``tensors``.

    >>> import torch
    >>> fingerprint({"w": torch.zeros(2)}) == fingerprint({"w": torch.zeros(2, 1)})
    False
    """
    return fingerprint_of((name, tensors[name]) for name in sorted(tensors))


def fingerprint_of(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the fingerprint of a stream of (name, tensor) pairs that is sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name}\0".encode())
        update_digest(digest, tensor)
    return digest.hexdigest()
