"""A random walk over commands and faults in one folder, with invariants after each step.

Run by test_state_machine.py with the library of faults.c preloaded: ``driver.py SEED STEPS LIBRARY [BUG]``. Each
command runs in a forked process, so that it needs no import. The exit code is 1 where an invariant does not hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import random
import shutil
import signal
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import oracles
import torch
from bugs import put_in
from commands import COMMANDS, FACTORY, FAULTS, SLICE
from processes import ViolationError, exit_code_of, seen, until
from reader import read_all_the_while, say

from surfaceviz import cli, render, store
from surfaceviz.errors import SchemaError
from surfaceviz.pipeline.slice import slice_buffer, workers
from surfaceviz.records import EVALUATED, Slice

PRECIOUS = b"precious"
CODES = {0, 1, 2, 130, 143, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}


@dataclass
class World:
    """The folder, and what is known about it."""

    random: random.Random
    library: ctypes.CDLL
    whole: Slice
    planted: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> inode, mode
    done: dict[str, int] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)  # outputs of which a killed writer may have left something
    log: list[str] = field(default_factory=list)

    def start(self, command: list[str], fault: tuple[str, int, int] | None = None) -> int:
        """Start a command in a forked process, and return its number."""
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            os.setpgid(0, 0)
            with Path("errors.log").open("a") as stream:
                os.dup2(stream.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            if fault is not None:
                self.library.arm_fault(os.fsencode(Path.cwd()), fault[0].encode(), fault[1], fault[2])
            code = cli.run(command)
        finally:
            sys.stderr.flush()
            os._exit(code)
        return 0

    def plant(self, name: str, kind: str) -> None:
        """Plant a link, a FIFO or a file of another owner under a name; an output of that name moves away."""
        path = Path(name)
        if path.exists() or path.is_symlink():
            path.unlink()
        self.done.pop(name, None)
        if kind == "link":
            path.symlink_to("victim")
        elif kind == "loose link":
            path.symlink_to("nowhere")
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.write_bytes(PRECIOUS)
        found = path.lstat()
        self.planted[name] = found.st_ino, found.st_mode

    def step(self, number: int, fault: str) -> None:
        """Run a command with a fault, and check the invariants."""
        output = self.random.choice(list(COMMANDS))
        command = self.random.choice(COMMANDS[output])
        self.log.append(f"{number}: {fault} {' '.join(command[:2])} -> {output}")
        getattr(self, f"_{fault}")(output, command)
        self.check(output if output not in self.killed else "")

    def _none(self, output: str, command: list[str]) -> None:
        for name in list(self.planted):
            Path(name).unlink()
        self.planted.clear()
        self.finish(output, self.start(command))

    def _error(self, output: str, command: list[str]) -> None:
        call = self.random.choice(["write", "pwrite", "fsync", "rename"])
        code = self.random.choice([errno.ENOSPC, errno.EIO, errno.EINVAL])
        self.log.append(f"   {call} fails with {errno.errorcode[code]}")
        self.finish(output, self.start(command, (call, code, self.random.randint(1, 4))))

    def _kill(self, output: str, command: list[str], signum: int = signal.SIGKILL) -> None:
        midst = self.random.random() < 0.5
        if midst and command[0] == "slice" and output not in self.planted:  # there is work to do
            self.done.pop(output, None)
            Path(output).unlink(missing_ok=True)
        before, child = seen(output), self.start(command)
        if midst:  # in the midst of the work, also on a slow machine
            until(child, lambda: seen(output) != before)
        time.sleep(self.random.uniform(0, 0.08 if midst else 0.4))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signum)
        self.finish(output, child)

    def _signal(self, output: str, command: list[str]) -> None:
        self._kill(output, command, self.random.choice([signal.SIGTERM, signal.SIGINT]))

    def _plant(self, output: str, command: list[str]) -> None:
        if self.random.random() < 0.5:  # a command that does write
            output = self.random.choice(["b.h5", "c.h5"])
            command = [*COMMANDS[output][0], "--overwrite"]
            self.done.pop(output, None)
        name = self.random.choice([f"{output}.lock", f".{output}.part", f".{output}.part", output, "a.png"])
        self.plant(name, self.random.choice(["link", "link", "loose link", "fifo", "file"]))
        self.log.append(f"   planted {name}, mode {self.planted[name][1]:o}")
        if name == output and "--overwrite" in command:
            command = [word for word in command if word != "--overwrite"]
        self.finish(output, self.start(command))

    def _writer(self, output: str, command: list[str]) -> None:
        others = [self.start(self.random.choice(COMMANDS[output])) for _ in range(2)]
        self.finish(output, self.start(command))
        for other in others:
            self.finish(output, other)

    def _moved(self, _output: str, _command: list[str]) -> None:
        """Move a file into the place of a slice while a run computes it."""
        for name in ("a.h5", "a-2.h5", "a.h5.lock"):
            self.planted.pop(name, None)
            self.done.pop(name, None)
            Path(name).unlink(missing_ok=True)
        child = self.start([*SLICE, "-o", "a.h5", "--no-plot"])
        until(child, Path("a.h5").exists)
        Path("moved").write_bytes(PRECIOUS)
        found = Path("moved").stat()
        Path("moved").replace("a.h5")
        self.planted["a.h5"] = found.st_ino, found.st_mode
        self.finish("a.h5", child)

    def _input(self, _output: str, _command: list[str]) -> None:
        command = self.random.choice(
            [
                [*SLICE, "-o", "mine.py", "--overwrite"],
                [*SLICE, "--weights", "w.pt", "-o", "w.pt", "--overwrite"],
                ["export", "a.h5", "-o", "a.h5", "--to", "reference", "--overwrite"],
                ["merge", "b.h5", "-o", "b.h5", "--overwrite"],
            ]
        )
        self.finish("", self.start(command))

    def finish(self, output: str, child: int) -> None:
        """Wait for a command, and note whether it left something, which the next one that gets as far removes."""
        code = exit_code_of(child)
        self.log.append(f"   exit code {code}")
        if code not in CODES:
            raise ViolationError(f"exit code {code}")
        if code < 0:
            self.killed.add(output)
        elif code == 0:  # another one may have ended before it took the lock
            self.killed.discard(output)

    def check(self, output: str) -> None:
        """Check the invariants; of ``output``, that nothing is left of its writers."""
        for name in ("victim", "mine.py", "w.pt"):
            if Path(name).read_bytes() != Path(f"../kept/{name}").read_bytes():
                raise ViolationError(f"{name} was changed")
        for name, (inode, mode) in self.planted.items():
            path = Path(name)
            found = path.lstat() if path.exists() or path.is_symlink() else None
            if found is None or (found.st_ino, found.st_mode) != (inode, mode):
                raise ViolationError(f"{name}, which was planted, was replaced")
            if stat.S_ISREG(mode) and path.read_bytes() != PRECIOUS:
                raise ViolationError(f"{name}, which was planted, was changed")
        if Path("nowhere").exists():
            raise ViolationError("a link into nothing was followed")
        for path in Path().glob("*.h5"):
            if path.name not in self.planted:
                self.check_slice(path)
        self.check_strays(output)
        if "Traceback" in Path("errors.log").read_text():
            raise ViolationError("a traceback")

    def check_slice(self, path: Path) -> None:
        """Check that a file opens, has the bits of an undisturbed run, and no fewer points than before."""
        surface = store.read(path)
        there = surface.origin == EVALUATED
        for name, values in surface.values.items():
            if not np.array_equal(values[there], self.whole.values[name][there]) or not np.isnan(values[~there]).all():
                raise ViolationError(f"{path} has other values")
        for spectrum in surface.spectra:
            if not np.array_equal(spectrum.eigenvalues, self.whole.spectra[0].eigenvalues):
                raise ViolationError(f"{path} has another spectrum")
        finished = int(there.sum()) + 100 * len(surface.spectra)
        if finished < self.done.get(path.name, 0):
            raise ViolationError(f"{path} has lost points: {finished} of {self.done[path.name]}")
        self.done[path.name] = finished

    def check_strays(self, output: str) -> None:
        """Check that only outputs are there, and nothing that a writer of ``output`` left."""
        known = {*COMMANDS, "a.png", "b.png", "c.png", "victim", "mine.py", "w.pt", "errors.log", "__pycache__"}
        for path in Path().iterdir():
            name = path.name
            if name in known or name in self.planted or (name.startswith(("a-", "b-", "c-")) and name.endswith(".h5")):
                continue
            of = next(
                (each for each in (*COMMANDS, "a.png") if name.startswith((f".{each}.surfaceviz-", f"{each}.lock"))),
                None,
            )
            if of is None or of == output:
                raise ViolationError(f"{name} was left")


@contextlib.contextmanager
def _world(seed: int, library: str) -> Iterator[World]:
    torch.set_num_threads(1)
    render.draw([oracles_surface()])  # so that no command has to import matplotlib
    slice_buffer.SNAPSHOT_SECONDS, slice_buffer.SNAPSHOT_SHARE, workers.CHUNK_SECONDS = 0.02, 1.0, 0.0
    top = Path.cwd()
    for name in ("work", "kept", "base"):
        (top / name).mkdir()
    oracles.write_factory(top / "kept", FACTORY)
    (top / "kept/victim").write_bytes(PRECIOUS)
    torch.save(oracles.net(1).state_dict(), top / "kept/w.pt")
    for folder in ("work", "base"):
        shutil.copytree(top / "kept", top / folder, dirs_exist_ok=True)
    os.chdir(top / "base")
    first = World(random.Random(seed), ctypes.CDLL(library), oracles_surface())  # noqa: S311
    for command in ([*SLICE, "-o", "a.h5"], ["hessian", "a.h5", "--top=1", "--bottom=0"]):
        if exit_code_of(first.start(command)) != 0:
            raise RuntimeError(Path("errors.log").read_text())
    first.whole = store.read("a.h5")
    os.chdir(top / "work")
    reader = os.fork()
    if reader == 0:
        read_all_the_while(top / "work", PRECIOUS)
    try:
        yield first
        if os.waitpid(reader, os.WNOHANG)[0]:
            raise ViolationError("a reader saw a broken file")
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(reader, signal.SIGKILL)
            os.waitpid(reader, 0)


def oracles_surface() -> Slice:
    """Return a small slice to draw."""
    axes = (np.linspace(-1, 1, 5), np.linspace(-1, 1, 4))
    z = 1 + axes[0][:, None] ** 2 + axes[1] ** 2
    return Slice(axes=axes, values={"train_loss": z}, origin=np.ones(z.shape, np.uint8), centre={"train_loss": 1.0})


def main(seed: int, steps: int, library: str, bug: str = "") -> int:
    """Return 0 where all invariants held."""
    put_in(bug)
    with _world(seed, library) as world:
        try:
            faults: list[str] = []
            for number in range(steps):
                faults = faults or world.random.sample(FAULTS, len(FAULTS))
                world.step(number, faults.pop())
        except (ViolationError, SchemaError) as error:
            say(f"{type(error).__name__}: {error}\n" + "\n".join(world.log[-12:]))
            say(Path("errors.log").read_text()[-1500:])
            return 1
    say(f"{steps} steps")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
