"""Text checks before a commit: no merge marks, no trailing blanks, no tabs in Python, one newline at the end."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_CHECKS = {
    "a merge mark": re.compile(rb"^(<{7}|>{7})( |$)", re.MULTILINE),
    "blanks at the end of a line": re.compile(rb"[ \t]+$", re.MULTILINE),
    "a carriage return": re.compile(rb"\r"),
    "no newline, or an empty line, at the end": re.compile(rb"[^\n]\Z|\n\n\Z"),
}


def main(paths: list[str]) -> int:
    """Print the problems of each file, and return 1 where there is one."""
    found = [
        f"{path}: {problem}"
        for path in paths
        for problem, pattern in _CHECKS.items()
        if pattern.search(Path(path).read_bytes())
    ]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
