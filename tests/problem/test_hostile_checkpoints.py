"""Baseline: what an honest checkpoint gives, and a limit on the memory of a process that reads a hostile one."""

from __future__ import annotations

import collections
import gzip
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch

from surfaceviz.errors import CheckpointError, ProblemError
from surfaceviz.problem import pickle_budget
from surfaceviz.problem.checkpoints import read_weights
from surfaceviz.zoo.datasets import read_idx

STATE = oracles.net(7).state_dict()
NEST = 60  # levels: 2^60 tuples to hash


def _with_pickle(content: bytes) -> None:
    """Write a checkpoint whose own pickle is replaced."""
    torch.save(STATE, "honest.pt")
    with zipfile.ZipFile("honest.pt") as source, zipfile.ZipFile("w.pt", "w") as target:
        for entry in source.infolist():
            data = content if entry.filename.endswith("data.pkl") else source.read(entry)
            target.writestr(entry.filename, data)


def _nested_key() -> bytes:
    """A dict with the key ((((), ()), ((), ())), ...), each level a tuple of the same tuple twice."""
    return b"\x80\x02})" + b"2\x86" * NEST + b"K\x01s."


def _nested_key_by_memory() -> bytes:
    return b"\x80\x02})q\x00" + b"".join(b"0h%ch%c\x86q%c" % (i, i, i + 1) for i in range(NEST)) + b"K\x01s."


def _allocate(module: str, name: str, count: int) -> bytes:
    number = b"\x8a\x08" + struct.pack("<q", count)
    return b"\x80\x02}X\x01\x00\x00\x00wc" + f"{module}\n{name}\n".encode() + number + b"\x85Rs."


def _deflated() -> None:
    torch.save({"x": torch.zeros(2**26)}, "large.pt")
    with zipfile.ZipFile("large.pt") as source, zipfile.ZipFile("w.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    Path("large.pt").unlink()


def _legacy_with(count: int) -> None:
    """Write a checkpoint of the old format that declares a storage of ``count`` numbers."""
    torch.save({"x": torch.zeros(1234)}, "w.pt", _use_new_zipfile_serialization=False)
    data = Path("w.pt").read_bytes()
    assert data.count(b"M\xd2\x04") >= 1
    Path("w.pt").write_bytes(data.replace(b"M\xd2\x04", b"\x8a\x08" + struct.pack("<q", count)))


BOMBS: dict[str, tuple[Callable[[], object], str]] = {
    "deflated": (_deflated, "w.pt: its . entries expand to 25. MB"),
    "nested key": (lambda: _with_pickle(_nested_key()), "w.pt: tuples lie in tuples more than 16 deep"),
    "nested by memory": (lambda: _with_pickle(_nested_key_by_memory()), "w.pt: tuples lie in tuples more than 16 deep"),
    "bytearray": (
        lambda: _with_pickle(_allocate("builtins", "bytearray", 2**33)),
        "w.pt: it declares far more numbers",
    ),
    "tensor": (lambda: _with_pickle(_allocate("torch", "Tensor", 2**33)), "w.pt: it declares far more numbers"),
    "legacy storage": (lambda: _legacy_with(2**33), "w.pt: it declares far more numbers"),
    "legacy nested": (lambda: Path("w.pt").write_bytes(_nested_key()), "w.pt: tuples lie in tuples"),
}


@pytest.mark.parametrize("how", BOMBS)
def test_a_bomb_is_refused_before_it_is_unpickled(how: str) -> None:
    make, words = BOMBS[how]
    make()
    with pytest.raises(CheckpointError, match=words):
        read_weights("w.pt", oracles.net(0), print)


def _itself(tree: dict[str, Any]) -> dict[str, Any]:
    tree["model"] = tree
    return tree


@pytest.mark.parametrize("made", [{}, {"epoch": 3}, {"model": {"state_dict": {}}}])
def test_a_checkpoint_that_contains_itself_is_refused(made: dict[str, Any]) -> None:
    torch.save(_itself(made), "w.pt")
    with pytest.raises(CheckpointError, match="w.pt: no state dict found"):
        read_weights("w.pt", oracles.net(0), print)


def test_a_cycle_of_two_is_refused() -> None:
    first: dict[str, Any] = {}
    first["model"] = {"model": first}
    torch.save(first, "w.pt")
    with pytest.raises(CheckpointError, match="w.pt: no state dict found"):
        read_weights("w.pt", oracles.net(0), print)


def test_what_is_not_a_regular_file_is_refused() -> None:
    os.mkfifo("w.pt")
    with pytest.raises(CheckpointError, match="w.pt: no such file of weights"):
        read_weights("w.pt", oracles.net(0), print)
    with pytest.raises(CheckpointError, match="w.pt: not a regular file"):
        pickle_budget.refuse_bomb(Path("w.pt"))


def _training() -> dict[str, Any]:
    model = oracles.net(7)
    optimiser = torch.optim.Adam(model.parameters())
    torch.stack([p.square().sum() for p in model.parameters()]).sum().backward()
    optimiser.step()
    return {
        "model": model.state_dict(), "optimizer": optimiser.state_dict(), "seed": 2**62, "time": 1.7e18,
        "best": (1, (2, 3)),
        "rng": torch.get_rng_state(), "losses": list(range(3000)), "names": [("a", ("b", ("c",)))] * 50, "big": 10**30,
        "counts": collections.Counter(a=3), "raw": bytearray(b"abc"),
    }  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_an_honest_training_is_read(zipped: bool, protocol: int) -> None:
    saved = _training()
    torch.save(saved, "w.pt", _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    pickle_budget.refuse_bomb(Path("w.pt"))
    if protocol == 2:  # torch reads no other with weights_only
        found = read_weights("w.pt", oracles.net(0), print)
        assert all(torch.equal(found[name], tensor) for name, tensor in saved["model"].items())


def test_views_of_one_storage_count_once() -> None:
    base = torch.zeros(10**6)
    torch.save({str(i): base[i : i + 10] for i in range(3000)}, "w.pt")
    pickle_budget.refuse_bomb(Path("w.pt"))
    assert len(torch.load("w.pt", weights_only=True)) == 3000


@pytest.mark.parametrize("content", [b"", b"\x80", b"hello", b"cos\nsystem\n", b"(" * 50 + b".", b"R.", b"h\x07."])
def test_what_is_no_pickle_is_one_line(content: bytes) -> None:
    for write in (Path("w.pt").write_bytes, _with_pickle):
        write(content)
        with pytest.raises(
            CheckpointError, match=r"w.pt: (not readable as weights|no state dict found|w.pt)"
        ) as caught:
            read_weights("w.pt", oracles.net(0), print)
        assert "\n" not in str(caught.value)


def _idx(shape: tuple[int, ...], data: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def test_a_packed_idx_file_that_expands_is_refused_unread() -> None:
    shape = (3000, 1000, 1000)
    with gzip.open("images.gz", "wb") as stream:
        stream.write(_idx(shape, b""))
        for _ in range(300):
            stream.write(bytes(10**6))
    with pytest.raises(
        ProblemError, match=r"images.gz: \d+ bytes, but its header of shape .3000, 1000, 1000. asks for 30"
    ):
        read_idx("images.gz")


READER = """
import resource, sys
from surfaceviz.errors import ProblemError
from surfaceviz.zoo.datasets import read_idx
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_idx(sys.argv[1])
except ProblemError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_no_more_is_read_of_an_idx_file_than_its_header_asks_for() -> None:
    with gzip.open("labels.gz", "wb") as stream:
        stream.write(_idx((4,), b"\1\2\3\4"))
        for _ in range(1000):
            stream.write(bytes(10**6))
    done = subprocess.run([sys.executable, "-c", READER, "labels.gz"], capture_output=True, text=True, check=True)
    message, megabytes = done.stdout.splitlines()
    assert message == "labels.gz: more bytes, but its header of shape (4,) asks for 12"
    assert int(megabytes) < 100  # and not 1000


def test_honest_idx_files_are_read() -> None:
    data = np.random.default_rng(0).integers(0, 255, (20, 3, 3), np.uint8)
    Path("a").write_bytes(_idx((20, 3, 3), data.tobytes()))
    Path("a.gz").write_bytes(gzip.compress(_idx((20, 3, 3), data.tobytes())))
    for name in ("a", "a.gz"):
        np.testing.assert_array_equal(read_idx(name), data)
    Path("broken.gz").write_bytes(gzip.compress(_idx((20, 3, 3), data.tobytes()))[:-20])
    os.mkfifo("fifo")
    for name, words in (("broken.gz", "not readable as an IDX file"), ("fifo", "fifo: not a regular file")):
        with pytest.raises(ProblemError, match=words):
            read_idx(name)


def test_the_pickles_of_the_tests_are_pickles() -> None:
    small = b"\x80\x02})" + b"2\x86" * 5 + b"K\x01s."
    (key,) = pickle.loads(small)  # noqa: S301  our own
    assert key == ((((((), ()),) * 2,) * 2,) * 2,) * 2
