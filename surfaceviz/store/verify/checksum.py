"""The checksum of a file, in the 512 bytes before its HDF5 part.

HDF5 calls them a user block: every HDF5 library skips them. They hold a line of text with the sha256 of the bytes after
the block and the file's length, and a mark of the user who wrote it (see `surfaceviz.store.verify.user_key`); the
rest is 0.
"""

from __future__ import annotations

import hashlib
import io
import re
from enum import Enum, auto

from surfaceviz.store.verify import user_key

BLOCK_BYTES = 512  # the smallest user block that HDF5 allows
_LINE = re.compile(
    rb"surfaceviz: HDF5 after 512 bytes; sha256 ([0-9a-f]{64}), length (\d{1,15}), mark ([0-9a-f]{64}|-)\n"
)
_PURPOSE = "bytes of a file"


class Checked(Enum):
    """How a file's bytes relate to its checksum."""

    OWN = auto()  # as this user wrote them
    WHOLE = auto()  # as somebody wrote them
    RESIZED = auto()  # others, and more or fewer: something was added or removed
    ALTERED = auto()  # others, and as many
    NONE = auto()  # no checksum: an earlier version's file, or of another program


def with_checksum(buffer: io.BytesIO) -> bytes:
    """Return the bytes of an HDF5 file whose user block has `BLOCK_BYTES`, with the checksum in it."""
    with buffer.getbuffer() as image:
        digest = hashlib.sha256(image[BLOCK_BYTES:]).hexdigest()
        mark = user_key.sign(_PURPOSE, digest) or "-"
        line = f"surfaceviz: HDF5 after {BLOCK_BYTES} bytes; sha256 {digest}, length {len(image)}, mark {mark}\n"
        image[:BLOCK_BYTES] = line.encode().ljust(BLOCK_BYTES, b"\0")
    return buffer.getvalue()


def check(stream: io.BufferedReader, length: int) -> tuple[Checked, str]:
    """Return how the bytes of a file relate to its checksum, and a digest of all of them.

    Args:
        stream: the file, at its beginning.
        length: its length in bytes.
    """
    block = stream.read(BLOCK_BYTES)
    after = hashlib.file_digest(stream, "sha256").hexdigest()
    whole = hashlib.sha256(block + after.encode()).hexdigest()
    found = _LINE.match(block)
    if found is None:
        return Checked.NONE, whole
    if length != int(found[2]):
        return Checked.RESIZED, whole
    if after != found[1].decode() or any(block[found.end() :]):
        return Checked.ALTERED, whole
    own = user_key.is_signed(_PURPOSE, after, found[3].decode())
    return Checked.OWN if own else Checked.WHOLE, whole
