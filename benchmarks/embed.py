"""A folder of JPEGs to vectors: ``write_embeddings`` beside timm's and torchvision's usual loop.

    python benchmarks/embed.py FOLDER [--model resnet18] [--size 224]

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
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.manual_seed(0)
    net = timm.create_model(given.model, num_classes=0).eval()
    with tempfile.TemporaryDirectory() as place:
        settings = Preprocessing(3, given.size, CROP, MEAN, STD)
        made = Encoder(net, given.model, settings, options={"stem": "standard"})
        EncoderFolder.write(Path(place) / "encoder", {"online": made})
        rates: list[list[float]] = []
        for _ in range(given.rounds):
            theirs, expected = usual(net, given.folder, given.size)
            rate, found = ours(Path(place), given.folder, "fp32")
            faster, _ = ours(Path(place), given.folder, "bf16")
            rates.append([theirs, rate, faster])
            print(f"usual {theirs:.0f} images/s, fp32 {rate:.0f}, bf16 {faster:.0f}", flush=True)
    cosine = torch.cosine_similarity(expected, found).mean()
    print(f"{given.model}, {given.size} px, {len(found):,} JPEGs; mean cosine {cosine:.4f}")
    for column, name in ((1, "fp32"), (2, "bf16")):
        ratios = [row[column] / row[0] for row in rates]
        print(f"{name}: x {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
