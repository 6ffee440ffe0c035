"""The configuration of an engine: its name and its sizes."""

from __future__ import annotations

from dataclasses import dataclass

EAGER_BATCH = 128  # the fastest of 64 .. 480 for ResNet-20 on the digits, one thread of a CPU
VMAPPED_GROUP = 16  # weight sets at once; their activations stay in the cache of a core
_BATCH = {"eager": EAGER_BATCH, "folded": 480, "compiled": 480, "vmapped": 480}


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """An engine with its sizes; equal configurations give equal bits.

    Attributes:
        name: ``eager`` runs the model unchanged; ``folded`` folds batch norms into convolutions and runs these in
            oneDNN's layout (CPUs only); ``compiled`` is `torch.compile`; ``vmapped`` evaluates several weight sets
            at once; ``unfused`` is ``vmapped`` without compiling, for tests of an engine.
        batch_size: largest number of samples in a batch; all engines except ``eager`` make the batches of equal size.
        group: number of weight sets at once; 1 for all engines except ``vmapped``.
    """

    name: str = "eager"
    batch_size: int = EAGER_BATCH
    group: int = 1

    @classmethod
    def of(cls, name: str, batch_size: int | None = None) -> EngineConfig:
        """Return an engine, with its default sizes where none are given."""
        return cls(name, batch_size or _BATCH[name], VMAPPED_GROUP if name == "vmapped" else 1)

    def __str__(self) -> str:
        return f"{self.name}, batches of {self.batch_size}" + (f" x {self.group} weights" if self.group > 1 else "")
