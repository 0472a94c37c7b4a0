"""Layer-wise adaptive rate scaling, as BYOL and SimCLR use it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ownlatent.networks.sharding import is_sharded, norms, shards


class LARS(Optimizer):
    """LARS (You et al., 2017) in the form of the official BYOL code.

    Per tensor, with p the weights and g the gradient::

        g <- g + weight_decay * p
        g <- g * trust * |p| / |g|      (ratio 1 where either norm is 0; only if "adapt")
        m <- momentum * m + g
        p <- p - lr * m

    The decay is inside the norm and the rate outside the buffer; there is no epsilon, no clipping,
    no Nesterov. All tensors of a group move in a handful of fused calls and nothing is read back
    from the device.

    Args:
        params: parameters or groups. A group with ``adapt=False`` (biases and normalisation
            parameters) skips the scaling; give it ``weight_decay=0`` too for the paper's rule.
        lr: learning rate.
        momentum: of the buffer.
        weight_decay: L2 penalty.
        trust: the trust coefficient (eta in the paper).
        rate_inside: the rate goes into the buffer, ``m <- momentum * m + lr * g; p <- p - m``, as
            in the official SimCLR code: buffers then remember the rates of earlier steps.
        joint_norm: the decay is inside the norm; if not, the ratio is
            ``trust * |p| / (|g| + weight_decay * |p|)``, as in apex's LARC, which SwAV uses.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
        rate_inside: bool = False,
        joint_norm: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "rate_inside": rate_inside,
            "joint_norm": joint_norm,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            for p in parameters:
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            sharded = is_sharded(parameters[0])
            buffers = shards(self.state[p]["momentum"] for p in parameters)
            updates = tuple(shards(p.grad for p in parameters))
            parameters = shards(parameters)
            gradients, decay = updates, group["weight_decay"]
            if decay:
                updates = torch._foreach_add(updates, parameters, alpha=decay)
            if group["adapt"]:
                joint = group["joint_norm"]
                within, beside = (updates, 0.0) if joint else (gradients, decay)
                weights, sizes = (norms(each, sharded=sharded) for each in (parameters, within))
                ratios = _ratios(weights, sizes, group["trust"], beside)
                updates = torch._foreach_mul(updates, ratios)
            inside = group["lr"] if group["rate_inside"] else 1.0
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, updates, alpha=inside)
            outside = 1.0 if group["rate_inside"] else group["lr"]
            torch._foreach_add_(parameters, buffers, alpha=-outside)
        return loss


def _ratios(weights: Tensor, gradients: Tensor, trust: float, decay: float) -> tuple[Tensor, ...]:
    """One scalar tensor per parameter from both norms, chosen on the device."""
    ratios = trust * weights / (gradients + decay * weights)
    ratios = torch.where((weights > 0) & (gradients > 0), ratios, 1.0)
    return ratios.unbind()
