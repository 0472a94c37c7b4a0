"""Gather what a GPU machine without a network lacks, into one folder that git ignores.

    python -m benchmarks.gpu.carry DATA [--into runs/carry] [--side 128] [--megabytes 45]

DATA holds cifar10/ (cifar10_{train,test}_jpeg.npz) and imagenette160/ (train-0, train-1 and
val.tar). Wheels: of ours those that such a machine may lack, at the versions of requirements.lock,
and the peers' newest. CIFAR-10 goes as it is. Imagenette is shrunk to ``side`` and encoded at the
highest JPEG quality with which it fits; what that was is written to imagenette/encoding.json.
"""

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
OURS = "lightning-fabric", "lightning-utilities", "tyro", "docstring-parser", "typeguard"
PEERS = "kornia", "kornia-rs", "lightly"
PLATFORMS = "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"
MOST = 60_000_000
"""Bytes of the wheels and one data set, which is what one call carries."""
QUALITIES = range(90, 30, -2)
SAMPLE = 400
"""Images by which the quality is chosen."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--into", type=Path, default=Path("runs/carry"))
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--megabytes", type=float, default=45.0, help="of Imagenette")
    parser.add_argument("--python", default="3.12", help="version on that machine")
    parser.add_argument("--pip", default=f"{sys.executable} -m pip", help="a pip that can download")
    parser.add_argument("--no-wheels", action="store_true")
    given = parser.parse_args()
    if not given.no_wheels:
        wheels(given.into / "wheels", given.pip.split(), given.python)
    (given.into / "cifar10").mkdir(parents=True, exist_ok=True)
    for file in (given.data / "cifar10").glob("cifar10_*_jpeg.npz"):
        shutil.copyfile(file, given.into / "cifar10" / file.name)
    tars = given.data / "imagenette160"
    parts = {"train": [tars / "train-0.tar", tars / "train-1.tar"], "test": [tars / "val.tar"]}
    imagenette(parts, given.into / "imagenette", given.side, given.megabytes * 1e6)
    sizes = {
        folder.name: sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        for folder in sorted(given.into.iterdir())
    }
    for name, size in sizes.items():
        print(f"{name}: {size / 1e6:.1f} MB")
    wheels_size = sizes.get("wheels", 0)
    most = wheels_size + max(size for name, size in sizes.items() if name != "wheels")
    if most > MOST:
        raise SystemExit(f"{most / 1e6:.1f} MB are more than {MOST / 1e6:.0f}: take --megabytes.")


def wheels(into: Path, pip: list[str], python: str) -> None:
    locked = dict(re.findall(r"^([\w.-]+)==([\w.+-]+)", (ROOT / "requirements.lock").read_text(),
                             re.MULTILINE))  # fmt: skip
    shutil.rmtree(into, ignore_errors=True)
    wanted = [f"{name}=={locked[name]}" for name in OURS] + list(PEERS)
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run(
        [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version",
         python, "--implementation", "cp", *platforms, "--dest", str(into), *wanted],
        check=True,
    )  # fmt: skip


def imagenette(parts: dict[str, list[Path]], into: Path, side: int, most: float) -> None:
    """Write a file of each part, at most ``most`` bytes together: JPEGs that share a header,
    ``header``, ``body``, ``length`` and ``label`` of each, as CIFAR-10 is stored here."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    tars = [tar for group in parts.values() for tar in group]
    total = sum(1 for tar in tars for _ in members(tar))
    sample = [
        pixels for tar in tars for number, (_, pixels) in enumerate(members(tar))
        if number % max(1, total // SAMPLE) == 0
    ]  # fmt: skip
    for quality in QUALITIES:
        made = [encode(each, side, quality) for each in sample]
        header = header_of(made[0])
        if total * sum(len(each) - len(header) for each in made) / len(made) < 0.98 * most:
            break
    classes = sorted({name.split("/")[0] for tar in tars for name, _ in members(tar)})
    for part, group in parts.items():
        images, labels = [], []
        for tar in group:
            for name, pixels in members(tar):
                encoded = encode(pixels, side, quality)
                assert encoded.startswith(header), name
                images.append(encoded[len(header) :])
                labels.append(classes.index(name.split("/")[0]))
        np.savez(
            into / f"imagenette_{part}_jpeg.npz",
            header=np.frombuffer(header, np.uint8),
            body=np.frombuffer(b"".join(images), np.uint8),
            length=np.array([len(each) for each in images], np.uint32),
            label=np.array(labels, np.uint8),
        )
    note = {"side": side, "quality": quality, "images": total, "classes": classes}
    (into / "encoding.json").write_text(json.dumps(note) + "\n")


def members(tar: Path) -> Iterator[tuple[str, bytes]]:
    """Name, as class/file, and bytes of each image."""
    with tarfile.open(tar) as held:
        for entry in held:
            if entry.isfile() and (file := held.extractfile(entry)) is not None:
                yield "/".join(Path(entry.name).parts[-2:]), file.read()


def header_of(image: bytes) -> bytes:
    """What comes before a JPEG's pixels: the same for all of one size and quality, whose tables are
    the standard ones."""
    scan = image.index(b"\xff\xda")
    return image[: scan + 2 + int.from_bytes(image[scan + 2 : scan + 4], "big")]


def encode(image: bytes, side: int, quality: int) -> bytes:
    with Image.open(io.BytesIO(image)) as opened:
        small = opened.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    made = io.BytesIO()
    small.save(made, "JPEG", quality=quality)
    return made.getvalue()


if __name__ == "__main__":
    main()
