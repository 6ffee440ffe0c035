"""Trees of tensors: a tensor, or a tuple, list, dict or object of trees; other leaves are kept unchanged.

Objects are what `torch.utils._pytree` knows by registration, and whatever Python can take apart as `copy` and `pickle`
do (by ``__reduce_ex__``): dataclasses, graphs of PyTorch Geometric, any class with attributes.
"""

from __future__ import annotations

import copy
import copyreg
import hashlib
import pickle
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree

Tree: TypeAlias = Any

_NUMBERS = (str, bytes, bool, int, float, complex, type(None))
_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)  # equal where their names are
_ATOMS = (*_NUMBERS, *_NAMED, np.generic, torch.dtype, torch.device, torch.layout, torch.memory_format, weakref.ref)


class OpaqueObjectError(TypeError):
    """An object whose value can't be read, so that it can't be hashed or copied."""


def map_leaves(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Return the tree with ``function`` applied to everything that is not a tuple, list or dict; lists become tuples.

    Named tuples and subclasses of dict keep their type.

    >>> map_leaves(len, {"a": "xyz", "b": ["x", "xy"]})
    {'a': 3, 'b': (1, 2)}
    """
    if isinstance(tree, Mapping):
        return like_mapping(tree, {key: map_leaves(function, value) for key, value in tree.items()})
    if isinstance(tree, tuple | list):
        return like_tuple(tree, (map_leaves(function, value) for value in tree))
    return function(tree)


def like_mapping(first: Mapping[Any, Any], values: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return a mapping of the type of ``first`` with other values under the same keys; a dict where it takes none."""
    if type(first) is dict:
        return values
    try:
        made: Any = copy.copy(first)
        for key, value in values.items():
            made[key] = value
    except Exception:  # noqa: BLE001  a type of the user's, which may refuse in any way
        return values
    return made if isinstance(made, Mapping) and made is not first else values


def like_tuple(first: tuple[Any, ...] | list[Any], values: Iterable[Any]) -> tuple[Any, ...]:
    """Return a tuple of values, of the type of ``first`` if that is a named tuple."""
    if not hasattr(first, "_fields"):
        return tuple(values)
    made: tuple[Any, ...] = type(first)._make(values)  # type: ignore[union-attr]
    if isinstance(made, PackedSequence) and isinstance(made.batch_sizes, Tensor):
        made = made._replace(batch_sizes=made.batch_sizes.cpu())  # where torch wants them
    return made


def map_tensors(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """Return the tree with ``function`` applied to its tensors, also to those inside of objects, which are copied.

    Raises:
        OpaqueObjectError: an object holds tensors that can't be replaced in a copy of it.
    """
    return map_leaves(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else _map_object(function, leaf), tree)


def _map_object(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    if isinstance(tree, _ATOMS):
        return tree
    if type(tree) in _pytree.SUPPORTED_NODES:
        return _pytree.tree_map(lambda leaf: map_tensors(function, leaf), tree)
    tensors = leaves(tree)
    if not tensors:
        return tree
    replaced: dict[int, Any] = {id(tensor): function(tensor) for tensor in tensors}
    wanted = [id(replaced[id(tensor)]) for tensor in tensors]
    try:
        made = copy.deepcopy(tree, replaced)  # takes the memo's tensors for the object's own
    except Exception as error:
        raise OpaqueObjectError(f"{_name(tree)} can't be copied ({type(error).__name__}: {error})") from error
    if [id(tensor) for tensor in leaves(made)] != wanted:
        raise OpaqueObjectError(f"{_name(tree)} makes other tensors where it is copied")
    return made


def move_objects(tree: Tree, device: torch.device) -> Tree:
    """Return the tree with objects that have a method ``to`` as a copy on ``device``; tensors stay."""
    return map_leaves(lambda leaf: leaf if isinstance(leaf, Tensor) else _moved(leaf, device), tree)


def _moved(leaf: Any, device: torch.device) -> Any:
    if isinstance(leaf, _ATOMS) or not callable(getattr(leaf, "to", None)) or not leaves(leaf):
        return leaf
    own = map_tensors(torch.clone, leaf)  # it may move itself in place
    moved = own.to(device)
    return own if moved is None else moved


def leaves(tree: Tree) -> list[Tensor]:
    """Return the tensors of a tree, depth first."""
    found: list[Tensor] = []
    _collect(tree, found, frozenset())
    return found


def _collect(tree: Tree, found: list[Tensor], above: frozenset[int]) -> None:
    if isinstance(tree, Tensor):
        found.append(tree)
    elif isinstance(tree, Mapping):
        for value in tree.values():
            _collect(value, found, above)
    elif isinstance(tree, tuple | list):
        for value in tree:
            _collect(value, found, above)
    elif not isinstance(tree, _ATOMS) and id(tree) not in above:
        for part in _parts(tree) or ():
            _collect(part, found, above | {id(tree)})


def holds_objects(tree: Tree) -> bool:
    """Return whether tensors lie inside of objects or packed sequences, whose first axes need not be samples."""
    if isinstance(tree, Mapping):
        return any(map(holds_objects, tree.values()))
    if isinstance(tree, tuple | list) and not isinstance(tree, PackedSequence):
        return any(map(holds_objects, tree))
    return not isinstance(tree, Tensor) and bool(leaves(tree))


def _parts(tree: Any) -> tuple[Any, ...] | None:
    """Return an object's constructor, arguments and state; None if they are not known."""
    if isinstance(tree, np.ndarray):
        return tuple(tree.reshape(-1).tolist()) if tree.dtype.hasobject else ()
    node = _pytree.SUPPORTED_NODES.get(type(tree))
    if node is not None:
        children, context = node.flatten_fn(tree)
        return type(tree), list(children), context
    reduce = copyreg.dispatch_table.get(type(tree))
    try:
        made: Any = reduce(tree) if reduce else tree.__reduce_ex__(4)
    except Exception:  # noqa: BLE001  what can't be pickled says so in many ways
        return (type(tree), vars(tree)) if hasattr(tree, "__dict__") else None
    if isinstance(made, str):  # a name
        return (made,)
    return tuple(list(part) if isinstance(part, Iterator) else part for part in made)


def update_digest(digest: hashlib._Hash, tree: Tree) -> None:
    """Feed a tree's dtypes, shapes, bytes and other leaves' values to a hash: the same in each process.

    Raises:
        OpaqueObjectError: an object inside has no value that can be read, such as a lock or a file.
    """
    _feed(digest, tree, (), _feed_tensor)


def signature(tree: Tree) -> str:
    """Return a string of the shapes, strides and dtypes of a tree's tensors, and of the values of the rest.

    >>> signature((torch.zeros(2), 3)) == signature((torch.ones(2), 3)), signature(3) == signature(4)
    (True, False)
    """
    digest = hashlib.sha256()
    _feed(digest, tree, ((),), lambda into, t: into.update(repr((t.dtype, t.shape, t.layout, _stride(t))).encode()))
    return digest.hexdigest()


def _stride(tensor: Tensor) -> tuple[int, ...]:
    return tensor.stride() if tensor.layout == torch.strided and not tensor.is_nested else ()


FeedTensor = Callable[[Any, Tensor], None]  # (hash, tensor)


def _feed(digest: hashlib._Hash, tree: Tree, above: tuple[Any, ...], of_tensor: FeedTensor) -> None:
    """Feed a tree that lies inside of some objects, the outermost first; there the lengths of tuples count as well."""
    if isinstance(tree, Tensor):
        of_tensor(digest, tree)
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            digest.update(f"{key!s}\0".encode() if isinstance(key, _NUMBERS) else b"key\0")
            _feed(digest, value if isinstance(key, _NUMBERS) else (key, value), above, of_tensor)
    elif isinstance(tree, tuple | list):
        digest.update(
            f"{len(tree)} in {type(tree).__name__}\0".encode() if above else b""
        )  # not in files of any schema
        for value in tree:
            _feed(digest, value, above, of_tensor)
    elif isinstance(tree, (*_NUMBERS, np.generic)):
        digest.update(pickle.dumps(tree))
    else:
        _feed_object(digest, tree, above, of_tensor)


def _feed_object(digest: hashlib._Hash, tree: Any, above: tuple[Any, ...], of_tensor: FeedTensor) -> None:
    """Feed an object; one that contains itself is fed once, and then the number of levels up to it."""
    if isinstance(tree, weakref.ref):  # what it refers to is another's
        return
    cycle = next((level for level, one in enumerate(reversed(above)) if one is tree), None)
    if cycle is not None:
        digest.update(f"{cycle} above\0".encode())
        return
    if isinstance(tree, _NAMED):
        _feed(digest, _definition(tree), (*above, tree), of_tensor)
        return
    digest.update(f"{type(tree).__qualname__}\0".encode())
    if isinstance(tree, set | frozenset):  # in the order of hashes, which differs from process to process
        digest.update(b"".join(sorted(_alone(value, of_tensor) for value in tree)))
        return
    if isinstance(tree, np.ndarray) and not tree.dtype.hasobject:
        digest.update(f"{tree.dtype}\0{tree.shape}\0".encode() + tree.tobytes())
        return
    parts = _parts(tree)
    if parts is None:
        inside = f" inside of {_name(above[0])}" if above else ""
        raise OpaqueObjectError(f"{_name(tree)}{inside} has no value that can be read")
    _feed(digest, parts, (*above, tree), of_tensor)


def _definition(named: Any) -> tuple[Any, ...]:
    """Return the name of a class, function or module without the place of its file; of a function its code as well."""
    code = getattr(named, "__code__", None)  # lambdas share one name
    cells = [cell.cell_contents for cell in getattr(named, "__closure__", None) or ()]
    name = getattr(named, "__qualname__", named.__name__)
    return (name, code.co_code, named.__defaults__, cells) if code else (name,)


def _alone(tree: Tree, of_tensor: FeedTensor) -> bytes:
    digest = hashlib.sha256()
    _feed(digest, tree, (), of_tensor)
    return digest.digest()


def _name(tree: Any) -> str:
    return f"an object of type {type(tree).__qualname__}"


def _feed_tensor(digest: hashlib._Hash, tensor: Tensor) -> None:
    if tensor.is_meta:
        raise OpaqueObjectError("a tensor on the meta device holds no values; give it on a device")
    parts = _dense_parts(tensor.detach())
    if len(parts) > 1:
        digest.update(f"{tensor.layout}\0{tuple(tensor.shape) if not tensor.is_nested else ''}\0".encode())
    for part in parts:
        dense = part.cpu().contiguous().resolve_conj().resolve_neg()
        digest.update(f"{dense.dtype}\0{tuple(dense.shape)}\0".encode())
        digest.update(dense.reshape(-1).view(torch.uint8).numpy().data if dense.numel() else b"")


def _dense_parts(tensor: Tensor) -> list[Tensor]:
    """Return the strided tensors that a tensor consists of: itself, or indices and values, or levels and scales."""
    if tensor.is_nested:
        return [tensor.new_zeros(0), *tensor.unbind()]
    if tensor.is_quantized:
        return [tensor.int_repr(), tensor.dequantize()]
    if tensor.layout == torch.sparse_coo:
        whole = tensor.coalesce()
        return [whole.indices(), whole.values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return [tensor]
