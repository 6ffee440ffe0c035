"""Augmentation of image batches: random translations and mirror images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def augmented(x: Tensor, shift: int, generator: torch.Generator, *, flip: bool, background: float) -> Tensor:
    """Return images that are each moved by a random offset, and mirrored left to right with probability 1/2.

    Args:
        x: images, shape (N, C, H, W).
        shift: largest offset in pixels, along both axes.
        generator: a generator of random numbers on the CPU.
        flip: whether images are mirrored.
        background: value of the pixels that come in from outside.

    Source: He et al., arXiv 1512.03385, section 4.2 (offsets up to 4 pixels of 32, mirror images).
    """
    count, _, height, width = x.shape
    if shift:
        down, right = torch.randint(0, 2 * shift + 1, (2, count), generator=generator)
        rows = (torch.arange(height) + down[:, None]).to(x.device)  # (N, H)
        columns = (torch.arange(width) + right[:, None]).to(x.device)  # (N, W)
        padded = functional.pad(x, (shift,) * 4, value=background).permute(0, 2, 3, 1)
        images = torch.arange(count, device=x.device)[:, None, None]
        x = padded[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
    if flip:
        mirrored = (torch.rand(count, generator=generator) < 1 / 2).to(x.device)  # a fair coin
        x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    return x
