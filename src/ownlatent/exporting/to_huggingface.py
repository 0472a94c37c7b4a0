"""A folder to upload to Hugging Face's hub, as it has timm's models."""

import json
from pathlib import Path
from typing import Any

import timm
from safetensors.torch import save_file

from ownlatent.card import card
from ownlatent.exporting.agreement import features, gap, random_inputs
from ownlatent.exporting.to_timm import config, contiguous
from ownlatent.exporting.wanted import Wanted, as_timm


def write(wanted: Wanted, fresh: Path) -> tuple[float, str]:
    """Write the folder ``fresh``; what :class:`Exported` says of it."""
    encoder = wanted.encoder
    source: Any = wanted.source  # a folder of ours: others are refused before
    built = as_timm(encoder, "huggingface")
    fresh.mkdir()
    save_file(contiguous(encoder.backbone), fresh / "model.safetensors", {"format": "pt"})
    (fresh / "config.json").write_text(json.dumps(config(encoder, built), indent=2) + "\n")
    loads = """\
import timm

net = timm.create_model({!r}, pretrained=True, num_classes=0).eval()
transform = timm.data.create_transform(**timm.data.resolve_data_config(model=net))"""
    said = card(
        source.config,
        source.run,
        title=wanted.out.name,
        library="timm",
        license=wanted.license,
        use=loads.format("hf-hub:OWNER/NAME"),
        network=wanted.network,
    )
    (fresh / "README.md").write_text(said, "utf-8")
    theirs = timm.create_model(f"local-dir:{fresh}", pretrained=True, num_classes=0)
    inputs = random_inputs(encoder, 3)
    distance = gap(features(encoder.backbone, inputs), features(theirs, inputs))
    return distance, loads.format(f"local-dir:{wanted.out}")
