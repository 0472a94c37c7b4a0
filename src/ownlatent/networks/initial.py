"""Beginning from weights on disk instead of a random draw."""

import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ownlatent.errors import UsageError


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
    own = net.state_dict()
    matched = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    if 2 * len(matched) < len(own):
        raise UsageError(
            f"{path} fits only {len(matched)} of the backbone's {len(own)} tensors; "
            "choose the backbone that it was saved from."
        )
    net.load_state_dict(matched, strict=False)
    missing = [k for k in own if k not in matched]
    left = f"; fresh: {', '.join(missing[:4])}{' …' if len(missing) > 4 else ''}" if missing else ""
    return f"{len(matched)} of {len(own)} tensors from {path.name}{left}"
