"""A folder of JPEGs to vectors: ``write_embeddings`` beside timm's and torchvision's usual loop.

    python benchmarks/embed.py FOLDER [--model resnet18] [--size 64 224]

The usual loop: ``timm.create_model(..., num_classes=0)`` with timm's own transform (bicubic, PIL)
on torchvision's ``ImageFolder``, a DataLoader with one worker per core, inference mode, float32.
Ours: the same random weights, to a Parquet file. Rounds alternate; the ratio is their median.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import timm
import torch
from timm.data import create_transform
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from ownlatent.embeddings import write_embeddings
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.preprocessing import Preprocessing
from ownlatent.training.provenance import processor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP = 224 / 256
CORES = len(os.sched_getaffinity(0))


def usual(net: torch.nn.Module, folder: Path, size: int) -> tuple[float, torch.Tensor]:
    """Images per second, and the vectors."""
    began = time.perf_counter()
    transform = create_transform(size, mean=MEAN, std=STD, crop_pct=CROP, interpolation="bicubic")
    loader = DataLoader(ImageFolder(folder, transform), batch_size=64, num_workers=CORES)
    with torch.inference_mode():
        made = torch.cat([net(images) for images, _ in loader])
    return len(made) / (time.perf_counter() - began), made


def ours(run: Path, folder: Path, precision: str) -> tuple[float, torch.Tensor]:
    import numpy as np
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as place:
        began = time.perf_counter()
        done = write_embeddings(
            run, folder, out=Path(place) / "vectors.parquet", precision=precision
        )
        rate = done.vectors / (time.perf_counter() - began)
        table = pq.read_table(done.path)
        return rate, torch.from_numpy(np.stack(table["vector"].to_numpy()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="class folders of JPEGs")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, nargs="+", default=[64, 224])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="markdown file to write")
    given = parser.parse_args()
    lines = [line for size in given.size for line in measured(given, size)]
    head = (
        f"# Vectors of a folder\n\n`python benchmarks/embed.py FOLDER`: {given.model}, {CORES} "
        f"cores ({processor()}), torch {torch.__version__}, {given.rounds} rounds.\n\n"
        "| view | what | images/s | to the usual loop (range) | cosine to its vectors |\n"
        "|---|---|---|---|---|\n"
    )
    text = head + "\n".join(lines) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text)


def measured(given: argparse.Namespace, size: int) -> list[str]:
    """The table's lines for one size."""
    torch.manual_seed(0)
    net = timm.create_model(given.model, num_classes=0).eval()
    rates: dict[str, list[float]] = {"usual loop": [], "ours, fp32": [], "ours, bf16": []}
    cosines = {"usual loop": 1.0}
    with tempfile.TemporaryDirectory() as place:
        settings = Preprocessing(3, size, CROP, MEAN, STD)
        made = Encoder(net, given.model, settings, options={"stem": "standard"})
        EncoderFolder.write(Path(place) / "encoder", {"online": made})
        for _ in range(given.rounds):
            rate, expected = usual(net, given.folder, size)
            rates["usual loop"].append(rate)
            for precision in ("fp32", "bf16"):
                name = f"ours, {precision}"
                rate, found = ours(Path(place), given.folder, precision)
                rates[name].append(rate)
                cosines[name] = torch.cosine_similarity(expected, found).mean().item()
            print({name: round(found[-1]) for name, found in rates.items()}, flush=True)
    lines = []
    for name, found in rates.items():
        ratios = [a / b for a, b in zip(found, rates["usual loop"], strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(
            f"| {size} px, {len(expected):,} JPEGs | {name} | {statistics.median(found):,.0f} "
            f"| {'1' if name == 'usual loop' else ratio} | {cosines[name]:.4f} |"
        )
    return lines


if __name__ == "__main__":
    main()
