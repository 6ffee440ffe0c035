"""Baseline: the undamaged record, and for what a damaged file may do, a process of its own that is watched."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from edited import edited, renew_checksum

from surfaceviz import cli, store
from surfaceviz.errors import SchemaError, UnverifiedFileWarning
from surfaceviz.problem.parameters import fingerprint
from surfaceviz.records import DirectionRecord, Mark, Slice
from surfaceviz.store.verify import sandbox, unverified
from surfaceviz.store.verify.checksum import BLOCK_BYTES

SECONDS = 60  # after which a reader counts as hanging; one takes 0.3 s


def _slice(shape: tuple[int, ...] = (5, 3)) -> tuple[Slice, list[dict[str, Any]]]:
    tensors = {"a.weight": np.linspace(0, 1, 60, dtype=np.float32).reshape(20, 3), "b.bias": np.ones(4, np.float32)}
    sha256 = fingerprint({name: torch.from_numpy(array) for name, array in tensors.items()})
    z = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    record = DirectionRecord(kind="random", sha256=sha256, rule={"a.weight": "filter"}, seed=1)
    surface = Slice(
        axes=tuple(np.linspace(-1, 1, n) for n in shape), values={"train_loss": z, "train_accuracy": z / 100},
        origin=np.ones(shape, np.uint8), centre={"train_loss": 7.0}, directions=(record,) * len(shape),
        stderr={"train_loss": z}, marks=(Mark("b.pt", (0.5,) * len(shape), {"train_loss": 3.0}),),
        provenance={"problem": "net", "splits": "train", "seed": 7, "made_from": '{"problem": null}'},
    )  # fmt: skip
    return surface, [tensors] * len(shape)


READER = """
import hashlib, sys, warnings
from surfaceviz import store
from surfaceviz.errors import SchemaError, UnverifiedFileWarning
warnings.simplefilter("error")
for path in sys.argv[1:]:
    try:
        surface = store.read(path)
        content = repr([getattr(surface, name) for name in surface.__slots__] + store.read_directions(path))
        print(hashlib.sha256(content.encode()).hexdigest())
    except SchemaError as error:
        assert "\\n" not in str(error), str(error)
        print("refused")
    except UnverifiedFileWarning:
        print("with a word")
"""


def _words(paths: list[str]) -> list[str]:
    """Return what a process makes of each file: ``refused``, ``with a word``, or the content that it read."""
    done = subprocess.run(
        [sys.executable, "-c", READER, *paths],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS * len(paths),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _mutate(count: int, seed: int) -> list[str]:
    """Write ``count`` copies of a file with one byte changed each, half of them where the structure lies."""
    store.write(Path("whole.h5"), *_slice())
    image = Path("whole.h5").read_bytes()
    generator = np.random.default_rng(seed)
    used = np.flatnonzero(np.frombuffer(image, np.uint8))
    names = []
    for number in range(count):
        place = int(generator.choice(used) if number % 2 else generator.integers(len(image)))
        other = bytearray(image)
        other[place] ^= int(generator.integers(1, 256))
        names.append(f"m{number}.h5")
        Path(names[-1]).write_bytes(other)
    return names


def _assert_refused_or_alike(count: int, seed: int) -> None:
    names = _mutate(count, seed)
    (whole,) = _words(["whole.h5"])
    found = _words(names)
    assert len(found) == count
    assert set(found) <= {"refused", "with a word", whole}
    assert found.count("refused") > 0.9 * count
    # with a word only where the checksum itself was hit, so that what it covers is whole
    for name, word in zip(names, found, strict=True):
        if word == "with a word":
            assert Path(name).read_bytes()[BLOCK_BYTES:] == Path("whole.h5").read_bytes()[BLOCK_BYTES:]


def test_a_file_with_one_byte_changed_is_refused_or_read_alike() -> None:
    _assert_refused_or_alike(40, seed=0)


@pytest.mark.long
def test_of_a_thousand_files_with_one_byte_changed_all_are_refused_or_read_alike() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    _assert_refused_or_alike(1000, seed=1)
    peak = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    assert peak < 2**20  # kilobytes: 1 GB; the largest of the reader and of the processes that it started


def test_other_programs_read_the_file_as_plain_hdf5() -> None:
    surface, tensors = _slice()
    store.write(Path("a.h5"), surface, tensors)
    assert h5py.is_hdf5("a.h5")
    with h5py.File("a.h5") as file:
        assert file.userblock_size == BLOCK_BYTES
        np.testing.assert_array_equal(file["slice/train_loss"][()], surface.values["train_loss"])
    assert Path("a.h5").read_bytes().startswith(b"surfaceviz: HDF5 after 512 bytes; sha256 ")


def test_an_edit_that_adds_something_is_read_with_a_word() -> None:
    surface, tensors = _slice()
    store.write(Path("a.h5"), surface, tensors)
    with h5py.File("a.h5", "a") as file:
        file.attrs["note"] = "mine"
        file["mine/array"] = np.ones(3) + 1j
    with pytest.warns(UnverifiedFileWarning, match="a.h5: nothing vouches for its values: it was edited after"):
        found = store.read("a.h5")
    assert found.provenance["note"] == "mine"
    np.testing.assert_array_equal(found.values["train_loss"], surface.values["train_loss"])


def test_an_edit_in_place_is_refused_until_it_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    store.write(Path("a b.h5"), *_slice())
    with h5py.File("a b.h5", "a") as file:
        file["slice/train_loss"][0, 0] = 5
    assert cli.run(["info", "a b.h5"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("surfaceviz: a b.h5: its bytes are not those that were written, by its checksum")
    assert line.endswith("accept it as it is by surfaceviz info --trust 'a b.h5'")
    assert cli.run(["info", "--trust", "a b.h5"]) == 0
    assert store.read("a b.h5").values["train_loss"][0, 0] == 5
    with h5py.File("a b.h5", "a") as file:
        file["slice/train_loss"][0, 0] = 6
    with pytest.raises(SchemaError, match="its bytes are not those that were written"):
        store.read("a b.h5")  # what was accepted is this content, not the name


def test_a_file_of_another_user_is_read_without_a_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    surface, tensors = _slice()
    store.write(Path("a.h5"), surface, tensors)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    np.testing.assert_array_equal(store.read("a.h5").values["train_loss"], surface.values["train_loss"])


def test_without_a_folder_for_the_key_files_are_written_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(Path("file").absolute()))
    store.write(Path("a.h5"), *_slice())
    assert b", mark -\n" in Path("a.h5").read_bytes()[:BLOCK_BYTES]
    assert store.read("a.h5").shape == (5, 3)


@pytest.mark.parametrize("action", ["read", "merge", "directions", "export"])
def test_altered_directions_are_refused_wherever_they_are_used(action: str) -> None:
    store.write(Path("a.h5"), *_slice())
    with edited("a.h5") as file:
        file["directions/1/b.bias"][2] = 1.5
    words = "a.h5: /directions/1 holds other tensors than those whose sha256 it states"
    with pytest.raises(SchemaError, match=words):
        _use_directions(action)


def _use_directions(action: str) -> None:
    import surfaceviz  # noqa: PLC0415

    if action == "read":
        store.read_directions("a.h5")
    elif action == "merge":
        surfaceviz.merge("a.h5", output="b.h5")
    elif action == "export":
        surfaceviz.export("a.h5", "b.h5", to="reference")
    else:
        surfaceviz.slice("mlp-digits", directions="a.h5", samples=20)


CRASHES = {
    "crash": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"the HDF5 library crashed on it \(SIGSEGV\)"),
    "loop": ("while True: pass", "reading it takes for ever"),
    "memory": ("x = bytearray(2**40)", "the process that reads it failed .MemoryError"),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", CRASHES)
def test_a_crash_or_a_hang_of_the_reader_is_one_line(
    how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process that reads is replaced by one that does what HDF5 does on some files."""
    code, words = CRASHES[how]
    program = tmp_path / "program.py"
    program.write_text(f"import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\n{code}\n")
    monkeypatch.setattr(unverified, "PROGRAM", program)
    store.write(Path("a.h5"), *_slice())
    Path("a.h5").write_bytes(Path("a.h5").read_bytes() + b"more")
    with pytest.raises(SchemaError, match=f"a.h5: {words}"):
        store.read("a.h5")
    assert cli.run(["info", "a.h5"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


SLOW_READER = """
import os, sys, time
from surfaceviz.store.verify import sandbox
sandbox._end_with(int(sys.argv[1]))
print("reading", flush=True)
time.sleep(600)
"""
COMMAND = f"""
import os, subprocess, sys
subprocess.run([sys.executable, "-c", {SLOW_READER!r}, str(os.getpid())])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have the limits alone")
def test_the_reader_ends_with_a_command_that_is_killed() -> None:
    command = subprocess.Popen([sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, text=True)
    assert command.stdout is not None
    assert command.stdout.readline() == "reading\n"
    command.kill()
    assert command.stdout.read() == ""  # the end comes when nobody holds the pipe any more
    command.communicate()
    orphan = subprocess.run([sys.executable, "-c", SLOW_READER, "1"], capture_output=True, check=False)
    assert (orphan.returncode, orphan.stdout) == (sandbox.REFUSED, b"")


MADE: dict[str, Callable[[tuple[int, ...]], dict[str, Any]]] = {
    "complex": lambda shape: {"data": np.zeros(shape, complex)},
    "compound": lambda shape: {"data": np.zeros(shape, [("a", "f8"), ("b", "i4")])},
    "boolean": lambda shape: {"data": np.zeros(shape, bool)},
    "text": lambda shape: {"data": np.full(shape, "x", object), "dtype": h5py.string_dtype()},
    "bytes": lambda shape: {"data": np.full(shape, b"x")},
    "nothing": lambda _shape: {"data": h5py.Empty("f8")},
    "reference": lambda shape: {"shape": shape, "dtype": h5py.ref_dtype},
    "ragged": lambda shape: {"shape": shape, "dtype": h5py.vlen_dtype(np.float64)},
    "opaque": lambda shape: {"data": np.full(shape, b"x", "V4")},
    "nine": lambda shape: {"data": np.full(shape, 9, np.uint8)},
    "numbers": lambda shape: {"data": np.ones(shape)},
}
EDITS = [("slice/train_loss", how) for how in MADE if how not in ("nine", "numbers")]
EDITS += [("slice/origin", "nine"), ("slice/origin", "numbers"), ("points/name", "numbers"), ("slice/alpha", "complex")]
EDITS += [("points/train_loss", "boolean"), ("slice/train_loss_stderr", "compound")]
COMMANDS = (
    ("info",), ("plot", "-o", "x.png"), ("report", "-o", "x.html"), ("export", "--to", "csv"), ("hessian",),
    ("merge", "-o", "x.h5"), ("sharpness",),
)  # fmt: skip


@pytest.mark.parametrize(("name", "how"), EDITS)
def test_an_unexpected_type_is_one_line_that_names_the_data_set(
    name: str, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write(Path("a.h5"), *_slice())
    with edited("a.h5") as file:
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, **MADE[how](shape))
    for command in COMMANDS:
        assert cli.run([*command, "a.h5"]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert re.match(f"surfaceviz: a.h5: /?{name} holds .*, expected ", line)
    assert [path.name for path in Path().iterdir()] == ["a.h5"]


@pytest.mark.parametrize("attribute", ["centre_train_loss", "seed"])
@pytest.mark.parametrize("value", [1 + 2j, np.ones(3), h5py.Empty("f8"), "x"])
def test_an_attribute_of_an_unexpected_type_is_named(attribute: str, value: Any) -> None:
    store.write(Path("a.h5"), *_slice())
    with edited("a.h5") as file:
        group = file["slice" if attribute.startswith("centre") else "directions/0"]
        group.attrs[attribute] = value
    with pytest.raises(
        SchemaError, match=f"a.h5: /{group_name(attribute)}: the attribute {attribute} .*expected a number"
    ):
        store.read("a.h5")


def group_name(attribute: str) -> str:
    return "slice" if attribute.startswith("centre") else "directions/0"


def _graph(file: h5py.File) -> None:
    """Groups that hold each other by two names each: 2^40 paths."""
    above = file.create_group("slice/g0")
    for number in range(1, 40):
        below = file.create_group(f"all/g{number}")
        above["a"], above["b"] = below, below
        above = below


def _bomb(how: str) -> None:
    store.write(Path("a.h5"), *_slice())
    with h5py.File("a.h5", "r+") as file:
        if how == "graph":
            _graph(file)
        elif how == "cycle":
            file["slice/again"] = file["/"]
        elif how == "deep":
            file.create_group("/".join("a" * 400))
        elif how == "vast":
            for number in range(200):  # 32 MB each of no bytes
                file.create_dataset(f"directions/0/w{number}", (2**22,), "f8", chunks=(2**20,))
        elif how == "packed":
            file.create_dataset("slice/x", data=np.zeros(2**24), compression="gzip", compression_opts=9)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("graph", "is reached by two names: groups form a tree"),
        ("cycle", "is reached by two names: groups form a tree"),
        ("deep", "lies too deep"),
        ("vast", "it declares many times the bytes that it has"),
        ("packed", "it declares many times the bytes that it has"),
    ],
)
def test_a_bomb_is_refused_in_one_line(how: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    _bomb(how)
    for command in (["info"], ["plot"], ["report"], ["export", "--to", "csv"], ["hessian"], ["import"]):
        assert cli.run([*command, "a.h5"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("surfaceviz: a.h5: ")
        assert words in line


def test_more_objects_than_any_file_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MOST_OBJECTS", 20)
    store.write(Path("a.h5"), *_slice())
    words = "it holds more than 20 groups, data sets and attributes"
    with h5py.File("a.h5") as file, pytest.raises(sandbox.RefusedContentError, match=words):
        sandbox._copy(file, 10**6)


def test_only_regular_files_are_opened(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("fifo.h5")
    Path("folder.h5").mkdir()
    Path("null.h5").symlink_to("/dev/zero")
    for name in ("fifo.h5", "folder.h5", "null.h5"):
        for command in (["info"], ["plot"], ["export", "--to", "csv"], ["import"]):
            assert cli.run([*command, name]) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith(f"surfaceviz: {name}: not a regular file")


def test_a_renewed_checksum_is_that_of_the_writer() -> None:
    store.write(Path("a.h5"), *_slice())
    before = Path("a.h5").read_bytes()
    renew_checksum("a.h5")
    assert Path("a.h5").read_bytes() == before
    assert store.read("a.h5").shape == (5, 3)
