"""Weights that other libraries saved, under the names of the network that shall have them."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from ownlatent.errors import UsageError
from ownlatent.networks.vgg import timm_names

_STAGES = ("layer1", "layer2", "layer3", "layer4")
_CHILDREN = (
    # torchvision's ResNet as nn.Sequential of its children, as lightly's tutorials have it
    dict(zip("014567", ("conv1", "bn1", *_STAGES), strict=True)),
    # the same of lightly's ResNetGenerator, whose pooling and ReLU are no children
    dict(zip("012345", ("conv1", "bn1", *_STAGES), strict=True)),
)
_AVERAGED = ("momentum", "teacher", "target", "ema")
"""In the names of networks that follow another, which is taken where both are there."""
_COUNTS = "num_batches_tracked"
"""Of a batch norm's batches: no feature depends on them, and not every library keeps them."""


class Matched(NamedTuple):
    """What a state dict has of a network.

    Attributes:
        tensors: by the network's names.
        total: how many it has.
        missing: those of the network that are not there, or of another shape.
        left: those of the file that the network does not take.
        prefix: what stood before all that match.
    """

    tensors: dict[str, Tensor]
    total: int
    missing: list[str]
    left: list[str]
    prefix: str

    def line(self, name: str) -> str:
        """It in words; ``name`` is the file."""
        under = f" under {self.prefix}*" if self.prefix else ""
        line = f"{len(self.tensors)} of {self.total} tensors from {name}{under}"
        if self.missing:
            shown = ", ".join(self.missing[:4])
            line += f"; fresh: {shown}{' …' if len(self.missing) > 4 else ''}"
        groups: dict[str, int] = {}
        for key in self.left:
            group = key.split(".")[0]
            groups[group] = groups.get(group, 0) + 1
        if groups:
            line += "; left there: " + ", ".join(f"{group} ({n})" for group, n in groups.items())
        return line


def match(net: nn.Module, state: dict[str, Tensor]) -> Matched:
    """The tensors of ``state`` that are ``net``'s by name and shape.

    Names may be timm's, torchvision's, lightly's or solo-learn's, below any prefix: that of which
    most match. Of an online network and the one that follows it, the online one is taken.

    Raises:
        UsageError: below the same prefix, the file has layers that the network lacks: it is of a
            deeper one, whose features these would not be; or it is of lightly's ResNetGenerator.
    """
    own = net.state_dict()
    best: tuple[int, bool] = (-1, False)
    result = Matched({}, len(own), list(own), list(state), "")
    for prefix in _prefixes(own, state):
        inner = {k.removeprefix(prefix): k for k in state if k.startswith(prefix)}
        online = not any(word in prefix for word in _AVERAGED)
        for rename in _RENAMES:
            named = rename(net, {k: state[full] for k, full in inner.items()})
            if len(named) < len(inner):  # two names would be one: it is not of this library
                continue
            of = dict(zip(named, inner.values(), strict=True))
            fitting = {k: v for k, v in named.items() if k in own and v.shape == own[k].shape}
            if (len(fitting), online) > best:
                best, found = (len(fitting), online), rename
                used = {of[k] for k in fitting}
                result = Matched(
                    fitting,
                    len(own),
                    [k for k in own if k not in fitting],
                    [k for k in state if k not in used],
                    prefix,
                )
                layers = {k.split(".")[0] for k in own}
                deeper = [k for k in named if k not in own and k.split(".")[0] in layers]
    if 2 * len(result.tensors) >= len(own) and deeper:
        raise UsageError(
            f"The weights have layers that this backbone lacks, such as {deeper[0]}; choose the "
            "backbone that they were saved from."
        )
    if 2 * len(result.tensors) >= len(own) and found is _WITHOUT_RELU:
        raise UsageError(
            "The weights are of lightly's ResNetGenerator as nn.Sequential, which has no ReLU "
            "after its first norm, and this backbone has: choose weights of torchvision or timm."
        )
    return result


def padded_by_two(net: Any, state: dict[str, Tensor]) -> bool:
    """Whether ``state`` is of solo-learn's stem for small images, and ``net`` has ours: its first
    3x3 convolution is padded by 2, so that every map is two pixels wider."""
    stem = getattr(net, "conv1", None)
    small = isinstance(stem, nn.Conv2d) and stem.kernel_size == (3, 3)
    return small and any(name.startswith("momentum_backbone.conv1.") for name in state)


def needed(missing: list[str]) -> list[str]:
    """Those of which features depend."""
    return [name for name in missing if not name.endswith(_COUNTS)]


def _prefixes(own: dict[str, Tensor], state: dict[str, Tensor]) -> Iterator[str]:
    """What may stand before the network's own names, the shortest first."""
    first = {name.split(".")[0] for name in own} | {"0", "classifier", "class_token"}
    found = set()
    for key in state:
        parts = key.split(".")
        for at, part in enumerate(parts[:5]):
            if part in first:
                found.add("".join(f"{each}." for each in parts[:at]))
    return iter(sorted(found, key=lambda prefix: (prefix.count("."), prefix)))


def _children(names: dict[str, str]) -> Callable[[Any, dict[str, Tensor]], dict[str, Tensor]]:
    def rename(net: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
        if not hasattr(net, "layer1"):
            return state
        renamed = {}
        for key, value in state.items():
            head, dot, rest = key.partition(".")
            rest = rest.replace(".shortcut.", ".downsample.")
            renamed[names.get(head, head) + dot + rest] = value
        return renamed

    return rename


_WITHOUT_RELU = _children(_CHILDREN[1])
_RENAMES = (timm_names, _children(_CHILDREN[0]), _WITHOUT_RELU)
