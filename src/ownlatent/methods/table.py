"""``ownlatent methods``: what each method is made of, read off the method itself."""

from dataclasses import MISSING, asdict, fields
from typing import Any, Literal, get_args, get_origin

import torch

from ownlatent.methods.method import Method
from ownlatent.methods.options import defaults, types_of
from ownlatent.methods.presets import Preset
from ownlatent.methods.queue import Queue
from ownlatent.methods.registry import METHODS, find, names, presets
from ownlatent.networks import EMA, Prototypes, WeightNorm
from ownlatent.networks.vit import small_vit

Rows = list[dict[str, Any]]


def comparison() -> Rows:
    """A row per method: its paper's recipe built, its parts looked at."""
    rows = [_row(name) for name in METHODS]
    for name in names()[len(METHODS) :]:
        try:
            rows.append(_row(name))
        except Exception as error:  # another package's code fails in its own ways
            rows.append(dict.fromkeys(rows[0], "") | {"method": name, "paper": str(error)})
    return rows


def _row(name: str) -> dict[str, str]:
    kind = find(name)
    # The longest recipe that is not ours: the one whose accuracy is in print.
    known = presets(name)
    theirs = [recipe for key, recipe in known.items() if key != "small"] or list(known.values())
    recipe = max(theirs, key=lambda each: each.epochs)
    with torch.device("meta"):  # built, but without memory
        method = kind(small_vit("small-vit", 3, 32), **recipe.options)
    parts = list(method.modules())
    queue = next((part for part in parts if isinstance(part, Queue)), None)
    last = next((part for part in parts if isinstance(part, Prototypes | WeightNorm)), None)
    predictor = getattr(method, "predictor", None)
    has_predictor = predictor is not None and any(True for _ in predictor.parameters())
    follows = method.scheduled(0, 1, 0.0)
    rises = f"{follows['tau']:g} to 1" if "tau" in follows else f"{getattr(method, 'tau', 'yes')}"
    about = kind.about
    return {
        "method": name,
        "negatives": about.negatives,
        "queue": f"{len(queue.vectors):,}" if queue is not None else _optional(kind),
        "moving average": rises if any(isinstance(part, EMA) for part in parts) else "no",
        "predictor": "yes" if has_predictor else "no",
        "stop-gradient": about.stop_gradient,
        "prototypes": f"{_count(last):,}" if last is not None else "no",
        "prevents collapse": about.prevents_collapse,
        "batch norm": about.batch_norm,
        "batch": f"{recipe.batch_size:,}",
        "paper": about.paper,
        "ImageNet linear top-1": about.top1,
    }


def _optional(kind: type[Method]) -> str:
    return "optional" if {"queue", "memory"} & set(defaults(kind)) else "no"


def _count(layer: Prototypes | WeightNorm) -> int:
    return len(layer.weight if isinstance(layer, Prototypes) else layer.direction)


def details(name: str) -> dict[str, Rows]:
    """The options of a method and its presets, in full.

    Raises:
        UsageError: there is no such method.
    """
    kind = find(name)
    hints = types_of(kind)
    options = [
        {"option": option, "type": _type(hints[option]), "default": value}
        for option, value in defaults(kind).items()
    ]
    known = [{"preset": key} | asdict(recipe) for key, recipe in presets(name).items()]
    return {"options": options, "presets": known}


def _type(hint: Any) -> str:
    """As a person writes it: choices by their names."""
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    return " | ".join(map(_type, get_args(hint))) or getattr(hint, "__name__", str(hint))


def brief(known: Rows) -> Rows:
    """Presets to read: of the settings that have a default only those that differ from it."""
    usual = {field.name: field.default for field in fields(Preset) if field.name != "options"}
    rows = []
    for preset in known:
        other = {k: v for k, v in preset.items() if k in usual and v != usual[k]}
        main = {k: other.pop(k) for k in list(other) if usual[k] is MISSING}
        source = main.pop("source")
        rows.append(
            {"preset": preset["preset"]} | main
            | {"options": preset["options"], "other settings": other, "source": source}
        )  # fmt: skip
    return rows
