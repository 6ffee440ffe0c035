"""Baseline: the safetensors library, which reads what is written here."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from surfaceviz.recording.safetensors_bytes import safetensors_bytes

DTYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool, torch.complex64, torch.float8_e5m2,
)  # fmt: skip


def _tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 5, generator=generator) * 3
    tensors = {str(dtype): values.to(dtype) for dtype in DTYPES}
    whole = torch.arange(12.0).reshape(3, 4)
    views = {"part": whole[1:, ::2], "turned": whole.t(), "whole": whole, "expanded": torch.ones(1).expand(2, 3)}
    return tensors | views | {"number": torch.tensor(7), "empty": torch.zeros(0, 4), 'é ∂\n"': torch.ones(2)}


@pytest.mark.parametrize("left_out", [(), (torch.complex64, torch.float8_e5m2)])
def test_the_library_reads_every_tensor(left_out: tuple[torch.dtype, ...], tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in _tensors().items() if tensor.dtype not in left_out}
    content = safetensors_bytes(tensors, {"surfaceviz": '{"step": 3}'})
    found = safetensors.torch.load(content)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        bits = [each.contiguous().reshape(-1).view(torch.uint8).tolist() for each in (found[name], tensor)]
        assert bits[0] == bits[1]
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with safe_open(path, "pt") as opened:
        assert opened.metadata() == {"surfaceviz": '{"step": 3}'}


def test_tensors_of_one_kind_give_the_bytes_of_the_library() -> None:
    generator = torch.Generator().manual_seed(1)
    tensors = {name: torch.randn(4, 3, generator=generator) for name in ("b.weight", "a.weight", "a.bias")}
    assert safetensors_bytes(tensors, {"a": "b"}) == safetensors.torch.save(tensors, {"a": "b"})


def test_sparse_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="sparse"):
        safetensors_bytes({"w": torch.eye(3).to_sparse()}, {})
