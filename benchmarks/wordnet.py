"""Labelled sentences: WordNet's glosses, and the lexicographer file that each synset is in.

Debian has WordNet in the package wordnet-base (``apt-get download wordnet-base`` and ``dpkg -x``
unpack it anywhere); the files wanted are ``data.noun`` and ``data.verb``. Their lines are described
in its manual page wndb(5), the 26 files of nouns and 15 of verbs in lexnames(5).
"""

import hashlib
import json
from pathlib import Path

CLASSES = {"data.noun": range(3, 29), "data.verb": range(29, 44)}
"""Numbers of the lexicographer files of nouns and of verbs: 41 classes."""


def glosses(folder: Path) -> list[tuple[str, int]]:
    """Each different gloss, definition and examples, with the number of its lexicographer file."""
    found: dict[str, int] = {}
    for name, numbers in CLASSES.items():
        for line in (folder / name).read_text().splitlines():
            if line.startswith("  "):  # the licence
                continue
            synset, _, gloss = line.partition(" | ")
            number = int(synset.split()[1])
            assert number in numbers, line
            found.setdefault(gloss.strip(), number)  # the same gloss must not be on both sides
    return list(found.items())


def splits(folder: Path, counts: tuple[int, ...]) -> list[list[tuple[str, int]]]:
    """Disjoint samples of about these sizes, each with every class in its share.

    Within a class glosses are sorted by the hash of their text, so no seed is needed.
    """
    classes: dict[int, list[str]] = {}
    for gloss, number in glosses(folder):
        classes.setdefault(number, []).append(gloss)
    total = sum(map(len, classes.values()))
    parts: list[list[tuple[str, int]]] = [[] for _ in counts]
    for number, members in classes.items():
        members.sort(key=lambda gloss: hashlib.blake2b(gloss.encode()).digest())
        at = 0
        for part, count in zip(parts, counts, strict=True):
            share = round(count * len(members) / total)
            part += [(gloss, number) for gloss in members[at : at + share]]
            at += share
    return [sorted(part, key=lambda p: hashlib.blake2b(p[0].encode()).digest()) for part in parts]


def write(folder: Path, out: Path) -> tuple[Path, Path, Path]:
    """Files of the sentences to train on (no labels), of the same with labels, and to score on."""
    train, test = splits(folder, (10_000, 4_000))
    out.mkdir(parents=True, exist_ok=True)
    paths = out / "train.txt", out / "train.jsonl", out / "test.jsonl"
    paths[0].write_text("".join(f"{gloss}\n" for gloss, _ in train))
    for path, part in zip(paths[1:], (train, test), strict=True):
        rows = (json.dumps({"text": gloss, "label": number}) for gloss, number in part)
        path.write_text("".join(f"{row}\n" for row in rows))
    return paths
