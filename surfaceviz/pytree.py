"""Trees of tensors: a tensor, or a tuple, list or dict of trees; other leaves are kept unchanged."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

Tree: TypeAlias = Any


def map_leaves(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Return the tree with ``function`` applied to everything that is not a tuple, list or dict; lists become tuples.

    >>> map_leaves(len, {"a": "xyz", "b": ["x", "xy"]})
    {'a': 3, 'b': (1, 2)}
    """
    if isinstance(tree, Mapping):
        return {key: map_leaves(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_leaves(function, value) for value in tree))
    if isinstance(tree, tuple | list):
        return tuple(map_leaves(function, value) for value in tree)
    return function(tree)


def map_tensors(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """Return the tree with ``function`` applied to its tensors."""
    return map_leaves(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, tree)


def leaves(tree: Tree) -> list[Tensor]:
    """Return the tensors of a tree, depth first."""
    found: list[Tensor] = []
    map_leaves(lambda leaf: found.append(leaf) if isinstance(leaf, Tensor) else None, tree)
    return found


def update_digest(digest: hashlib._Hash, tree: Tree) -> None:
    """Feed a tree's dtypes, shapes, bytes and other leaves' representations to a hash."""
    if isinstance(tree, Tensor):
        tensor = tree.detach().cpu().contiguous()
        digest.update(f"{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    elif isinstance(tree, Mapping):
        for key in tree:
            digest.update(f"{key}\0".encode())
            update_digest(digest, tree[key])
    elif isinstance(tree, tuple | list):
        for value in tree:
            update_digest(digest, value)
    else:
        digest.update(_opaque(tree))


def _opaque(leaf: Any) -> bytes:
    """Return bytes that represent a leaf that is not a tensor: its pickle, which contains no memory addresses."""
    try:
        return pickle.dumps(leaf)
    except (pickle.PicklingError, TypeError, AttributeError):
        return type(leaf).__qualname__.encode()
