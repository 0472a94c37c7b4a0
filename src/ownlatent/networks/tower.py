"""A backbone and the projector on top of it: what BYOL calls f and g."""

from torch import Tensor, nn


class Tower(nn.Module):
    """``[B, C, H, W]`` to features ``[B, F]`` and their projection ``[B, D]``."""

    def __init__(self, backbone: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor]:
        features: Tensor = self.backbone(view)
        return features, self.projector(features)
