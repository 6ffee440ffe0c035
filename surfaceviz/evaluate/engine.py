"""How points are evaluated: the engine and its sizes."""

from __future__ import annotations

from dataclasses import dataclass

EAGER_BATCH = 128  # the fastest of 64 .. 480 for ResNet-20 on the digits, one thread of a CPU
VMAPPED_GROUP = 16  # weight sets at once, so that their activations stay in a core's cache
_BATCH = {"eager": EAGER_BATCH, "folded": 480, "compiled": 480, "vmapped": 480}


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """An engine with its sizes; equal ones give equal bits.

    Attributes:
        name: ``eager`` runs the model as it is; ``folded`` has batch norms folded into convolutions and
            runs these in oneDNN's own layout (CPUs); ``compiled`` is `torch.compile`; ``vmapped`` evaluates
            several weight sets at once. (``unfused`` is the last with nothing compiled, for measuring.)
        batch_size: samples in a batch, at most: all engines but ``eager`` even it out over the splits.
        group: weight sets at once; 1 but for ``vmapped``.
    """

    name: str = "eager"
    batch_size: int = EAGER_BATCH
    group: int = 1

    @classmethod
    def of(cls, name: str, batch_size: int | None = None) -> EngineConfig:
        """Return an engine with its usual sizes where none are given."""
        return cls(name, batch_size or _BATCH[name], VMAPPED_GROUP if name == "vmapped" else 1)

    def __str__(self) -> str:
        return f"{self.name}, batches of {self.batch_size}" + (f" x {self.group} weights" if self.group > 1 else "")
