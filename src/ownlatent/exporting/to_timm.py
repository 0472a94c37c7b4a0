"""A checkpoint for timm, and the settings beside it."""

import json
from pathlib import Path
from typing import Any

import timm
from safetensors.torch import save_file
from torch import Tensor, nn

from ownlatent import __version__
from ownlatent.encoder import Encoder
from ownlatent.exporting.agreement import features, gap, random_inputs
from ownlatent.exporting.wanted import Built, Wanted, as_timm


def write(wanted: Wanted, fresh: Path) -> tuple[float, str]:
    """Write ``fresh`` and its ``.json``; what :class:`Exported` says of them."""
    encoder = wanted.encoder
    built = as_timm(encoder, "timm")
    save_file(contiguous(encoder.backbone), fresh, {"format": "pt", "ownlatent": __version__})
    settings = config(encoder, built)
    fresh.with_suffix(".json").write_text(json.dumps(settings, indent=2) + "\n")
    inputs = random_inputs(encoder, 3)
    theirs = built.blank(checkpoint_path=str(fresh))
    args = "".join(f", {name}={value!r}" for name, value in built.args.items())
    use = f"""\
import json, timm

with open({str(wanted.out.with_suffix(".json"))!r}) as file:
    settings = json.load(file)["pretrained_cfg"]
net = timm.create_model(
    {built.name!r}, num_classes=0{args},
    checkpoint_path={str(wanted.out)!r}, pretrained_cfg_overlay=settings,
).eval()
transform = timm.data.create_transform(**timm.data.resolve_data_config(model=net))"""
    return gap(features(encoder.backbone, inputs), features(theirs, inputs)), use


def config(encoder: Encoder, built: Built) -> dict[str, Any]:
    """What timm reads beside weights, as in Hugging Face's folders: :func:`timm.create_model`'s
    name and arguments, and ``pretrained_cfg``, from which it makes its transforms."""
    settings = encoder.preprocessing
    usual = timm.get_pretrained_cfg(built.name)
    size = [settings.channels, settings.size, settings.size]
    return {
        "architecture": built.name.partition(".")[0],
        "num_classes": 0,
        "num_features": encoder.num_features,
        "model_args": built.args,
        "pretrained_cfg": {
            "num_classes": 0,
            "input_size": size,
            "fixed_input_size": bool(usual and usual.fixed_input_size)
            and not built.args.get("dynamic_img_size", False),
            "interpolation": "bicubic",
            "crop_pct": settings.crop,
            "crop_mode": "center",
            "mean": list(settings.mean),
            "std": list(settings.std),
            "first_conv": usual.first_conv if usual else None,
            "classifier": usual.classifier if usual else None,
        },
        "ownlatent": {"version": __version__, "provenance": encoder.provenance},
    }


def contiguous(net: nn.Module) -> dict[str, Tensor]:
    """The state dict as safetensors takes it."""
    return {name: value.contiguous() for name, value in net.state_dict().items()}
