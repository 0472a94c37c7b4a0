"""Batch norm whose statistics span a chosen group of samples, over processes or within a batch."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ownlatent.networks.spanning import spanning_batch_norm
from ownlatent.networks.world import gather, own, world_size


class GroupBatchNorm(nn.Module):
    """Batch norm over groups of samples of the batch that all processes hold together.

    It takes over the parameters and buffers of the layer it replaces.

    Args:
        layer: the batch norm to replace.
        groups: statistics groups that this process's batch is cut into (1: the whole of it).
        process_group: processes whose batches are one group; None: this one alone.
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor

    def __init__(
        self, layer: _BatchNorm, groups: int = 1, process_group: dist.ProcessGroup | None = None
    ) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("running_mean", layer.running_mean)
        self.register_buffer("running_var", layer.running_var)
        self.register_buffer("num_batches_tracked", layer.num_batches_tracked)
        self.eps, self.momentum = layer.eps, layer.momentum or 0.1
        self.groups, self.process_group = groups, process_group
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, ...]`` to the same; in train mode every process must call it."""
        if not self.training:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        if self.process_group is not None:
            return self._spanning(x, self.process_group)
        # A batch that cannot be cut evenly, as the verdict's may be, is one group.
        return self._apart(x, self.groups if len(x) % self.groups == 0 else 1)

    def _apart(self, x: Tensor, groups: int) -> Tensor:
        """Group by group through torch's own batch norm, which is faster than what is written out
        below; with momentum 1 it hands out each group's statistics."""
        parts, means, variances = [], [], []
        for part in x.chunk(groups):
            dtype = torch.promote_types(x.dtype, torch.float32)
            mean, var = (x.new_zeros(x.shape[1], dtype=dtype) for _ in range(2))
            parts.append(F.batch_norm(part, mean, var, self.weight, self.bias, True, 1.0, self.eps))
            means.append(mean)
            variances.append(var)
        self._track(torch.stack(means).mean(0), torch.stack(variances).mean(0))
        return parts[0] if groups == 1 else torch.cat(parts)

    def _spanning(self, x: Tensor, processes: dist.ProcessGroup) -> Tensor:
        """With the statistics of all processes' batches."""
        out, mean, var = spanning_batch_norm(x, self.weight, self.bias, self.eps, processes)
        count = x.numel() // x.shape[1] * dist.get_world_size(processes)
        self._track(mean, var * (count / max(count - 1, 1)))
        return out

    def _track(self, mean: Tensor, var: Tensor) -> None:
        """Let the running statistics follow a batch's, ``[C]`` each; the variance unbiased."""
        if self.running_mean is None or self.running_var is None:
            return
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_(var.to(self.running_var), self.momentum)


def group_batch_norm(
    module: nn.Module, *, groups: int = 1, process_group: dist.ProcessGroup | None = None
) -> nn.Module:
    """Replace, in place, every batch norm below ``module`` by one over the given group."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, GroupBatchNorm(child, groups, process_group))
        else:
            group_batch_norm(child, groups=groups, process_group=process_group)
    return module


def statistics_groups(module: nn.Module) -> int:
    """Groups of the batch of all processes that batch norm below ``module`` keeps apart."""
    for layer in module.modules():
        if isinstance(layer, GroupBatchNorm):
            if layer.process_group is None:
                return layer.groups * world_size()
            return world_size() // dist.get_world_size(layer.process_group)
    return 1


def shuffled(network: nn.Module, view: Tensor) -> tuple[Tensor, ...]:
    """``network(view)``, with its images dealt to other batch-norm groups than they lie in.

    MoCo's shuffled BN (section 3.3): statistics then tell nothing of which key belongs to which
    query. The images are dealt out in turn, not at random: batches are random already, and every
    process knows the order. ``network`` returns tensors ``[B, ...]``; where it has one group
    only, nothing is shuffled.
    """
    groups = statistics_groups(network)
    if groups == 1:
        alone: tuple[Tensor, ...] = network(view)
        return alone
    everyone = gather(view)
    order = torch.arange(len(everyone), device=view.device).view(groups, -1).T.flatten()
    outputs = network(own(everyone[order]))
    back = order.argsort()
    return tuple(own(gather(output)[back]) for output in outputs)
