"""One network, though several processes hold it in parts (FSDP2; Rajbhandari et al., 2020).

Each process keeps its rows of every parameter, gradient and optimizer buffer. A block's are put
together when it computes and let go after it. What trains is the same as where all hold all.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from ownlatent.networks.blocks import blocks


def shard(method: nn.Module, mesh: Any) -> nn.Module:
    """Cut a method over the processes of a mesh: block by block of its networks, and the rest.

    All processes hold the same weights before. The optimizer is to be made after.

    Args:
        method: changed in place.
        mesh: a ``torch.distributed.DeviceMesh`` of one dimension.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for network in reversed(list(method.modules())):  # stages after the blocks that they hold
        for block in blocks(network):
            fully_shard(block, mesh=mesh)
    # Let go after each pass, too: what comes between two passes finds parts alone.
    fully_shard(method, mesh=mesh, reshard_after_forward=True)
    register_fsdp_forward_method(method, "embed")
    return method


def is_sharded(tensor: Tensor) -> bool:
    """Whether processes hold it in parts."""
    return hasattr(tensor, "to_local")  # by name: the import of DTensor takes a while


def shards(tensors: Iterable[Tensor]) -> list[Tensor]:
    """What this process holds of each: all of it, or its part. It shares the memory."""
    parts: Any = tensors
    return [t.to_local() if is_sharded(t) else t for t in parts]


@torch.no_grad()
def norms(parts: list[Tensor] | tuple[Tensor, ...], *, sharded: bool) -> Tensor:
    """The L2 norm of each tensor, ``[N]``: of the whole, where these are the processes' parts.

    Every process must call it then.
    """
    found = torch.stack(torch._foreach_norm(parts))
    if not sharded:
        return found
    squares = found.double().square()  # which in float32 would leave its range
    dist.all_reduce(squares)
    return squares.sqrt().to(found)


def whole(state: Any, keep: bool) -> Any:
    """A state dict with its parts put together on the CPU; every process must call it.

    Args:
        state: tensors in dicts, lists and tuples.
        keep: whether this process wants what was in parts; if not, it gets None for it. What was
            whole stays where it is.
    """
    if isinstance(state, Mapping):
        return {key: whole(value, keep) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(whole(value, keep) for value in state)
    if isinstance(state, Tensor) and is_sharded(state):
        parted: Any = state
        full = parted.full_tensor()
        return full.cpu() if keep else None
    return state


def load_method(method: nn.Module, state: Mapping[str, Any]) -> None:
    """``load_state_dict`` of whole tensors, into parts or the whole."""
    own = method.state_dict()
    method.load_state_dict({k: _part(v, own.get(k)) for k, v in state.items()})


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """``load_state_dict`` of whole tensors, for parameters in parts or the whole."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    cut = {
        number: {k: _part(v, parameters[number]) for k, v in kept.items()}
        for number, kept in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": cut})


def _part(value: Any, like: Any) -> Any:
    """This process's part of a tensor, cut and laid out as ``like`` is."""
    if not isinstance(value, Tensor) or like is None or value.shape != like.shape:
        return value  # such as the count of an optimizer's steps
    if not is_sharded(like):
        # In its layout, which fused optimizers take for granted: what was in parts has another.
        return torch.empty_like(like, dtype=value.dtype, device=value.device).copy_(value)
    from torch.distributed.tensor import distribute_tensor

    # Every process has read the whole: nothing is to be sent.
    return distribute_tensor(
        value.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )
