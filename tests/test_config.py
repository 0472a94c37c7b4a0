"""Any combination of options that the command line accepts trains, or is refused in a sentence.

Strategies are made from the fields of ``Pretrain`` and their bounds, so a new option takes part at
once.
"""

import collections
import contextlib
import io
import math
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ownlatent.cli import main
from ownlatent.config import BOUNDS, Pretrain
from ownlatent.methods.presets import PRESETS
from ownlatent.networks import backbone
from ownlatent.training.folder import RunFolder
from ownlatent.views.recipe import RECIPES

HINTS = get_type_hints(Pretrain)
NAMES = [field.name for field in fields(Pretrain) if field.name not in ("out", "label")]
# Where the type alone does not say what is worth trying, or what is quick enough.
CHOSEN: dict[str, st.SearchStrategy[Any]] = {
    "data": st.sampled_from(["labelled.npz", "plain.npy"]),
    "method": st.sampled_from([*PRESETS, "byoll"]),
    "preset": st.sampled_from(["small", "small", "small", "paper-40"]),
    "set": st.sampled_from(
        [
            ("hidden=8",),
            ("hidden=16", "dim=4"),
            ("tau=0.5",),
            ("layers=3",),
            ("queue=12",),
            ("hidden=x",),
            ("temperature=0",),
            ("nothing=1",),
            ("tau",),
            ("tau=0.5", "tau=0.6"),
        ]
    ),
    "clip": st.sampled_from([0.1, 3.0]),
    "bn_group": st.sampled_from([2, 3, 4]),
    "backbone": st.sampled_from(["small-resnet", "test_resnet"]),
    "stem": st.sampled_from(["auto", "auto", "auto", "standard"]),  # small-resnet refuses the last
    "views": st.sampled_from(list(RECIPES)),
    "track": st.sampled_from([("tensorboard",), ("neptune",)]),
    "init": st.sampled_from(["weights.safetensors", "gone.pth"]),
    "steps": st.just(1),
    "epochs": st.just(1),
    "batch_size": st.sampled_from([4, 8, 24]),
    "seed": st.integers(*map(int, BOUNDS["seed"])),
    "shard": st.just(False),  # one process is always refused
    "start_size": st.none(),  # so is a single epoch
    "crops_after": st.sampled_from([0.0, 0.0, 0.5]),  # and this, as a rule, without crops
    "compile": st.sampled_from(["auto", "off"]),  # "on" takes a minute each time
}


def kind(name: str) -> Any:
    hint = HINTS[name]
    parts = get_args(hint) if get_origin(hint) not in (None, Literal) else (hint,)
    return next(part for part in parts if part is not type(None))


def sensible(name: str) -> st.SearchStrategy[Any]:
    """Values that are within bounds, and quick."""
    if name in CHOSEN:
        return CHOSEN[name]
    if get_origin(kind(name)) is Literal:
        return st.sampled_from(get_args(kind(name)))
    if kind(name) is bool:
        return st.booleans()
    least, most = BOUNDS[name]
    if kind(name) is int:
        return st.integers(int(least), int(least) + 4)
    return st.floats(least, min(most, least + 1))


def wild(name: str) -> st.SearchStrategy[Any]:
    """Anything of the right type; long runs and vast networks left out."""
    if kind(name) is int:
        most = int(BOUNDS[name][1])
        return st.integers(max_value=int(BOUNDS[name][0])) | st.integers(min_value=most + 1)
    if kind(name) is float:
        return st.floats()
    return st.text("abc-_0", min_size=1, max_size=6)


@st.composite
def commands(draw: st.DrawFn) -> dict[str, Any]:
    always = {name: sensible(name) for name in ("data", "backbone", "steps", "batch_size")}
    others = {name: sensible(name) for name in NAMES if name not in always}
    chosen = draw(st.fixed_dictionaries(always, optional=others))
    if draw(st.integers(0, 3)):  # else refused: one or the other
        chosen.pop("epochs", None)
    spoilt = draw(
        st.none() | st.sampled_from([name for name in NAMES if name not in ("set", "track")])
    )
    if spoilt is not None and get_origin(kind(spoilt)) is not Literal and kind(spoilt) is not bool:
        chosen[spoilt] = draw(wild(spoilt))
    return chosen


def words(options: dict[str, Any]) -> list[str]:
    line = ["pretrain", str(options["data"]), "--out", "out"]
    for name, value in options.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            line.append(f"--{option}" if value else f"--no-{option}")
        elif value is None:
            continue
        elif isinstance(value, tuple):
            line += [f"--{option}", *value]
        elif name != "data":
            line.append(f"--{option}={value}")
    return line


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = np.random.default_rng(0).integers(0, 256, (24, 12, 12, 3), dtype=np.uint8)
    np.savez("labelled.npz", images=images, labels=np.arange(24) % 3)
    np.save("plain.npy", images)
    net, _ = backbone("small-resnet", 3, 12)
    save_file(net.state_dict(), "weights.safetensors")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def test_any_options_train_or_are_refused_in_a_sentence(here: Path) -> None:
    ended: collections.Counter[int] = collections.Counter()

    @settings(
        max_examples=120,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(commands())
    def check(options: dict[str, Any]) -> None:
        shutil.rmtree("out", ignore_errors=True)
        said, code = io.StringIO(), 0
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                main(words(options))
            except SystemExit as stop:
                code = int(stop.code or 0)
        ended[code] += 1
        assert "Traceback" not in said.getvalue()
        if code == 0:
            (row,) = RunFolder("out").log()[-1:]
            assert row["step"] >= 1 and math.isfinite(row["loss"])
        elif code == 1:  # trained, and its numbers went out of bounds
            assert "lower --base-lr" in said.getvalue()
        else:
            assert code == 2 and not Path("out").exists()
            sentence = said.getvalue().strip().splitlines()[-1]
            assert sentence.endswith((".", "?")) or "help" in sentence or ": " in sentence, sentence

    check()
    assert ended[0] >= 20 and ended[2] >= 20, ended
