"""The project's own promises: what is pinned, what is shipped, what is not written down."""

import hashlib
import io
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from packaging.requirements import Requirement
from PIL import Image

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "src" / "ownlatent" / "demo_data"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lock_lines() -> list[str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_lock_holds_exact_versions_and_nothing_else() -> None:
    pin = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][0-9a-z.+!]*( ; [^:@]+)?")
    assert [line for line in lock_lines() if not pin.fullmatch(line)] == []
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_every_dependency_is_pinned_to_a_version_it_allows() -> None:
    pins: dict[str, list[str]] = {}
    for line in lock_lines():
        name, version = line.split(" ;")[0].split("==")
        pins.setdefault(name, []).append(version)
    extras = PROJECT["optional-dependencies"]
    for text in PROJECT["dependencies"] + extras["track"] + extras["dev"]:
        requirement = Requirement(text)
        versions = pins.get(requirement.name, [])
        assert versions, f"{requirement.name} is not in requirements.lock: run `make lock`"
        assert all(requirement.specifier.contains(version) for version in versions), text


def test_changelog_begins_with_the_current_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == PROJECT["version"]


def test_no_text_names_a_package_index_or_a_path_of_one_machine() -> None:
    # brackets keep the pattern from finding itself
    private = re.compile(
        r"(?<!\w)[/](work|root|opt)/|[/]tmp/dev|[p]ypi\.org|[p]ythonhosted|[d]ownload\.pytorch"
    )
    kinds = {".html", ".json", ".lock", ".md", ".py", ".svg", ".toml", ".txt", ".yaml", ".yml"}
    folders = ("benchmarks", "docs", "examples", "scripts", "src", "tests")
    files = [*ROOT.iterdir(), *(file for name in folders for file in (ROOT / name).rglob("*"))]
    texts = [file for file in files if file.suffix in kinds and file.is_file()]
    texts += [ROOT / name for name in ("Makefile", ".gitignore", ".ci/run")]
    assert len(texts) > 10
    assert [str(file) for file in texts if private.search(file.read_text())] == []


# Counts per class (airplane ... truck) of the official data_batch_1 + data_batch_2, which are the
# first 20,000 training images; CIFAR-10's test set has no such batches.
TRAIN_COUNTS = np.add(
    [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981],
    [984, 1007, 1010, 995, 1010, 988, 1008, 1026, 987, 985],
).tolist()
# The first labels of the official sets: frog, truck, truck ... and cat, ship, ship ...
FIRST_LABELS = {"train": [6, 9, 9, 4, 1, 1, 2, 7, 8, 3], "test": [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]}
# SHA-256 of pixels decoded from the JPEG archives by the loader that came with them.
PIXELS = {
    ("train", 0): "f5d3e53ead963f62",
    ("train", 10_000): "8064ce29a47635ed",
    ("train", 19_999): "b9f26602d8d5b695",
    ("test", 0): "eb709b6efef4ebb7",
    ("test", 3_999): "534e34cba874dc18",
}


def pixels(split: str, row: int) -> np.ndarray:
    image = pq.read_table(DEMO / f"cifar10-{split}.parquet")["image"][row].as_py()
    return np.asarray(Image.open(io.BytesIO(image["bytes"])))


@pytest.mark.parametrize(("split", "count"), [("train", 20_000), ("test", 4_000)])
def test_demo_data_is_the_start_of_cifar10_in_official_order(split: str, count: int) -> None:
    table = pq.read_table(DEMO / f"cifar10-{split}.parquet")
    labels = table["label"].to_numpy()
    assert len(labels) == count
    assert labels[:10].tolist() == FIRST_LABELS[split]
    assert sorted(set(labels.tolist())) == list(range(10))
    if split == "train":
        assert np.bincount(labels).tolist() == TRAIN_COUNTS
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"]["names"][3] == "cat"  # Krizhevsky's batches.meta
    paths = table["image"].combine_chunks().field("path").to_pylist()
    assert len(set(paths)) == count


@pytest.mark.parametrize(("split", "row"), PIXELS)
def test_demo_images_decode_to_the_pixels_of_their_source(split: str, row: int) -> None:
    digest = hashlib.sha256(pixels(split, row).tobytes()).hexdigest()
    assert digest.startswith(PIXELS[split, row])


def test_demo_pixels_are_near_the_exact_ones() -> None:
    # Corners of CIFAR-10's first training image, the frog, as published; 30.5 dB is 7.6 grey levels
    # RMS. BGR for RGB or a transposed image would be 20 and more away.
    frog = pixels("train", 0).astype(int)
    exact = {(0, 0): (59, 62, 63), (0, 31): (148, 124, 103), (31, 31): (123, 92, 72)}
    for corner, colour in exact.items():
        assert np.abs(frog[corner] - colour).max() <= 15, corner


def test_demo_data_is_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in DEMO.iterdir()) <= 20_000_000
