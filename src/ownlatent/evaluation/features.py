"""Frozen features: made once by an encoder, then checked before anything is fitted to them."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ownlatent.errors import UsageError

_PASS = 256
_CACHED = 2**19
"""Pixels of a pass on a CPU: with more, what one layer hands to the next leaves the cache,
and memory is taken anew for every pass (benchmarks/NOTES.md)."""


class Images(Protocol):
    """A set of images read by row, such as the data room's canvases."""

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor | None, Tensor]:
        """Content, sizes and ids of the samples at ``rows`` (int64 ``[B]``)."""
        ...


def embed(
    encoder: nn.Module,
    images: Tensor | Images,
    *,
    batch_size: int | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Features of every image, in order.

    The encoder runs in eval mode, so batch norm uses its running statistics and leaves them
    untouched; afterwards each of its modules is back in the mode it was in.

    Args:
        encoder: maps pixels ``[B, C, H, W]`` to features ``[B, D]``, with the images' true sizes
            as a second argument for a set read by row; it must be on ``device``.
        images: uint8 or uint16 ``[N, C, H, W]``, or a set of images read by row.
        batch_size: images per forward pass; by default 256, on a CPU fewer where they are large.
        device: where the batches go.

    Returns:
        float32 ``[N, D]`` on the CPU.

    Raises:
        UsageError: there are no images, or the encoder does not return ``[B, D]``.
    """
    if len(images) == 0:
        raise UsageError("There are no images to embed; give a source with at least one.")
    device = torch.device(device)
    count = _fitting(encoder, device) if batch_size is None else batch_size
    modes = {module: module.training for module in encoder.modules()}
    encoder.eval()
    try:
        with torch.inference_mode():
            features = [
                _vectors(encoder(*_batch(images, start, count, device)))
                for start in range(0, len(images), count)
            ]
    finally:
        for module, mode in modes.items():
            module.training = mode
    return torch.cat(features)  # outside inference mode, so that autograd may use them


def _fitting(encoder: nn.Module, device: torch.device) -> int:
    settings: Any = getattr(encoder, "preprocessing", None)
    if device.type != "cpu" or getattr(settings, "kind", None) != "images":
        return _PASS
    return min(_PASS, max(1, _CACHED // int(settings.size) ** 2))


def _batch(
    images: Tensor | Images, start: int, count: int, device: torch.device
) -> tuple[Tensor | None, ...]:
    """What the encoder is called with: pixels, and true sizes where canvases are squeezed."""
    if isinstance(images, Tensor):
        return (images[start : start + count].to(device),)
    rows = torch.arange(start, min(start + count, len(images)))
    return images.batch(rows, device)[:2]


def _vectors(output: Tensor) -> Tensor:
    if output.ndim != 2:
        raise UsageError(
            f"The encoder must return one vector per image, [B, D], but returned "
            f"{list(output.shape)}; pool its feature map first."
        )
    return output.float().cpu()


def check_labelled(features: Tensor, labels: Tensor | None, part: str) -> Tensor:
    """The labels as int64 on the features' device, once both are known to be usable.

    Args:
        features: float ``[N, D]``.
        labels: integers ``[N]``, none negative; ``None`` where the source has no labels.
        part: what the samples are for ("training", "test"), to name them in an error.

    Raises:
        UsageError: labels are missing or do not match the features, or features are not finite.
    """
    if features.ndim != 2 or len(features) == 0:
        raise UsageError(
            f"The {part} features must be [N, D] with N at least 1; got {list(features.shape)}."
        )
    if labels is None:
        raise UsageError(
            f"The {part} data has no labels; put each class in its own folder or name a label "
            "column."
        )
    if labels.shape != features.shape[:1]:
        raise UsageError(
            f"Give one label for each {part} sample: there are {len(features)} samples and labels "
            f"of shape {list(labels.shape)}."
        )
    if labels.is_floating_point() or labels.is_complex():
        raise UsageError(f"The {part} labels must be integers, one number for each class.")
    labels = labels.to(features.device, torch.int64)
    unlabelled = int((labels < 0).sum())
    if unlabelled:
        raise UsageError(
            f"{unlabelled} of {len(labels)} {part} samples are unlabelled (a negative label); "
            "leave them out."
        )
    check_finite(features, part)
    return labels


def check_finite(features: Tensor, part: str) -> None:
    """Refuse features ``[N, D]`` that hold NaN or infinity."""
    broken = int((~features.isfinite().all(dim=1)).sum())
    if broken:
        raise UsageError(
            f"{broken} of {len(features)} {part} features hold NaN or infinity; use a checkpoint "
            "from before the training diverged."
        )


def check_comparable(a: Tensor, b: Tensor) -> None:
    """Refuse two sets of features, ``[N, D]`` and ``[M, D]``, that no one encoder made."""
    if a.shape[1] != b.shape[1]:
        raise UsageError(
            f"Features that are compared must come from one encoder, but some have {a.shape[1]} "
            f"dimensions and others {b.shape[1]}."
        )


def numbered(labels: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """The classes there are, sorted, and each label's place among them: int64 ``[K]``, ``[N]``.

    Raises:
        UsageError: there is one class only, which ``what`` cannot be fitted to.
    """
    classes, targets = torch.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise UsageError(
            f"{what} needs at least two classes, but every training label is {int(classes[0])}."
        )
    return classes, targets


def standardise(reference: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """Features ``[N, D]`` with the mean and standard deviation of the first taken out, float32."""
    mean = reference.mean(dim=0)
    centred = reference - mean
    std = torch.linalg.vector_norm(centred, dim=0) / len(reference) ** 0.5
    # A feature that varies by less than float32 resolves is constant: it is centred, not blown up.
    std = torch.where(std > 1e-6 * mean.abs(), std, 1.0)
    return centred.div_(std), *((other - mean).div_(std) for other in others)
