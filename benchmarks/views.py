"""Images to two BYOL views per second: ours, lightly's, torchvision's (v2) and kornia's.

    make bench-views ARGS="FOLDER_OF_JPEGS"

32 pixels without blur from the demo's JPEGs, 96 and 224 pixels with blur from the folder's. Cold:
every file is read and decoded in the timed pass. Warm: each library has its own decoded images at
hand (PIL images, uint8 tensors, canvases). The peers run in a DataLoader with one worker per core,
a batch to a worker: lightly's ``BYOLTransform`` on PIL images, torchvision image by image on uint8
tensors, as its documentation advises, kornia on whole batches of canvases with a draw per image.
All resize bicubic, as BYOL's paper does, but lightly, whose own is bilinear. Ours run on as many
threads. Rounds alternate, so that a drift of the machine meets all; a ratio is the median of the
rounds' ratios.
"""

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightly.transforms import BYOLTransform, BYOLView1Transform, BYOLView2Transform
from PIL import Image
from pyarrow.parquet import read_table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

from benchmarks.gpu.views import KORNIA, MEAN, SIZES, STD, TORCHVISION
from ownlatent.data import Canvases, Source, decode_canvases, decode_parts, open_source
from ownlatent.demo import TRAIN
from ownlatent.training.provenance import processor
from ownlatent.views import Views

CORES = len(os.sched_getaffinity(0))
PEERS = ("lightly", "torchvision v2", "kornia")
_BLUR = (1.0, 0.1)
_SOLARIZE = (0.0, 0.2)


class Task(NamedTuple):
    """Images to views of one size."""

    size: int
    blur: bool
    batch: int  # as many views as malloc keeps
    source: Source
    items: list[Path | bytes]
    """The same images as JPEG, for the peers."""

    def title(self, cold: bool) -> str:
        blur = "blur" if self.blur else "no blur"
        return f"{self.size} px, {blur}, {'from JPEG' if cold else 'decoded'}"


class Pictures(Dataset[Any]):
    """Images, from JPEG or decoded, through a transform."""

    def __init__(self, items: list[Any], read: Callable[[Any], Any], transform: Any) -> None:
        self.items, self.read, self.transform = items, read, transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.transform(self.read(self.items[index]))


def pil(item: Path | bytes) -> Image.Image:
    with Image.open(BytesIO(item) if isinstance(item, bytes) else item) as image:
        return image.convert("RGB")


def tensor(item: Path | bytes) -> Tensor:
    content = item if isinstance(item, bytes) else item.read_bytes()
    return decode_image(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)


def square(item: Path | bytes, side: int) -> Tensor:
    image = tensor(item)
    if image.shape[1:] == (side, side):
        return image
    return v2.functional.center_crop(v2.functional.resize(image, [side]), [side, side])


def stacked(batch: list[Tensor], pipelines: list[Callable[[Tensor], Tensor]]) -> list[Tensor]:
    units = torch.stack(batch).float() / 255
    with torch.no_grad():
        return [pipeline(units) for pipeline in pipelines]


def peer(name: str, task: Task, cold: bool) -> Callable[[], float]:
    """One pass of a peer's loader; its images/s."""
    strengths = [(b if task.blur else 0.0, s) for b, s in zip(_BLUR, _SOLARIZE, strict=True)]
    transform: Callable[[Any], Any]
    collate = None
    if name == "lightly":
        read: Callable[[Any], Any] = pil
        options: dict[str, Any] = {} if task.blur else {"gaussian_blur": 0.0}
        views = (BYOLView1Transform, BYOLView2Transform)
        transform = BYOLTransform(*(view(input_size=task.size, **options) for view in views))
    elif name == "kornia":
        read = functools.partial(square, side=SIZES[task.size])
        transform = _same
        collate = functools.partial(
            stacked, pipelines=[KORNIA(task.size, *given).cpu() for given in strengths]
        )
    else:
        read = tensor
        transform = functools.partial(
            _each, pipelines=[TORCHVISION(task.size, *given) for given in strengths]
        )
    items: list[Any] = list(task.items) if cold else [read(item) for item in task.items]
    pictures = Pictures(items, read if cold else _same, transform)
    loader = DataLoader(pictures, task.batch, num_workers=CORES, collate_fn=collate)
    return functools.partial(passed, loader)


def _same(item: Any) -> Any:
    return item


def _each(image: Tensor, pipelines: list[Callable[[Tensor], Tensor]]) -> list[Tensor]:
    return [pipeline(image) for pipeline in pipelines]


def passed(loader: DataLoader[Any]) -> float:
    began = time.perf_counter()
    seen = sum(len(first) for first, _ in loader)
    return seen / (time.perf_counter() - began)


def warm(views: Any, canvases: Canvases, batch: int) -> float:
    began = time.perf_counter()
    seen = made(views, canvases, batch)
    return seen / (time.perf_counter() - began)


def cold(views: Any, task: Task) -> float:
    """Reading, decoding, canvases and views of every file."""
    began = time.perf_counter()
    parts = max(96, 4 * task.batch)
    seen = 0
    for canvases in decode_parts(task.source, parts, view_size=task.size, place="host"):
        seen += made(views, canvases, task.batch)
    return seen / (time.perf_counter() - began)


def made(views: Any, canvases: Canvases, batch: int) -> int:
    """Of how many images views were made."""
    seed, epoch = torch.tensor(0), torch.tensor(1)
    seen = 0
    for rows in torch.arange(len(canvases)).split(batch):
        if len(rows) < batch and not isinstance(views, Views):
            continue  # a compiled program is made for one batch size
        pixels, sizes, ids = canvases.batch(rows, "cpu")
        seen += len(views(pixels, ids, epoch, seed, sizes)[0])
    return seen


def compare(title: str, rounds: int, runs: dict[str, Callable[[], float]]) -> list[str]:
    for run in runs.values():
        run()  # compile, fill caches
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            rates[name].append(run())
    lines = []
    for name, found in rates.items():
        ratios = [a / b for a, b in zip(found, rates["lightly"], strict=True)]
        ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        ratio = "1" if name == "lightly" else f"**{ratio}**" if "own" in name else ratio
        lines.append(f"| {title} | {name} | {statistics.median(found):,.0f} | {ratio} |")
    print("\n".join(lines), flush=True)
    return lines


def measured(task: Task, rounds: int) -> list[str]:
    """The table's lines: everybody cold, then everybody warm."""
    eager = Views("byol" if task.blur else "cifar-byol", task.size, mean=MEAN, std=STD)
    lines = []
    for from_jpeg in (True, False):
        runs = {name: peer(name, task, from_jpeg) for name in PEERS}
        if from_jpeg:
            runs["ownlatent, eager"] = functools.partial(cold, eager, task)
        else:
            canvases = decode_canvases(task.source, view_size=task.size, place="host")
            runs["ownlatent, eager"] = functools.partial(warm, eager, canvases, task.batch)
            if not task.blur:  # large views have a loop of their own, which is not compiled
                program = torch.compile(
                    Views("cifar-byol", task.size, mean=MEAN, std=STD), dynamic=False
                )
                runs["ownlatent, compiled"] = functools.partial(warm, program, canvases, task.batch)
        lines += compare(task.title(from_jpeg), rounds, runs)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of at least 1,000 JPEG files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="markdown file to write")
    arguments = parser.parse_args()
    files: list[Path | bytes] = [
        p for p in sorted(arguments.folder.rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg")
    ]
    if len(files) < 1000:
        parser.error(f"{arguments.folder} has {len(files)} JPEG files; give 1,000 or more.")
    torch.set_num_threads(CORES)

    demo, photographs = open_source(TRAIN), open_source(arguments.folder)
    images: list[Path | bytes] = [
        image["bytes"] for image in read_table(TRAIN, columns=["image"])["image"].to_pylist()
    ]
    tasks = [
        Task(32, False, 256, demo, images),
        Task(96, True, 256, photographs, files),
        Task(224, True, 48, photographs, files),
    ]
    lines = [line for task in tasks for line in measured(task, arguments.rounds)]
    if arguments.out:
        head = (
            f"# Views\n\n`make bench-views ARGS=FOLDER`: {CORES} cores ({processor()}), torch "
            f"{torch.__version__}, {arguments.rounds} rounds, {len(demo):,} and {len(files):,} "
            "images.\n\n| task | library | images/s | to lightly (range) |\n|---|---|---|---|\n"
        )
        arguments.out.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
