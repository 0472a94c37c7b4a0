"""``ownlatent methods``: what each method is made of, read off the method itself."""

from typing import Any

import torch
from torch import Tensor, nn

from ownlatent.methods.method import Method
from ownlatent.methods.options import defaults
from ownlatent.methods.queue import Queue
from ownlatent.methods.registry import find, names, preset, presets
from ownlatent.networks import EMA, Prototypes, WeightNorm


class _Stub(nn.Module):
    """The least that a method can be built on."""

    num_features = 2

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))[:, :2]


def comparison() -> list[dict[str, str]]:
    """A row per method: its paper's recipe built, its parts looked at."""
    return [_row(name) for name in names()]


def _row(name: str) -> dict[str, str]:
    kind = find(name)
    recipe = _papers(name)
    with torch.device("meta"):  # built, but without memory
        method = kind(_Stub(), **recipe.options)
    parts = list(method.modules())
    queue = next((part for part in parts if isinstance(part, Queue)), None)
    last = next((part for part in parts if isinstance(part, Prototypes | WeightNorm)), None)
    predictor = getattr(method, "predictor", None)
    has_predictor = predictor is not None and any(True for _ in predictor.parameters())
    follows = method.scheduled(0, 1, 0.0)
    rises = f"{follows['tau']:g} to 1" if "tau" in follows else f"{getattr(method, 'tau', '')}"
    about = kind.about
    return {
        "method": name,
        "paper": about.paper,
        "negatives": about.negatives,
        "queue": f"{len(queue.vectors):,}" if queue is not None else _optional(kind, "queue"),
        "moving average": rises if any(isinstance(part, EMA) for part in parts) else "no",
        "predictor": "yes" if has_predictor else "no",
        "stop-gradient": about.stop_gradient,
        "prototypes": f"{_count(last):,}" if last is not None else "no",
        "prevents collapse": about.prevents_collapse,
        "batch norm": about.batch_norm,
        "batch": f"{recipe.batch_size:,}",
        "ImageNet linear top-1": about.top1,
    }


def _papers(name: str) -> Any:
    """The first recipe that is a paper's, or the only one there is."""
    known = presets(name)
    return next((recipe for key, recipe in known.items() if key != "small"), preset(name))


def _optional(kind: type[Method], name: str) -> str:
    return "optional" if {name, "memory"} & set(defaults(kind)) else "no"


def _count(layer: Prototypes | WeightNorm) -> int:
    return len(layer.weight if isinstance(layer, Prototypes) else layer.direction)


def details(name: str) -> list[dict[str, str]]:
    """The options of a method, and what each of its presets makes of them and of the training.

    Raises:
        UsageError: there is no such method.
    """
    kind, known = find(name), presets(name)
    rows = [
        {"setting": option, "by itself": str(value)}
        | {key: str(recipe.options.get(option, value)) for key, recipe in known.items()}
        for option, value in defaults(kind).items()
    ]
    fields = [
        "epochs", "batch_size", "optimizer", "base_lr", "weight_decay", "warmup_epochs", "views",
        "crops", "bn_group", "clip", "source",
    ]  # fmt: skip
    rows += [
        {"setting": field, "by itself": ""}
        | {key: str(getattr(recipe, field)) for key, recipe in known.items()}
        for field in fields
    ]
    return rows


def page(rows: list[dict[str, str]]) -> str:
    """Rows as a table for a terminal, methods side by side as far as they fit; Markdown else."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=True)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(row.get(name, "") for name in rows[0]))
    console = Console(file=StringIO(), width=None if _terminal() else 200)
    console.print(table)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined, no-any-return]


def markdown(rows: list[dict[str, str]]) -> str:
    """The same for a document."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _terminal() -> bool:
    import sys

    return sys.stdout.isatty()
