"""A verdict without labels: is this run learning, and if not, what went wrong?

The network that is being trained embeds two views of the same 256 images at every check. Nothing
absolute can be said of what comes out: features of an untrained ReLU network are nearly parallel
already, so every figure is held against what the same network gave before its first step. The
thresholds lie between what healthy and broken runs showed: docs/verdict.md.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ownlatent.diagnostics import alignment, effective_rank, feature_std, spectrum, uniformity
from ownlatent.training.feed import channels_last
from ownlatent.training.session import Session

IMAGES = 256
"""Images of the probe batch: those of the data, evenly spread."""
EVERY, LATER, EARLY = 100, 250, 1000
"""Optimizer steps between checks: 100, and 250 after the first 1,000; at the next log row each."""
MOST_CHECKS = 1000
"""Checks remembered; beyond that every second one is forgotten."""
SPREAD = 0.25
"""Collapsed below this share of the untrained network's spread (feature std)."""
EMBEDDING_RANK, FEATURE_RANK = 0.04, 0.1
"""Dimensional collapse below this share of the untrained network's effective rank."""
SIZE = 0.03
"""Collapsed where embeddings deviate by less than this share of the untrained network's."""
CHANCE = 0.98
"""At chance above this share of the chance level of the loss."""
_EPOCH = 2**31 - 1  # of the probe's views: one that no run reaches
_SPECTRUM = 128  # values kept

HEALTHY, DIMENSIONAL, COLLAPSED = "healthy", "dimensional collapse", "collapsed"
AT_CHANCE, DIVERGED = "at chance", "diverged"
ADVICE = {
    HEALTHY: "",
    DIMENSIONAL: "Few directions are left: take a lower --base-lr, a longer warm-up or a slower "
    "target (a higher tau, by --set).",
    COLLAPSED: "All images get nearly the same embedding: see that predictor, stop-gradient and "
    "target are in place, that the images differ, and take a lower --base-lr.",
    AT_CHANCE: "The loss has not left the level of guessing: take a higher --base-lr or check the "
    "views.",
    DIVERGED: "Numbers have grown beyond all bounds: take a lower --base-lr or a longer warm-up.",
}


class Collapsed(RuntimeError):
    """The run was stopped because its verdict was *collapsed* at two checks in a row."""


@dataclass(frozen=True)
class Spread:
    """How the probe batch is spread, by one network output; the first views, but for alignment.

    Attributes:
        std: feature std over ``1/sqrt(D)``: 1 where directions are spread evenly, 0 where all are
            one.
        effective_rank: of the centred outputs, 1 to 255.
        alignment: between the two views of an image, 0 (the same) to 4.
        uniformity: 0 where all are one, about -4 where spread evenly.
        size: mean over dimensions of the standard deviation of the outputs as they are: objectives
            that do not normalise them can shrink all to a point whose directions still differ.
    """

    std: float
    effective_rank: float
    alignment: float
    uniformity: float
    size: float = math.nan  # of histories written before it was measured

    @classmethod
    def of(cls, first: Tensor, second: Tensor) -> "Spread":
        """From float ``[N, D]`` each."""
        return cls(
            std=feature_std(first).item() * first.shape[1] ** 0.5,
            effective_rank=effective_rank(first).item(),
            alignment=alignment(first, second).item(),
            uniformity=uniformity(first).item(),
            size=first.std(0).mean().item(),
        )


Spreads = Mapping[str, Spread]  # of "features" (the backbone's) and "embeddings" (the projector's)


def judge(untrained: Spreads, now: Spreads, loss: float, chance: float | None) -> tuple[str, str]:
    """The verdict and the sentence that says why.

    Args:
        untrained, now: "features" and "embeddings" before the first step, and now.
        loss: mean since the last check.
        chance: the loss of guessing, or None where the objective has no such level.
    """
    share = {
        (name, figure): getattr(now[name], figure) / max(getattr(untrained[name], figure), 1e-12)
        for name in ("features", "embeddings")
        for figure in ("std", "effective_rank")
    }
    if not math.isfinite(loss) or not all(map(math.isfinite, share.values())):
        return DIVERGED, "The loss or the features are no longer numbers."
    for name in ("embeddings", "features"):
        if share[name, "std"] < SPREAD:
            return COLLAPSED, (
                f"The {name} of different images are nearly parallel: their spread is "
                f"{now[name].std:.3f}, {share[name, 'std']:.0%} of the untrained network's."
            )
    size = now["embeddings"].size / max(untrained["embeddings"].size, 1e-12)
    if size < SIZE:
        return COLLAPSED, (
            "The embeddings of different images have shrunk to a point: they deviate by "
            f"{size:.1%} of what the untrained network's do."
        )
    for name, least in (("embeddings", EMBEDDING_RANK), ("features", FEATURE_RANK)):
        if share[name, "effective_rank"] < least:
            return DIMENSIONAL, (
                f"The {name} vary in few directions: their effective rank is "
                f"{now[name].effective_rank:.1f}, {share[name, 'effective_rank']:.0%} of the "
                "untrained network's."
            )
    if chance is not None and loss > CHANCE * chance:
        return AT_CHANCE, f"The loss is {loss:.3f}, and guessing gives {chance:.3f}."
    return HEALTHY, (
        f"The embeddings' spread is {share['embeddings', 'std']:.0%} and the features' effective "
        f"rank {share['features', 'effective_rank']:.0%} of the untrained network's."
    )


class Verdict:
    """Checks a run at intervals and remembers what it found."""

    def __init__(self, run: Session) -> None:
        self._run = run
        rows = torch.linspace(0, len(run.samples) - 1, min(IMAGES, len(run.samples))).long()
        self._rows = rows
        self._chance = run.method.chance_loss(run.plan.batch_size // run.plan.accumulate)
        self._checks: list[dict[str, Any]] = []
        self._spectra: dict[str, dict[str, list[float]]] = {}

    def begin(self) -> None:
        """Take the untrained network's measure."""
        self._look(0, None)

    @property
    def latest(self) -> str | None:
        """The last verdict on a trained network."""
        return str(self._checks[-1]["verdict"]) if len(self._checks) > 1 else None

    @property
    def due(self) -> int:
        """The step from which the next check is due."""
        step = int(self._checks[-1]["step"])
        gap = EVERY if step < EARLY else LATER
        return step // gap * gap + gap

    def check(self, step: int, loss: float) -> None:
        """Judge the network after ``step`` steps; ``loss`` is the mean of the last ones.

        Every process must call it.
        """
        self._look(step, loss)

    def stop_if_collapsed(self) -> None:
        """Raises Collapsed after two checks that found so, if the run was asked to stop then.

        Every process must call it: rounding may differ between them, so the first one decides.
        """
        if self._run.config.on_collapse != "stop":
            return
        found = [check["verdict"] for check in self._checks[-2:]]
        if self._run.fabric.broadcast(found == [COLLAPSED, COLLAPSED]):
            last = self._checks[-1]
            raise Collapsed(
                f"Collapsed at step {last['step']:,}. {last['why']} {ADVICE[COLLAPSED]}"
            )

    def summary(self) -> dict[str, Any]:
        """``verdict.json``: the last verdict with reason and advice, and all that led to it."""
        last = self._checks[-1]
        chance = "not applicable" if self._chance is None else f"{self._chance:.3f}"
        return {
            "verdict": last["verdict"],
            "why": last["why"],
            "advice": ADVICE[last["verdict"]],
            "at_chance": chance,
            "checks": self._checks,
            "spectra": self._spectra,
        }

    def end(self, step: int, why: str) -> None:
        """Note that the run diverged."""
        self._checks.append({"step": step, "verdict": DIVERGED, "why": why})

    def state_dict(self) -> dict[str, Any]:
        return {"checks": self._checks, "spectra": self._spectra}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._checks, self._spectra = list(state["checks"]), dict(state["spectra"])

    def _look(self, step: int, loss: float | None) -> None:
        first, second = self._outputs()
        names = ("features", "embeddings")
        now = {
            name: Spread.of(a.float(), b.float())
            for name, a, b in zip(names, first, second, strict=True)
        }
        verdict, why = HEALTHY, "The network is untrained."
        if loss is not None:
            untrained = {name: Spread(**self._checks[0][name]) for name in names}
            verdict, why = judge(untrained, now, loss, self._chance)
        self._checks.append(
            {"step": step, "verdict": verdict, "why": why}
            | {name: asdict(spread) for name, spread in now.items()}
        )
        if len(self._checks) > MOST_CHECKS:  # a long run's history is thinned, its ends kept
            del self._checks[1:-2:2]
        for name, output in zip(names, first, strict=True):
            values = spectrum(output.float())[:_SPECTRUM].tolist()
            self._spectra.setdefault(name, {"untrained": values})["now"] = values

    @torch.no_grad()
    def _outputs(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Features and embeddings of two views of each probe image.

        In train mode, since an untrained network's running statistics mean nothing; the buffers
        are put back. Drop-path draws from the step's own random numbers, which nothing uses after.
        """
        run = self._run
        content, sizes, ids = run.samples.batch(self._rows, run.fabric.device)
        # Not through the compiled call: this batch has another size.
        views = run.views.forward(content, ids, _EPOCH, run.config.seed, sizes)
        buffers = [(buffer, buffer.clone()) for buffer in run.method.buffers()]
        with run.fabric.autocast():
            outputs = tuple(run.method.embed(channels_last(view)) for view in views[:2])
        for buffer, before in buffers:
            buffer.copy_(before)
        return outputs
