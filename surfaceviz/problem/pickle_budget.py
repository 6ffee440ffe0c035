"""A look at a checkpoint before it is unpickled: files that would take far more memory or time than they have bytes.

The unpickler of torch runs no code of the file, but it allocates what the file asks for and hashes its keys. This
module follows the instructions of the pickle on a stack of numbers, words and tuples, and makes none of the objects.
"""

from __future__ import annotations

import pickletools
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from surfaceviz.errors import CheckpointError

_EXPANSION, _SMALL = 4, 64 * 2**20  # bytes that a file may expand to: so many times its own, and so many more; ours
_BITS = 8  # numbers that a byte may hold
_LARGEST_PICKLE = 64 * 2**20  # bytes; a state dict of 10,000 tensors takes 2 MB
_MOST_ENTRIES = 200_000  # of a zip
_DEEPEST = 16  # tuples in each other; those of tensors have 3
_LEGACY_PICKLES = 5  # magic number, version, system, content, keys of storages
_KEY = 2  # place of its name in the tuple of a storage
_ALLOCATING = ("bytearray", "Tensor", "Storage")  # ends of names of types that take a size


class _Mark:
    """The start of a group of items on the stack."""


def refuse_bomb(path: Path) -> None:
    """Refuse a checkpoint of torch that declares far more than it holds.

    Raises:
        CheckpointError: it is not a regular file, expands to many times its length, asks for much more memory, or has
            keys that can't be hashed in any time; or its instructions can't be followed.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"{path}: not a regular file")
    with _readable(path), path.open("rb") as stream:
        if zipfile.is_zipfile(stream):
            _check_zip(path, stream, found.st_size)
        else:
            stream.seek(0)
            scan = _Scan(path, found.st_size)
            for _ in range(_LEGACY_PICKLES):
                scan.follow(stream)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, IndexError, KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"{path}: not readable as weights ({type(error).__name__}: {error})") from error


def _check_zip(path: Path, stream: BinaryIO, length: int) -> None:
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        expanded = sum(entry.file_size for entry in entries)
        if expanded > _SMALL + _EXPANSION * length or len(entries) > _MOST_ENTRIES:
            raise CheckpointError(
                f"{path}: its {len(entries)} entries expand to {expanded / 2**20:,.0f} MB, from {length / 2**20:,.1f} "
                "MB; expected a file that torch.save wrote"
            )
        for entry in entries:
            if entry.filename.endswith(".pkl"):
                if entry.file_size > _LARGEST_PICKLE:
                    raise CheckpointError(f"{path}: {entry.filename} has {entry.file_size:,} bytes beside its tensors")
                with archive.open(entry) as pickled:
                    _Scan(path, length).follow(pickled)


class _Scan:
    """The stack and memory of an unpickler, with numbers, words and tuples in the place of objects."""

    def __init__(self, path: Path, length: int) -> None:
        self._path, self._left = path, _SMALL + _BITS * length
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._depths: dict[int, int] = {}  # id of a tuple, which the stack or the list keeps alive -> depth
        self._kept: list[Any] = []
        self._storages: set[Any] = set()

    def follow(self, stream: Any) -> None:
        """Follow the instructions of one pickle."""
        self._stack.clear()
        self._memo.clear()
        for instruction, argument, _ in pickletools.genops(stream):
            self._step(instruction, argument)

    def _step(self, instruction: Any, argument: Any) -> None:
        name = instruction.name
        if name == "MARK":
            self._stack.append(_Mark)
        elif name == "DUP":
            self._stack.append(self._stack[-1])
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if argument is None else argument] = self._stack[-1]
        elif name == "POP_MARK":
            self._popped(instruction)
        else:
            self._push_result(name, argument, self._popped(instruction), len(instruction.stack_after))

    def _popped(self, instruction: Any) -> list[Any]:
        """Remove and return what an instruction takes off the stack."""
        before = instruction.stack_before
        if pickletools.markobject not in before:
            count = len(before)
            taken = self._stack[len(self._stack) - count :] if count else []
            if len(taken) < count:
                raise ValueError("the stack is empty")
            del self._stack[len(self._stack) - count :]
            return taken
        place = len(self._stack) - 1 - self._stack[::-1].index(_Mark)
        below = before.index(pickletools.markobject)  # items under the mark that are taken as well
        taken = [*self._stack[place - below : place], *self._stack[place + 1 :]]
        del self._stack[place - below :]
        return taken

    def _push_result(self, name: str, argument: Any, taken: list[Any], count: int) -> None:
        result: Any = None
        if name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"):
            result = self._tuple(taken)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            result = argument or " ".join(each for each in taken if isinstance(each, str))
        elif isinstance(argument, int | str) and not isinstance(argument, bool):
            result = argument
        if name == "BINPERSID":
            self._allocate(taken[0], _numbers(taken[0]))
        elif name in ("REDUCE", "NEWOBJ") and isinstance(taken[0], str) and taken[0].endswith(_ALLOCATING):
            self._allocate(None, _numbers(taken[1]))
        self._stack += [result] * count

    def _tuple(self, items: list[Any]) -> tuple[Any, ...]:
        depth = 1 + max((self._depths.get(id(item), 0) for item in items), default=0)
        if depth > _DEEPEST:
            raise CheckpointError(
                f"{self._path}: tuples lie in tuples more than {_DEEPEST} deep, which no weights have"
            )
        made = tuple(items)
        if made:
            self._kept.append(made)
            self._depths[id(made)] = depth
        return made

    def _allocate(self, storage: Any, numbers: list[int]) -> None:
        """Count the numbers that a storage, or an object of a given size, would have; each storage once."""
        if isinstance(storage, tuple):
            named = len(storage) > _KEY and isinstance(storage[_KEY], str)
            key = storage[_KEY] if named else id(storage)
            if key in self._storages:
                return
            self._storages.add(key)
        self._left -= max(numbers, default=0)
        if self._left < 0:
            raise CheckpointError(
                f"{self._path}: it declares far more numbers than it has bytes; it is damaged or hostile"
            )


def _numbers(item: Any) -> list[int]:
    if isinstance(item, tuple):
        return [each for each in item if isinstance(each, int)]
    return [item] if isinstance(item, int) else []
