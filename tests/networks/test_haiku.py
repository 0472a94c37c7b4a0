"""DeepMind's checkpoints: haiku's own features, from a file of the form of its BYOL.

``golden/haiku_resnet.npz`` is made by dm-haiku 0.0.17 with jax 0.10.2 on a CPU: a ResNet of
``hk.nets.ResNet.BlockGroup`` as byol/utils/networks.py builds it (v1 bottleneck blocks 1, 2, 1, 1
of 16, 24, 32 and 40 channels, a projection in each group), weights and statistics drawn, and its
features of two images at 40 and 37 pixels. A batch norm's ``hidden`` is not its ``average``.
"""

import pickle
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn

import ownlatent as ol
from ownlatent.foreign import find_encoder
from ownlatent.networks import backbone, load_weights
from ownlatent.networks.haiku import read_haiku, same_padding
from ownlatent.networks.pickled import Refused
from ownlatent.networks.translate import match

GOLDEN = np.load(Path(__file__).parent / "golden" / "haiku_resnet.npz")


class _ByolExperimentState(NamedTuple):
    online_params: Any
    target_params: Any
    online_state: Any
    target_state: Any
    opt_state: Any


class FlatMap:
    """Pickled as haiku's mapping is: its class, called with a dictionary."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.held = held

    def __reduce__(self) -> Any:
        return type(self), (self.held,)


def golden(scale: float = 1.0) -> tuple[dict[str, Any], dict[str, Any]]:
    found: dict[str, dict[str, dict[str, Any]]] = {"params": {}, "state": {}}
    for key in GOLDEN:
        if key.count("|") == 2:
            tree, module, name = key.split("|")
            value = GOLDEN[key]
            value = value.astype(np.float32) * scale if value.dtype == np.float16 else value
            found[tree].setdefault(module, {})[name] = value
    found["params"]["projector/linear"] = {"w": np.ones((4, 2), np.float32)}
    return found["params"], found["state"]


def write(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, flat: bool, protocol: int = 2,
    trees: Any = None,
) -> Path:  # fmt: skip
    """As byol/utils/checkpointing.py writes one, the target's values twice the online ones."""
    for module, owned in (
        ("byol.byol_experiment", _ByolExperimentState), ("haiku._src.data_structures", FlatMap),
    ):  # fmt: skip
        monkeypatch.setattr(owned, "__module__", module)
        place: Any = types.ModuleType(module)
        setattr(place, owned.__name__, owned)
        monkeypatch.setitem(sys.modules, module, place)
        monkeypatch.setitem(sys.modules, module.split(".")[0], types.ModuleType("room"))
    wrap: Any = FlatMap if flat else dict
    online, target = trees or golden(), golden(2.0)
    parts = [online[0], target[0], online[1], target[1]]
    mappings = [wrap({k: wrap(v) for k, v in part.items()}) for part in parts]
    state = _ByolExperimentState(*mappings, ({"count": np.int32(3)},))
    held = {"experiment_state": state, "step": 7, "rng": np.zeros(2, np.uint32)}
    path.write_bytes(pickle.dumps(held, protocol))
    monkeypatch.undo()
    assert "byol.byol_experiment" not in sys.modules
    return path


def small_net() -> Any:
    net = ResNet(
        Bottleneck, (1, 2, 1, 1), num_classes=0, channels=(4, 6, 8, 10), stem_type="deep",
        stem_width=2,
    )  # fmt: skip
    net.conv1 = nn.Conv2d(3, 4, 7, stride=2, padding=3, bias=False)  # type: ignore[assignment]
    return net.eval()


def features(net: nn.Module, side: int) -> Tensor:
    images = torch.from_numpy(GOLDEN["images"].astype(np.float32)[:, :side, :side])
    with torch.inference_mode():
        return net(images.permute(0, 3, 1, 2))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_features_are_haikus(
    flat: bool, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = read_haiku(write(tmp_path / "a.pkl", monkeypatch, flat=flat, protocol=protocol))
    net = small_net()
    found = match(net, state)
    assert all(name.endswith("num_batches_tracked") for name in found.missing)
    assert found.left == []  # the projector is no part of it
    net.load_state_dict(found.tensors, strict=False)
    same_padding(net)
    for side in (40, 37):  # even: all padding behind; odd: on both sides, as torch does
        expected = torch.from_numpy(GOLDEN[f"features|{side}"])
        assert (features(net, side) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_torchs_own_padding_gives_other_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap: every weight is right, and features are not."""
    state = read_haiku(write(tmp_path / "a.pkl", monkeypatch, flat=False))
    net = small_net()
    net.load_state_dict(match(net, state).tensors, strict=False)
    expected = torch.from_numpy(GOLDEN["features|40"])
    assert (features(net, 40) - expected).abs().max() > 0.01 * expected.abs().max()


def as_haiku(net: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and state of torch's ResNet-50 under haiku's names; written apart from ours."""
    params: dict[str, Any] = {}
    state: dict[str, Any] = {}
    for name, value in net.state_dict().items():
        *place, leaf = name.split(".")
        kind, number = place[-1][:-1], place[-1][-1]
        word = "conv" if kind == "conv" or place[-1] == "0" else "batchnorm"
        path = f"res_net50/~/initial_{word}"
        if len(place) > 1:
            group, block = int(place[0][-1]) - 1, place[1]
            own = f"shortcut_{word}" if "downsample" in place else f"{word}_{int(number) - 1}"
            path = f"res_net50/~/block_group_{group}/~/block_{block}/~/{own}"
        held = value.numpy()
        if word == "conv":
            params[path] = {"w": np.moveaxis(held, (0, 1), (3, 2))}
        elif leaf in ("weight", "bias"):
            given = {"weight": "scale", "bias": "offset"}[leaf]
            params.setdefault(path, {})[given] = held.reshape(1, 1, 1, -1)
        elif leaf.startswith("running"):
            given = f"{path}/~/{leaf.removeprefix('running_')}_ema"
            state[given] = {"average": held.reshape(1, 1, 1, -1), "hidden": held * 0}
    return params, state


def test_a_whole_network_is_measured_with_its_padding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net, _ = backbone("resnet50", 3, 224)
    for value in net.state_dict().values():
        if value.ndim == 1:  # statistics are trivial, and the last scale of a block is 0
            value.copy_(0.5 + torch.rand(value.shape))
    trees = as_haiku(net)
    path = write(tmp_path / "pretrain_res50x1.pkl", monkeypatch, flat=True, trees=trees)
    encoder = find_encoder(path, "resnet50").load()
    assert encoder.provenance["weights"].startswith("265 of 318 tensors from pretrain_res50x1.pkl")
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        plain, ours = net.eval()(x), encoder.backbone(x)
        expected = same_padding(net)(x)
    assert (ours - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (ours - plain).abs().max() > 1e-3 * expected.abs().max()
    begun, _ = backbone("resnet50", 3, 224)  # a run has its own padding, and is told
    assert "padded as torch does" in load_weights(begun, path)
    del trees[0]["res_net50/~/block_group_1/~/block_0/~/batchnorm_0"]
    path = write(tmp_path / "b.pkl", monkeypatch, flat=False, trees=trees)
    with pytest.raises(ol.UsageError, match=r"263 of the 318 .*not layer2\.0\.bn1\.weight"):
        find_encoder(path, "resnet50").load()


def test_what_it_is_not_is_one_sentence(tmp_path: Path) -> None:
    for name, held in (
        ("list", [1]), ("other", {"params": {}}), ("few", {"experiment_state": ({}, {})}),
        ("empty", {"experiment_state": ({}, {}, {}, {}, {})}),
    ):  # fmt: skip
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(pickle.dumps(held))
        with pytest.raises(Refused):
            read_haiku(path)
        with pytest.raises(ol.UsageError, match="DeepMind's BYOL"):
            find_encoder(path, "resnet50").load()
