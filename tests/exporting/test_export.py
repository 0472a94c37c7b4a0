"""Exported encoders give our features in timm, torchvision, ONNX Runtime and Hugging Face's form.

Weights and statistics are drawn: at initialisation scales are 1, biases 0 and running statistics
trivial, and a tensor that is missing, or in another's place, would go unseen. Each file is loaded
by the library itself, as a person would, and not by what the export checks with.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.data.columns import Columns
from ownlatent.data.logmel import LogMel
from ownlatent.data.tokens import learn_tokens
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.exporting.to_torchvision import _vgg, _vit
from ownlatent.foreign import find_encoder
from ownlatent.kinds import KINDS
from ownlatent.networks import Middle, backbone
from ownlatent.networks.vgg import timm_names
from ownlatent.preprocessing import Preprocessing

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def randomised(net: nn.Module, seed: int = 0) -> Any:
    """Every parameter and every statistic in use, and activations of ordinary size."""
    drawn = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=drawn)
        if name.endswith("running_var"):
            value.copy_(1 + noise.abs())
        elif value.ndim == 1 and name.endswith("weight"):
            value.copy_(0.6 + 0.6 * noise.abs())
        elif value.ndim == 1:
            value.copy_(0.3 * noise)
        else:
            value.add_(0.5 * noise * value.std().clamp(min=0.02))
    return net


def run(
    folder: Path, name: str, *, size: int, view: int | None = None, channels: int = 3,
    crop: float = 0.875, **options: Any,
) -> Path:  # fmt: skip
    """A run's folder with an encoder; its path."""
    view = view or size
    torch.manual_seed(0)
    net = randomised(backbone(name, channels, view, **options)[0])
    mean, std = (MEAN * 2)[:channels], (STD * 2)[:channels]
    settings = Preprocessing(channels, size, crop, mean, std)
    made = Encoder(net, name, settings, {"method": "byol", "view_size": view}, options)
    EncoderFolder.write(folder / "encoder", {"online": made, "target": made})
    return folder


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("run") / "photos", "resnet18", size=72)


def features(net: Any, inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return net.eval()(inputs)


def inputs_of(encoder: Any, count: int = 3) -> Tensor:
    settings = encoder.preprocessing
    shape = (count, settings.channels, settings.size, settings.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def assert_same(ours: Tensor, theirs: Tensor | np.ndarray) -> None:
    theirs = torch.as_tensor(theirs)
    assert ours.shape == theirs.shape and ours.std(dim=0).max() > 1e-3 * ours.abs().max()
    assert (ours - theirs).abs().max() <= 1e-5 * ours.abs().max()


CONV = [("resnet18", {"size": 72}), ("resnet50", {"size": 64, "view": 80})]


@pytest.mark.parametrize(("name", "settings"), CONV, ids=[name for name, _ in CONV])
def test_timm_and_torchvision_have_the_same_features(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = run(tmp_path / "run", name, **settings)
    encoder = ol.load_encoder(folder)
    x = inputs_of(encoder, 2)
    ours = features(encoder.backbone, x)
    done = ol.export(folder, to="timm", out=tmp_path / "net.safetensors")
    args = json.loads((tmp_path / "net.json").read_text())
    theirs = timm.create_model(
        args["architecture"],
        num_classes=0,
        checkpoint_path=str(done.path),
        **args["model_args"],
    )
    assert_same(ours, features(theirs, x))
    assert done.gap < 1e-5
    ending = "pth" if name == "resnet18" else "safetensors"
    done = ol.export(folder, to="torchvision", out=tmp_path / f"theirs.{ending}")
    found: dict[str, Any] = {}
    exec(done.use, found)
    assert_same(ours, features(found["net"], x))


def test_torchvisions_names_of_a_vit() -> None:
    ours = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=0,
        dynamic_img_size=True,
    )  # fmt: skip
    theirs = torchvision.models.VisionTransformer(48, 8, 2, 3, 24, 96)
    theirs.heads = nn.Identity()
    theirs.load_state_dict(_vit(ours, randomised(ours).state_dict(), 48))
    x = torch.randn(3, 3, 48, 48)  # positions are interpolated, as timm does it at this size
    assert_same(features(ours, x), features(theirs, x))


def test_torchvisions_names_of_a_vgg() -> None:
    """The converse of ``timm_names``, which has its own test against torchvision."""
    with torch.device("meta"):
        net = timm.create_model("vgg11_bn", num_classes=0)
    state = {"pre_logits.fc1.weight": torch.randn(6, 4, 7, 7), "pre_logits.fc2.weight":
             torch.randn(5, 6, 1, 1), "pre_logits.fc2.bias": torch.randn(5),
             "features.0.weight": torch.randn(4, 3, 3, 3)}  # fmt: skip
    named = _vgg(state)
    assert {name: tuple(value.shape) for name, value in named.items()} == {
        "classifier.0.weight": (6, 4 * 49), "classifier.3.weight": (5, 6),
        "classifier.3.bias": (5,), "features.0.weight": (4, 3, 3, 3),
    }  # fmt: skip
    back = timm_names(net, named)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], value) for name, value in state.items())


def test_a_classifier_is_all_that_torchvision_misses(resnet: Path, tmp_path: Path) -> None:
    ol.export(resnet, to="torchvision", out=tmp_path / "net.safetensors")
    net = torchvision.models.resnet18()
    left = net.load_state_dict(load_file(tmp_path / "net.safetensors"), strict=False)
    assert (sorted(left.missing_keys), left.unexpected_keys) == (["fc.bias", "fc.weight"], [])


def test_timm_is_told_what_images_go_through(resnet: Path, tmp_path: Path) -> None:
    done = ol.export(resnet, to="timm", out=tmp_path / "net.safetensors")
    found: dict[str, Any] = {}
    exec(done.use, found)
    data = timm.data.resolve_data_config(model=found["net"])
    assert list(data["input_size"]) == [3, 72, 72] and data["interpolation"] == "bicubic"
    assert (tuple(data["mean"]), tuple(data["std"]), data["crop_pct"]) == (MEAN, STD, 0.875)
    rows = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    image = Image.fromarray(rows).resize((140, 110))
    encoder = ol.load_encoder(resnet)
    theirs = features(found["net"], found["transform"](image)[None])
    # They round sizes and pixels between resizing and cutting; the encoder resamples once.
    assert torch.nn.functional.cosine_similarity(encoder(image), theirs).item() > 0.99


def test_the_network_that_is_asked_for(tmp_path: Path) -> None:
    settings = Preprocessing(3, 64, 0.875, MEAN, STD)
    nets = [randomised(backbone("resnet10t", 3, 72)[0], seed) for seed in (0, 1)]
    made = [Encoder(net, "resnet10t", settings, {"view_size": 72}) for net in nets]
    EncoderFolder.write(
        tmp_path / "run/encoder", dict(zip(("online", "target"), made, strict=True))
    )
    x = inputs_of(made[0])
    for network, net in ((None, nets[0]), ("target", nets[1])):
        out = tmp_path / f"{network}.safetensors"
        ol.export(tmp_path / "run", to="timm", out=out, network=network)
        theirs = timm.create_model("resnet10t", num_classes=0, checkpoint_path=str(out))
        assert_same(features(net, x), features(theirs, x))


def test_several_channels_where_timm_builds_them(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", "resnet18", size=64, channels=4, stem="standard")
    encoder = ol.load_encoder(folder)
    done = ol.export(folder, to="timm", out=tmp_path / "net.safetensors")
    theirs = timm.create_model(
        "resnet18", num_classes=0, in_chans=4, checkpoint_path=str(done.path)
    )
    x = inputs_of(encoder)
    assert_same(features(encoder.backbone, x), features(theirs, x))
    with pytest.raises(ol.UsageError, match="3 channels, and this one 4; take --to timm"):
        ol.export(folder, to="torchvision", out=tmp_path / "net.pth")


def test_a_round_trip_through_hugging_faces_form(resnet: Path, tmp_path: Path) -> None:
    out = tmp_path / "birds-resnet18"
    ol.export(resnet, to="huggingface", out=out, license="cc-by-4.0")
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip
    encoder = ol.load_encoder(resnet)
    x = inputs_of(encoder)
    theirs = timm.create_model(f"local-dir:{out}", pretrained=True)
    assert_same(features(encoder.backbone, x), features(theirs, x))
    back = find_encoder(out).load()  # what ``evaluate FOLDER`` measures
    assert back.preprocessing == encoder.preprocessing
    pixels = torch.randint(0, 256, (3, 3, 90, 100), dtype=torch.uint8)
    with torch.inference_mode():
        assert_same(encoder(pixels), back(pixels))
    _, front, text = (out / "README.md").read_text().split("---\n", 2)
    assert "license: cc-by-4.0" in front and "library_name: timm" in front
    assert "# birds-resnet18" in text and "timm.create_model('hf-hub:OWNER/NAME'" in text
    assert "It holds the online network." in text and "Not evaluated yet." in text
    held = json.loads((out / "config.json").read_text())
    assert held["ownlatent"]["provenance"]["method"] == "byol"
    rows = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=rows, labels=np.arange(12) % 2)
    report = ol.evaluate(out, tmp_path / "data.npz", protocols=["linear"])
    assert report["results"][0]["features"] == "birds-resnet18 (Hugging Face)"


def test_a_vit_keeps_its_patches_in_hugging_faces_form(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", "vit_tiny_patch16_224", size=32, view=16)
    encoder = ol.load_encoder(folder)
    ol.export(folder, to="huggingface", out=tmp_path / "vit", license="other")
    theirs = timm.create_model(f"local-dir:{tmp_path / 'vit'}", pretrained=True)
    x = inputs_of(encoder)
    assert_same(features(encoder.backbone, x), features(theirs, x))


GRAPHS = [
    ("resnet18", {"size": 32, "crop": 1.0}),  # small-image stem
    ("small-resnet", {"size": 20, "channels": 2}),
    ("small-vit", {"size": 32, "view": 24}),
    ("resnet10t", {"size": 48, "norm": "group"}),
]


@pytest.mark.parametrize(("name", "settings"), GRAPHS, ids=[name for name, _ in GRAPHS])
def test_a_graph_has_the_same_features(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder = run(tmp_path / "run", name, **settings)
    encoder = ol.load_encoder(folder)
    ol.export(folder, to="onnx", out=tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    assert session.get_inputs()[0].shape[0] == "batch"
    for count in (1, 5):
        x = inputs_of(encoder, count)
        assert_same(
            features(encoder.backbone, torch.cat([x, -x])),
            session.run(None, {"input": torch.cat([x, -x]).numpy()})[0],
        )
    held = json.loads(session.get_modelmeta().custom_metadata_map["ownlatent"])
    assert held["preprocessing"]["mean"] == list(encoder.preprocessing.mean)


def test_a_graph_with_preprocessing_takes_images_of_any_size(resnet: Path, tmp_path: Path) -> None:
    encoder = ol.load_encoder(resnet)
    ol.export(resnet, to="onnx", out=tmp_path / "net.onnx", preprocessing=True)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    entry = session.get_inputs()[0]
    assert (entry.type, entry.shape) == ("tensor(uint8)", ["batch", 3, "height", "width"])
    drawn = torch.Generator().manual_seed(1)
    for shape in ((1, 3, 72, 72), (2, 3, 301, 97), (4, 3, 40, 200), (2, 3, 1, 7)):
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=drawn)
        with torch.inference_mode():
            ours = encoder(torch.cat([pixels, 255 - pixels]))
        fed = torch.cat([pixels, 255 - pixels]).numpy()
        assert_same(ours, session.run(None, {"input": fed})[0])


OTHERS: list[tuple[str, Any, Any]] = [
    ("mlp-small", Columns(("a", "b"), ((), ("x", "y")), (0.0, 0.0), (1.0, 1.0)), (3,)),
    ("resnet10t", LogMel(8000, bands=32, frames=48), (1, 32, 48)),
    ("small-transformer", learn_tokens(["a bird in the sea", "a small tree"] * 4), None),
    ("bag", learn_tokens(["a bird in the sea", "a small tree"] * 4), None),
]


@pytest.mark.parametrize(("name", "settings", "shape"), OTHERS, ids=[row[0] for row in OTHERS])
def test_graphs_of_rows_sounds_and_sentences(
    name: str, settings: Any, shape: tuple[int, ...] | None, tmp_path: Path
) -> None:
    net = randomised(KINDS[settings.kind].network(name, settings, 8)[0])
    EncoderFolder.write(tmp_path / "run/encoder", {"online": Encoder(net, name, settings)})
    ol.export(tmp_path / "run", to="onnx", out=tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    encoder = ol.load_encoder(tmp_path / "run")
    if shape is None:
        texts = ["a bird", "the sea", "a small small tree in the tree"]
        batches = [
            settings.encode(texts),
            settings.encode(texts + texts[:1]),
            settings.encode(["a"]),
        ]
    else:
        batches = [torch.randn(count, *shape) for count in (4, 1)]
    for x in batches:
        with torch.inference_mode():
            ours = encoder.backbone(x)
        (theirs,) = session.run(None, {"input": x.numpy()})
        assert np.abs(theirs - ours.numpy()).max() <= 1e-5 * ours.abs().max()
    with pytest.raises(ol.UsageError, match="of images alone"):
        ol.export(tmp_path / "run", to="onnx", out=tmp_path / "in.onnx", preprocessing=True)
    for to, out in (("timm", "x.safetensors"), ("torchvision", "x.pth")):
        with pytest.raises(ol.UsageError, match="and not images; take --to onnx"):
            ol.export(tmp_path / "run", to=to, out=tmp_path / out)


REFUSED = [
    ("resnet18", {"size": 32}, "fitted to small images .--stem standard"),
    ("resnet26d", {"size": 32}, "fitted to small images"),  # the same shapes, another stride
    ("vgg11", {"size": 32}, "fitted to small images"),
    ("small-resnet", {"size": 32}, "a network of ownlatent's own"),
    ("small-vit", {"size": 32}, "a network of ownlatent's own"),
    ("resnet18x2", {"size": 72}, "a network of ownlatent's own"),
    ("resnet18", {"size": 72, "norm": "group"}, "group norm"),
]


@pytest.mark.parametrize(("name", "settings", "why"), REFUSED)
def test_what_timm_would_build_otherwise_is_refused(
    name: str, settings: dict[str, Any], why: str, tmp_path: Path
) -> None:
    folder = run(tmp_path / "run", name, **settings)
    formats = {"timm": "a.safetensors", "torchvision": "a.pth", "huggingface": "a"}
    if name == "vgg11":  # large
        del formats["torchvision"], formats["huggingface"]
    for to, out in formats.items():
        licence = "mit" if to == "huggingface" else None
        with pytest.raises(ol.UsageError, match=f"{why}.*; take --to onnx[.]$"):
            ol.export(folder, to=to, out=tmp_path / out, license=licence)
    assert os.listdir(tmp_path) == ["run"]


def test_what_torchvision_has_not_is_refused(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", "resnet10t", size=72)
    with pytest.raises(ol.UsageError, match="take --to timm or huggingface or onnx"):
        ol.export(folder, to="torchvision", out=tmp_path / "a.pth")


def test_a_layer_of_the_head_is_refused_but_in_a_graph(tmp_path: Path) -> None:
    net = randomised(Middle.blank(backbone("small-resnet", 3, 20)[0], hidden=16, bias=False))
    settings = Preprocessing(3, 20, 0.875, MEAN, STD)
    made = Encoder(net, "small-resnet", settings, {"view_size": 20})
    EncoderFolder.write(tmp_path / "run/encoder", {"middle": made})
    with pytest.raises(ol.UsageError, match="--network online"):
        ol.export(tmp_path / "run", to="timm", out=tmp_path / "a.safetensors")
    ol.export(tmp_path / "run", to="onnx", out=tmp_path / "a.onnx")
    x = inputs_of(made)
    (theirs,) = onnxruntime.InferenceSession(tmp_path / "a.onnx").run(None, {"input": x.numpy()})
    assert_same(features(made.backbone, x), theirs)


def test_a_difference_is_found_and_nothing_kept(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ownlatent.exporting import to_timm

    def wrong(net: nn.Module) -> dict[str, Tensor]:
        state = {name: value.clone() for name, value in net.state_dict().items()}
        state["layer4.1.bn2.running_mean"] += 0.01
        return state

    monkeypatch.setattr(to_timm, "contiguous", wrong)
    with pytest.raises(ol.UsageError, match=r"differ by .* nothing is kept"):
        ol.export(resnet, to="timm", out=tmp_path / "a.safetensors")
    assert os.listdir(tmp_path) == []


def test_mistakes_are_one_sentence(
    resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for more, message in (
        ({"to": "tensorflow", "out": "a.pb"}, "one of timm, torchvision, onnx, huggingface"),
        ({"to": "onnx", "out": "a.pth"}, "ending in .onnx"),
        ({"to": "timm", "out": "a.pth"}, "ending in .safetensors"),
        ({"to": "timm", "out": "a.safetensors", "preprocessing": True}, "Only a graph"),
        ({"to": "timm", "out": "a.safetensors", "license": "mit"}, "leave --license out"),
        ({"to": "timm", "out": "a.safetensors", "network": "middle"}, "it has online, target"),
        ({"to": "huggingface", "out": "a"}, "--license apache-2.0"),
        ({"to": "huggingface", "out": "a", "license": "x\ntags: y"}, "--license apache-2.0"),
    ):
        with pytest.raises(ol.UsageError, match=message):
            ol.export(resnet, **{**more, "out": tmp_path / more["out"]})  # type: ignore[arg-type]
    with pytest.raises(ol.UsageError, match="There is no encoder in"):
        ol.export(tmp_path, to="timm", out=tmp_path / "a.safetensors")
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "net.pth")
    with pytest.raises(ol.UsageError, match="our own runs"):
        ol.export(tmp_path / "net.pth", to="huggingface", out=tmp_path / "a", license="mit",
                  backbone="resnet18")  # fmt: skip
    for name in ("a.json", "b.onnx"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(ol.UsageError, match=r"a\.json is there already"):
        ol.export(resnet, to="timm", out=tmp_path / "a.safetensors")
    with pytest.raises(ol.UsageError, match=r"b\.onnx is there already"):
        ol.export(resnet, to="onnx", out=tmp_path / "b.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ol.UsageError, match=r"pip install 'ownlatent\[onnx\]'"):
        ol.export(resnet, to="onnx", out=tmp_path / "c.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"net.pth", "a.json", "b.onnx"}
    assert (tmp_path / "a.json").read_text() == "mine" == (tmp_path / "b.onnx").read_text()


def test_the_command_says_how_to_load_it(
    resnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(resnet), "--to", "torchvision", "--out", str(tmp_path / "a.pth")]
    main(command)
    printed = capsys.readouterr().out
    first, use = printed.split("\n\n", 1)
    assert first.startswith(f"{tmp_path / 'a.pth'}: features within ")
    found: dict[str, Any] = {}
    exec(use, found)
    encoder = ol.load_encoder(resnet)
    x = inputs_of(encoder)
    assert_same(features(encoder.backbone, x), features(found["net"], x))
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2 and "is there already" in capsys.readouterr().err
