"""The entry of a checkpoint that holds the weights: nested state dicts, or names under a prefix."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from surfaceviz.errors import CheckpointError
from surfaceviz.problem.parameters import canonical_name

Say = Callable[[str], None]

# Keys under which training scripts store the weights in a checkpoint, the most common first.
_NESTS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "module",
    "weights",
    "params",
    "ema",
    "model_ema",
    "ema_state_dict",
)
_SHOWN = 8  # entries that a message names


def state_dict_in(tree: Any, key: str, path: Path, say: Say) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by the names in it.

    Args:
        tree: the content of the file.
        key: the entry, dots leading deeper; its last parts may be a prefix of the names. Empty for the usual entries.
        path: the file, for messages.
        say: receives a line if another entry holds weights as well.

    Raises:
        CheckpointError: there is no such entry, or no state dict in it.
    """
    tree = _entry(tree, key, path) if key else tree
    seen: list[Any] = []
    while not _is_state_dict(tree):
        nest = _nest(tree)
        if nest is None or any(tree is each for each in seen):  # a dict may contain itself
            break
        others = [other for other in _NESTS if other != nest and _is_state_dict(tree.get(other))]
        if others:
            other = shlex.quote(f"{path}:{others[0]}")
            say(f"{path.name}: took the weights in {nest!r}; {', '.join(others)} would go by {other}")
        seen.append(tree)
        tree = tree[nest]
    found = _tensors(tree)
    if not found:
        entries = [name for name, entry in tree.items() if _tensors(entry)] if isinstance(tree, Mapping) else []
        such = f", such as {shlex.quote(f'{path}:{entries[0]}')}" if entries else ""
        name = f"{shlex.quote(str(path))}:KEY{such}"
        raise CheckpointError(f"{path}: no state dict found; it has {_described(tree)}; name the entry as {name}")
    return found


def _is_state_dict(tree: Any) -> bool:
    return (
        isinstance(tree, Mapping)
        and bool(tree)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in tree.items() if k != "_metadata")
    )


def _tensors(tree: Any) -> dict[str, Tensor]:
    entries = tree.items() if isinstance(tree, Mapping) else ()
    return {name: tensor for name, tensor in entries if isinstance(name, str) and isinstance(tensor, Tensor)}


def _nest(tree: Any) -> str | None:
    """Return the entry to look into: a usual one, or the only state dict of a mapping that has no tensors itself."""
    if not isinstance(tree, Mapping):
        return None
    usual = next((name for name in _NESTS if isinstance(tree.get(name), Mapping)), None)
    only = [name for name, entry in tree.items() if isinstance(name, str) and _is_state_dict(entry)]
    return usual or (only[0] if len(only) == 1 and not _tensors(tree) else None)


def _entry(tree: Any, key: str, path: Path) -> Any:
    parts = key.split(".")
    for i, part in enumerate(parts):
        if isinstance(tree, Mapping) and part in tree:
            tree = tree[part]
        elif isinstance(tree, Sequence) and part.isdecimal() and int(part) < len(tree):
            tree = tree[int(part)]
        elif under := _under(tree, ".".join(parts[i:])):
            return under
        else:
            of = "" if part == key else f" of {key!r}"
            raise CheckpointError(f"{path}: no entry {part!r}{of}; there is {_described(tree)}")
    return tree


def _under(tree: Any, prefix: str) -> Any:
    """Return the entry of a dotted name, or the entries whose names begin with it, wrappers' parts aside."""
    if not isinstance(tree, Mapping):
        return None
    if prefix in tree:
        return tree[prefix]
    tensors = _tensors(tree)
    for own_name in (str, canonical_name):
        below = {own_name(name).removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items()
                 if own_name(name).startswith(f"{prefix}.")}  # fmt: skip
        if below:
            return below
    nest = _nest(tree)
    return None if nest is None else _under(tree[nest], prefix)


def _described(tree: Any) -> str:
    if not isinstance(tree, Mapping):
        return type(tree).__name__
    return ", ".join(map(str, list(tree)[:_SHOWN])) or "nothing"
