"""Spectra of points one after another, the samples shared out: one reduction a product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from surfaceviz.curvature import MOST_ROOM, Operator, Share, Sums, Wanted, kinks_at, least_room, spectrum
from surfaceviz.execute import Workers, available_memory, map_each
from surfaceviz.functional import loss_sums, telling
from surfaceviz.interrupt import check
from surfaceviz.listener import Listener
from surfaceviz.pipeline.ground import Ground
from surfaceviz.pipeline.inquiry import Inquiry
from surfaceviz.records import Spectrum

_BATCH = 512  # samples of a batch that is only looked at
_VECTORS_SHARE = 0.5  # of the memory, at the most


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes for basis vectors, and for the graphs of one process."""

    vectors: int
    graphs: int

    @classmethod
    def of(cls, asked: int | None, vector_bytes: int, *, most: int, bases: int, processes: int) -> Memory:
        """Return how memory is divided between so many bases, of at most so many vectors, and processes."""
        whole = asked or available_memory() // 2
        vectors = min(most * vector_bytes, int(_VECTORS_SHARE * whole / bases))
        return cls(vectors, (whole - bases * vectors) // processes)


def make_sums(ground: Ground, inquiry: Inquiry, memory: Memory, share: Share) -> Sums:
    """Return what multiplies vectors on a process's share of the samples."""
    return Sums(
        ground.problem, share.of(ground.split), ground.layout, ground.own_names, ground.state,
        operator=inquiry.wanted.operator, memory=memory.graphs, batch=inquiry.batch,
    )  # fmt: skip


def divided(ground: Ground, inquiry: Inquiry, *, bases: int, processes: int) -> Memory:
    """Return how the memory is divided."""
    each = ground.layout.dimension * torch.finfo(ground.dtype).bits // 8
    wanted = inquiry.wanted
    most = max(MOST_ROOM, least_room(*wanted.counts(ground.layout.dimension), wanted.block), wanted.steps)
    return Memory.of(inquiry.memory, each, most=most, bases=bases, processes=processes)


def spectra(
    ground: Ground,
    inquiry: Inquiry,
    missing: Sequence[tuple[int, Wanted]],
    workers: Workers,
    memory: Memory,
    listener: Listener,
) -> Iterator[Spectrum]:
    """Yield the spectrum of each point by its number; each process multiplies on its share of the samples."""
    make = lambda number: make_sums(ground, inquiry, memory, Share(number, workers.count))  # noqa: E731
    with map_each(make, workers) as each:
        operator = Operator(each, ground.layout, ground.dtype)
        for number, wanted in missing:
            check()
            site = ground.site(number)
            if words := kinks(ground, number):
                site.fields["notes"] = (f"there is no Hessian in the strict sense: {words} at a kink or tie exactly",)
                listener.warn(site.fields["notes"][0])
            record, _ = spectrum(operator, site, replace(wanted, memory=memory.vectors), say=listener.say)
            yield record


def kinks(ground: Ground, number: int) -> str:
    """Return what lies exactly at a kink of a rectifier or a tie of a pooling there, in words; nothing mostly."""
    state, measure = ground.state(number), loss_sums(ground.problem)
    names = [ground.own_names[name] for name in ground.layout.names]

    def run(leaves: Sequence[Tensor]) -> None:
        for batch in ground.split.batches(_BATCH):
            measure({**state, **dict(zip(names, leaves, strict=True))}, batch)

    with telling("the loss"):
        return kinks_at([state[name] for name in names], run).words
