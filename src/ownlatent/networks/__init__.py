"""Backbones, heads, the EMA target, batch norm over a group or other norms, and attention maps."""

from ownlatent.networks.attention import attention
from ownlatent.networks.backbone import backbone
from ownlatent.networks.ema import EMA
from ownlatent.networks.heads import (
    Direction,
    Prototypes,
    WeightNorm,
    fan_in,
    mlp,
    normal,
    trunc_normal,
)
from ownlatent.networks.initial import initial_weights, load_weights
from ownlatent.networks.middle import Middle
from ownlatent.networks.norm import GroupBatchNorm, group_batch_norm, shuffled
from ownlatent.networks.renorm import replace_batch_norm
from ownlatent.networks.standardised import without_batch_statistics
from ownlatent.networks.tower import Tower
from ownlatent.networks.world import gather, own, world_size

__all__ = [
    "EMA",
    "Direction",
    "GroupBatchNorm",
    "Middle",
    "Prototypes",
    "Tower",
    "WeightNorm",
    "attention",
    "backbone",
    "fan_in",
    "gather",
    "group_batch_norm",
    "initial_weights",
    "load_weights",
    "mlp",
    "normal",
    "own",
    "replace_batch_norm",
    "shuffled",
    "trunc_normal",
    "without_batch_statistics",
    "world_size",
]
