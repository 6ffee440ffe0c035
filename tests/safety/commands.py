"""The commands, the faults and the problem of the random walk."""

from __future__ import annotations

SLICE = [
    "slice", "mine.py:slowly", "--axis=-1:1:5", "--axis=-1:1:4", "--engine=eager", "--batch=128", "--workers=1",
    "--quiet",
]  # fmt: skip
COMMANDS = {
    "a.h5": [
        [*SLICE, "-o", "a.h5"],
        [*SLICE, "-o", "a.h5", "--watch"],
        ["hessian", "a.h5", "--top=1", "--bottom=0", "--quiet"],
    ],
    "b.h5": [[*SLICE, "-o", "b.h5", "--shard=1/2"]],
    "c.h5": [[*SLICE, "-o", "c.h5", "--shard=2/2"]],
    "m.h5": [["merge", "b.h5", "c.h5", "-o", "m.h5", "--overwrite", "--no-plot"]],
    "p.png": [["plot", "a.h5", "-o", "p.png"]],
    "r.html": [["report", "a.h5", "-o", "r.html"]],
    "e.csv": [["export", "a.h5", "-o", "e.csv", "--overwrite"]],
}
FAULTS = ("none", "error", "kill", "signal", "plant", "writer", "moved", "input")
FACTORY = """
def slowly():
    x, y = oracles.images(8)
    def measure(model, batch):
        if glob.glob("*.h5"):
            time.sleep(0.004)
        loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")
        return {"loss": surfaceviz.PerSample(loss, torch.ones_like(loss))}
    return surfaceviz.Problem(oracles.net(), (x, y), measure=measure, name="net")
"""
