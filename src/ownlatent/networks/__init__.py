"""Backbones, heads, the EMA target, batch norm over a group or other norms, masking, and
attention maps."""

from ownlatent.networks.attention import attention
from ownlatent.networks.backbone import backbone
from ownlatent.networks.blocks import blocks
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
from ownlatent.networks.masked import (
    MaskedDecoder,
    encode,
    fix_positions,
    patchify,
    random_order,
    require_patches,
)
from ownlatent.networks.middle import Middle
from ownlatent.networks.norm import GroupBatchNorm, group_batch_norm, shuffled
from ownlatent.networks.recompute import recompute
from ownlatent.networks.renorm import replace_batch_norm
from ownlatent.networks.sharding import (
    is_sharded,
    load_method,
    load_optimizer,
    norms,
    shard,
    shards,
    whole,
)
from ownlatent.networks.standardised import without_batch_statistics
from ownlatent.networks.tower import Tower
from ownlatent.networks.world import gather, own, world_size

__all__ = [
    "EMA",
    "Direction",
    "GroupBatchNorm",
    "MaskedDecoder",
    "Middle",
    "Prototypes",
    "Tower",
    "WeightNorm",
    "attention",
    "backbone",
    "blocks",
    "encode",
    "fan_in",
    "fix_positions",
    "gather",
    "group_batch_norm",
    "initial_weights",
    "is_sharded",
    "load_method",
    "load_optimizer",
    "load_weights",
    "mlp",
    "normal",
    "norms",
    "own",
    "patchify",
    "random_order",
    "recompute",
    "replace_batch_norm",
    "require_patches",
    "shard",
    "shards",
    "shuffled",
    "trunc_normal",
    "whole",
    "without_batch_statistics",
    "world_size",
]
