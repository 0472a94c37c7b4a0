"""The GPU's scripts, rehearsed at toy size on a CPU: what they write, and that they go on."""

import importlib
import io
import json
import os
import signal
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.gpu import carry, common, race, run_all, step
from ownlatent.config import Pretrain
from ownlatent.training.clock import Clock
from ownlatent.training.feed import Feed
from ownlatent.training.log import Log
from ownlatent.training.session import prepare
from ownlatent.views import RECIPES

RACES = ["--reserve", "0", "--total", "0.01"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


def call(script: str, out: Path, *words: str) -> dict[str, Any]:
    """Run a script here, and give its record."""
    before = sys.argv
    sys.argv = [script, "--toy", "--out", str(out), *words]
    try:
        importlib.import_module(f"benchmarks.gpu.{script}").main()
    finally:
        sys.argv = before
    places = [out / f"{script}.json", out / "ablations" / "tiny" / "record.json"]
    given: dict[str, Any] = json.loads(places[script == "ablations"].read_text())
    assert (out / f"{script}.md").read_text().startswith("# ")
    return given


def twice(script: str, out: Path, *words: str) -> dict[str, Any]:
    """The second call makes nothing anew: a figure's seconds are those of the first."""
    first = {k: v for k, v in call(script, out, *words).items() if "error" not in v}
    again = call(script, out, *words)
    assert first and {k: again[k] for k in first} == first
    assert all(cell["card"] and cell["torch"] == torch.__version__ for cell in first.values())
    return again


def test_a_step(out: Path) -> None:
    for cell in twice("step", out).values():
        assert sum(cell["shares"].values()) == pytest.approx(1)
        assert cell["images_per_second"] == pytest.approx(cell["batch"] / cell["step_seconds"])
        work = cell["operations_per_image"] * cell["images_per_second"]
        assert cell["share_of_arithmetic"] == pytest.approx(work / cell["limit_flops"])
        moved = cell["bytes_per_step"] / cell["step_seconds"]
        assert cell["share_of_bandwidth"] == pytest.approx(moved / cell["limit_bytes"])
        assert cell["kernels"] and 0 < sum(each["share"] for each in cell["kernels"]) <= 1 + 1e-9


def test_views_and_lightly(out: Path) -> None:
    record = twice("views", out)
    assert record["16 px, as on a CPU"]["right"]
    assert record["16 px, as on a CPU"]["farthest_fp32"] > 0  # another program than the CPU's own
    assert record["16 px, ours, eager"]["images_per_second"] > 0
    found = twice("lightly_step", out)
    assert found["ours, from canvases, compiled"]["images_per_second"] > 0
    for name, cell in (record | found).items():  # a peer that is not installed is said to be so
        assert "error" not in cell or (
            "No module named" in cell["error"] and ("kornia" in name or "lightly" in name)
        )


@pytest.fixture(autouse=True, scope="module")
def recipes_as_they_were() -> Iterator[None]:
    """The ablations' views are not the library's."""
    before = dict(RECIPES)
    yield
    RECIPES.clear()
    RECIPES.update(before)


@pytest.mark.parametrize("title", ["cifar", "imagenette"])
def test_a_race_that_is_cut_off_goes_on(
    title: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, rows = Log.write, []

    def cut(log: Log, row: dict[str, Any]) -> None:
        write(log, row)
        if "trial" not in str(log._folder.path):
            rows.append(row["step"])
            if len(rows) == 1:
                os.kill(os.getpid(), signal.SIGTERM)  # as the budget does

    monkeypatch.setattr(Log, "write", cut)
    with pytest.raises(FileNotFoundError):  # there is no result yet
        call(title, out, *RACES)
    assert rows == [2]
    (cell,) = twice(title, out, *RACES).values()
    assert rows == [2, 4, 6, 8]  # an epoch of 256 images; no step was taken twice
    assert all(0 <= value <= 100 for value in cell["accuracy"].values())
    assert len(cell["accuracy"]) == 3 and cell["epochs"] == 1
    assert cell["seconds_before_measuring"] > 0 and cell["images_per_second"] > 0


def test_ablations(out: Path) -> None:
    record = twice("ablations", out)
    assert len(record) == 2 and all(0 <= cell["linear"] <= 100 for cell in record.values())


def test_all_of_them_are_collected(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (out / "some.json").write_text('{"a": {"seconds": 1}}\n')
    (out / "some.md").write_text("# Some\n")
    monkeypatch.setenv("OUT", str(tmp_path))
    run_all.collect(out)
    assert json.loads((tmp_path / "results.json").read_text())["some"] == {"a": {"seconds": 1}}
    assert "# Some" in (tmp_path / "results.md").read_text()
    for name in run_all.SCRIPTS:
        assert hasattr(importlib.import_module(f"benchmarks.gpu.{name}"), "main")


def test_a_failure_is_kept_and_tried_again(tmp_path: Path) -> None:
    tried = []

    def fails() -> dict[str, Any]:
        tried.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    todo = {"a": fails, "b": lambda: {"value": 1}}
    for _ in range(2):
        record = common.fill(tmp_path / "r.json", todo, common.Budget(1))
    assert record["a"]["error"] == "OutOfMemoryError: CUDA out of memory."
    assert record["b"]["value"] == 1 and len(tried) == 2
    assert common.fill(tmp_path / "none.json", todo, common.Budget(1), reserve=3600) == {}


def test_minutes_that_are_over_end_what_runs() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(common.OutOfTime), common.Budget(0.0).enforced():
        while True:
            signal.pause()
    assert signal.getsignal(signal.SIGTERM) == before


def test_operations_by_hand() -> None:
    """Of a 3 x 3 convolution of 3 to 8 channels on 6 x 6 pixels, and a linear map to 5 numbers.

    Backward takes as many for the weights, and again for the input but of the first layer.
    """
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 36, 5))
    images = torch.randn(4, 3, 6, 6)
    convolution, linear = 2 * 4 * 36 * 8 * (3 * 9), 2 * 4 * (8 * 36) * 5
    assert step.operations(lambda: net(images)) == convolution + linear
    both = step.operations(lambda: net(images).sum().backward())
    assert both == 2 * convolution + 3 * linear


def test_operations_of_a_step_of_byol() -> None:
    """Online forward and backward of two views, the target's forward alone; images need no
    gradient."""
    config = Pretrain(
        data="x", size=16, batch_size=8, steps=1, backbone="small-resnet", precision="fp32",
        set=("hidden=16", "dim=8"),
    )  # fmt: skip
    run = prepare(config, step.images(8, 16))
    view, method = torch.randn(8, 3, 16, 16), run.method
    online = step.operations(lambda: method.online(view))
    predictor = step.operations(lambda: method.predictor(torch.randn(8, 8)))
    first = next(m for m in method.online.backbone.modules() if isinstance(m, nn.Conv2d))
    once = step.operations(lambda: first(view))
    views = step.operations(lambda: next(iter(Feed(run, Clock())(0))))
    found, saved = step.work(run)
    assert found == 2 * (3 * (online + predictor) - once) + 2 * online + views
    trained = 4 * sum(p.numel() for p in [*method.online.parameters(),
                                          *method.predictor.parameters()])  # fmt: skip
    target = 4 * sum(p.numel() for p in method.target.parameters())
    # AdamW: weights read by both passes' one look, gradient written; three read, three written.
    assert step.bytes_moved(run, saved) == trained * 9 + target * 3 + 2 * saved
    assert saved > 2 * view.nbytes


def test_a_schedule_fits_the_minutes(tmp_path: Path) -> None:
    """9 minutes, 75 s for measuring, 30 s to start, at 1,000 images/s: 435 s, of which 97 %."""
    state = tmp_path / "race.json"
    state.write_text('{"trial": {"images_per_second": 1000.0, "start_seconds": 30.0}}')
    given = race.options("x").parse_args(["--minutes", "9"])
    now = common.time.monotonic()
    planned = race.plan(state, 10_000, given, now)
    assert planned["epochs"] == int(0.97 * 435 * 1000 / 10_000) and planned["calls"] == 1
    given = race.options("x").parse_args(["--minutes", "9", "--total", "25"])
    planned = race.plan(state, 10_000, given, now)
    assert planned["calls"] == 3
    assert planned["epochs"] == int(0.97 * (1500 - 75 - 3 * 30 - 2 * 20) * 1000 / 10_000)


def jpeg(seed: int, side: int = 32) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    made = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(made, "JPEG")
    return made.getvalue()


def test_cifar_is_unpacked_to_its_pixels(tmp_path: Path) -> None:
    images = [jpeg(seed) for seed in range(6)]
    header = carry.header_of(images[0])
    assert all(image.startswith(header) for image in images)
    for part in ("train", "test"):
        np.savez(
            tmp_path / f"cifar10_{part}_jpeg.npz",
            header=np.frombuffer(header, np.uint8),
            body=np.frombuffer(b"".join(each[len(header) :] for each in images), np.uint8),
            length=np.array([len(each) - len(header) for each in images], np.uint16),
            label=np.arange(6, dtype=np.uint8) % 2,
        )
    train, _ = race.unpacked(tmp_path, tmp_path / "here", 32)
    for row, image in enumerate(images):
        expected = np.asarray(Image.open(io.BytesIO(image)))
        assert np.array_equal(train.pixels[row].permute(1, 2, 0).numpy(), expected)
    assert train.labels is not None and train.labels.tolist() == [0, 1] * 3


def test_imagenette_is_made_to_fit_and_unpacked(tmp_path: Path) -> None:
    for part in ("train", "test"):
        with tarfile.open(tmp_path / f"{part}-there.tar", "w") as tar:
            for number in range(8):
                content = jpeg(number, 80)
                entry = tarfile.TarInfo(f"imagenette/{part}/n{number % 2}/{number}.jpg")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    parts = {part: [tmp_path / f"{part}-there.tar"] for part in ("train", "test")}
    carry.imagenette(parts, tmp_path / "carried", 64, 60_000)
    note = json.loads((tmp_path / "carried" / "encoding.json").read_text())
    assert note["side"] == 64 and note["images"] == 16 and note["quality"] in carry.QUALITIES
    assert sum(file.stat().st_size for file in (tmp_path / "carried").glob("*.npz")) <= 60_000
    train, test = race.unpacked(tmp_path / "carried", tmp_path / "here", 64)
    assert len(train) == len(test) == 8 and tuple(train.pixels.shape[1:]) == (3, 64, 64)
    assert train.labels is not None and train.labels.tolist() == [0, 1] * 4
    original = Image.open(io.BytesIO(jpeg(3, 80))).resize((64, 64), Image.Resampling.LANCZOS)
    apart = train.pixels[3].permute(1, 2, 0).numpy() - np.asarray(original).astype(float)
    assert np.abs(apart).mean() < 4  # grey levels
