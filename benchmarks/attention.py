"""Do the attention maps of a small DINO find objects? Jaccard overlap with CamVid's masks.

    python benchmarks/attention.py FOLDER_OF_CAMVID [--seeds 0 1 2] [--steps 400]

The folder holds train/, val/ and test/ with frames and train_mask/ and so on with their masks.
Training sees the frames of train/ alone; test/ is what is measured. Finished runs are kept.
"""

import argparse
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from kept import keep
from PIL import Image
from torch import Tensor

from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.evaluation.overlap import jaccard
from ownlatent.networks.attention import attention, mask
from ownlatent.report.attention import at_size, draw_attention

CLASSES = {"car": 8, "pedestrian": 9}
VOID = 11
LEAST = 0.005  # of the pixels, that a class must cover
KEEP = 0.6
SIZE = 192
BLOCK = 10  # frames of video in a row are alike: the bootstrap draws them together
DRAWS = 2000
OPTIONS = {
    "method": "dino",
    "backbone": "small-vit",
    "size": 64,
    "canvas": 160,
    "views": "dino",
    "crops": 4,
    "batch_size": 32,
    "optimizer": "adamw",
    "base_lr": 4e-3,
    "weight_decay": 0.04,
    "clip": 3.0,
    "precision": "fp32",
    "prototypes": 512,
    "tau": 0.99,
    "teacher_end": 0.04,
}


@dataclass(frozen=True)
class Frames:
    """Central squares: uint8 ``[N, 3, S, S]`` and class numbers uint8 ``[N, S, S]``."""

    pixels: Tensor
    classes: Tensor

    @classmethod
    def read(cls, folder: Path) -> "Frames":
        images, masks = [], []
        for file in sorted((folder / "test").iterdir()):
            label = folder / "test_mask" / f"{file.stem}.png"
            with Image.open(file) as image, Image.open(label) as classes:
                images.append(_central(np.array(image.convert("RGB"))))
                masks.append(_central(np.array(classes)))
        pixels = torch.from_numpy(np.stack(images)).movedim(-1, 1)
        return cls(pixels.contiguous(), torch.from_numpy(np.stack(masks)))


def _central(array: np.ndarray) -> np.ndarray:
    """What an encoder keeps of an image."""
    side = min(array.shape[:2])
    top, left = ((length - side) // 2 for length in array.shape[:2])
    return array[top : top + side, left : left + side]


@torch.no_grad()
def masks_of(encoder: Encoder, pixels: Tensor) -> Tensor:
    """Thresholded attention, bool ``[N, heads, rows, columns]``."""
    encoder = at_size(encoder.eval(), SIZE)
    parts = pixels.split(16)
    return torch.cat(
        [mask(attention(encoder.backbone, encoder.preprocess(p)), KEEP) for p in parts]
    )


def centre_boxes(kept: Tensor) -> Tensor:
    """For each mask the patches nearest to the centre, as many: squares but for their rim."""
    rows, columns = kept.shape[2:]
    y = (torch.arange(rows) - (rows - 1) / 2).abs()[:, None]
    x = (torch.arange(columns) - (columns - 1) / 2).abs()
    far = (torch.maximum(y, x) + 1e-3 * (x + y)).flatten()  # the corners of a ring come last
    rank = far.argsort(stable=True).argsort().view(rows, columns)
    return rank < kept.sum((2, 3), keepdim=True)


def overlaps(kept: Tensor, frames: Frames, number: int, rows: Tensor) -> Tensor:
    """Jaccard index of every head, float64 ``[N, heads]``: masks enlarged to the pixels."""
    found = []
    for row in rows.tolist():
        classes = frames.classes[row]
        full = F.interpolate(kept[row][None].float(), classes.shape, mode="nearest-exact")[0] > 0
        found.append(jaccard(full, classes == number, classes != VOID))
    return torch.stack(found)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of a mean: a bootstrap of blocks of neighbouring frames."""
    blocks = [values[i : i + BLOCK] for i in range(0, len(values), BLOCK)]
    sums, sizes = np.array([b.sum() for b in blocks]), np.array([len(b) for b in blocks])
    drawn = np.random.default_rng(0).integers(0, len(blocks), (DRAWS, len(blocks)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def cell(values: np.ndarray) -> str:
    low, high = interval(values)
    return f"{100 * values.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def train(folder: Path, out: Path, seed: int, steps: int) -> Path:
    run = out / f"seed-{seed}-steps-{steps}"
    keep(run, str(folder / "train"), seed=seed, steps=steps, **OPTIONS)
    return run


def measure(runs: list[Path], seeds: list[int], frames: Frames) -> str:
    trained = [masks_of(EncoderFolder.find(run).load(), frames.pixels) for run in runs]
    random = [masks_of(EncoderFolder.find(runs[0]).blank(seed), frames.pixels) for seed in seeds]
    shift = len(frames.pixels) // 2
    sets = {
        "DINO": trained,
        "random initialisation": random,
        "DINO's attention on another frame": [kept.roll(shift, 0) for kept in trained],
        "centre box as large as DINO's": [centre_boxes(kept) for kept in trained],
        "centre box as large as the random one's": [centre_boxes(kept) for kept in random],
    }
    lines = []
    for name, number in CLASSES.items():
        share = (frames.classes == number).double().mean((1, 2))
        rows = (share >= LEAST).nonzero()[:, 0]
        lines += [
            f"## {name}: {len(rows)} frames, it covers {100 * share[rows].mean():.1f} % of them",
            "",
            "| mask | best head | each head | mean area | best head, by seed |",
            "| :-- | --: | --: | --: | --: |",
        ]
        best = {}
        for label, several in sets.items():
            each = torch.stack([overlaps(kept, frames, number, rows) for kept in several]).numpy()
            best[label] = each.max(2).mean(0)
            by_seed = ", ".join(f"{100 * value:.1f}" for value in each.max(2).mean(1))
            area = torch.stack(several)[:, rows].double().mean()
            lines.append(
                f"| {label} | {cell(best[label])} | {cell(each.mean((0, 2)))} "
                f"| {100 * area:.0f} % | {by_seed} |"
            )
        lines += ["", "DINO's best head less that of:", ""]
        lines += [f"- {o}: {cell(best['DINO'] - best[o])}" for o in list(sets)[1:]] + [""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--runs", type=Path, default=Path("runs/attention"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/attention.md"))
    parser.add_argument("--picture", type=Path, default=Path("runs/attention/attention.png"))
    arguments = parser.parse_args()
    folder, seeds, steps = arguments.folder, arguments.seeds, arguments.steps
    runs = [train(folder, arguments.runs, seed, steps) for seed in seeds]
    found = measure(runs, seeds, Frames.read(folder))
    chosen = ", ".join(f"{k} {v}" for k, v in OPTIONS.items() if k not in ("method", "backbone"))
    text = f"""# DINO's attention and CamVid's objects

    python benchmarks/attention.py FOLDER_OF_CAMVID --seeds {" ".join(map(str, seeds))} \
--steps {steps}

A small ViT (4 blocks, 4 heads) is trained by DINO on the 367 frames of train/, {steps} steps for
each of {len(seeds)} seeds:
{textwrap.fill(chosen, 100)}.

Then the teacher looks at the 233 frames of test/, which it has not seen: the central square at
{SIZE} pixels, 24 x 24 patches. Of each head the fewest patches with {100 * KEEP:.0f} % of the
attention are enlarged to the pixels (nearest neighbour) and held against the mask; void pixels do
not count. Only frames count that the class covers by {100 * LEAST:g} %. "Best head" is DINO's
protocol: for each frame the head that overlaps most, chosen by the mask itself; "each head" is the
mean over heads. Random initialisation is the same network under {len(seeds)} seeds. A centre box
has as many patches as the mask it stands for, and its best is chosen alike.

Jaccard index in per cent, mean over frames and seeds, with the 95 % interval of a bootstrap over
blocks of {BLOCK} frames in a row (of the frames: the seeds are beside it).

{found}"""
    arguments.out.write_text(text)
    draw_attention(runs[0], folder / "test", out=arguments.picture, size=SIZE, keep=KEEP, images=3)
    print(text)


if __name__ == "__main__":
    main()
