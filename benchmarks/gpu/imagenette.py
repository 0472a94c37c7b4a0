"""Imagenette, re-encoded to be carried, BYOL with ResNet-18: accuracy that minutes give.

    python -m benchmarks.gpu.imagenette --data runs/carry/imagenette [--size 112] [--recipe lars]

carry.py says by how much the images were shrunk and how they were encoded: figures do not compare
with published ones, which are on the original files.
"""

from pathlib import Path

from benchmarks.ablations.scales import data as sample
from benchmarks.gpu.race import options, race, unpacked


def main() -> None:
    given = options(__doc__).parse_args()
    if given.toy:
        more = {"backbone": "small-resnet", "size": 16, "batch_size": 32, "hidden": 16}
        race("imagenette", given, lambda: sample("tiny", None), more)
        return
    size = given.size or 128
    more = {"backbone": "resnet18", "stem": "standard", "size": size,
            "batch_size": given.batch or 256}  # fmt: skip
    folder = given.data or Path("runs/carry/imagenette")
    race("imagenette", given, lambda: unpacked(folder, given.out / "imagenette", size), more)


if __name__ == "__main__":
    main()
