"""BYOL with ResNet-50 at 224 pixels, lightly's step and ours in the same run.

    python -m benchmarks.gpu.lightly_step [--minutes 8] [--toy]

lightly's is its documentation's example: torchvision's ResNet-50, its heads, loss, update_momentum
and SGD, in bf16. Once as it stands and once compiled with channels last, on tensors that lie ready
on the device; and from JPEG files through its own BYOLTransform and collation in a DataLoader with
a worker per core. Ours is the whole loop, from canvases, with the same heads and optimizer. The
files are the demo's images enlarged to 256 pixels: reading them is easier than reading photographs.
"""

import functools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.ablations.scales import data
from benchmarks.gpu.common import DEVICE, Budget, Cell, fill, finish, parser, timed, wait
from benchmarks.gpu.step import Case, Limits, measure

BATCH, SIZE, SIDE = 256, 224, 256
CORES = len(os.sched_getaffinity(0))
_OURS = "ours, from canvases, compiled"


def main() -> None:
    given = parser(__doc__).parse_args()
    toy = given.toy
    case = Case("byol", "small-resnet", "bf16", "eager", optimizer="sgd", warm=1, steps=2) if toy \
        else Case("byol", "resnet50", optimizer="sgd")  # fmt: skip
    todo: dict[str, Callable[[], Cell]] = {
        _OURS: functools.partial(measure, case, Limits(toy), toy),
        "lightly, step on ready tensors": functools.partial(ready, toy, False),
        "lightly, from JPEG files": functools.partial(from_files, toy),
    }
    if not toy or DEVICE.type == "cuda":
        todo["lightly, step on ready tensors, compiled, channels last"] = functools.partial(
            ready, toy, True
        )
    record = fill(given.out / "lightly_step.json", todo, Budget(given.minutes), 0 if toy else 90)
    finish(given.out / "lightly_step.md", "BYOL beside lightly", table(record))


def stepper(toy: bool, faster: bool) -> Callable[[Tensor, Tensor], None]:
    """A training step of theirs."""
    from torchvision.models import resnet18, resnet50

    from benchmarks.lightly_byol import LightlyBYOL

    net = resnet18() if toy else resnet50()
    backbone = nn.Sequential(*list(net.children())[:-1])
    model = LightlyBYOL(backbone, net.fc.in_features, hidden=4096).to(DEVICE)
    if faster:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.compile(dynamic=False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.06, momentum=0.9)

    def step(a: Tensor, b: Tensor) -> None:
        model.follow()
        with torch.autocast(DEVICE.type, torch.bfloat16):
            loss = model(a, b)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def ready(toy: bool, faster: bool) -> Cell:
    batch, size, repeats = (4, 32, 2) if toy else (BATCH, SIZE, 20)
    views = [torch.randn(batch, 3, size, size, device=DEVICE) for _ in range(2)]
    if faster:
        views = [view.contiguous(memory_format=torch.channels_last) for view in views]
    step = stepper(toy, faster)
    seconds = timed(lambda: step(*views), repeats, 1 if toy else 5)
    return {"images_per_second": batch / seconds, "batch": batch, "size": size}


def from_files(toy: bool) -> Cell:
    """Two passes over the files, of which the second counts."""
    from lightly.data import LightlyDataset
    from lightly.transforms import BYOLTransform, BYOLView1Transform, BYOLView2Transform

    batch, size, count = (4, 32, 8) if toy else (BATCH, SIZE, 16 * BATCH)
    each = BYOLView1Transform(input_size=size), BYOLView2Transform(input_size=size)
    step = stepper(toy, False)
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), count, toy)
        dataset: Any = LightlyDataset(folder, transform=BYOLTransform(*each))
        loader: Any = torch.utils.data.DataLoader(
            dataset, batch_size=batch, shuffle=True, drop_last=True,
            num_workers=0 if toy else CORES, persistent_workers=not toy, pin_memory=not toy,
        )  # fmt: skip
        for _ in range(2):
            wait()
            began = time.perf_counter()
            for views, *_ in loader:
                step(*(view.to(DEVICE, non_blocking=True) for view in views[:2]))
            wait()
            seconds = time.perf_counter() - began
    images = len(loader) * batch
    return {"images_per_second": images / seconds, "batch": batch, "size": size, "workers": CORES}


def write_files(folder: Path, count: int, toy: bool) -> None:
    """The demo's images, enlarged."""
    from PIL import Image

    images, _ = data("tiny" if toy else "cpu", None)
    for row in range(count):
        pixels = images.pixels[row % len(images)].permute(1, 2, 0).numpy()
        large = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        large.save(folder / f"{row}.jpg", quality=90)


def table(record: dict[str, Any]) -> list[str]:
    own = record.get(_OURS, {}).get("images_per_second")
    lines = ["| what | images/s | ours over it (goal 2) |", "|---|---|---|"]
    for name, cell in record.items():
        if "error" in cell:
            lines.append(f"| {name} | left out: {cell['error']} | - |")
            continue
        rate = cell["images_per_second"]
        lines.append(f"| {name} | {rate:,.0f} | {'-' if own is None else f'{own / rate:.2f}'} |")
    return lines


if __name__ == "__main__":
    main()
