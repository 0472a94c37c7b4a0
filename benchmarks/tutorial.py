"""What a popular text calls BYOL, run as it is printed beside BYOL itself.

    python benchmarks/tutorial.py                     # all cells, and the tables of the document
    python benchmarks/tutorial.py --rows distance mse --seeds 0

The text is described in docs/tutorial-byol.md. A run is a cell: finished ones are passed over and
stopped ones go on. Everything about the runs but the method, its inputs and its views is the same.
"""

import argparse
import json
import statistics
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from kept import keep
from tables import DOCS, spread, write
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ownlatent.data import as_canvases
from ownlatent.demo import FITTED, TEST, TRAIN
from ownlatent.encoder import EncoderFolder
from ownlatent.evaluation import embed, knn, linear_probe
from ownlatent.methods import METHODS, Method, Outcome, preset
from ownlatent.networks import Tower
from ownlatent.objectives.precision import widen
from ownlatent.training.folder import RunFolder
from ownlatent.training.verdict import Spread, judge
from ownlatent.views.recipe import RECIPES, Recipe

# --- what the text prints -----------------------------------------------------------------------


def phi(x: Tensor, norm: str) -> Tensor:
    """The text's normalised input, ``[B, ...]`` to the same, with nothing learnt."""
    if norm == "batch":
        return F.batch_norm(x, None, None, training=True)
    if norm == "layer":
        return F.layer_norm(x, x.shape[1:])
    return F.instance_norm(x) if norm == "instance" else x


class Tutorial(Method):
    """f is a backbone and a linear layer; f(X+) is drawn to f(X-), and nothing else is asked.

    X+ = phi(X) and X- = phi(X) + alpha Omega, Omega standard normal. There is no predictor, no
    target and no stop-gradient.

    Args:
        backbone: maps ``[B, ...]`` to ``[B, num_features]``.
        dim: length of f's output.
        inputs: phi: batch norm as printed, or another.
        alpha: size of the noise (the text leaves it open).
        pair: the text's noisy pair, or two views as BYOL has them.
    """

    presets: ClassVar = {"small": replace(preset("byol"), options={})}

    def __init__(
        self,
        backbone: Any,
        *,
        dim: int = 256,
        inputs: Literal["batch", "layer", "instance", "none"] = "batch",
        alpha: float = 0.1,
        pair: Literal["noise", "views"] = "noise",
    ) -> None:
        super().__init__()
        self.online = Tower(backbone, nn.Linear(backbone.num_features, dim))
        self.inputs, self.alpha, self.pair = inputs, alpha, pair

    def embed(self, view: Tensor) -> tuple[Tensor, Tensor]:
        features, z = self.online(phi(view, self.inputs))
        return features, z

    def forward(self, views: list[Tensor]) -> Outcome:
        x = phi(views[0], self.inputs)
        # The loop has seeded the generator for this step, so a resumed run draws the same.
        other = x + self.alpha * torch.randn_like(x) if self.pair == "noise" else views[1]
        (features, a), (_, b) = self.online(x), self.online(other)
        return Outcome(self.loss(widen(a), widen(b)), features.detach(), a.detach())

    def loss(self, a: Tensor, b: Tensor) -> Tensor:
        """The loss of two outputs ``[B, d]``."""
        raise NotImplementedError


class HalfSquare(Tutorial):
    """The text's equations: D = (1/d) sum Delta^2 with Delta = f(X+) - f(X-), loss = D^2 / 2."""

    def loss(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().mean(1).square().mean() / 2


class Distance(Tutorial):
    """Elsewhere in the text: ||f(X+) - f(X-)||."""

    def loss(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.vector_norm(a - b, dim=1).mean()


class CodeMSE(Tutorial):
    """The text's code: the mean squared error of two outputs."""

    def loss(self, a: Tensor, b: Tensor) -> Tensor:
        return F.mse_loss(a, b)


class Cosine(Tutorial):
    """Not in the text: BYOL's distance in the place of the text's."""

    def loss(self, a: Tensor, b: Tensor) -> Tensor:
        return (2 - 2 * F.cosine_similarity(a, b)).mean()


FORMS = {
    "tutorial-half-square": HalfSquare,
    "tutorial-distance": Distance,
    "tutorial-mse": CodeMSE,
    "tutorial-cosine": Cosine,
}
METHODS.update(FORMS)
# The text's X: a window of the image as large as BYOL's views, at the scale that probes see.
_WINDOW = Recipe(area=((20 / 32) ** 2,) * 2, ratio=(1, 1), flip=0, jitter=0, grayscale=0)
RECIPES["window"] = (_WINDOW, _WINDOW)

# --- images -------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One row of the table: a method and what differs from the common settings."""

    words: str
    method: str
    options: dict[str, Any]
    seeds: int = 1


NOISE: dict[str, Any] = {"views": "window"}
ADAMW: dict[str, Any] = {"optimizer": "adamw", "base_lr": 0.004}  # per 256 images
STEPS = 600
COMMON: dict[str, Any] = {
    "backbone": "small-resnet",
    "size": 20,
    "steps": STEPS,
    "log_every": 20,
    # One optimizer for all rows, whatever BYOL's preset may come to be.
    "optimizer": "sgd",
    "base_lr": 0.4,
    "weight_decay": 5e-4,
    "predictor_lr": 1.0,
}
PRETRAINED = "byol"
"""The row whose first seed other rows are started from."""
ROWS = {
    "byol": Row("**BYOL**", "byol", {}, 3),
    "half-square": Row("as printed: D²/2", "tutorial-half-square", NOISE, 3),
    "distance": Row("as printed: Euclidean distance", "tutorial-distance", NOISE, 3),
    "mse": Row("its code: MSE", "tutorial-mse", NOISE, 3),
    "byol-noise": Row("BYOL itself on a window and its noisy copy", "byol-noise", NOISE),
    "mse-views": Row("MSE between BYOL's views", "tutorial-mse", {"pair": "views"}),
    "layer": Row("MSE, layer norm on the input", "tutorial-mse", NOISE | {"inputs": "layer"}),
    "instance": Row(
        "MSE, instance norm on the input", "tutorial-mse", NOISE | {"inputs": "instance"}
    ),
    "none": Row("MSE, no norm on the input", "tutorial-mse", NOISE | {"inputs": "none"}),
    "alpha": Row("MSE, ten times the noise", "tutorial-mse", NOISE | {"alpha": 1.0}),
    "cosine": Row("BYOL's cosine distance, else as printed", "tutorial-cosine", NOISE),
    "half-square-adamw": Row(
        "D²/2 by AdamW, rate 0.001", "tutorial-half-square", NOISE | ADAMW
    ),
    "mse-adamw": Row("MSE by AdamW, rate 0.001", "tutorial-mse", NOISE | ADAMW),
    "no-norm": Row("MSE, no norm anywhere", "tutorial-mse", NOISE | {"norm": "none"}),
    "vgg": Row("MSE, VGG-11 (100 steps)", "tutorial-mse",
               NOISE | {"backbone": "vgg11_bn", "steps": 100}),
    "byol-vgg": Row("BYOL, VGG-11 (100 steps)", "byol", {"backbone": "vgg11_bn", "steps": 100}),
    "pretrained": Row("MSE, begun from BYOL's seed 0", "tutorial-mse", NOISE | {"init": True}),
}  # fmt: skip


class NoisyBYOL(METHODS["byol"]):  # type: ignore[misc]  # the registry's classes are values
    """BYOL with the text's pair of inputs and nothing else changed."""

    presets: ClassVar = {"small": preset("byol")}

    def forward(self, views: list[Tensor]) -> Outcome:
        x = phi(views[0], "batch")
        return super().forward([x, x + 0.1 * torch.randn_like(x)])

    def embed(self, view: Tensor) -> tuple[Tensor, Tensor]:
        return super().embed(phi(view, "batch"))


METHODS["byol-noise"] = NoisyBYOL


class Phi(nn.Module):
    """phi before a backbone, for encoders of rows whose phi looks at one image at a time."""

    def __init__(self, norm: str) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return phi(x, self.norm)


def cell(root: Path, name: str, seed: int) -> Path:
    """One run, measured: made, gone on with, or found done."""
    row, folder = ROWS[name], root / f"{name}-{seed}"
    options: dict[str, Any] = COMMON | row.options | {"method": row.method, "seed": seed}
    if options.pop("init", False):
        options["init"] = cell(root, PRETRAINED, 0) / "encoder" / "online.safetensors"
    keep(folder, TRAIN, **options)
    path = folder / "measured.json"
    if RunFolder(folder).state()["state"] == "finished" and not path.is_file():
        encoders = EncoderFolder.find(folder)
        own = encoders.load()
        if options.get("inputs") in ("layer", "instance"):
            # Batch norm's statistics are the data's, which the encoder takes out by itself.
            own.backbone = nn.Sequential(Phi(options["inputs"]), own.backbone)
        measured = {"network": probes(own, seed)}
        if name in (PRETRAINED, "byol-vgg"):
            blank = encoders.blank(seed)
            measured["random"] = probes(blank, seed)
            pixels = as_canvases(TRAIN, view_size=32, labelled=True).pixels[:2000]
            settled(blank.backbone, blank.preprocess(pixels))
            measured["settled"] = probes(blank, seed)
        path.write_text(json.dumps(measured) + "\n")
    return folder


def probes(encoder: nn.Module, seed: int) -> dict[str, float]:
    """Accuracies in per cent: fitted on the first 10,000 training images, scored on 4,000."""
    train, test = (as_canvases(part, view_size=32, labelled=True) for part in (TRAIN, TEST))
    x, y = embed(encoder, train.pixels[:FITTED]), train.labels[:FITTED]
    features = x, y, embed(encoder, test), test.labels
    return {
        "linear": 100 * linear_probe(*features, seed=seed).accuracy,
        "knn": 100 * knn(*features).accuracy,
    }


UNTRAINED = {
    "random": "the same network, untrained",
    "settled": "the same, batch norm's statistics from 2,000 images",
}


def image_table(root: Path) -> list[str]:
    lines = [
        "| what is trained | seeds | linear probe, % | kNN (k=20), % | verdict | spread of z "
        "| size of z | rank of z | rank of f | loss, first and last |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in ROWS.items():
        seeds = [root / f"{name}-{seed}" for seed in range(row.seeds)]
        found = [folder for folder in seeds if (folder / "measured.json").is_file()]
        if not found:
            lines.append(f"| {row.words} | - | missing | | | | | | | |")
            continue
        measured = [json.loads((f / "measured.json").read_text()) for f in found]
        judged = [json.loads((f / "verdict.json").read_text()) for f in found]
        losses = [[entry["loss"] for entry in RunFolder(f).log()] for f in found]
        lines.append(
            f"| {row.words} | {len(found)} | {accuracies(measured, 'network')} "
            f"| {', '.join(sorted({each['verdict'] for each in judged}))} "
            f"| {' | '.join(shares([each['checks'] for each in judged]))} "
            f"| {mean(log[0] for log in losses)} → {mean(log[-1] for log in losses)} |"
        )
        for whose, words in UNTRAINED.items():
            if whose in measured[0]:
                cells = accuracies(measured, whose)
                lines.append(f"| {words} | {len(found)} | {cells} | | | | | | |")
    return lines


def accuracies(measured: list[dict[str, Any]], whose: str) -> str:
    """Linear and kNN of each seed, as two cells."""
    return " | ".join(
        spread([each[whose][probe] for each in measured]) for probe in ("linear", "knn")
    )


def shares(histories: list[list[dict[str, Any]]]) -> list[str]:
    """The last check over the untrained network's: spread, size and rank of z, rank of f."""
    figures = [
        *(("embeddings", "std"), ("embeddings", "size"), ("embeddings", "effective_rank")),
        ("features", "effective_rank"),
    ]
    return [mean(h[-1][part][f] / h[0][part][f] for h in histories) for part, f in figures]


def mean(values: Any) -> str:
    return f"{statistics.mean(values):.2g}"


# --- vectors ------------------------------------------------------------------------------------


def train_vectors(
    method: Method, x: Tensor, *, steps: int, lr: float, noise: float, seed: int
) -> dict[str, Any]:
    """A plain loop: batches of 64 rows of float ``[N, D]``, given to the method twice, each time
    with its own noise of size ``noise``. No weight decay: what shrinks is the loss's doing.

    Returns:
        the verdict, with what it was found on.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(method.parameters(), lr=lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    probe = x[torch.linspace(0, len(x) - 1, 256).long()]

    def look() -> dict[str, Spread]:
        with torch.no_grad():
            first = method.train().embed(probe)
            second = method.embed(probe + 0.1 * torch.randn(probe.shape, generator=generator))
        names = ("features", "embeddings")
        return {n: Spread.of(a, b) for n, a, b in zip(names, first, second, strict=True)}

    before, losses = look(), []
    for step in range(steps):
        rows = x[torch.randint(len(x), (64,), generator=generator)]
        views = [rows + noise * torch.randn(rows.shape, generator=generator) for _ in range(2)]
        loss = method(views).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        method.after_step(step, steps)
        losses.append(loss.item())
    now = look()
    last = statistics.mean(losses[-20:])
    word, _ = judge(before, now, last, None)
    history = [{k: asdict(v) for k, v in each.items()} for each in (before, now)]
    return {"verdict": word, "checks": history, "loss": (statistics.mean(losses[:20]), last)}


def vector_table(seeds: list[int]) -> list[str]:
    """The forms and BYOL on scikit-learn's digits, 64 numbers each, by a small MLP."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = torch.tensor(digits.data).float(), torch.tensor(digits.target)
    x = (x - x.mean(0)) / x.std(0).clamp(min=1)
    train, test = slice(0, 1297), slice(1297, None)
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        for name, words in VECTOR_ROWS.items():
            torch.manual_seed(seed)
            net: Any = nn.Sequential(
                *(nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU()),
                *(nn.Linear(256, 128), nn.BatchNorm1d(128), nn.ReLU()),
            )
            net.num_features = 128
            result: dict[str, Any] = {"verdict": "", "checks": []}
            if name in METHODS:
                wide: dict[str, Any] = {"hidden": 256, "tau": 0.97} if name == "byol" else {}
                method: Any = METHODS[name](net, dim=64, **wide)
                noise = 0.5 if name == "byol" else 0.0  # the forms make their own
                result = train_vectors(
                    method, x[train], steps=VECTOR_STEPS, lr=0.1, noise=noise, seed=seed
                )
            with torch.no_grad():
                z = x if name == "raw" else settled(net, x[train]).eval()(x)
            features = z[train], y[train], z[test], y[test]
            result["network"] = {
                "linear": 100 * linear_probe(*features, seed=seed).accuracy,
                "knn": 100 * knn(*features).accuracy,
            }
            rows.setdefault(words, []).append(result)
    lines = [
        "| what is trained | seeds | linear probe, % | kNN (k=20), % | verdict | spread of z "
        "| size of z | rank of z | rank of f | loss, first and last |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for words, found in rows.items():
        verdicts = ", ".join(sorted({each["verdict"] for each in found}))
        trained = found[0]["checks"]
        figures = shares([each["checks"] for each in found]) if trained else [""] * 4
        ends = [mean(each["loss"][end] for each in found) for end in (0, 1)] if trained else []
        lines.append(
            f"| {words} | {len(found)} | {accuracies(found, 'network')} | {verdicts} "
            f"| {' | '.join(figures)} | {' → '.join(ends)} |"
        )
    return lines


VECTOR_STEPS = 3000
VECTOR_ROWS = {
    "byol": "**BYOL**, noise of 0.5 on both views",
    "tutorial-half-square": "as printed: D²/2",
    "tutorial-distance": "as printed: Euclidean distance",
    "tutorial-mse": "its code: MSE",
    "untrained": "the same network, untrained",
    "raw": "the 64 numbers themselves",
}


def settled(net: nn.Module, x: Tensor) -> nn.Module:
    """Batch norm's running statistics from the data, so that an untrained network has some."""
    for layer in net.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.no_grad():
        net.train()(x)
    return net


# --- the tables ---------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=[*ROWS, "vectors"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-tutorial"))
    arguments = parser.parse_args()
    rows = arguments.rows or [*ROWS, "vectors"]
    for seed in arguments.seeds:
        for name in rows:
            if name != "vectors" and seed < ROWS[name].seeds:
                cell(arguments.folder, name, seed)
                print(f"{name}, seed {seed}: done", flush=True)
    tables = {"tutorial-images": image_table(arguments.folder)}
    if "vectors" in rows:
        tables["tutorial-vectors"] = vector_table(arguments.seeds)
    for mark, lines in tables.items():
        print("\n".join(lines))
        if arguments.rows is None:
            write(DOCS / "tutorial-byol.md", mark, lines)


if __name__ == "__main__":
    main()
