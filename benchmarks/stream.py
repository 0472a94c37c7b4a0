"""What a stream of many samples costs: memory, time to open, and images per second.

    python -m benchmarks.stream            # 10^3 ... 10^7 samples, about 10 minutes
    python -m benchmarks.stream --most 6   # up to 10^6

Shards hold 100,000 JPEG images of the demo (CIFAR-10), over and over again under keys of their own.
One is written, and stands for all under their names by hard links. Every size runs in a process of
its own: it opens the shards (first without an index, then with), makes the order of an epoch, and
reads images in that order, in batches, as a run does. Own memory is what no file backs (RssAnon).
"""

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

SHARD = 100_000
BATCH, SIDE = 256, 32
RESULTS = Path(__file__).parent / "results"


def memory() -> dict[str, float]:
    """This process's memory in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    table = dict(line.split(":", 1) for line in lines if ":" in line)
    names = {"RssAnon": "own", "RssFile": "files", "VmHWM": "peak"}
    return {short: int(table[name].split()[0]) / 1e3 for name, short in names.items()}


def write_shards(folder: Path, count: int) -> None:
    """``count`` samples of the demo's JPEGs in shards; those that are there stay."""
    import pyarrow.parquet as pq

    from ownlatent.demo import TRAIN

    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "train-0000.tar"
    if not first.exists():
        table = pq.read_table(TRAIN, columns=["image"])["image"].combine_chunks()
        images = table.field("bytes").slice(0, 4096).to_pylist()
        with tarfile.open(first, "w", format=tarfile.USTAR_FORMAT) as file:
            for row in range(min(count, SHARD)):
                info = tarfile.TarInfo(f"{row:08d}.jpg")
                content = images[row % len(images)]
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    for number in range(1, count // SHARD):
        path = folder / f"train-{number:04d}.tar"
        if not path.exists():
            os.link(first, path)


def measure(folder: Path, count: int, seen: int) -> dict[str, Any]:
    """Open ``count`` samples and read ``seen`` of them in an epoch's order."""
    import torch

    from ownlatent.data import open_source
    from ownlatent.data.streamed import stream
    from ownlatent.training.batches import Batches

    torch.set_num_threads(1)
    shards = f"{folder}/train-{{0000..{(count - 1) // SHARD:04d}}}.tar"
    before = memory()
    began = time.perf_counter()
    source = open_source(shards)
    opened = time.perf_counter() - began
    held = memory()
    began = time.perf_counter()
    streamed = stream(source, side=SIDE, view_size=SIDE)
    streamed.channel_statistics()
    looked = time.perf_counter() - began
    batches = Batches(streamed.ids, 0, BATCH)
    began = time.perf_counter()
    batches.whole(0)
    ordered = time.perf_counter() - began
    after_order = memory()
    steps, rows = min(seen, count) // BATCH, []
    began = time.perf_counter()
    for step in range(steps):
        streamed.expect(batches.whole(each) for each in range(step, steps))
        streamed.batch(batches.whole(step), "cpu")
        if step % max(1, steps // 8) == 0 or step == steps - 1:
            rows.append({"images": (step + 1) * BATCH, **memory()})
    return {
        "samples": len(source),
        "open_s": opened,
        "own_bytes_per_sample": (held["own"] - before["own"]) * 1e6 / len(source),
        "look_s": looked,
        "order_s": ordered,
        "before": before,
        "opened": held,
        "ordered": after_order,
        "images_per_s": steps * BATCH / (time.perf_counter() - began),
        "while_reading": rows,
    }


def run(folder: Path, count: int, seen: int) -> dict[str, Any]:
    """`measure` in a process of its own; the first of two opens without an index."""
    job = [sys.executable, "-m", "benchmarks.stream", "--one", str(count), "--folder", str(folder)]
    env = os.environ | {"XDG_CACHE_HOME": str(folder / f"cache-{count}")}
    first, second = (
        json.loads(subprocess.check_output([*job, "--seen", str(n)], env=env, text=True))
        for n in (0, seen)
    )
    shared = (folder / f"cache-{count}").rglob("*.joined/*.npy")
    size = sum(file.stat().st_size for file in shared)
    return second | {"first_open_s": first["open_s"], "shared_bytes_per_sample": size / count}


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| samples | first open, s | open, s | index, bytes a sample: own / shared "
        "| order of an epoch, s | own memory MB: start / opened / ordered / after reading "
        "| read | images/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        last = r["while_reading"][-1]
        own = " / ".join(f"{m['own']:.0f}" for m in (r["before"], r["opened"], r["ordered"], last))
        index = f"{r['own_bytes_per_sample']:.1f} / {r['shared_bytes_per_sample']:.0f}"
        index = index if r["samples"] >= 10**6 else "-"
        lines.append(
            f"| {r['samples']:,} | {r['first_open_s']:.2f} | {r['open_s']:.2f} | {index} "
            f"| {r['order_s']:.2f} | {own} | {last['images']:,} | {r['images_per_s']:,.0f} |"
        )
    lines += ["", "Own memory in MB while the largest set is read, by images read so far:", ""]
    rows = results[-1]["while_reading"]
    lines += ["| " + " | ".join(f"{r['images']:,}" for r in rows) + " |", "|---" * len(rows) + "|"]
    lines.append("| " + " | ".join(f"{r['own']:.0f}" for r in rows) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=7, help="power of ten of the largest set")
    parser.add_argument("--seen", type=int, default=200_000, help="images read of each set")
    parser.add_argument("--folder", type=Path, help="where the shards are kept [a temporary one]")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.folder, asked.one, asked.seen)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        results = []
        for power in range(3, asked.most + 1):
            count = 10**power
            place = folder / "shards" if count % SHARD == 0 else folder / f"small-{power}"
            write_shards(place, count)
            results.append(run(place, count, asked.seen))
            print(table(results[-1:]), flush=True)
    from ownlatent.training.provenance import processor

    cores, system = len(os.sched_getaffinity(0)), platform.platform()
    machine = {"cores": cores, "processor": processor(), "system": system}
    content = {"machine": machine, "side": SIDE, "batch": BATCH, "results": results}
    (RESULTS / "stream.json").write_text(json.dumps(content, indent=1) + "\n")
    head = (
        "# Streaming many samples\n\n`python -m benchmarks.stream`, "
        f"{cores} cores ({machine['processor']}); JPEGs of 32 x 32 pixels, batches of "
        f"{BATCH}, the epoch's shuffled order.\n\n"
    )
    (RESULTS / "stream.md").write_text(head + table(results) + "\n")


if __name__ == "__main__":
    main()
