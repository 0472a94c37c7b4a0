"""Beginning from weights on disk instead of a random draw."""

import re
import warnings
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.networks.haiku import read_haiku, strided
from ownlatent.networks.pickled import Refused
from ownlatent.networks.translate import match, padded_by_two

PRETRAINED = "pretrained"
HAIKU = ".pkl"


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
    """Load weights from a file into ``net``; see :func:`read_weights` and :func:`match`.

    Tensors are matched by name and shape; classifier and heads are ignored, and what does not match
    keeps its random start.

    Returns:
        a line that says what matched, what did not, and what was left.

    Raises:
        UsageError: the file is missing or no state dict, less than half of ``net`` is in it, or it
            is of a deeper network.
    """
    path = Path(path)
    state = read_weights(path)
    line = _fill(net, state, path.name, str(path))
    if padded_by_two(net, state):
        line += "; padded by 1 at first and not by 2: the same weights, other features at first"
    if path.suffix == HAIKU and any(True for _ in strided(net)):
        line += "; padded as torch does and not as haiku: the same weights, other features at first"
    return line


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file: ``.safetensors``; a state dict or a checkpoint of Lightning's
    (``.pth``, ``.ckpt``); DeepMind's ``.pkl`` (:func:`read_haiku`). Loading never executes code.

    Raises:
        UsageError: the file is missing or none of these, or holds objects besides.
    """
    if not path.is_file():
        raise UsageError(f"There are no weights at {path}; give a .safetensors or .pth file.")
    try:
        if path.suffix == HAIKU:
            return read_haiku(path)
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of unusual pickles: they are read or refused
                state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
        state = {str(k).removeprefix("module."): v for k, v in state.items()}
        return {k: v for k, v in state.items() if isinstance(v, Tensor)}
    except Refused as error:
        raise UsageError(
            f"{path} is not a checkpoint of DeepMind's BYOL that can be read without executing "
            f"code: {error}; give a .safetensors file, or a .pth of tensors only."
        ) from error
    except Exception as error:  # readers meet damage, and more than tensors, with many types
        named = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        holds = f" (it holds {named[1]})" if named else ""
        raise UsageError(
            f"{path} is not a state dict that loads without executing code{holds}; give a "
            '.safetensors file, or a .pth of tensors only, such as its "state_dict" alone.'
        ) from error


def _fill(net: nn.Module, state: dict[str, Tensor], name: str, path: str = "") -> str:
    matched = match(net, state)
    if 2 * len(matched.tensors) < matched.total:
        raise UsageError(
            f"{path or name} fits only {len(matched.tensors)} of the backbone's {matched.total} "
            "tensors; choose the backbone that it was saved from."
        )
    net.load_state_dict(matched.tensors, strict=False)
    return matched.line(name)
