"""Baseline: the trainers of the real libraries, and weights that a callback of theirs saw at each step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import surfaceviz
from surfaceviz.errors import ProblemError
from surfaceviz.recording import callbacks, read_record, recorded_steps

# Deprecations of the libraries themselves, and their advice about speed.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def _pairs() -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    return [(each, each.sum(0, keepdim=True)) for each in x]


def test_lightnings_training_is_recorded_step_by_step() -> None:
    lightning: Any = pytest.importorskip("pytorch_lightning")

    def configured(self: Any) -> Any:
        return torch.optim.Adam(self.parameters(), 0.1)

    def training_step(self: Any, batch: Any, _index: int) -> Any:
        return (self.net(batch[0]) - batch[1]).square().mean()

    seen: dict[int, Tensor] = {}

    def on_train_batch_end(self: Any, trainer: Any, module: Any, *_: Any) -> None:
        seen[trainer.global_step] = module.net.weight.detach().clone()

    methods = {"configure_optimizers": configured, "training_step": training_step}
    module = type("Module", (lightning.LightningModule,), methods)()
    module.net = nn.Linear(2, 1)
    watching = type("Watching", (lightning.Callback,), {"on_train_batch_end": on_train_batch_end})()
    trainer = lightning.Trainer(
        max_epochs=2, accumulate_grad_batches=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
        callbacks=[surfaceviz.lightning_callback("run"), watching],
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(_pairs(), batch_size=3))  # type: ignore[arg-type]
    assert recorded_steps(Path("run")) == [0, 1, 2, 3, 4]
    for step in range(1, 5):
        record = read_record(Path("run"), step)
        assert torch.equal(record.weights["net.weight"], seen[step])
        assert "net.weight:exp_avg_sq" in record.optimiser


def test_transformers_training_is_recorded_step_by_step() -> None:
    transformers: Any = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(2, 1)

        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            return {"loss": (self.net(x) - labels).square().mean()}

    seen: dict[int, Tensor] = {}

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
        seen[state.global_step] = given["model"].net.weight.detach().clone()

    watching = type("Watching", (transformers.TrainerCallback,), {"on_step_end": on_step_end})()
    arguments = transformers.TrainingArguments(
        "out", num_train_epochs=2, per_device_train_batch_size=3, gradient_accumulation_steps=2, report_to=[],
        save_strategy="no", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = transformers.Trainer(
        Model(), arguments, train_dataset=[{"x": x, "labels": y} for x, y in _pairs()],
        callbacks=[surfaceviz.transformers_callback("run", every=2), watching],
    )  # fmt: skip
    trainer.train()
    assert recorded_steps(Path("run")) == [0, 2, 4]
    for step in (2, 4):
        assert torch.equal(load_file(f"run/step-0000000{step}.safetensors")["net.weight"], seen[step])
        record = read_record(Path("run"), step)
        assert "net.weight:exp_avg_sq" in record.optimiser
        assert record.facts["groups"][0]["kind"] == "AdamW"


def test_a_missing_library_is_named() -> None:
    with pytest.raises(ProblemError, match="nothing-of-the-kind is not installed; pip install nothing-of-the-kind"):
        callbacks._imported(["no_such_module.part"], "nothing-of-the-kind")


def test_the_recorder_imports_neither_library() -> None:
    code = (
        "import sys, surfaceviz; surfaceviz.Recorder, surfaceviz.lightning_callback\n"
        "print({'lightning', 'pytorch_lightning', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
