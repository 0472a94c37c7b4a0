"""Whether another library's features are the encoder's."""

import torch
from torch import Tensor

from ownlatent.encoder import Encoder

REACHED = 1e-5
"""The greatest difference of a feature that counts as none, over the greatest feature."""


def random_pixels(encoder: Encoder, count: int, height: int, width: int) -> Tensor:
    """uint8 ``[count, C, height, width]``, each value as likely as another."""
    drawn = torch.Generator().manual_seed(0)
    shape = (count, encoder.preprocessing.channels, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=drawn)


def random_inputs(encoder: Encoder, count: int) -> Tensor:
    """What preprocessing could make of ``count`` samples: what the backbone takes."""
    settings, drawn = encoder.preprocessing, torch.Generator().manual_seed(0)
    if settings.kind == "images":
        pixels = random_pixels(encoder, count, settings.size, settings.size)
        inputs: Tensor = encoder.preprocess(pixels)
        return inputs
    if settings.kind == "text":  # sentences of all lengths, zeros behind them
        tokens = torch.randint(
            1, settings.vocabulary, (count, settings.length), generator=drawn, dtype=torch.int64
        )
        lengths = torch.linspace(settings.length, 1, count).long()
        return tokens * (torch.arange(settings.length) < lengths[:, None])
    if settings.kind == "audio":
        return torch.randn(count, 1, settings.bands, settings.frames, generator=drawn)
    return torch.randn(count, settings.channels, generator=drawn)


def features(net: torch.nn.Module, inputs: Tensor) -> Tensor:
    """Float32 ``[B, D]`` in eval mode."""
    with torch.inference_mode():
        out: Tensor = net.eval()(inputs)
    return out.float()


def gap(ours: Tensor, theirs: Tensor) -> float:
    """The greatest difference over the greatest of ``ours``; infinite where shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    greatest = ours.abs().amax().clamp(min=torch.finfo(torch.float32).tiny)
    return float((ours - theirs).abs().amax() / greatest)
