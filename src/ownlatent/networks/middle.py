"""A backbone and the first layer of the head on top of it."""

from typing import Any

from torch import Tensor, nn

from ownlatent.networks.renorm import replace_batch_norm


class Middle(nn.Module):
    """What SimCLR v2 keeps: the backbone and the head's first layer (Chen et al., 2020, section 2).

    Args:
        backbone: ``[B, C, H, W]`` to ``[B, F]``.
        first: linear, batch norm (or what replaces it) and ReLU, ``[B, F]`` to
            ``[B, num_features]``.
    """

    def __init__(self, backbone: nn.Module, first: nn.Sequential) -> None:
        super().__init__()
        self.backbone = backbone
        self.first = first
        linear: Any = first[0]
        self.num_features: int = linear.out_features

    @classmethod
    def blank(cls, backbone: Any, *, hidden: int, bias: bool, norm: str = "batch") -> "Middle":
        """A fresh one of a given shape, which :meth:`shape` tells."""
        linear = nn.Linear(backbone.num_features, hidden, bias=bias)
        first = nn.Sequential(linear, nn.BatchNorm1d(hidden), nn.ReLU(inplace=True))
        replace_batch_norm(first, norm)
        return cls(backbone, first)

    def shape(self) -> dict[str, Any]:
        """The layer's, as JSON holds it."""
        linear: Any = self.first[0]
        return {"hidden": self.num_features, "bias": linear.bias is not None}

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.first(self.backbone(x))
        return features
