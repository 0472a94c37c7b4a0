"""What people get wrong, one line each: a sentence that names the fix, never a traceback.

Every case runs in an empty folder that its first function fills. A case that is refused must leave
that folder as it was.
"""

import contextlib
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.config import BOUNDS, Pretrain
from ownlatent.training.folder import RunFolder

TINY = "--backbone small-resnet --size 8 --batch-size 8 --set hidden=8 --steps 1"


# --- making things ------------------------------------------------------------------------------


def pixels(count: int = 24, side: int = 12, channels: int = 3, dtype: Any = np.uint8) -> Any:
    shape = (count, side, side, channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def folder(name: str = "photos", count: int = 24, side: int = 12) -> list[Path]:
    Path(name).mkdir(parents=True)
    files = [Path(name, f"{row:02}.jpg") for row in range(count)]
    for file, image in zip(files, pixels(count, side), strict=True):
        Image.fromarray(image).save(file)
    return files


def npy(array: Any = None) -> None:
    np.save("images.npy", pixels() if array is None else array)


def npz(labels: Any = None, images: Any = None, **named: Any) -> None:
    named |= {} if labels is None else {"labels": np.asarray(labels)}
    np.savez("images.npz", images=pixels() if images is None else images, **named)


def text(name: str, content: str | bytes = "not an image") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


def parquet(name: str = "images.parquet", **columns: Any) -> None:
    pq.write_table(pa.table(columns), name)


def cut(file: Path, share: float = 0.5) -> None:
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])


def loose() -> None:
    """Class folders, and one image beside them."""
    folder("photos/a", 12)
    folder("photos/b", 12)
    shutil.copy("photos/a/00.jpg", "photos/00.jpg")


def mixed_depth() -> None:
    folder()
    Image.fromarray(np.full((12, 12), 40000, np.uint16)).save("photos/deep.png")


class Payload:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self) -> Any:
        return os.system, ("touch executed",)


def weights(content: Any, name: str = "w.pth") -> None:
    npy()
    torch.save(content, name)


def edited(name: str, **changes: Any) -> None:
    """Change a JSON file of the run; a value of None takes the name away."""
    content = json.loads(Path("run", name).read_text())
    for key, value in changes.items():
        *groups, last = key.split("__")
        place = content
        for group in groups:
            place = place[group]
        place[last] = value
        if value is None:
            del place[last]
    Path("run", name).write_text(json.dumps(content))


# --- the table ------------------------------------------------------------------------------------


class Case(NamedTuple):
    name: str
    make: Callable[[], Any]
    command: str
    says: str


PRETRAIN = [
    Case("missing path", lambda: None, "nowhere", "nowhere does not exist: give a folder"),
    Case("empty folder", lambda: Path("photos").mkdir(), "photos", "holds no files"),
    Case("only text", lambda: text("photos/a.txt"), "photos", "only other files (a.txt)"),
    Case("not images", lambda: text("photos/a.jpg"), "photos", "none of the 1 images in photos"),
    Case("one image", lambda: folder(count=1), "photos", "only one image"),
    Case("an image file", lambda: text("a.jpg"), "a.jpg", "give the folder that holds"),
    Case("unknown kind", lambda: text("a.zip"), "a.zip", "kind not known here: give a folder"),
    Case("name too long", lambda: None, "a" * 300, "cannot be read (File name too long)"),
    Case("identical", lambda: npy(pixels()[:1].repeat(24, 0)), "images.npy", "images that differ"),
    Case("all 1x1", lambda: folder(side=1), "photos --size 4", "size must be at least 8"),
    Case("mixed depths", mixed_depth, "photos", "are mixed: convert them to one depth"),
    Case("too many", lambda: [cut(f, 0.3) for f in folder()[:11]], "photos", "only 13 of the 24"),
    Case("float", lambda: npy(pixels(dtype=np.float32)), "images.npy", "float32: convert the im"),
    Case("NaN", lambda: npy(np.full((24, 12, 12), np.nan)), "images.npy", "float64: convert the"),
    Case("five axes", lambda: npy(pixels()[None]), "images.npy", "images must be [N, H, W]"),
    Case("no pixel", lambda: npy(pixels()[:0]), "images.npy", "holds no pixel: give it images"),
    Case("17 channels", lambda: npy(pixels(24, 20, 17)), "images.npy", "at most 16 channels"),
    Case("objects", lambda: npy(np.array([1, "a"], object)), "images.npy", "of plain numbers"),
    Case("not NumPy", lambda: text("a.npy", "hello"), "a.npy", "not a readable NumPy file"),
    Case("empty file", lambda: text("a.npy", ""), "a.npy", "not a readable NumPy file"),
    Case("cut .npz", lambda: [npz(), cut(Path("images.npz"))], "images.npz", "readable NumPy"),
    Case("no images", lambda: np.savez("a.npz", pictures=pixels()), "a.npz", "images, x, data"),
    Case("half labels", lambda: npz(np.arange(12)), "images.npz", "for each of the 24 images"),
    Case("float labels", lambda: npz(np.linspace(0, 1, 24)), "images.npz", "give one integer"),
    Case("huge labels", lambda: npz(np.arange(24) * 10**9), "images.npz", "below 100,000"),
    Case("missing labels", lambda: npz([-1] * 24), "images.npz --labelled", "leave those rows out"),
    Case("loose image", loose, "photos --labelled", "lies in no class folder"),
    Case("no labels", npy, "images.npy --labelled", "has no labels: use a folder"),
    Case("not Parquet", lambda: text("a.parquet", "PAR1"), "a.parquet", "write or download it"),
    Case("no column", lambda: parquet(a=[b"x"], b=[b"y"]), "images.parquet", "name it 'image'"),
    Case("junk", lambda: parquet(image=[b"x"]), "images.parquet", "none of the 1 images in"),
    Case("backbone", npy, "images.npy --backbone resnet-18", "did you mean resnet18"),
    Case("preset", npy, "images.npy --preset big", "choose one of small, paper-40"),
    Case("method", npy, "images.npy --method simclear", "did you mean simclr?"),
    Case(
        "no such option", npy, "images.npy --set tua=0.9", "byol has no option 'tua'; it has hidden"
    ),
    Case("no value", npy, "images.npy --set tau", "written name=value; got 'tau'"),
    Case("set twice", npy, "images.npy --set tau=0.9 tau=0.8", "tau is set twice; set it once"),
    Case("no number", npy, "images.npy --set tau=high", "tau must be a number; got 'high'"),
    Case("tau", npy, "images.npy --set tau=1.5", "tau must lie between 0 and 1"),
    Case("word", npy, "images.npy --set targets=all", "must be one of average, detached, shared"),
    Case("group", npy, "images.npy --bn-group 3", "take --bn-group 2"),
    Case("patches", npy, "images.npy --frozen-patches True", "small-resnet"),
    Case("stem", npy, "images.npy --stem standard", "leave --stem out or take a timm model"),
    Case("own target", npy, "images.npy --method dino --target-start own", "leave --target-start"),
    Case("views", npy, "images.npy --views byoll", "choose one of byol, simclr"),
    Case("batch > data", npy, "images.npy --batch-size 25", "take --batch-size 24 or less"),
    Case("uneven", npy, "images.npy --accumulate 3", "take a multiple of 3 from 6"),
    Case("steps, epochs", npy, "images.npy --epochs 2", "Give --steps or --epochs, not both"),
    Case("no drop-path", npy, "images.npy --drop-path 0.1", "leave --drop-path out"),
    # torch fails to shrink three channels to one pixel
    Case("canvas", npy, "images.npy --canvas 1", "canvas must be at least 8"),
    Case("no GPU", npy, "images.npy --accelerator cuda", "take --accelerator cpu"),
    Case("no weights", npy, "images.npy --init w.pth", "no weights at w.pth; give a .safete"),
    Case("text", lambda: [npy(), text("w.pth")], "images.npy --init w.pth", "of tensors only"),
    Case("a list", lambda: weights([1]), "images.npy --init w.pth", "of tensors only"),
    Case("others", lambda: weights({"a": torch.ones(3)}), "images.npy --init w.pth", "fits only 0"),
    Case("payload", lambda: weights({"a": Payload()}), "images.npy --init w.pth", "tensors only"),
    Case(
        "old pickle",
        lambda: [npy(), text("w.pth", pickle.dumps(Payload()))],
        "images.npy --init w.pth",
        "of tensors only",
    ),
    Case("out: a file", lambda: [npy(), text("out")], "images.npy", "choose another --out"),
    Case("out: full", lambda: [npy(), text("out/my.txt")], "images.npy", "already holds something"),
    Case("out: in a file", lambda: [npy(), text("a")], "images.npy --out a/b", "not a folder that"),
    Case("out: too long", npy, "images.npy --out " + "a" * 300, "choose another --out"),
    Case("unfinished", lambda: edited("state.json", state="stopped"), "a --out run", "resume run"),
]

OTHERS = [
    Case("no run", lambda: None, "resume nowhere", "not a run folder: it has no config.json"),
    Case("a file", npy, "resume images.npy", "not a run folder"),
    Case("finished", lambda: None, "resume run", "has finished: 2 steps of 2"),
    Case("config cut", lambda: cut(Path("run/config.json")), "resume run", "damaged"),
    Case("config empty", lambda: text("run/config.json", "{}"), "resume run", "restore it"),
    Case(
        "odd plan",
        lambda: edited("config.json", plan__total_steps=9, plan__options={"hidden": "x"}),
        "resume run",
        "hidden must",
    ),
    Case("odd option", lambda: edited("config.json", asked__keep=-1), "resume run", "keep must be"),
    Case(
        "another network",
        lambda: edited("config.json", plan__total_steps=9, plan__options={"hidden": 9, "dim": 4}),
        "resume run",
        "is not of the run that its config.json tells of",
    ),
    Case(
        "moved images",
        lambda: edited("config.json", plan__total_steps=9, asked__data="gone"),
        "resume run",
        "gone is gone: say where its data are now by --data",
    ),
    Case(
        "other images",
        lambda: [edited("config.json", plan__total_steps=9), npy(pixels(24, 13))],
        "resume run --data images.npy",
        "go on all the same with --changed-data",
    ),
    Case(
        "no checkpoint loads",
        lambda: [cut(path) for path in Path("run/checkpoints").rglob("state.pt")],
        "resume run",
        "No checkpoint loads",
    ),
    Case("no encoder", npz, "evaluate nowhere --data images.npz", "no encoder in nowhere; give a"),
    Case("no data", npz, "evaluate run --data nowhere", "nowhere does not exist"),
    Case("no labels", npy, "evaluate run --data images.npy", "has no labels: use a folder"),
    Case("one class", lambda: npz([1] * 24), "evaluate run --data images.npz", "at least two"),
    Case("all alone", lambda: npz(range(24)), "evaluate run --data images.npz", "give more labels"),
    Case(
        "other classes",
        lambda: [npz([1] * 24), os.rename("images.npz", "b.npz"), npz([0, 2] * 12)],
        "evaluate run --data images.npz --test b.npz",
        "no class in common",
    ),
    Case(
        "five channels",
        lambda: npz([0, 1] * 12, pixels(24, 12, 5)),
        "evaluate run --data images.npz",
        "takes images of 3 channels; got 5",
    ),
    Case("limit", npz, "evaluate run --data images.npz --limit 0", "limit must be at least 1"),
    Case("seed", npz, f"evaluate run --data a --seed {2**63}", "seed must lie between 0 and"),
    Case("no such device", npz, "evaluate run --data a --device gpu", "must be cpu or cuda"),
    Case("no GPU", npz, "evaluate run --data a --device cuda", "take --device cpu"),
    Case(
        "weights cut",
        lambda: cut(Path("run/encoder/online.safetensors")),
        "evaluate run --data a",
        "online.safetensors is damaged or not this backbone's; restore it",
    ),
    Case(
        "weights are a pickle",
        lambda: torch.save({"a": Payload()}, "run/encoder/online.safetensors"),
        "evaluate run --data a",
        "damaged or not this backbone's",
    ),
    Case(
        "odd settings",
        lambda: edited("encoder/config.json", preprocessing__size="x"),
        "evaluate run --data a",
        "size must be a whole number",
    ),
    Case(
        "no settings",
        lambda: edited("encoder/config.json", preprocessing=None),
        "evaluate run --data a",
        "encoder/config.json is damaged",
    ),
    Case(
        "a newer format",
        lambda: edited("encoder/config.json", format=99),
        "evaluate run --data a",
        "another version of ownlatent; update it",
    ),
    Case("no data", lambda: None, "views nowhere", "nowhere does not exist"),
    Case("no image", npy, "views images.npy --images 0", "images must be at least 1"),
    Case("no draw", npy, "views images.npy --draws -1", "draws must be at least 1"),
    Case("size", npy, "views images.npy --size 0", "size must be at least 8"),
    Case("seed", npy, "views images.npy --seed -1", "seed must be at least 0"),
    Case("unknown", npy, "views images.npy --views x", "choose one of byol, simclr"),
    Case("out: a folder", npy, "views images.npy --out run", "give the name of a file"),
    Case("no run", npy, "report nowhere --data images.npy", "no encoder in nowhere"),
    Case("no data", lambda: None, "report run --data nowhere", "nowhere does not exist"),
    Case("one image", lambda: npy(pixels(1)), "report run --data images.npy", "at least two"),
    Case("config", lambda: text("run/config.json"), "report run --data a", "config.json is damag"),
    Case(
        "odd results",
        lambda: text("run/evaluation.json", '{"results": [1]}'),
        "report run --data a",
        "evaluation.json is damaged",
    ),
    Case("no folder", lambda: None, "runs nowhere", "no folder nowhere; give the one"),
    Case("a file", npy, "runs images.npy", "no folder images.npy"),
    Case("something else", lambda: text("runs/demo/a.txt"), "demo", "choose another --out"),
]

PARSER = [
    ("pretrain", "Folder of images"),
    ("pretrain a --norm weight", "'group'"),
    ("pretrain a --optimizer adam", "'adamw'"),
    ("pretrain a --epoch 3", "--epochs"),
    ("pretrain a --steps nan", "--steps"),
    ("pretrain a --workers nan", "--workers"),
    ("pretrain a --base-lr fast", "--base-lr"),
    ("pretrain a --size 8.5", "--size"),
    ("resume", "Run folder"),
    ("evaluate run", "--data"),
    ("doctor --fix", "--fix"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("finished")
    np.savez(place / "images.npz", images=pixels(), labels=np.arange(24) % 3)
    main(
        [
            "pretrain",
            str(place / "images.npz"),
            "--out",
            str(place / "run"),
            *TINY.split()[:-1],
            "2",
        ]
    )
    return place / "run"


@pytest.fixture
def here(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, but for a finished run; no GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    shutil.copytree(finished, "run")
    yield tmp_path


def tree() -> dict[Path, int]:
    """Files and folders here, and when each file was last written."""
    return {p: p.stat().st_mtime_ns if p.is_file() else 0 for p in Path(".").rglob("*")}


def refused(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said; the exit code is 2 and nothing is written."""
    capsys.readouterr()
    before = tree()
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert "Traceback" not in said
    assert tree() == before
    return said


def one_sentence(said: str) -> str:
    lines = [line for line in said.splitlines() if not line.startswith(("resuming", "Passed over"))]
    assert len(lines) == 1, said
    return lines[0]


def ids(cases: list[Case]) -> list[str]:
    return [f"{case.command.split()[0]}: {case.name}"[:60] for case in cases]


@pytest.mark.parametrize("case", PRETRAIN, ids=[case.name for case in PRETRAIN])
def test_pretrain(case: Case, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    data, *options = case.command.split()
    own = dict(zip(TINY.split()[::2], TINY.split()[1::2], strict=True))
    kept = [word for name, value in own.items() if name not in options for word in (name, value)]
    command = ["pretrain", data, *kept, *options]
    command += [] if "--out" in options else ["--out", "out"]
    assert case.says in one_sentence(refused(" ".join(command), capsys))
    assert not Path("executed").exists()


@pytest.mark.parametrize("case", OTHERS, ids=ids(OTHERS))
def test_other_commands(case: Case, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    if "another network" in case.name:  # found out when the run is at work again
        with pytest.raises(SystemExit) as ended:
            main(case.command.split())
        assert ended.value.code == 2 and RunFolder("run").state()["state"] == "failed"
        said = capsys.readouterr().err
        assert "Traceback" not in said
    else:
        said = refused(case.command, capsys)
    assert case.says in one_sentence(said)
    assert not Path("executed").exists()


@pytest.mark.parametrize(("command", "says"), PARSER, ids=[command for command, _ in PARSER])
def test_the_parser(
    command: str, says: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(command, capsys)


def number(name: str) -> Any:
    hint = get_type_hints(Pretrain)[name]
    return next(kind for kind in get_args(hint) or (hint,) if kind is not type(None))


NUMBERS = [field.name for field in fields(Pretrain) if number(field.name) in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_bounds(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    least, most = BOUNDS[name]
    beyond = [least - 1, most * 10 + 1, *([float("nan")] if number(name) is float else [])]
    for value in beyond:
        option = f"--{name.replace('_', '-')}"
        said = one_sentence(refused(f"pretrain images.npy --out out {option} {value}", capsys))
        assert said.startswith(f"{name} must ") and str(value) in said


def test_a_folder_in_use(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    npy()
    with RunFolder("out"):
        assert "in use" in refused(f"pretrain images.npy --out out {TINY}", capsys)
    with RunFolder("run"):
        assert "in use" in refused("resume run", capsys)


def test_a_disk_too_small(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    npy()
    small = shutil.disk_usage(".")._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: small)
    said = refused(f"pretrain images.npy --out out {TINY}", capsys)
    assert "1 MB are free" in said and "take a smaller --keep" in said.splitlines()[-1]


ARRAYS: list[tuple[str, Any, dict[str, Any], str]] = [
    ("float", pixels(dtype=np.float32), {}, "uint8"),
    ("NaN", np.full((24, 3, 8, 8), np.nan), {}, "uint8"),
    ("tensor", torch.full((24, 3, 8, 8), float("inf")), {}, "uint8"),
    ("integers", pixels(dtype=np.int64), {}, "uint8"),
    ("objects", np.array([1, "a"], object), {}, "uint8"),
    ("five axes", pixels()[None], {}, r"\[N, H, W\]"),
    ("no image", pixels()[:0], {}, "holds no pixel"),
    ("a list", [1, 2], {}, "cannot be a list: give an array"),
    ("nothing", None, {}, "give a folder of images"),
    ("a text for a number", pixels(), {"steps": "3"}, "steps must be a whole number"),
    ("a fraction", pixels(), {"steps": 3.5}, "steps must be a whole number"),
    ("a NumPy number", pixels(), {"steps": np.int64(3)}, "steps must be a whole number"),
    ("True for a number", pixels(), {"steps": True}, "steps must be a whole number"),
    ("None for a text", pixels(), {"method": None}, "method must be a text"),
    ("a method", pixels(), {"method": "moca"}, "did you mean moco?"),
    ("a precision", pixels(), {"precision": "fp8"}, "one of auto, fp32, bf16"),
    ("an option", pixels(), {"epoch": 3}, "no option 'epoch'"),
]


@pytest.mark.parametrize(("name", "data", "options", "says"), ARRAYS, ids=[a[0] for a in ARRAYS])
def test_from_python(name: str, data: Any, options: dict[str, Any], says: str, here: Path) -> None:
    with pytest.raises(ol.UsageError, match=says):
        ol.pretrain(data, out="out", **options)
    assert not Path("out").exists()


def spoilt() -> None:
    """A truncated image and a text among good ones."""
    cut(folder()[3])
    text("photos/notes.jpg")


def one_tiny() -> None:
    Image.new("RGB", (1, 1)).save(folder()[0])


GOES_ON = [
    Case("two unreadable", spoilt, "photos", "2 unreadable skipped"),
    Case("... named", spoilt, "photos", "skipped   03.jpg: "),
    Case("... with the reason", spoilt, "photos", "skipped   notes.jpg: not a JPEG, PNG"),
    Case("one of 1x1", one_tiny, "photos", "24 images"),
    Case("all of 1x1", lambda: folder(side=1), "photos", "canvas 1 x 1"),
    Case("half unlabelled", lambda: npz([-1, 1] * 12), "images.npz", "24 images"),
    Case("one class", lambda: npz([0] * 24), "images.npz", "24 images"),
    Case("two channels", lambda: npy(pixels(24, 12, 2)), "images.npy", "2 channels"),
]


@pytest.mark.parametrize("case", GOES_ON, ids=[case.name for case in GOES_ON])
def test_goes_on(case: Case, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case.make()
    with contextlib.suppress(SystemExit):
        main(["pretrain", case.command, "--out", "out", *TINY.split()])
    said = capsys.readouterr().err
    assert case.says in said and "Traceback" not in said
    assert RunFolder("out").state()["state"] == "finished"
    config = RunFolder("out").config()["data"]
    assert len(config["skipped"]) == (2 if case.make is spoilt else 0)
