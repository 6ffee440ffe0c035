"""surfaceviz next to other libraries: planes, pictures, eigenvalues, densities and features, on one core.

    pip install --no-deps loss-landscapes==3.0.6 landscaper==1.3.1 loss-landscape-3d==0.1.3
    pip install --no-deps curvlinops-for-pytorch==3.0.1 hessian-eigenthings==1.0.0a5    and what these import
    python scripts/bench_peers.py [--rounds 3] [--quick] [--json gallery/benchmarks/peers.json]

In an environment of its own: ``--no-deps`` keeps the torch and the numpy that surfaceviz is tested with, where
landscaper asks for an older numpy. What can't be imported or run is listed with the line that Python printed.

1. A plane: seconds of one call of the library's own function, the network and the samples being the same; its points
   per second are those of the whole call. Every library runs in a process of its own, with one thread.
2. A picture: seconds of a process from its start to the file, imports and the network's loading included.
3. The 5 largest eigenvalues of the Hessian, asked for to 1e-3, and how far they are from those in float64; a density.
4. Features, each by running it (`peer_features.py`).

A ratio is the peer's seconds over surfaceviz's in one pair, run one after the other in alternating order, so that a
busy machine slows both: the median of the pairs, the lowest and the highest. Above 1, surfaceviz is faster.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from contenders import machine
from peer_features import FEATURES
from peer_slices import LIBRARIES

OURS = "surfaceviz"
CURVATURE = (OURS, "curvlinops", "hessian-eigenthings", "landscaper", "loss-landscape-3d")
PACKAGES = (*LIBRARIES, "curvlinops-for-pytorch", "hessian-eigenthings", "torch", "numpy", "scipy")
PLANES = {"mlp-digits": 51, "resnet20-digits:480": 13}  # the network and its samples -> points along an axis
PICTURES = {"mlp-digits": 51}
HESSIANS = ("mlp-digits", "cnn-digits:480")
QUICK = {"mlp-digits:100": 7}
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Figures = dict[str, Any]
Run = Callable[[], Figures]


class PeerError(Exception):
    """A library could not do a job; the message is the line that it printed."""


def command(job: str, library: str, task: str, *more: object) -> list[str]:
    """Return the command of a child."""
    return [sys.executable, str(Path(__file__).with_name("peer_child.py")), job, library, task, *map(str, more)]


@contextmanager
def child(job: str, library: str, task: str, count: int = 0) -> Iterator[Run]:
    """Yield what does a job once, in a process that stays.

    Raises:
        PeerError: the library can't be imported, or raised.
    """
    process = subprocess.Popen(
        command(job, library, task, count), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | ALONE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None

    def answer() -> Figures:
        line = process.stdout.readline()  # type: ignore[union-attr]
        told: Figures = json.loads(line or '{"error": "the process died"}')
        if "error" in told:
            raise PeerError(told["error"])
        return told

    def once() -> Figures:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        return answer()

    try:
        answer()
        yield once
    finally:
        process.stdin.close()
        process.wait()


@contextmanager
def picture(library: str, task: str, count: int) -> Iterator[Run]:
    """Yield what draws a picture in a new process."""

    def once() -> Figures:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.png"
            begun = time.perf_counter()
            done = subprocess.run(
                command("picture", library, task, count, path), env=os.environ | ALONE, capture_output=True, check=False
            )
            seconds = time.perf_counter() - begun
            if not path.exists():
                raise PeerError(json.loads(done.stdout or '{"error": "the process died"}')["error"])
            return {"seconds": seconds, "found": {"bytes": path.stat().st_size}}

    yield once


def certain(run: Run) -> Run:
    """Return a run of surfaceviz, whose failure ends the benchmark."""

    def once() -> Figures:
        try:
            return run()
        except PeerError as error:
            raise RuntimeError(f"{OURS}: {error}") from error

    return once


def paired(ours: Run, theirs: Run, rounds: int) -> Figures:
    """Return the seconds of pairs in alternating order, and the ratios."""
    pairs: list[tuple[Figures, Figures]] = []
    for k in range(rounds):
        first, second = (ours, theirs) if k % 2 == 0 else (theirs, ours)
        answers = first(), second()
        pairs.append(answers if k % 2 == 0 else answers[::-1])
    ratios = [theirs["seconds"] / ours["seconds"] for ours, theirs in pairs]
    return {
        "surfaceviz_seconds": [ours["seconds"] for ours, _ in pairs],
        "seconds": [theirs["seconds"] for _, theirs in pairs],
        "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios),
        "found": pairs[-1][1]["found"], "surfaceviz_found": pairs[-1][0]["found"],
    }  # fmt: skip


def compared(open_run: Callable[[str], Any], libraries: tuple[str, ...], rounds: int) -> dict[str, Figures]:
    """Return the figures of each peer against surfaceviz; of one that fails, the line that it printed."""
    rows: dict[str, Figures] = {}
    with open_run(OURS) as run:
        ours = certain(run)
        for library in libraries:
            if library == OURS:
                continue
            try:
                with open_run(library) as theirs:
                    rows[library] = paired(ours, theirs, rounds)
            except PeerError as error:
                rows[library] = {"error": str(error)}
    return rows


def show_rows(title: str, rows: dict[str, Figures], points: int = 0) -> None:
    """Print a table of seconds, points per second where there are points, and ratios."""
    print(f"\n{title}\n{'library':<22}{'seconds':>9}{'ours':>9}{'points/s':>11}{'ours':>9}   ratio (lowest-highest)")
    for library, row in rows.items():
        if "error" in row:
            print(f"{library:<22} {row['error']}")
            continue
        theirs, ours = (statistics.median(row[key]) for key in ("seconds", "surfaceviz_seconds"))
        rates = [f"{points / each:.1f}" if points else "-" for each in (theirs, ours)]
        spread = f"{row['ratio']:.2f} ({row['lowest']:.2f}-{row['highest']:.2f})"
        error = f", error {row['error_of_top']:.1e}" if "error_of_top" in row else ""
        print(f"{library:<22}{theirs:>9.2f}{ours:>9.2f}{rates[0]:>11}{rates[1]:>9}   {spread}{error}", flush=True)


def top_errors(rows: dict[str, Figures], exact: list[float]) -> None:
    """Add the largest relative error of the eigenvalues that each library found, and how many these are."""
    for row in rows.values():
        for key, name in (("found", "error_of_top"), ("surfaceviz_found", "surfaceviz_error_of_top")):
            if row.get(key):
                found = sorted(row[key], reverse=True)
                pairs = zip(found, sorted(exact, reverse=True), strict=False)
                row[name] = max(abs(value / true - 1) for value, true in pairs)
                row[f"number_{key}"] = len(found)


def features() -> list[Figures]:
    """Return what each library does, or the line that it printed."""
    rows = []
    for k, feature in enumerate(FEATURES):
        row: Figures = {"title": feature.title, "libraries": {}}
        for library in LIBRARIES:
            try:
                with child("feature", library, "mlp-digits:10", k) as once:
                    row["libraries"][library] = once()["found"]
            except PeerError as error:
                row["libraries"][library] = {"has": False, "printed": str(error)}
        has = ["yes" if row["libraries"][library]["has"] else "no" for library in LIBRARIES]
        print(f"{feature.title:<52}" + "".join(f"{word:>19}" for word in has), flush=True)
        rows.append(row)
    return rows


def measure(figures: Figures, save: Callable[[], object], *, rounds: int, quick: bool) -> None:
    """Fill in all figures, which are saved after each part."""
    figures["planes"], figures["pictures"], figures["top"], figures["density"] = {}, {}, {}, {}
    print(f"{'features':<52}" + "".join(f"{library:>19}" for library in LIBRARIES))
    figures["features"] = features()
    save()
    for part, tasks, opened in (("planes", PLANES, partial(child, "plane")), ("pictures", PICTURES, picture)):
        for task, count in (QUICK if quick else tasks).items():
            rows = compared(partial(opened, task=task, count=count), LIBRARIES, rounds)
            figures[part][task] = {"points": [count, count], "rows": rows}
            show_rows(f"{part}, {task}, {count} x {count} points", rows, count**2)
            save()
    for task in tuple(QUICK) if quick else HESSIANS:
        with child("exact", OURS, task) as once:
            exact = once()["found"]
        for part in ("top", "density"):
            libraries = CURVATURE if part == "top" else CURVATURE[:-1]
            rows = compared(partial(child, part, task=task), libraries, rounds)
            if part == "top":
                top_errors(rows, exact)
            figures[part][task] = {"exact": exact, "rows": rows}
            show_rows(f"{part}, {task}", rows)
            save()


def versions() -> dict[str, str]:
    """Return the versions of the packages."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def main() -> int:
    """Print the tables, and write them as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    figures: Figures = {
        "machine": machine(), "versions": versions(), "rounds": asked.rounds, "quick": asked.quick,
        "threads": 1, "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    print(json.dumps(figures["versions"]))
    save = lambda: asked.json and asked.json.write_text(json.dumps(figures, indent=2) + "\n")  # noqa: E731
    measure(figures, save, rounds=asked.rounds, quick=asked.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
