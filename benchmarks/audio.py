"""Spoken digits of a speaker never heard: pretrained on the others, probed on them, scored on him.

    python benchmarks/audio.py FSDD.npz                       # both tables, into docs/results.md
    python benchmarks/audio.py FSDD.npz --speakers nicolas theo --only speakers
    python benchmarks/audio.py FSDD.npz --jobs 2              # two runs at a time

The file is the Free Spoken Digit Dataset (8 kHz): flat int16 ``samples``, and of each clip
``length``, ``digit`` and ``speaker``, a place in ``speaker_names``. A run is a cell: finished cells
are passed over, stopped ones go on. Nobody's labels are seen in pretraining.
"""

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from kept import keep
from tables import DOCS, write

import ownlatent as ol
from ownlatent.data.clips import open_clips

SPEAKERS = ["george", "jackson", "lucas"]
"""Of six; yweweler is whom the settings were tried on."""
COMMON: dict[str, Any] = {
    "batch_size": 64, "optimizer": "adamw", "weight_decay": 0.05, "base_lr": 0.004, "steps": 400,
    "log_every": 50,
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {"byol": {}, "simclr": {"temperature": 0.2}}
VIEWS, SIZE = "audio-all", 32
ALONE = ["audio-crop", "audio-mix", "audio-noise"]
PROTOCOLS = ("linear probe", "kNN (k=20, T=0.07)")


def cell(data: Path, folder: Path, speaker: str, method: str, views: str) -> None:
    """One run, in this process: pretrained, or gone on with, and measured."""
    held = np.load(data)
    sounds = np.split(held["samples"], np.cumsum(held["length"])[:-1])
    own = held["speaker"] == list(held["speaker_names"]).index(speaker)

    def clips(rows: Any, **options: Any) -> Any:
        chosen = [sounds[row] for row in np.flatnonzero(rows)]
        return open_clips(chosen, rate=8000, labels=held["digit"][rows], **options)

    others = clips(~own, size=SIZE)
    keep(folder, others, method=method, views=views, **COMMON | METHODS[method])
    if not (folder / "evaluation.json").is_file():
        ol.evaluate(folder, others, test=clips(own, like=others.settings))


def cells(folder: Path, data: Path, speakers: list[str], only: str | None) -> list[dict[str, str]]:
    wanted = []
    if only != "views":
        wanted += [(speaker, method, VIEWS) for speaker in speakers for method in METHODS]
    if only != "speakers":
        wanted += [(speakers[0], method, views) for views in [VIEWS, *ALONE] for method in METHODS]
    return [
        {
            "data": str(data), "folder": str(place(folder, *each)),
            "speaker": each[0], "method": each[1], "views": each[2],
        }
        for each in dict.fromkeys(wanted)
    ]  # fmt: skip


def place(folder: Path, speaker: str, method: str, views: str) -> Path:
    return folder / f"{speaker}-{method}-{views}"


def launch(jobs: list[dict[str, str]], at_once: int) -> None:
    """Each cell in a process of its own, some at a time."""

    def one(job: dict[str, str]) -> None:
        command = [sys.executable, __file__, job["data"], "--cell", json.dumps(job)]
        done = subprocess.run(command, capture_output=True, text=True)
        said = "done" if not done.returncode else f"failed: {done.stderr.strip().splitlines()[-1]}"
        print(f"{job['folder']} {said}", flush=True)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, jobs))


def accuracy(folder: Path) -> dict[tuple[str, str], float]:
    """In per cent by features and protocol; empty where the cell is missing."""
    path = folder / "evaluation.json"
    rows = json.loads(path.read_text())["results"] if path.is_file() else []
    return {
        ("network" if "(" in row["features"] else row["features"], row["protocol"]): 100
        * row["accuracy"]
        for row in rows
    }


def speaker_table(folder: Path, speakers: list[str]) -> list[str]:
    found: dict[str, list[dict[tuple[str, str], float]]] = {
        method: [accuracy(place(folder, each, method, VIEWS)) for each in speakers]
        for method in METHODS
    }
    rows = [(method.upper().replace("SIMCLR", "SimCLR"), method, "network") for method in METHODS]
    rows += [(name, "byol", name) for name in ("random initialisation", "log-mel statistics")]
    lines = []
    for protocol in PROTOCOLS:
        lines += [
            f"| {protocol}, % | {' | '.join(speakers)} | mean |",
            "|---" * (len(speakers) + 2) + "|",
        ]
        for name, method, features in rows:
            values = [each.get((features, protocol)) for each in found[method]]
            known = [value for value in values if value is not None]
            mean = f"{statistics.mean(known):.1f}" if len(known) == len(values) else "-"
            cells = ["-" if value is None else f"{value:.1f}" for value in values]
            lines.append(f"| {name} | {' | '.join(cells)} | {mean} |")
        lines.append("")
    return lines[:-1]


def views_table(folder: Path, speaker: str) -> list[str]:
    heads = [f"{method}: {part}" for method in METHODS for part in ("linear", "kNN")]
    lines = [f"| views, {speaker} held out | {' | '.join(heads)} |", "|---" * 5 + "|"]
    for views in [VIEWS, *ALONE]:
        found = [accuracy(place(folder, speaker, method, views)) for method in METHODS]
        values = [each.get(("network", protocol)) for each in found for protocol in PROTOCOLS]
        shown = ["-" if value is None else f"{value:.1f}" for value in values]
        lines.append(f"| {views} | {' | '.join(shown)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--speakers", nargs="+", default=SPEAKERS)
    parser.add_argument("--only", choices=["speakers", "views"])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-audio"))
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        job = json.loads(arguments.cell)
        cell(Path(job.pop("data")), Path(job.pop("folder")), **job)
        return
    speakers = arguments.speakers
    launch(cells(arguments.folder, arguments.data, speakers, arguments.only), arguments.jobs)
    lines = [*speaker_table(arguments.folder, speakers), ""]
    lines += views_table(arguments.folder, speakers[0])
    print("\n".join(lines))
    if speakers == SPEAKERS:
        write(DOCS / "results.md", "audio", lines)


if __name__ == "__main__":
    main()
