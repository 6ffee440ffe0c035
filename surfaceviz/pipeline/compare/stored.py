"""Stored comparisons with their verdicts. Importing this module does not import torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from surfaceviz.pipeline.compare.judge import judge
from surfaceviz.records import Comparison
from surfaceviz.store.comparison import read_comparison

OPTIONS = "compared"  # the attribute that holds the options, as JSON


def read_verdicts(path: Path) -> Comparison:
    """Return a stored comparison with its verdicts."""
    found = read_comparison(path)
    asked = json.loads(str(found.provenance[OPTIONS]))
    return replace(found, pairs=judge(found.networks, gauge=bool(asked["gauge"])))
