"""The log of a training: a row of CSV for each epoch, and the same row for a table on the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from surfaceviz.atomic_write import write_bytes
from surfaceviz.errors import StoreError

LOG = "log.csv"
_STEP = "step"
_SHOWN = {"lr": 11}  # width of a column on the terminal that is wider than its name

Row = Mapping[str, float]


def open_log(folder: Path, splits: Sequence[str], step: int) -> list[str]:
    """Make the log ready for the epochs after ``step``: later rows and torn ones go. Return its columns.

    Raises:
        StoreError: the log can't be written.
    """
    columns = ["epoch", _STEP, "lr"]
    columns += [f"{split}_{quantity}" for split in splits for quantity in ("loss", "accuracy")]
    columns.append("seconds")
    kept = [row for row in _rows(folder / LOG, columns) if int(row[_STEP]) <= step]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(kept)
    try:
        write_bytes(folder / LOG, stream.getvalue().encode())
    except OSError as error:
        raise StoreError(f"{folder / LOG} can't be written: {error.strerror}") from error
    return columns


def add_row(folder: Path, columns: Sequence[str], row: Row) -> None:
    """Append a row.

    Raises:
        StoreError: the disk is full.
    """
    try:
        with (folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(",".join(repr(row[name]) for name in columns) + "\n")
    except OSError as error:
        raise StoreError(f"{folder / LOG} can't be written: {error.strerror}") from error


def header(columns: Sequence[str]) -> str:
    """Return the head of the table."""
    return "".join(f"{name.replace('_', ' '):>{_width(name)}}" for name in columns)


def table_row(columns: Sequence[str], row: Row) -> str:
    """Return a row of the table."""
    return "".join(f"{_text(name, row[name]):>{_width(name)}}" for name in columns)


def _width(name: str) -> int:
    return _SHOWN.get(name, max(len(name) + 2, 8))


def _text(name: str, value: float) -> str:
    if name in ("epoch", _STEP):
        return str(value)
    return f"{value:.2%}" if name.endswith("accuracy") else f"{value:.0f}" if name == "seconds" else f"{value:.4g}"


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the whole rows of a log; none of a log with other columns."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]  # a killed run may leave half a row
    reader = csv.DictReader(io.StringIO(whole))
    if list(reader.fieldnames or ()) != list(columns):
        return []
    return [row for row in reader if None not in row.values() and row[_STEP].isdecimal()]
