"""Images to two BYOL views per second, beside lightly's ``BYOLTransform``, on the same cores.

    make bench-views ARGS="FOLDER_OF_JPEGS"

32 pixels: the demo's images, already decoded on both sides, no blur. 224 pixels: from JPEG files to
two normalised views with blur; cold means every file is decoded in the timed pass, warm that
canvases are at hand. lightly runs in a DataLoader with one worker per core, as its documentation
has it; ours on as many threads. Rounds alternate, so that a drift of the machine meets both; the
ratio is the median of the rounds' ratios.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightly.transforms import BYOLTransform, BYOLView1Transform, BYOLView2Transform
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ownlatent.data import Canvases, decode_canvases, decode_parts, open_source
from ownlatent.demo import TRAIN
from ownlatent.views import Views

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL_BATCH, LARGE_BATCH = 256, 48  # 64 views of 224 px are more than malloc keeps
CORES = len(os.sched_getaffinity(0))


class Pictures(Dataset[Any]):
    """PIL images, from memory or from files, through a transform."""

    def __init__(self, items: list[Any], transform: Any) -> None:
        self.items, self.transform = items, transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        item = self.items[index]
        if isinstance(item, Path):
            with Image.open(item) as image:
                item = image.convert("RGB")
        return self.transform(item)


def lightly(items: list[Any], size: int, blur: bool, batch: int) -> float:
    options: dict[str, Any] = {"input_size": size}
    if not blur:
        options["gaussian_blur"] = 0.0
    transform = BYOLTransform(BYOLView1Transform(**options), BYOLView2Transform(**options))
    loader = DataLoader(Pictures(items, transform), batch_size=batch, num_workers=CORES)
    began = time.perf_counter()
    seen = sum(len(first) for first, _ in loader)
    return seen / (time.perf_counter() - began)


def ours(views: Any, canvases: Canvases, batch: int, epoch: int) -> float:
    seed, count = torch.tensor(0), torch.tensor(epoch)
    began = time.perf_counter()
    seen = 0
    for rows in torch.arange(len(canvases)).split(batch):
        if len(rows) == batch:  # a compiled program is made for one batch size
            pixels, sizes, ids = canvases.batch(rows, "cpu")
            seen += len(views(pixels, ids, count, seed, sizes)[0])
    return seen / (time.perf_counter() - began)


def cold(views: Any, folder: Path) -> float:
    """Listing, decoding, canvases and views of every file."""
    began = time.perf_counter()
    seen = 0
    for canvases in decode_parts(open_source(folder), 2 * LARGE_BATCH, view_size=224, place="host"):
        for rows in torch.arange(len(canvases)).split(LARGE_BATCH):
            pixels, sizes, ids = canvases.batch(rows, "cpu")
            seen += len(views(pixels, ids, 0, 0, sizes)[0])
    return seen / (time.perf_counter() - began)


def compare(title: str, rounds: int, peer: Callable[[], float], **mine: Callable[[], float]) -> str:
    rates: dict[str, list[float]] = {"lightly": [], **{name: [] for name in mine}}
    for run in mine.values():
        run()  # compile, fill caches
    for _ in range(rounds):
        rates["lightly"].append(peer())
        for name, run in mine.items():
            rates[name].append(run())
    lines = [f"| {title} | lightly | {statistics.median(rates['lightly']):,.0f} | 1 |"]
    for name in mine:
        ratios = [a / b for a, b in zip(rates[name], rates["lightly"], strict=True)]
        median = statistics.median(rates[name])
        ratio = f"**{statistics.median(ratios):.1f}** ({min(ratios):.1f} to {max(ratios):.1f})"
        lines.append(f"| {title} | ownlatent, {name.replace('_', ' ')} | {median:,.0f} | {ratio} |")
    text = "\n".join(lines)
    print(text, flush=True)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of at least 1,000 JPEG files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="markdown file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(CORES)

    small = decode_canvases(open_source(TRAIN))
    pictures = [Image.fromarray(c.permute(1, 2, 0).numpy()) for c in small.pixels[:4096]]
    eager = Views("cifar-byol", 32, mean=MEAN, std=STD)
    compiled = torch.compile(Views("cifar-byol", 32, mean=MEAN, std=STD), dynamic=False)
    tables = [
        compare(
            "32 px, decoded, no blur",
            arguments.rounds,
            lambda: lightly(pictures, 32, False, SMALL_BATCH),
            eager=lambda: ours(eager, small, SMALL_BATCH, 1),
            compiled=lambda: ours(compiled, small, SMALL_BATCH, 1),
        )
    ]

    files = [
        p for p in sorted(arguments.folder.rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg")
    ]
    if len(files) < 1000:
        parser.error(f"{arguments.folder} has {len(files)} JPEG files; give 1,000 or more.")
    large = Views("byol", 224, mean=MEAN, std=STD)
    canvases = decode_canvases(open_source(arguments.folder), view_size=224, place="host")
    tables.append(
        compare(
            f"{len(files):,} JPEGs to 224 px, blur",
            arguments.rounds,
            lambda: lightly(list(files), 224, True, LARGE_BATCH),
            eager_cold=lambda: cold(large, arguments.folder),
            eager_warm=lambda: ours(large, canvases, LARGE_BATCH, 1),
        )
    )
    if arguments.out:
        head = "| task | library | images/s | ratio to lightly (range) |\n|---|---|---|---|"
        machine = f"{CORES} cores, torch {torch.__version__}, {arguments.rounds} rounds"
        arguments.out.write_text(f"# Views\n\n{machine}\n\n{head}\n" + "\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
