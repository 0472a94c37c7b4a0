"""Backbones, heads, the EMA target, batch norm over a group or none, and attention maps."""

from ownlatent.networks.attention import attention
from ownlatent.networks.backbone import backbone
from ownlatent.networks.ema import EMA
from ownlatent.networks.heads import mlp
from ownlatent.networks.initial import load_weights
from ownlatent.networks.middle import Middle
from ownlatent.networks.norm import GroupBatchNorm, group_batch_norm
from ownlatent.networks.standardised import without_batch_statistics
from ownlatent.networks.tower import Tower

__all__ = [
    "EMA",
    "GroupBatchNorm",
    "Middle",
    "Tower",
    "attention",
    "backbone",
    "group_batch_norm",
    "load_weights",
    "mlp",
    "without_batch_statistics",
]
