"""DeepMind's BYOL checkpoints: haiku's ResNets under torch's names, with their padding."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ownlatent.networks.pickled import Made, Refused, array, mapping, read_pickle

_PLACES = (
    (r".*/initial_(conv|batchnorm)", r"\1 1"),
    (r".*/block_group_(\d+)/~/block_(\d+)/~/(conv|batchnorm)_(\d+)", r"\3 \4 \1 \2"),
    (r".*/block_group_(\d+)/~/block_(\d+)/~/shortcut_(conv|batchnorm)", r"shortcut \3 \1 \2"),
)
_PARAMETERS = {"w": "weight", "scale": "weight", "offset": "bias"}
_STATISTICS = {"mean_ema": "running_mean", "var_ema": "running_var"}


def read_haiku(path: Path) -> dict[str, Tensor]:
    """The online encoder of a checkpoint such as ``pretrain_res50x1.pkl``, without the heads.

    The form is that of byol/utils/checkpointing.py in google-deepmind/deepmind-research: a
    dictionary whose ``experiment_state`` is a tuple of online and target parameters, then online
    and target state, each a mapping from a module's path, such as
    ``res_net50/~/block_group_0/~/block_0/~/conv_0``, to its arrays. Kernels are
    ``[height, width, in, out]`` there; a batch norm's statistics are the ``average`` of its
    ``mean_ema`` and ``var_ema``.

    Returns:
        float32, by torchvision's names of a ResNet.

    Raises:
        Refused: it holds something else, or more than numbers and containers.
        OSError: it cannot be read.
    """
    held = mapping(read_pickle(path)) or {}
    state = held.get("experiment_state")
    networks = state.args if isinstance(state, Made) else state
    if isinstance(networks, tuple) and len(networks) == 1:  # a tuple type around its tuple
        networks = networks[0]
    if not isinstance(networks, tuple | list) or len(networks) < 4:
        raise Refused("it has no experiment_state as BYOL's checkpoints do")
    found: dict[str, Tensor] = {}
    for path_, values in _modules(networks[0]):
        place = _place(path_)
        if place is None:
            continue
        for name, value in values.items():
            kept = array(value)
            if name in _PARAMETERS and kept is not None:
                found[f"{place}.{_PARAMETERS[name]}"] = _tensor(kept, kernel=name == "w")
    for path_, values in _modules(networks[2]):
        norm, _, statistic = path_.rpartition("/~/")
        place, kept = _place(norm), array(values.get("average"))
        if place is not None and statistic in _STATISTICS and kept is not None:
            found[f"{place}.{_STATISTICS[statistic]}"] = _tensor(kept)
    if not found:
        raise Refused("it has no ResNet in its parameters")
    return found


def same_padding(net: nn.Module) -> nn.Module:
    """Pad what has a stride as TensorFlow and haiku do ("SAME"), in place.

    Of an even side, a stride of 2 sees all of the padding behind the last pixel, where torch's own
    has it on both sides: every map after the first would be seen from half a pixel aside.
    """
    for layer in list(strided(net)):
        layer.padding = 0 if isinstance(layer, nn.MaxPool2d) else (0, 0)
        layer.register_forward_pre_hook(_pad)
    return net


def strided(net: nn.Module) -> Iterator[Any]:
    """The layers with a stride and a padding of torch's own."""
    for layer in net.modules():
        spread = isinstance(layer, nn.MaxPool2d) or (
            isinstance(layer, nn.Conv2d) and layer.stride != (1, 1)
        )
        if spread and layer.padding not in (0, (0, 0)):
            yield layer


def _pad(layer: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    """For ``ceil(side / stride)`` places, half of what is lacking before, the rest behind."""
    (x,) = inputs
    borders: list[int] = []
    for axis, side in ((1, x.shape[-1]), (0, x.shape[-2])):
        kernel, stride = _along(layer.kernel_size, axis), _along(layer.stride, axis)
        lacking = max(0, (-(-side // stride) - 1) * stride + kernel - side)
        borders += [lacking // 2, lacking - lacking // 2]
    outside = float("-inf") if isinstance(layer, nn.MaxPool2d) else 0.0
    return (F.pad(x, borders, value=outside),)


def _along(sides: Any, axis: int) -> int:
    return int(sides[axis] if isinstance(sides, tuple) else sides)


def _modules(value: Any) -> list[tuple[str, dict[Any, Any]]]:
    held = mapping(value) or {}
    pairs = ((str(path), mapping(values)) for path, values in held.items())
    return [(path, values) for path, values in pairs if values]


def _place(path: str) -> str | None:
    """``layer1.0.conv1`` for ``res_net50/~/block_group_0/~/block_0/~/conv_0``; None outside."""
    for pattern, parts in _PLACES:
        found = re.fullmatch(pattern, path)
        if found is None:
            continue
        words = found.expand(parts).split()
        if len(words) == 2:
            return "conv1" if words[0] == "conv" else "bn1"
        first, second, group, block = words
        layer = f"layer{int(group) + 1}.{int(block)}"
        if first == "shortcut":
            return f"{layer}.downsample.{0 if second == 'conv' else 1}"
        return f"{layer}.{'conv' if first == 'conv' else 'bn'}{int(second) + 1}"
    return None


def _tensor(value: "np.ndarray[Any, Any]", kernel: bool = False) -> Tensor:
    """Float32: a kernel as ``[out, in, height, width]``, what channels have each as ``[C]``."""
    if kernel and value.ndim != 4:
        raise Refused(f"a kernel in it has {value.ndim} axes")
    turned = value.transpose(3, 2, 0, 1) if kernel else value.reshape(-1)
    return torch.from_numpy(np.array(turned, np.float32, order="C"))
