"""Backbones, heads, the EMA target, and batch norm over a group or none."""

from ownlatent.networks.backbone import backbone
from ownlatent.networks.ema import EMA
from ownlatent.networks.heads import mlp
from ownlatent.networks.initial import load_weights
from ownlatent.networks.norm import GroupBatchNorm, group_batch_norm
from ownlatent.networks.standardised import without_batch_statistics
from ownlatent.networks.tower import Tower

__all__ = [
    "EMA",
    "GroupBatchNorm",
    "Tower",
    "backbone",
    "group_batch_norm",
    "load_weights",
    "mlp",
    "without_batch_statistics",
]
