"""Spoken digits of a speaker never heard: pretrained on the others, probed on them, scored on him.

    python benchmarks/audio.py FSDD.npz                       # both tables, into docs/results.md
    python benchmarks/audio.py FSDD.npz --only speakers
    python benchmarks/audio.py FSDD.npz --jobs 2              # two runs at a time

The file is the Free Spoken Digit Dataset (8 kHz): flat int16 ``samples``, and of each clip
``length``, ``digit`` and ``speaker``, a place in ``speaker_names``. A run is a cell: what it gave
stays in benchmarks/results/audio.json and is not made again. Nobody's labels are seen in
pretraining.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from kept import RESULTS, fill, keep, read_record
from tables import DOCS, spread, standing, write

import ownlatent as ol
from ownlatent.data.clips import open_clips

RECORD = RESULTS / "audio.json"
SPEAKERS = ["george", "jackson", "lucas"]
"""Of six; yweweler is whom the settings were tried on."""
COMMON: dict[str, Any] = {
    "batch_size": 64, "optimizer": "adamw", "weight_decay": 0.05, "base_lr": 0.004, "steps": 400,
    "log_every": 50,
}  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {"byol": {}, "simclr": {"temperature": 0.2}}
VIEWS, SIZE, SEEDS = "audio-all", 32, 3
ALONE = ["audio-crop", "audio-mix", "audio-noise"]
PROTOCOLS = ("linear probe", "kNN (k=20, T=0.07)")


def cell(
    data: Path, folder: Path, speaker: str, method: str, views: str, seed: int
) -> dict[str, float]:
    """Pretrained, or gone on with, and measured: in percent, by features and protocol."""
    held = np.load(data)
    sounds = np.split(held["samples"], np.cumsum(held["length"])[:-1])
    own = held["speaker"] == list(held["speaker_names"]).index(speaker)

    def clips(rows: Any, **options: Any) -> Any:
        chosen = [sounds[row] for row in np.flatnonzero(rows)]
        return open_clips(chosen, rate=8000, labels=held["digit"][rows], **options)

    others = clips(~own, size=SIZE)
    keep(folder, others, method=method, views=views, seed=seed, **COMMON | METHODS[method])
    if not (folder / "evaluation.json").is_file():
        # What learned nothing is asked once a speaker and seed.
        plain = method == "byol" and views == VIEWS
        test = clips(own, like=others.settings)
        ol.evaluate(folder, others, test=test, seed=seed, baselines=plain)
    rows = json.loads((folder / "evaluation.json").read_text())["results"]
    return {key(r["features"], r["protocol"]): round(100 * r["accuracy"], 2) for r in rows}


def key(features: str, protocol: str) -> str:
    return f"{'network' if '(' in features else features}: {protocol}"


def name(speaker: str, method: str, views: str, seed: int) -> str:
    return f"{speaker}-{method}-{views}-{seed}"


def cells(only: str | None) -> list[tuple[str, str, str, int]]:
    wanted = []
    if only != "views":
        wanted += [(s, m, VIEWS, seed) for seed in range(SEEDS) for s in SPEAKERS for m in METHODS]
    if only != "speakers":
        wanted += [(SPEAKERS[0], m, views, 0) for views in [VIEWS, *ALONE] for m in METHODS]
    return list(dict.fromkeys(wanted))


def speaker_table(record: dict[str, Any]) -> list[str]:
    rows = [("BYOL", "byol", "network"), ("SimCLR", "simclr", "network")]
    rows += [(name, "byol", name) for name in ("random initialisation", "log-mel statistics")]
    lines = []
    for protocol in PROTOCOLS:
        lines += [
            f"| {protocol}, % | seeds | {' | '.join(SPEAKERS)} | mean |",
            "|---" * (len(SPEAKERS) + 3) + "|",
        ]
        for title, method, features in rows:
            of = key(features, protocol)
            cells = [
                [record.get(name(who, method, VIEWS, seed), {}).get(of) for who in SPEAKERS]
                for seed in range(SEEDS)
            ]
            whole = [row for row in cells if None not in row]
            if not whole:
                lines.append(f"| {title} | - | missing{' |' * (len(SPEAKERS) + 1)}")
                continue
            columns = [*zip(*whole, strict=True), [statistics.mean(row) for row in whole]]
            values = " | ".join(spread(column) for column in columns)
            lines.append(f"| {title} | {len(whole)} | {values} |")
        lines.append("")
    return lines[:-1]


def views_table(record: dict[str, Any]) -> list[str]:
    heads = [f"{method}: {part}" for method in METHODS for part in ("linear", "kNN")]
    lines = [f"| views, {SPEAKERS[0]} held out | {' | '.join(heads)} |", "|---" * 5 + "|"]
    for views in [VIEWS, *ALONE]:
        found = [record.get(name(SPEAKERS[0], method, views, 0)) for method in METHODS]
        if None in found:
            lines.append(f"| {views} | missing | | | |")
            continue
        values = [each[key("network", protocol)] for each in found for protocol in PROTOCOLS]
        lines.append(f"| {views} | {' | '.join(f'{value:.1f}' for value in values)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=["speakers", "views"])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-audio"))
    arguments = parser.parse_args()
    todo = {
        name(*each): (arguments.data, arguments.folder / name(*each), *each)
        for each in cells(arguments.only)
    }
    failed = fill(RECORD, todo, cell, arguments.jobs)
    record = read_record(RECORD)
    if not record:
        raise SystemExit("There is nothing to put into the tables.")
    document = DOCS / "results.md"
    lines = [*speaker_table(record), ""]
    lines += standing(document, "audio", views_table(record))
    print("\n".join(lines))
    write(document, "audio", lines)
    if failed:
        raise SystemExit(f"{failed} cells failed.")


if __name__ == "__main__":
    main()
