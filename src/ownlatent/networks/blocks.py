"""Where a backbone keeps its sequences of blocks."""

from torch import nn

_STAGES = ("layer1", "layer2", "layer3", "layer4", "blocks", "stages")
"""Of ResNets, vision transformers and others."""


def blocks(net: nn.Module) -> list[nn.Module]:
    """The blocks of a backbone in order; none where it has no sequence of them."""
    stages = [getattr(net, attribute, None) for attribute in _STAGES]
    sequences = [stage for stage in stages if isinstance(stage, nn.Sequential | nn.ModuleList)]
    return [block for sequence in sequences for block in sequence]
