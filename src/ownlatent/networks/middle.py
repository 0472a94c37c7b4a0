"""stand-in until the branch with the real one lands"""
from torch import nn
class Middle(nn.Module):
    def __init__(self, backbone, first):
        super().__init__(); self.backbone=backbone; self.first=first; self.num_features=first[0].out_features
    def forward(self, x): return self.first(self.backbone(x))
