"""Beginning from weights on disk instead of a random draw."""

import warnings
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.networks.vgg import timm_names

PRETRAINED = "pretrained"


def initial_weights(net: nn.Module, name: str, source: str | Path) -> str:
    """Start ``net``, the backbone called ``name``, from ``source``: "pretrained" or
    "pretrained:TAG" for timm's weights (:func:`load_pretrained`), else a file
    (:func:`load_weights`).

    Returns:
        a line that says what matched.

    Raises:
        UsageError: the weights are not to be had, or are another network's.
    """
    word, _, tag = str(source).partition(":")
    return load_pretrained(net, name, tag) if word == PRETRAINED else load_weights(net, source)


def load_pretrained(net: nn.Module, name: str, tag: str = "") -> str:
    """Load timm's pretrained weights of the model ``name`` into ``net``, as :func:`load_weights`.

    timm takes them from its cache on this machine, and downloads what is not there.

    Args:
        tag: which of them, such as "a1_in1k"; "": timm's default.

    Raises:
        UsageError: timm has none of that name or tag, or they are neither here nor within reach.
    """
    tags = [model.partition(".")[2] for model in timm.list_pretrained(f"{name}.*")]
    if not tags or (tag and tag not in tags):
        have = f"it has {', '.join(tags)}" if tags else "give a file, or leave --init"
        which = f"{tag!r} of {name}" if tag else f"of {name}"
        raise UsageError(f"timm has no pretrained weights {which}; {have}.")
    full = f"{name}.{tag}" if tag else name
    try:
        state = timm.create_model(full, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # networks and caches fail with many types
        raise UsageError(
            f"timm's weights of {full} are not on this machine and could not be fetched "
            f"({type(error).__name__}); connect it once, or give a file to --init."
        ) from error
    return _fill(net, state, full)


def load_weights(net: nn.Module, path: str | Path) -> str:
    """Load timm or torchvision weights (``.safetensors``, or a ``.pth`` state dict) into ``net``.

    Tensors are matched by name and shape; a classifier is ignored, and what does not match keeps
    its random start. Loading never executes code.

    Returns:
        a line that says what matched.

    Raises:
        UsageError: the file is missing or no state dict, or less than half of ``net`` is in it.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"There are no weights at {path}; give a .safetensors or .pth file.")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of unusual pickles: they are read or refused
                state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
        state = {str(k).removeprefix("module."): v for k, v in state.items()}
        state = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    except Exception as error:  # readers meet damage, and more than tensors, with many types
        raise UsageError(
            f"{path} is not a state dict that loads without executing code; give a .safetensors "
            "file, or a .pth of tensors only."
        ) from error
    return _fill(net, timm_names(net, state), path.name, str(path))


def _fill(net: nn.Module, state: dict[str, Tensor], name: str, path: str = "") -> str:
    own = net.state_dict()
    matched = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    if 2 * len(matched) < len(own):
        raise UsageError(
            f"{path or name} fits only {len(matched)} of the backbone's {len(own)} tensors; "
            "choose the backbone that it was saved from."
        )
    net.load_state_dict(matched, strict=False)
    missing = [k for k in own if k not in matched]
    left = f"; fresh: {', '.join(missing[:4])}{' …' if len(missing) > 4 else ''}" if missing else ""
    return f"{len(matched)} of {len(own)} tensors from {name}{left}"
