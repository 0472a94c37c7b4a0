"""Every figure in docs/, made again: each benchmark in turn, with its data and its minutes.

    make benchmarks DATA=FOLDER               # about two idle days on two cores
    make benchmarks DATA=FOLDER ARGS="--only views embed"
    make benchmarks DATA=FOLDER ARGS=--list

FOLDER holds what there is of: caltech101/ (at least 1,000 JPEGs), varied/ (50 photographs of many
sizes), imagenette/ (train, val), camvid/ (train, train_mask, test, test_mask), bccd/ (VOC's
folders), room/ (rgb, depth), cifar10/ (cifar10_train_jpeg.npz, cifar10_test_jpeg.npz, load.py),
fsdd.npz, tabular/ (UCI's tables as .csv.gz) and wordnet/ (data.noun, data.verb). A benchmark whose
data are not there is named and left out, and its figures stay as they are; the others write theirs
into benchmarks/results/ and the documents. Those that keep a record go on where they stopped.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-benchmark/bin/python"


class Benchmark(NamedTuple):
    command: str
    """What follows ``python``; {data} is the folder."""
    needs: tuple[str, ...] = ()
    """Of the folder."""
    minutes: float = 5
    """On the machine that docs/results.md names, with nothing made before."""
    peers: bool = False
    """Runs beside other libraries, in their environment."""


ALL = {
    "demo": Benchmark(
        "benchmarks/demo.py --seeds 0 1 2 --out benchmarks/results/demo.md", minutes=20
    ),
    "demo-reference": Benchmark(
        "benchmarks/demo.py --seeds 0 1 --reference --out benchmarks/results/demo-reference.md",
        minutes=60,
    ),
    "methods": Benchmark("benchmarks/methods.py", minutes=400),
    "ablations": Benchmark("-m benchmarks.ablations --scale cpu", minutes=200),
    "tutorial": Benchmark("benchmarks/tutorial.py", minutes=40),
    "vectors": Benchmark("benchmarks/vectors.py {data}/tabular", ("tabular",), 60),
    "audio": Benchmark("benchmarks/audio.py {data}/fsdd.npz", ("fsdd.npz",), 60),
    "text": Benchmark("benchmarks/text.py {data}/wordnet", ("wordnet",), 60),
    "photos": Benchmark(
        "benchmarks/photos.py {data}", ("imagenette", "camvid", "bccd", "room"), minutes=60
    ),
    "attention": Benchmark("benchmarks/attention.py {data}/camvid --steps 300", ("camvid",), 30),
    "views": Benchmark(
        "-m benchmarks.views {data}/caltech101 --rounds 5 --out benchmarks/results/views.md",
        ("caltech101",), 20, peers=True,
    ),
    "fidelity": Benchmark("benchmarks/fidelity.py {data}/varied", ("varied",)),
    "pipeline": Benchmark(
        "benchmarks/pipeline.py {data}/imagenette/train", ("imagenette",), 10, peers=True
    ),
    "race": Benchmark("benchmarks/race.py {data}/cifar10", ("cifar10",), 270, peers=True),
    "probes": Benchmark("benchmarks/probes.py"),
    "embed": Benchmark(
        "benchmarks/embed.py {data}/imagenette/val --out benchmarks/results/embed.md",
        ("imagenette",), 10,
    ),
    "search": Benchmark("benchmarks/search.py", minutes=20),
    "step": Benchmark(
        "-m benchmarks.gpu.step --minutes 60 --out benchmarks/results", minutes=20
    ),
    "scale": Benchmark("benchmarks/scale.py", minutes=10),
    "growing": Benchmark("benchmarks/growing.py", minutes=60),
    "stream": Benchmark("-m benchmarks.stream", minutes=15),
    "plan": Benchmark("benchmarks/plan.py {data}/varied", ("varied",), 1),
    "walk": Benchmark("benchmarks/walk.py {data}/imagenette/train", ("imagenette",), 10),
    "verdict-derive": Benchmark("benchmarks/verdict.py derive", minutes=120),
    "verdict-check": Benchmark(
        "benchmarks/verdict.py check --images {data}/caltech101", ("caltech101",), 120
    ),
    "resume": Benchmark("benchmarks/resume_compiled.py", minutes=10),
    "soak": Benchmark("benchmarks/soak.py", minutes=30),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=Path("data"))
    parser.add_argument("--only", nargs="+", choices=ALL, default=list(ALL), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print what would run, and stop")
    arguments = parser.parse_args()
    failed = []
    for name in arguments.only:
        benchmark = ALL[name]
        absent = [need for need in benchmark.needs if not (arguments.data / need).exists()]
        if benchmark.peers and not PEERS.is_file():
            absent.append("their environment: make .venv-benchmark/.installed")
        command = benchmark.command.format(data=arguments.data.resolve()).split()
        told = f"{name}: about {benchmark.minutes:g} minutes"
        if absent:
            print(f"{name}: left out, without {', '.join(absent)}", flush=True)
        elif arguments.list:
            print(f"{told}: python {' '.join(command)}", flush=True)
        else:
            print(told, flush=True)
            began = time.perf_counter()
            done = subprocess.run(
                [str(PEERS) if benchmark.peers else sys.executable, *command], cwd=ROOT
            )
            print(f"{name}: {(time.perf_counter() - began) / 60:.1f} minutes", flush=True)
            if done.returncode:
                failed.append(name)
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}; the others are done.")


if __name__ == "__main__":
    main()
