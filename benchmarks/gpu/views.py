"""Two BYOL views of each image of a batch on the device: ours, kornia's and torchvision's.

    python -m benchmarks.gpu.views [--minutes 8] [--toy]

All begin with the same uint8 canvases on the device and end with float32 views. kornia draws for
each image, as we do. torchvision draws once for the whole batch, which is an easier task: its row
for single images is the same task. Ours are also held against those of a CPU, pixel by pixel.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.gpu.common import DEVICE, Budget, Cell, fill, finish, parser, tf32, timed
from ownlatent.views import Views
from ownlatent.views.geometry import blur_radius

SIZES = {32: 32, 96: 110, 224: 258}
"""Side of a view, and of its canvas."""
BATCH, REPEATS = 256, 30
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_OURS = "ours, compiled"
KINDS = [_OURS, "ours, eager", "ours, compiled, tf32", "kornia", "torchvision, one draw a batch",
         "torchvision, image by image"]  # fmt: skip


def main() -> None:
    given = parser(__doc__).parse_args()
    sizes = {16: 20} if given.toy else SIZES
    batch, repeats = (4, 2) if given.toy else (BATCH, REPEATS)
    todo: dict[str, Callable[[], Cell]] = {}
    for size, side in sizes.items():
        todo[f"{size} px, as on a CPU"] = functools.partial(agree, size, side, batch)
        for kind in KINDS:
            if given.toy and DEVICE.type == "cpu" and "compiled" in kind:
                continue  # that takes a minute
            todo[f"{size} px, {kind}"] = functools.partial(rate, kind, size, side, batch, repeats)
    record = fill(given.out / "views.json", todo, Budget(given.minutes), 0 if given.toy else 60)
    finish(given.out / "views.md", "Views", table(record))


def canvases(batch: int, side: int) -> Tensor:
    """Smooth noise, so that pixels of an image have to do with one another."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 3, 8, 8, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, side, mode="bicubic").clamp(0, 1)
    return (255 * smooth).round().byte().to(DEVICE)


def rate(kind: str, size: int, side: int, batch: int, repeats: int) -> Cell:
    """Images per second, two views each."""
    pixels = canvases(batch, side)
    with tf32("tf32" in kind):
        if kind.startswith("ours"):
            seconds = timed(ours(kind, size, pixels), repeats)
        else:
            make = KORNIA if kind == "kornia" else TORCHVISION
            pipelines = [make(size, blur, solar) for blur, solar in ((1.0, 0.0), (0.1, 0.2))]
            units = pixels if make is TORCHVISION else pixels.float() / 255
            parts = units.split(1) if "image by image" in kind else [units]
            with torch.no_grad():
                seconds = timed(lambda: [p(part) for p in pipelines for part in parts], repeats)
    return {"images_per_second": batch / seconds, "batch": batch}


def ours(kind: str, size: int, pixels: Tensor) -> Callable[[], Any]:
    views = Views("byol", size, mean=MEAN, std=STD).to(DEVICE)
    if "compiled" in kind:
        views.compile(dynamic=False)
    ids = torch.arange(len(pixels), device=DEVICE)
    sizes = torch.full((len(pixels), 2), pixels.shape[-1], device=DEVICE)
    epoch = torch.zeros((), dtype=torch.int64, device=DEVICE)
    return lambda: views(pixels, ids, epoch, 0, sizes)


def _kornia(size: int, blur: float, solarize: float) -> Callable[[Tensor], Tensor]:
    import kornia.augmentation as K

    taps = 2 * max(blur_radius(size), 1) + 1
    made: Any = K.AugmentationSequential(
        K.RandomResizedCrop((size, size), scale=(0.08, 1.0), resample="BICUBIC"),
        K.RandomHorizontalFlip(0.5),
        K.ColorJitter(0.4, 0.4, 0.2, 0.1, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((taps, taps), (0.1, 2.0), p=blur),
        K.RandomSolarize(0.0, 0.0, p=solarize),  # at one half, as the others
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    ).to(DEVICE)
    return made  # type: ignore[no-any-return]


def _torchvision(size: int, blur: float, solarize: float) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2

    taps = 2 * max(blur_radius(size), 1) + 1
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(taps, (0.1, 2.0))], blur),
            v2.RandomSolarize(128, solarize),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


KORNIA, TORCHVISION = _kornia, _torchvision


def agree(size: int, side: int, batch: int) -> Cell:
    """The farthest that a pixel lies from a CPU's, in grey levels of 255: in float32 and tf32."""
    pixels, found = canvases(batch, side), {}
    arguments = (torch.arange(batch), torch.tensor(3), 5, torch.full((batch, 2), side))
    expected = Views("byol", size)(pixels.cpu(), *arguments)
    # Where there is no GPU, the program that one runs is taken on the CPU, in place of the bands.
    program: AbstractContextManager[Any] = nullcontext()
    if DEVICE.type == "cpu":
        program = patch("torch.compiler.is_compiling", lambda: True)
    for name in ("fp32", "tf32"):
        with tf32(name == "tf32"), program:
            moved = [x.to(DEVICE) if isinstance(x, Tensor) else x for x in arguments]
            made = Views("byol", size).to(DEVICE)(pixels, *moved)
        apart = [(a.cpu() - b).abs().max() for a, b in zip(made, expected, strict=True)]
        found[f"farthest_{name}"] = 255 * torch.stack(apart).max().item()
    return {**found, "right": found["farthest_fp32"] <= 1}


def table(record: dict[str, Any]) -> list[str]:
    lines = ["| size | views | images/s | ours, compiled, over it |", "|---|---|---|---|"]
    notes = []
    for name, cell in record.items():
        size, _, kind = name.partition(" px, ")
        if "error" in cell:
            notes.append(f"- {name}: left out ({cell['error']})")
        elif "right" in cell:
            notes.append(
                f"- {name}: at most {cell['farthest_fp32']:.3f} grey levels of 255 apart "
                f"({'right' if cell['right'] else 'WRONG'}); in tf32 {cell['farthest_tf32']:.3f}"
            )
        else:
            own = record.get(f"{size} px, {_OURS}", {}).get("images_per_second")
            ratio = "-" if own is None else f"{own / cell['images_per_second']:.2f}"
            lines.append(f"| {size} | {kind} | {cell['images_per_second']:,.0f} | {ratio} |")
    return [*lines, "", *notes]


if __name__ == "__main__":
    main()
