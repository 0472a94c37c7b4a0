"""CIFAR-10 (JPEG), BYOL with ResNet-18: the linear accuracy that minutes of one GPU give.

    python -m benchmarks.gpu.cifar --data runs/carry/cifar10 [--total 25] [--recipe lars]

Goals: 90 % within one call of nine minutes; 92.6 % within 25 minutes over resumed calls, by
--total 25 given to each. JPEG is lossy: published figures are on the exact pixels.
"""

from pathlib import Path

from benchmarks.ablations.scales import data as sample
from benchmarks.gpu.race import options, race, unpacked


def main() -> None:
    given = options(__doc__).parse_args()
    if given.toy:
        more = {"backbone": "small-resnet", "size": 8, "batch_size": 32, "hidden": 16}
        race("cifar", given, lambda: sample("tiny", None), more)
        return
    size = given.size or 32
    more = {"backbone": "resnet18", "size": size, "batch_size": given.batch or 512}
    folder = given.data or Path("runs/carry/cifar10")
    race("cifar", given, lambda: unpacked(folder, given.out / "cifar10", size), more)


if __name__ == "__main__":
    main()
