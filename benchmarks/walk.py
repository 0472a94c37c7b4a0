"""A new user's walk: 2,000 photographs, an encoder, doubles found, 50 labels, a classifier.

    python benchmarks/walk.py IMAGENETTE_TRAIN

The commands are those of the README's section "From a folder to a classifier", read from there and
run one after the other in an empty folder; nothing else is done but to make photos/ beforehand
(1,960 photographs of ten classes without their labels, and 40 of them again, 0.9 times as large and
saved anew), and to fill in the 50 labels, as a person would. The account goes into docs/walk.md.
"""

import argparse
import csv
import json
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kept import RESULTS
from PIL import Image
from tables import DOCS, write

README = Path(__file__).parent.parent / "README.md"
SECTION = "## From a folder to a classifier"
PHOTOS, DOUBLES = 1960, 40


def make_folder(train: Path, folder: Path, seed: int) -> tuple[dict[str, str], dict[str, str]]:
    """photos/; and which class each is of, and which each double is of."""
    draw = random.Random(seed)
    files = draw.sample(sorted(train.glob("*/*")), PHOTOS)
    truth, doubles = {}, {}
    (folder / "photos").mkdir()
    for number, file in enumerate(files):
        name = f"{number:04}.jpg"
        (folder / "photos" / name).write_bytes(file.read_bytes())
        truth[name] = file.parent.name
        if number < DOUBLES:
            double = f"{PHOTOS + number:04}.jpg"
            with Image.open(file) as image:
                smaller = image.convert("RGB").resize([round(0.9 * side) for side in image.size])
            smaller.save(folder / "photos" / double, quality=70)
            truth[double], doubles[double] = file.parent.name, name
    return truth, doubles


def commands() -> list[str]:
    """The lines of the README's section."""
    section = README.read_text().partition(SECTION)[2]
    block = re.search(r"```\n(.*?)```", section, re.S)
    assert block is not None
    lines = block[1].replace("\\\n", " ").splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.startswith("ownlatent ")]


def walk(folder: Path, truth: dict[str, str]) -> list[dict[str, Any]]:
    """Run each command; give labels where it asks for them."""
    steps = []
    for line in commands():
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(line)], cwd=folder, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{line}\n{done.stderr[-2000:]}")
        seconds = time.perf_counter() - began
        steps.append({"command": line, "seconds": round(seconds, 1), "said": done.stdout.strip()})
        print(f"{seconds:7.1f} s  {line}", flush=True)
        if " select " in line:
            _label(folder / "labels.csv", truth)
    return steps


def _label(path: Path, truth: dict[str, str]) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = truth[row["path"]]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def accuracy(predictions: Path, truth: dict[str, str]) -> tuple[float, float, int]:
    """Of the photographs without a label, and of the quarter that is surest, %; and how many."""
    with predictions.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["label"]]
    rows.sort(key=lambda row: -float(row["confidence"]))
    right = [row["predicted"] == truth[row["path"]] for row in rows]
    sure = right[: len(right) // 4]
    return (
        round(100 * sum(right) / len(right), 1), round(100 * sum(sure) / len(sure), 1), len(rows)
    )  # fmt: skip


def judge(folder: Path, truth: dict[str, str], doubles: dict[str, str]) -> dict[str, Any]:
    """What came of it, which only the maker of the folder can know."""
    listed = set((folder / "doubles.txt").read_text().split())
    known = set(doubles) | set(doubles.values())
    right, sure, unlabelled = accuracy(folder / "predictions.csv", truth)
    return {
        "doubles found": len(listed & known),
        "taken for doubles": len(listed - known),
        "accuracy": right,
        "accuracy of the surest quarter": sure,
        "unlabelled": unlabelled,
    }


def untrained(folder: Path, photos: Path, truth: dict[str, str]) -> float:
    """The same with the encoder as it was before training, and the same number of labels."""
    from ownlatent.encoder import EncoderFolder

    blank = EncoderFolder.find(folder / "runs/photos").blank(seed=0)
    EncoderFolder.write(folder / "blank", {"online": blank})
    for line in (
        f"ownlatent embed blank {photos} --out blank.parquet",
        "ownlatent select blank.parquet -n 50 --out blank-labels.csv",
        "ownlatent classify blank.parquet --labels blank-labels.csv --out blank.csv",
    ):
        command = [sys.executable, "-m", *shlex.split(line)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        if " select " in line:
            _label(folder / "blank-labels.csv", truth)
    return float(accuracy(folder / "blank.csv", truth)[0])


def page(steps: list[dict[str, Any]], found: dict[str, Any]) -> list[str]:
    lines = ["| command | seconds |", "|---|---|"]
    lines += [f"| `{step['command']}` | {step['seconds']:,.0f} |" for step in steps]
    lines += [f"| *all* | {sum(step['seconds'] for step in steps):,.0f} |", ""]
    lines += ["| what came of it | |", "|---|---|"]
    lines += [
        f"| doubles found, of {DOUBLES} | {found['doubles found']} |",
        f"| photographs wrongly taken for doubles | {found['taken for doubles']} |",
        f"| accuracy on the {found['unlabelled']:,} photographs without a label, ten classes | "
        f"{found['accuracy']} % |",
        f"| accuracy on the quarter that the classifier is surest of | "
        f"{found['accuracy of the surest quarter']} % |",
        f"| accuracy with the same network untrained | {found['untrained']} % |",
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="class folders of photographs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder to walk in, and to leave as it is then")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.keep or Path(place)
        folder.mkdir(exist_ok=True)
        truth, doubles = make_folder(arguments.train, folder, arguments.seed)
        steps = walk(folder, truth)
        found = judge(folder, truth, doubles)
        found["untrained"] = untrained(folder, folder / "photos", truth)
    record = {"steps": steps, "found": found, "cores": os.cpu_count()}
    (RESULTS / "walk.json").write_text(json.dumps(record, indent=1) + "\n")
    write(DOCS / "walk.md", "walk", page(steps, found))


if __name__ == "__main__":
    main()
