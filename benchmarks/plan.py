"""A simulated plan: a billion images on 512 GPUs, from what was measured and what is published.

    python benchmarks/plan.py [--gpus 512] [--images 1e9] [--rate 871]

Sizes of networks, checkpoint and gradient are counted from our BYOL of ViT-S/16; decoding is
measured here, in CPU seconds; index and order are those of results/stream.json. What one GPU does
in a second, how often one fails and how fast links and disks are, are assumptions that the table or
the constants below name: none of it was measured here. Failures are simulated.
"""

import argparse
import json
import math
import random
import time
from typing import Any

import timm
import torch
from kept import RESULTS
from tables import DOCS, write

from ownlatent.data import decode_canvases, open_source
from ownlatent.methods import BYOL

BYTES = 110e3
"""Of a JPEG of ImageNet, on average (its 1.28 million training files take 138 GB)."""
LINK = 50e9
"""Bytes/s from one GPU to those of other machines: a 400 Gbit/s card each."""
DISK = 5e9
"""Bytes/s at which a checkpoint reaches shared storage."""
FAILURE = 50_000 * 3600.0
"""Seconds between interruptions, times GPUs: 419 in 54 days on 16,384 (Llama 3, 2024, 3.3.4)."""
RESTART = 600.0
"""Seconds until a job that broke off computes again."""
BATCH = 4096


def sizes() -> tuple[float, float]:
    """Bytes of a step's gradients and of a checkpoint: BYOL of ViT-S/16, AdamW."""
    with torch.device("meta"):
        method = BYOL(timm.create_model("vit_small_patch16_224", num_classes=0))
    trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
    everything = sum(value.numel() for value in method.state_dict().values())
    return 4.0 * trained, 4.0 * (everything + 2 * trained)


def decoding(folder: str) -> float:
    """Images a second of one core, from JPEG files to canvases of 258 pixels."""
    source = open_source(folder)
    began = time.process_time()
    canvases = decode_canvases(source, view_size=224, place="host", workers=1)
    return len(canvases) / (time.process_time() - began)


def daly(write: float, mean_time: float) -> float:
    """The interval between checkpoints that loses least, seconds (Daly 2006, equation 37)."""
    if write >= 2 * mean_time:
        return mean_time
    ratio = write / (2 * mean_time)
    return math.sqrt(2 * write * mean_time) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - write


def simulate(work: float, interval: float, write: float, mean_time: float, seed: int) -> float:
    """Seconds that ``work`` seconds of computing take, failures being exponential."""
    draw = random.Random(seed)
    clock = done = 0.0
    failure = draw.expovariate(1 / mean_time)
    while done < work:
        part = min(interval, work - done)
        if clock + part + write <= failure:
            clock, done = clock + part + write, done + part
        else:
            clock = failure + RESTART
            failure = clock + draw.expovariate(1 / mean_time)
    return clock


def plan(images: float, gpus: int, rate: float, epochs: float, decoded: float) -> list[str]:
    gradients, checkpoint = sizes()
    together = gpus * rate
    compute = images * epochs / together
    step = BATCH / together
    reduce = 2 * (gpus - 1) / gpus * gradients / LINK
    hours = compute * (1 + max(0.0, reduce - 0.5 * step) / step)
    mean_time, write_time = FAILURE / gpus, checkpoint / DISK
    interval = daly(write_time, mean_time)
    seeds = [simulate(hours, interval, write_time, mean_time, seed) for seed in range(200)]
    lost = sum(seeds) / len(seeds) / hours - 1
    stream = json.loads((RESULTS / "stream.json").read_text())
    rows = {
        "images, GPUs, passes": f"{images:,.0f}, {gpus}, {epochs:g}",
        "one GPU (assumed: published for ViT-S/16, two views, batch 256)": f"{rate:,.0f} images/s",
        "all": f"{together:,.0f} images/s; a pass {images / together / 60:,.0f} minutes",
        "storage of the JPEGs (110 kB each)": f"{images * BYTES / 1e12:,.0f} TB",
        "read, all and a machine of 8": f"{together * BYTES / 1e9:,.0f} GB/s, "
        f"{8 * rate * BYTES / 1e9:.2f} GB/s",
        "decoding, one core (measured)": f"{decoded:,.0f} images/s",
        "cores for a machine of 8 GPUs": f"{math.ceil(8 * rate / decoded)}",
        "gradients of a step": f"{gradients / 1e6:,.0f} MB",
        f"a step of {BATCH:,}, its ring all-reduce": f"{1e3 * step:,.1f} ms, "
        f"{1e3 * reduce:,.1f} ms",
        "checkpoint, to write": f"{checkpoint / 1e6:,.0f} MB, {write_time:.1f} s",
        "between failures (assumed)": f"{mean_time / 3600:,.0f} h",
        "interval that loses least (Daly)": f"{interval / 60:,.0f} minutes",
        "lost to checkpoints, failures and restarts (200 simulated runs)": f"{100 * lost:.2f} %",
        "all of it": f"{hours * (1 + lost) / 3600:,.1f} h",
        "each process's own memory, its peak (measured at 10 million)": _memory(stream, images),
        "index that a machine's processes share (measured)": _gigabytes(
            stream["results"][-1]["shared_bytes_per_sample"] * images
        ),
    }
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _memory(stream: dict[str, Any], images: float) -> str:
    """By what it grew from the second largest set to the largest: while images are read, and at
    most, which is when an epoch's order is made."""
    few, many = stream["results"][-2:]
    first, last = few["while_reading"][-1], many["while_reading"][-1]
    grown = {name: last[name] - first[name] for name in ("own", "files", "peak")}
    each = 1e6 * images / (many["samples"] - few["samples"])
    peak = grown["peak"] - grown["files"]  # pages of files are no process's own
    return f"{_gigabytes(each * grown['own'])}, {_gigabytes(each * peak)}"


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.0f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="photographs to measure decoding with")
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--gpus", type=int, default=512)
    parser.add_argument("--rate", type=float, default=871.0, help="images/s of one GPU")
    parser.add_argument("--epochs", type=float, default=10)
    arguments = parser.parse_args()
    decoded = decoding(arguments.folder)
    lines = plan(arguments.images, arguments.gpus, arguments.rate, arguments.epochs, decoded)
    print("\n".join(lines))
    write(DOCS / "scale.md", "plan", lines)


if __name__ == "__main__":
    main()
