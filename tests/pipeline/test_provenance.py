"""Baseline: the requests themselves, drawn at random from all kinds of directions; two records by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surfaceviz.errors import ProblemError
from surfaceviz.options import BN_MODES, DTYPES, ENGINES, IGNORES, NORMALISATIONS
from surfaceviz.pipeline.provenance import attributes_of, request_from, with_problem
from surfaceviz.pipeline.slice.request import Destination, Request

ALONG = ("hessian", "extremes", "gradient", "ascent")


def _directions(draw: random.Random) -> dict[str, Any]:
    """Return raw options of one of the four kinds of directions."""
    patterns = draw.sample(["*.weight", "layer1", 'odd "name"', "é"], draw.randint(0, 3))
    some = {"seed": draw.randint(-5, 2**40), "only": patterns, "freeze": draw.sample(["fc", "a,b"], draw.randint(0, 2))}
    along = draw.choice(ALONG)
    radius = {"radius": draw.choice([0.05, 0.1234567891, 3e-7])} if along == "ascent" else {}
    orthogonal = draw.random() < 0.5
    return draw.choice(
        [
            {
                **some, "normalise": draw.choice(NORMALISATIONS), "ignore": draw.choice(IGNORES),
                "orthogonal": orthogonal, "regenerate": not orthogonal and draw.random() < 0.5,
            },
            {**some, "along": along, **radius},
            {"along": draw.sample(["p[0]", "fc.weight[0,-1]", "é[2, 3]"], draw.randint(1, 2))},
            {"toward": draw.sample(["b.pt:ema", "folder/c.safetensors"], draw.randint(1, 2))},
            {"directions": "d's file.h5"},
        ]
    )  # fmt: skip


def _axes(draw: random.Random, directions: dict[str, Any]) -> list[str] | None:
    lead = len(directions.get("toward", ()))
    entries = directions.get("along") if isinstance(directions.get("along"), list) else []
    count = lead or len(entries or ()) or draw.randint(2 if directions.get("orthogonal") else 1, 2)
    kinds = [f"{draw.uniform(-2, 0)!r}:{draw.uniform(0.1, 3)!r}:{draw.randint(2, 99)}"] + ([] if lead else ["auto:31"])
    return None if draw.random() < 0.3 else [draw.choice(kinds) for _ in range(count)]


def _request(draw: random.Random) -> Request:
    directions = _directions(draw)
    tol = draw.choice([None, 0.05, 0.1 + 0.2 * draw.random()])
    few = ["auto"] if tol and "toward" not in directions else []
    return Request.of(
        draw.choice(["mlp-digits", "a folder/mine.py:problem"]),
        _axes(draw, directions),
        weights=draw.choice([None, "w.pt:model"]),
        data=draw.choice([None, "data"]),
        splits=draw.sample(["train", "test"], draw.randint(0, 2)),
        samples=draw.choice([None, 7, *few]),
        draws=draw.choice([1, 8]),
        noise_seed=draw.choice([0, 2**32 - 1]),
        bn=draw.choice(BN_MODES),
        dtype=draw.choice([None, *DTYPES]),
        device=draw.choice(["auto", "cpu", "cuda:0,cuda:1"]),
        engine=draw.choice([None, *ENGINES]),
        batch_size=draw.choice([None, 64]),
        tol=tol,
        shard=None if tol else draw.choice([None, "2/8"]),
        output=draw.choice([None, "o.h5"]),
        overwrite=draw.random() < 0.5,
        **directions,
    )


@pytest.mark.parametrize("seed", range(200))
def test_a_request_is_read_back_from_its_attributes(seed: int) -> None:
    request = _request(random.Random(seed))  # noqa: S311  no cryptography
    expected = replace(request, destination=Destination())
    assert request_from(attributes_of(request)) == expected
    # As HDF5 gives attributes back: numbers of numpy.
    stored = {k: np.int64(v) if isinstance(v, int) else v for k, v in attributes_of(request).items()}
    assert request_from(stored) == expected


def test_what_was_chosen_is_read_back() -> None:
    request = Request.of("mlp-digits", ["-1:1:5"], samples="auto", tol=0.1, engine="vmapped", batch_size=9)
    chosen = replace(request, subset=300, group=16)
    assert request_from(attributes_of(chosen)) == chosen


def test_attributes_have_the_names_of_schema_1() -> None:
    attributes = attributes_of(Request.of("mlp-digits", along="ascent", radius=0.1, output=Path("a.h5")))
    assert attributes["along"] == "ascent 0.1"
    assert attributes["toward"] == attributes["tolerance"] == attributes["shard"] == "none"
    assert attributes["samples"] == "all"
    assert (attributes["seed"], attributes["orthogonal"], attributes["only"]) == (0, 0, "[]")


def test_a_problem_of_live_objects_has_to_be_named() -> None:
    attributes = {**attributes_of(Request.of("mlp-digits")), "made_from": '{"problem": null}'}
    with pytest.raises(ProblemError, match="does not name its problem"):
        request_from(attributes)
    assert request_from(with_problem(attributes, "a.py:b")).problem == "a.py:b"
