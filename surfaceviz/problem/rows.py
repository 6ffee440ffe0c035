"""Rows of trees of tensors: their number, some of them, several trees joined, and their fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfaceviz.errors import ProblemError
from surfaceviz.problem.batch_parts import parts_of, target_key
from surfaceviz.pytree import (
    Tree,
    holds_objects,
    leaves,
    like_mapping,
    like_tuple,
    map_leaves,
    map_tensors,
    update_digest,
)


def as_tensors(source: Tree) -> Tree:
    """Return the tree with arrays as tensors, lists as tuples."""
    return map_leaves(_as_tensor, source)


def _as_tensor(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(leaf))
    if isinstance(leaf, Tensor):
        return leaf.detach()
    return map_tensors(Tensor.detach, leaf) if any(tensor.requires_grad for tensor in leaves(leaf)) else leaf


def length_of(name: str, tree: Tree) -> int:
    """Return the number of rows that all tensors of a split have.

    Raises:
        ProblemError: there is no tensor, or their lengths differ.
    """
    lengths = {len(leaf) if leaf.ndim else 0 for leaf in leaves(tree)}
    if not lengths:
        raise ProblemError(f"split {name} holds no tensor; give tensors, arrays, or batches of them")
    if len(lengths) != 1:
        raise ProblemError(
            f"split {name}: tensors of different lengths {sorted(lengths)}; one row for each sample (a list "
            "holds batches, not samples)"
        )
    return lengths.pop()


def rows_at(tree: Tree, index: slice | Tensor) -> Tree:
    """Return the rows of each tensor at an index."""
    return map_tensors(lambda tensor: tensor[index], tree)


def samples_in(batch: Tree, *, as_given: bool) -> int:
    """Return the number of samples in a fixed batch: of its targets, or of its first tensor.

    With measure=, a batch that is not a tree of rows counts as one sample.
    """
    if holds_objects(batch):
        key = target_key(batch)
        if not as_given or key is not None:
            batch = parts_of(batch)[1]
    tensors = leaves(batch)
    return len(tensors[0]) if tensors and tensors[0].ndim else 1


def single_rows(batches: list[Tree]) -> list[Tree]:
    """Return each row of the batches; batches with objects whole."""
    if holds_objects(batches):
        return batches
    return [rows_at(b, slice(i, i + 1)) for b in batches for i in range(len(leaves(b)[0]) if leaves(b) else 0)]


def concatenated(batches: Sequence[Tree]) -> Tree | None:
    """Return the batches as one tree along the first axis, or None where their kinds or shapes differ."""
    first = batches[0]
    if not all(_resembles(batch, first) for batch in batches):
        return None
    if isinstance(first, Tensor):
        alike = all(isinstance(b, Tensor) and b.ndim and b.shape[1:] == first.shape[1:] for b in batches)
        return torch.cat(list(batches)) if alike else None
    if holds_objects(first):
        return None
    if isinstance(first, Mapping):
        parts = {key: concatenated([batch[key] for batch in batches]) for key in first}
        return None if any(part is None for part in parts.values()) else like_mapping(first, parts)
    if isinstance(first, tuple):
        each = like_tuple(first, (concatenated(column) for column in zip(*batches, strict=True)))
        return None if any(part is None for part in each) else each
    return None  # a leaf that is not a tensor, such as a string: the batches stay fixed


def _resembles(one: Tree, other: Tree) -> bool:
    """Return whether two trees have the same columns at their top."""
    if isinstance(other, Mapping):
        return isinstance(one, Mapping) and one.keys() == other.keys()
    return not isinstance(other, tuple) or (isinstance(one, tuple) and len(one) == len(other))


def sha256_of(tree: Tree) -> str:
    """Return the fingerprint of a tree, hexadecimal."""
    digest = hashlib.sha256()
    update_digest(digest, tree)
    return digest.hexdigest()
