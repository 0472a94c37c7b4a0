"""Vectors of every sample in a store: what is in it, and going on after a stop."""

import json
import os
import shutil
import signal
import subprocess
import sys
import wave
from pathlib import Path

import lancedb
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import ownlatent as ol
from ownlatent.cli import main
from ownlatent.data.logmel import LogMel
from ownlatent.embeddings import write as embeddings
from ownlatent.embeddings.write import KEY, write_embeddings
from ownlatent.encoder import Encoder, EncoderFolder
from ownlatent.networks import backbone


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, save_encoder) -> Path:
    """Twelve images of two classes, one file that is none, and two encoders."""
    folder, random = tmp_path_factory.mktemp("embed"), np.random.default_rng(0)
    for number in range(12):
        file = folder / "images" / f"class-{number % 2}" / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(file)
    (folder / "images" / "class-0" / "torn.png").write_bytes(b"\x89PNG\r\n")
    for seed, name in enumerate(("run", "other")):
        save_encoder(folder / name, seed)
    return folder


def vectors(file: Path) -> np.ndarray:
    return np.stack(pq.read_table(file)["vector"].to_numpy())


def test_each_row_is_what_the_encoder_gives(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "table.parquet"
    done = write_embeddings(place / "run", place / "images", out=out, labelled=True)
    assert (done.vectors, done.skipped) == (12, ["class-0/torn.png"])
    table = pq.read_table(out)
    assert table.column_names == ["id", "path", "label", "vector"]
    assert table["label"].to_pylist() == ["class-0"] * 6 + ["class-1"] * 6
    encoder = ol.load_encoder(place / "run")
    for row in (0, 7):
        with Image.open(place / "images" / table["path"][row].as_py()) as image, torch.no_grad():
            expected = encoder(image)[0].numpy()
        np.testing.assert_allclose(vectors(out)[row], expected, rtol=1e-4, atol=1e-5)
    origin = json.loads(pq.read_schema(out).metadata[KEY])
    assert origin["dim"] == done.dim == vectors(out).shape[1] and origin["dtype"] == "float32"
    assert not out.with_name("table.parquet.parts").exists()
    half = tmp_path / "half.parquet"
    write_embeddings(place / "run", place / "images", out=half, dtype="float16")
    assert np.array_equal(vectors(half), vectors(out).astype(np.float16))
    assert pq.read_table(half)["label"].null_count == 12


def test_a_stop_loses_and_repeats_nothing(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "PART", 5)
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    write_embeddings(place / "run", place / "images", out=whole)

    def stop(done: int, count: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_embeddings(place / "run", place / "images", out=out, progress=stop)
    assert not out.exists()
    embedded = []
    embed = embeddings.embed
    monkeypatch.setattr(
        embeddings, "embed", lambda e, some, **o: embedded.extend(some.names) or embed(e, some, **o)
    )
    with pytest.raises(ol.UsageError, match="another encoder"):
        write_embeddings(place / "other", place / "images", out=out)
    write_embeddings(place / "run", place / "images", out=out)
    assert embedded == pq.read_table(whole)["path"].to_pylist()[-len(embedded) :]
    assert len(embedded) in (2, 3)  # the last part, one of whose files may be the torn one
    assert pq.read_table(out).equals(pq.read_table(whole))


NAMES = [f"class-{part}/{number:02}.png" for part in (0, 1) for number in range(part, 12, 2)]
_KILLED = """
import os, signal, sys
from pathlib import Path
from ownlatent.embeddings import write

write.PART = 5
run, images, out, when = sys.argv[1:]
tables = write._tables

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def torn(files, schema):
    for number, table in enumerate(tables(files, schema)):
        yield table if number < 2 else die()

if when == "joining":
    write._tables = torn
if when == "placing":
    Path.rename = die
write.write_embeddings(
    run, images, out=out, progress=lambda done, all: done == 10 and when == "embedding" and die()
)
"""


@pytest.mark.parametrize(
    ("form", "when"), [("parquet", "embedding"), ("parquet", "joining"), ("lance", "placing")]
)
def test_killed_it_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, when: str
) -> None:
    monkeypatch.setattr(embeddings, "PART", 5)
    images, out = place / "images", tmp_path / f"out.{form}"
    words = [place / "run", images, out, when]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *words], capture_output=True)
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    embedded = []
    embed = embeddings.embed
    monkeypatch.setattr(
        embeddings, "embed", lambda e, some, **o: embedded.extend(some.names) or embed(e, some, **o)
    )
    write_embeddings(place / "run", images, out=out)
    assert embedded == (NAMES[-3:] if when == "embedding" else [])
    assert sorted(file.name for file in tmp_path.iterdir()) == [out.name]
    whole = write_embeddings(place / "run", images, out=tmp_path / "whole.parquet")
    one, other = ol.open_store(out), ol.open_store(whole.path)
    assert one.names == other.names == NAMES and np.array_equal(one.ids, other.ids)
    assert np.array_equal(one.vectors(), other.vectors()) and one.origin == other.origin
    assert one.origin["skipped"] == ["class-0/torn.png"]
    assert one.origin["root"] == str(images)
    assert one.file(3) == images / one.names[3]


def test_lance_is_as_parquet(place: Path, tmp_path: Path) -> None:
    tmp_path /= "a foldér"
    for dtype in ("float32", "float16"):
        files = [tmp_path / f"{dtype}.{form}" for form in ("parquet", "lance")]
        for file in files:
            write_embeddings(place / "run", place / "images", out=file, labelled=True, dtype=dtype)
        table = lancedb.connect(tmp_path).open_table(dtype)
        held = pq.read_table(files[0])
        assert table.schema.equals(held.schema) and table.to_arrow().equals(held)
        assert table.schema.metadata == held.schema.metadata
        assert str(held.schema.field("vector").type.value_type) == {"float32": "float"}.get(
            dtype, "halffloat"
        )


def test_rows_of_a_table(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    lines = [f"{n},{n % 3},{'ab'[n % 2]}" for n in range(40)]
    table.write_text("x,y,class\n" + "\n".join(lines) + "\n")
    ol.pretrain(table, out=tmp_path / "run", steps=1, batch_size=8, label="class")
    done = write_embeddings(
        tmp_path / "run", table, out=tmp_path / "t.parquet", labelled=True, label="class"
    )
    assert done.vectors == 40
    assert pq.read_table(done.path)["label"].to_pylist()[:3] == ["a", "b", "a"]


def test_from_the_command_line(place: Path, tmp_path: Path, capsys) -> None:
    words = ["embed", str(place / "run"), str(place / "images"), "--out"]
    main([*words, str(tmp_path / "t.parquet")])
    shown = capsys.readouterr().out
    assert "12 vectors" in shown and "1 unreadable" in shown
    for name, sentence in (
        ("t.parquet", "is there already"), ("t.npz", r"\.parquet"), ("my store.lance", "letters"),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main([*words, str(tmp_path / name)])
        assert ended.value.code == 2
        assert sentence.replace("\\", "") in capsys.readouterr().err


def test_labels_are_not_mixed_over_a_stop(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "PART", 5)
    out = tmp_path / "out.parquet"

    def stop(done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_embeddings(place / "run", place / "images", out=out, progress=stop)
    with pytest.raises(ol.UsageError, match="labels or precision"):
        write_embeddings(place / "run", place / "images", out=out, labelled=True)


def test_a_part_of_which_nothing_can_be_read_is_passed_over(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may be unreadable is a share of the whole, not of a part."""
    monkeypatch.setattr(embeddings, "PART", 4)
    folder = tmp_path / "images"
    shutil.copytree(place / "images" / "class-1", folder)
    for name in ("0.png", "1.png", "2.png", "3.png"):  # a part of its own, the first
        (folder / name).write_bytes(b"\x89PNG\r\n")
    done = write_embeddings(place / "run", folder, out=tmp_path / "out.parquet")
    assert (done.vectors, done.skipped) == (6, ["0.png", "1.png", "2.png", "3.png"])
    for number in range(4, 11):
        (folder / f"{number}.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ol.UsageError, match="cannot be read"):
        write_embeddings(place / "run", folder, out=tmp_path / "other.parquet")


def test_a_name_that_is_no_text(place: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(
        place / "images" / "class-1" / "01.png", os.fsencode(tmp_path / "images") + b"/\xff.png"
    )
    shutil.copy(place / "images" / "class-1" / "03.png", tmp_path / "images")
    with pytest.raises(ol.UsageError, match="rename that file"):
        write_embeddings(place / "run", tmp_path / "images", out=tmp_path / "out.parquet")


def test_half_of_a_few_sounds_cannot_be_read(tmp_path: Path) -> None:
    """Opening them has judged that: it is not judged again against those that are left."""
    (tmp_path / "sounds").mkdir()
    draw = np.random.default_rng(0)
    for number in range(4):
        with wave.open(str(tmp_path / "sounds" / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(draw.integers(-9999, 9999, 4000, dtype=np.int16).tobytes())
        (tmp_path / "sounds" / f"torn-{number}.wav").write_bytes(b"RIFF")
    net, _ = backbone("small-resnet", 1, 32)
    made = Encoder(net, "small-resnet", LogMel(8000, bands=32, frames=32))
    EncoderFolder.write(tmp_path / "run" / "encoder", {"online": made})
    done = write_embeddings(tmp_path / "run", tmp_path / "sounds", out=tmp_path / "out.parquet")
    assert done.vectors == 4 and done.skipped == [f"torn-{number}.wav" for number in range(4)]
