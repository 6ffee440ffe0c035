"""Baseline: the exit codes of POSIX, the bytes on standard error, and files that h5py reads."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import oracles
import pytest

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.atomic_write import DurabilityWarning
from surfaceviz.cli.terminal.streams import TolerantStream
from surfaceviz.errors import ProblemError, StoreError
from surfaceviz.pipeline.slice import slice_buffer
from surfaceviz.records import Slice

GRID = ["--axis=-1:1:20", "--engine=eager", "--batch=128", "--no-plot"]
EXTRA = """
def leaves(kind=SystemExit, code=0):
    x, y = oracles.images(8)
    count = [0]
    def measure(model, batch):
        if glob.glob("*.h5"):
            count[0] += 1
        if count[0] > 8:
            raise kind(code)
        loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")
        return {"loss": surfaceviz.PerSample(loss, torch.ones_like(loss))}
    return surfaceviz.Problem(oracles.net(), (x, y), measure=measure)

def interrupted():
    return leaves(KeyboardInterrupt, "")
"""


def _surface() -> Slice:
    return Slice(
        axes=(np.linspace(-1, 1, 3),), values={"train_loss": np.ones(3)}, origin=np.ones(3, np.uint8),
        centre={"train_loss": 1.0}, provenance={"problem": "net", "splits": "train"},
    )  # fmt: skip


def _shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = f"{sys.executable} -m surfaceviz"
    text = line.replace("surfaceviz", command)
    return subprocess.run(
        ["/bin/bash", "-c", text], capture_output=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("surfaceviz info a.h5 >&-", 0),
        ("surfaceviz info a.h5 >&- 2>&-", 0),
        ("surfaceviz info a.h5 <&- >&- 2>&-", 0),
        ("surfaceviz info a.h5 | head -1; exit ${PIPESTATUS[0]}", 0),
        ("surfaceviz info a.h5 | true; exit ${PIPESTATUS[0]}", 0),
        ("surfaceviz info missing.h5 2>&-", 1),
        ("surfaceviz plot a.h5 -o a.png >&- 2>&-", 0),
    ],
)
def test_closed_and_broken_streams_end_nothing(line: str, code: int) -> None:
    store.write(Path("a.h5"), _surface())
    done = _shell(line)
    assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_output_is_one_line_and_not_a_success() -> None:
    store.write(Path("a.h5"), _surface())
    done = _shell("surfaceviz info a.h5 > /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"surfaceviz: the output can't be written: No space left on device\n"


@pytest.mark.slow
def test_an_ascii_terminal_gets_escapes() -> None:
    name = "\N{LATIN SMALL LETTER E WITH ACUTE}.h5"
    store.write(Path(name), _surface())
    done = _shell(f"surfaceviz info {name}; surfaceviz info missing-{name}", PYTHONIOENCODING="ascii")
    assert done.stdout.startswith(b"file ")
    assert b"\\xe9.h5" in done.stdout
    assert done.stderr == b"surfaceviz: missing-\\xe9.h5: no such file\n"


def test_a_stream_gives_up_once_and_says_why() -> None:
    class Full:
        encoding = "utf-8"

        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stream = TolerantStream(Full())  # type: ignore[arg-type]
    stream.write("a")
    stream.write("b")
    stream.flush()
    assert stream.error == "No space left on device"
    assert not stream.isatty()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("factory", ["leaves", "interrupted"])
def test_a_model_that_exits_does_not_end_a_run_as_if_it_had_finished(
    workers: str, factory: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    oracles.write_factory(tmp_path, EXTRA)
    assert cli.run(["slice", f"mine.py:{factory}", *GRID, "--workers", workers, "-o", "a.h5"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert ("SystemExit" if factory == "leaves" else "KeyboardInterrupt") in said[0]
    assert "(mine.py, line" in said[0]
    assert store.read("a.h5").done < 20


def test_sys_exit_in_a_model_is_an_error_in_python_too() -> None:
    import torch  # noqa: PLC0415

    class Leaves(torch.nn.Linear):
        def forward(self, _x: torch.Tensor) -> torch.Tensor:
            sys.exit(0)

    problem = surfaceviz.Problem(Leaves(1, 1), (torch.ones(3, 1), torch.ones(3, 1)), "mse")
    for call in (lambda: surfaceviz.slice(problem, [(-1, 1, 3)]), lambda: surfaceviz.hessian(problem)):
        with pytest.raises(ProblemError, match="SystemExit"):
            call()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8_is_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracles.write_factory(tmp_path)
    name = os.fsdecode(b"b\xff.h5")
    for _ in range(2):
        assert cli.run(["slice", "mine.py:problem", "--axis=-1:1:3", "--workers=1", "-o", name]) == 0
    assert str(store.read(name).provenance["problem"]) == "net"
    assert cli.run(["hessian", name, "--top=1", "--bottom=0"]) == 0
    for command in (["info", name], ["plot", name, "-o", "x.png"], ["report", name], ["export", name, "--to", "csv"]):
        assert cli.run(command) == 0
    assert cli.run(["merge", name, "-o", "m.h5"]) == 0
    assert cli.run(["info", os.fsdecode(b"c\xff.h5")]) == 1
    assert "c\\udcff.h5: no such file" in capsys.readouterr().err
    assert {os.fsencode(path.name) for path in Path().iterdir()} > {b"b\xff.h5", b"b\xff.png", b"b\xff.html"}


@pytest.mark.parametrize("length", [225, 231, 240, 250, 251])
def test_long_names_work(length: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracles.write_factory(tmp_path)
    name = "a" * length + ".h5"
    command = ["slice", "mine.py:problem", "--axis=-1:1:3", "--workers=1", "-o", name]
    assert cli.run(command) == 0
    assert store.read(name).complete
    assert ("no picture" in capsys.readouterr().err) == (length > 251)
    assert len(list(Path().glob(".*"))) == 0


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracles.write_factory(tmp_path)
    for command in (["slice", "mine.py:problem", "--axis=-1:1:3", "-o", "a" * 253 + ".h5"], ["info", "a" * 300]):
        assert cli.run(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "File name too long" in line
        assert "Error" not in line


def test_a_file_system_that_cannot_sync_folders_costs_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def cannot(descriptor: int) -> None:
        import stat  # noqa: PLC0415

        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", cannot)
    with pytest.warns(DurabilityWarning):
        surface = oracles.run_slice(oracles.net_problem(), [(-1, 1, 3)], output="a.h5", engine="eager", batch_size=128)
    assert surface.complete
    assert store.read("a.h5").complete


class _Clock:
    """A clock that stands still but where it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_snapshots_come_every_ten_seconds_however_slow_the_disk_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes 0.6 s for each snapshot; the run itself waits for 1.5% of its time."""
    clock, written = _Clock(), []
    monkeypatch.setattr(time, "monotonic", clock)

    class Output:
        def write(self, _image: bytes) -> None:
            written.append(clock.now)

    class Buffer:
        def surface(self) -> Slice:
            clock.now += 0.2  # far more than its share
            return _surface()

    monkeypatch.setattr(store, "encode", lambda *_args: b"")
    snapshots = slice_buffer.Snapshots(Output(), Buffer(), [])  # type: ignore[arg-type]
    while clock.now < 300:
        clock.now += 0.1
        snapshots.save_if_due(lambda: None)
        snapshots.wait()
    gaps = np.diff([0.0, *written])
    assert gaps.max() < 10.5
    assert gaps.min() >= 3
    share = snapshots.seconds / clock.now
    assert share < 0.03


@pytest.mark.parametrize("large", [False, True])
def test_large_directions_are_written_at_the_ends_of_a_run_only(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a run that is killed between them is resumed to the same file, by the bytes of the undisturbed one."""
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SHARE", 1.0)
    if large:
        monkeypatch.setattr(slice_buffer, "LARGEST_REPEATED", 1000)
    write, images = store.OutputFile.write, []

    def kept(self: store.OutputFile, image: bytes) -> None:
        images.append(image)
        write(self, image)

    monkeypatch.setattr(store.OutputFile, "write", kept)

    def run() -> Slice:
        return oracles.run_slice(oracles.net_problem(), [(-1, 1, 9)], output="a.h5", engine="eager", batch_size=128)

    def has_tensors(image: bytes) -> bool:
        with h5py.File(io.BytesIO(image)) as file:
            assert file["directions/0"].attrs["sha256"]
            return bool(len(file["directions/0"]))

    whole = run()
    assert len(images) > 4
    assert [has_tensors(image) for image in images] == [True, *[not large] * (len(images) - 2), True]
    directions, middle = store.read_directions("a.h5"), images[len(images) // 2]
    Path("a.h5").write_bytes(middle)
    assert 0 < store.read("a.h5").done < 9
    np.testing.assert_array_equal(run().values["train_loss"], whole.values["train_loss"])
    for ours, theirs in zip(store.read_directions("a.h5"), directions, strict=True):
        assert ours.keys() == theirs.keys() != set()
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name])


@pytest.mark.parametrize(("limit", "expected"), [(10, [0, 3]), (100, [3])])
def test_an_interrupted_run_saves_its_points_before_large_directions(
    limit: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launcher of MPI may kill it 0.2 s after the signal."""
    monkeypatch.setattr(slice_buffer, "LARGEST_REPEATED", limit)
    written: list[int] = []
    monkeypatch.setattr(store, "write", lambda _output, _surface, tensors: written.append(sum(map(len, tensors))))
    tensors = [{name: np.ones(2) for name in "abc"}]

    class Buffer:
        def surface(self) -> Slice:
            return _surface()

    snapshots = slice_buffer.Snapshots("a.h5", Buffer(), tensors)  # type: ignore[arg-type]
    snapshots.save(hurried=True)
    assert written == expected
    snapshots.save()
    assert written[len(expected) :] == [3]


def test_an_error_of_a_snapshot_in_the_background_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SHARE", 1.0)
    write, count = store.OutputFile.write, iter(range(100))

    def fails(self: store.OutputFile, image: bytes) -> None:
        if next(count) == 2:
            raise StoreError("a.h5 can't be written: No space left on device")
        write(self, image)

    monkeypatch.setattr(store.OutputFile, "write", fails)
    with pytest.raises(StoreError, match="No space left on device"):
        oracles.run_slice(oracles.net_problem(), [(-1, 1, 50)], output="a.h5", engine="eager", batch_size=128)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_changes_nothing(signals: tuple[int, int], gap: float, tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    command = [sys.executable, "-m", "surfaceviz", "slice", "mine.py:slow", "--axis=-1:1:20", "--axis=-1:1:50"]
    process = subprocess.Popen([*command, "--workers=2", "-o", "a.h5"], stderr=subprocess.PIPE, text=True)
    oracles.wait_for(Path("ticks"), 200)
    for signum in signals:
        process.send_signal(signum)
        time.sleep(gap)
    _, errors = process.communicate(timeout=120)
    # the interpreter handles signals that came at the same time in the order of their numbers
    assert process.returncode in (128 + signals[0], 128 + signals[1] if not gap else 0)
    assert len(errors.splitlines()) == 1
    assert store.read("a.h5").done > 0
    assert {path.name for path in Path().iterdir() if path.suffix not in (".py", "")} == {"a.h5"}


@pytest.mark.slow
def test_an_early_interrupt_leaves_no_traceback() -> None:
    """From the first line of this package on; before it, only the interpreter runs."""
    Path("typing_extensions.py").write_text("")
    script = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    code = f"import sys; sys.orig_argv = ['python', '-m', 'surfaceviz']; import surfaceviz.cli; {script}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
