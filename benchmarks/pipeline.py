"""From a folder of JPEGs to optimizer steps: how long the first pass takes, and others.

    .venv-benchmark/bin/python benchmarks/pipeline.py FOLDER [--size 64] [--images 1500]

small-resnet learns by BYOL from the folder's images: ours with canvases in memory, on disk, and
decoded anew for every batch (``--place``), beside lightly's loader and parts (lightly_byol.py) with
a worker per core, which decodes and augments every pass. A pass's time is the difference between
runs of one and of three passes; what is left of the first is start-up, decoding and compilation.
The share of steps that waited for data is ours to know (``timing.json``); of lightly it is what its
step is slower than on tensors that are ready.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept import RESULTS
from PIL import Image
from tables import DOCS, write

import ownlatent as ol
from ownlatent.networks.backbone import backbone

BATCH = 128
PASSES = 1, 3


def jpegs(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg"))


class Files:
    """Images that are decoded when they are asked for, as lightly's datasets do."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        with Image.open(self.files[index]) as image:
            return np.asarray(image.convert("RGB"))


def ours(folder: Path, size: int, steps: int, place: str) -> tuple[float, float]:
    """Seconds from the folder's name to the encoder, and the share that waited for data."""
    with tempfile.TemporaryDirectory() as out:
        os.environ["XDG_CACHE_HOME"] = out  # canvases on disk are made anew
        began = time.perf_counter()
        ol.pretrain(
            str(folder), out=f"{out}/run", backbone="small-resnet", size=size, batch_size=BATCH,
            steps=steps, place=place, precision="bf16",
        )  # fmt: skip
        seconds = time.perf_counter() - began
        shares = json.loads(Path(f"{out}/run/timing.json").read_text())["shares"]
        return seconds, shares["data"]


def theirs(folder: Path, size: int, steps: int, ready: bool = False) -> tuple[float, float]:
    import lightly_byol

    torch.manual_seed(0)
    net, _ = backbone("small-resnet", 3, size)
    if ready:
        return lightly_byol.on_tensors(net, net.num_features, size=size, steps=steps), 0.0
    images: Any = Files(jpegs(folder))
    began = time.perf_counter()
    lightly_byol.train(
        images, net, net.num_features, size=size, steps=steps, seed=0,
        workers=len(os.sched_getaffinity(0)),
    )  # fmt: skip
    return time.perf_counter() - began, 0.0


def passes(run: Callable[[int], tuple[float, float]], per_pass: int) -> dict[str, float]:
    """Images/s of later passes, seconds of the first, and the share that waits for data."""
    few, many = (run(count * per_pass) for count in PASSES)
    later = (many[0] - few[0]) / (PASSES[1] - PASSES[0])
    return {
        "later": round(per_pass * BATCH / later, 1),
        "first": round(few[0], 1),
        "waiting": round(100 * many[1], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="JPEG files, nested at will")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=1536)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = jpegs(arguments.folder)
        for number, file in enumerate(files[:: max(1, len(files) // arguments.images)]):
            shutil.copy(file, folder / f"{number}.jpg")
        per_pass = len(list(folder.iterdir())) // BATCH
        found = {
            f"ownlatent, {where}": passes(
                lambda steps, where=where: ours(folder, arguments.size, steps, where), per_pass
            )
            for where in ("host", "disk", "stream")
        }
        peer = passes(lambda steps: theirs(folder, arguments.size, steps), per_pass)
        alone = passes(lambda steps: theirs(folder, arguments.size, steps, ready=True), per_pass)
        found["lightly"] = peer | {"waiting": round(100 * (1 - peer["later"] / alone["later"]), 1)}
    record = {"images": per_pass * BATCH, "size": arguments.size, "found": found}
    (RESULTS / "pipeline.json").write_text(json.dumps(record, indent=1) + "\n")
    lines = ["| data | first pass, s | later passes, images/s | waits for data, % |"]
    lines.append("|---|---|---|---|")
    lines += [
        f"| {name} | {values['first']} | {values['later']:,.0f} | {values['waiting']:.0f} |"
        for name, values in found.items()
    ]
    print("\n".join(lines))
    write(DOCS / "results.md", "pipeline", lines)


if __name__ == "__main__":
    main()
