"""WebDataset shards: what is a sample, reading by index, here and behind a server."""

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from ownlatent.data import (
    Unreadable,
    blobs,
    decode_canvases,
    joined,
    open_source,
    sample_id,
    shards,
    tars,
    write_index,
)
from ownlatent.data.patterns import absolute, expand
from ownlatent.data.source import SourceFailed
from ownlatent.errors import UsageError
from tests.data.serving import serving

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg/ownlatent/shards"


def image(kind="PNG", size=(9, 7)):
    file = io.BytesIO()
    pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def tar(path, members, format=tarfile.PAX_FORMAT):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def refused(data, *parts, **options):
    with pytest.raises(UsageError) as error:
        open_source(data, **options)
    sentence = str(error.value)
    assert "\n" not in sentence and all(part in sentence for part in parts), sentence


def written(folder, count=10, per_shard=4):
    """Shards as webdataset itself writes them."""
    folder.mkdir()
    with webdataset.ShardWriter(f"{folder}/train-%04d.tar", maxcount=per_shard, verbose=0) as sink:
        for row in range(count):
            made = {"__key__": f"{row:05d}", "png": image(), "cls": str(row % 3).encode()}
            sink.write(made | {"json": json.dumps({"label": 7, "text": "x"}).encode()})
    return folder


def test_the_samples_are_those_of_webdataset(tmp_path):
    folder = written(tmp_path / "s")
    source = open_source(f"{folder}/train-{{0000..0002}}.tar", labelled=True)
    names = sorted(str(each) for each in folder.iterdir())
    theirs = list(webdataset.WebDataset(names, shardshuffle=False))
    assert len(source) == len(theirs) == 10
    for row, sample in enumerate(theirs):
        assert source.names[row] == f"{Path(sample['__url__']).stem}/{sample['__key__']}"
        assert source.digest(row) == hashlib.blake2b(sample["png"], digest_size=16).digest()
        assert np.array_equal(
            source.read(row).transpose(1, 2, 0), Image.open(io.BytesIO(sample["png"]))
        )
        assert source.labels[row] == int(sample["cls"])
        assert source.ids[row] == sample_id(source.names[row])
    assert source.names[2:5] == [source.names[row] for row in (2, 3, 4)]
    with pytest.raises(IndexError):
        source.names[10]


def test_a_folder_a_file_and_a_pattern_agree(tmp_path):
    folder = written(tmp_path / "s")
    whole = open_source(folder)
    assert open_source(f"{folder}/train-000{{0..2}}.tar").ids.equal(whole.ids)
    assert open_source(folder / "train-0001.tar").ids.equal(whole.ids[4:8])
    canvases = decode_canvases(whole)
    assert len(canvases) == 10 and canvases.names == list(whole.names)
    moved = folder.rename(tmp_path / "elsewhere")
    assert open_source(moved).outline() == whole.outline()
    assert decode_canvases(open_source(moved)).fingerprint == canvases.fingerprint


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_odd_names(format, tmp_path):
    keys = ["a/" + "x" * 180, "ünï/ж", "./dotted", "two words", "b" * 99 + "/" + "c" * 120]
    made = [image() for _ in keys]
    members = [(f"{key}.JPG", content) for key, content in zip(keys, made, strict=True)]
    source = open_source(tar(tmp_path / "s.tar", members, format))
    assert list(source.names) == [f"s/{key.removeprefix('./')}" for key in keys]
    assert [source._load(row) for row in range(len(keys))] == made


def test_which_member_is_the_image(tmp_path):
    a, b, c, d, e = (image() for _ in range(5))
    members = [
        ("1.png", b), ("1.mask.jpg", c), ("1.jpg", a), ("1.txt", b"no image"),
        ("2.right.png", d), ("2.left.png", e), ("2.json", b"[1]"),
        ("3.txt", b"alone"), (".png", a), ("._4.png", a), ("dir/.5.png", a), ("noextension", a),
        ("v1.2/6.png", c),
        ("7.png", a), ("7.png", b),
    ]  # fmt: skip
    path = tar(tmp_path / "s.tar", members)
    with tarfile.open(path, "a") as file:
        link = tarfile.TarInfo("8.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    source = open_source(path)
    assert list(source.names) == ["s/1", "s/2", "s/v1.2/6", "s/7"]
    assert [source._load(row) for row in range(4)] == [a, e, c, b]
    assert source.labels is None
    refused(path, "no labels", ".cls", labelled=True)


def test_labels_by_cls_then_json(tmp_path):
    some = image()
    members = [
        ("1.png", some), ("1.json", b'{"label": 4}'), ("1.cls", b" 2\n"),
        ("2.cls", b"0"), ("2.json", b'{"cls": 9}'), ("2.png", some),
        ("3.json", b'{"label": "cat", "class": 5}'), ("3.png", some),
        ("4.json", b'{"label": true}'), ("4.png", some), ("5.json", b"{"), ("5.png", some),
    ]  # fmt: skip
    source = open_source(tar(tmp_path / "s.tar", members))
    assert source.labels.tolist() == [2, 0, 5, -1, -1]
    refused(tmp_path / "s.tar", "2 of 5 labels", labelled=True)
    refused(tar(tmp_path / "t.tar", [("1.png", some), ("1.cls", b"cat")]), "1.cls", "b'cat'")


def test_the_index_is_kept_until_the_shard_changes(tmp_path, cache, monkeypatch):
    folder, walked, real = written(tmp_path / "s"), [], shards.index_shard
    monkeypatch.setattr(shards, "index_shard", lambda blob: walked.append(1) or real(blob))
    first, again = open_source(folder), open_source(folder)
    assert len(walked) == 3 and len(list(cache.iterdir())) == 3
    assert first.ids.equal(again.ids) and first.labels.equal(again.labels)
    assert list(first.names) == list(again.names)
    assert [first._load(row) for row in range(10)] == [again._load(row) for row in range(10)]
    os.utime(folder / "train-0001.tar", ns=(1, 1))
    assert open_source(folder).stamp() != first.stamp()
    assert len(walked) == 4
    for entry in cache.iterdir():
        entry.write_bytes(entry.read_bytes()[:-30])  # damaged: made again
    assert open_source(folder).ids.equal(first.ids)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert open_source(folder).ids.equal(first.ids)


def test_a_pickle_in_the_cache_is_not_run(tmp_path, cache):
    folder = written(tmp_path / "s", count=2)
    open_source(folder)
    entry = next(iter(cache.iterdir()))

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "run",))

    entry.write_bytes(pickle.dumps(Evil()))
    assert len(open_source(folder)) == 2 and not (tmp_path / "run").exists()


def test_a_shard_that_changes_meanwhile_ends_the_reading(tmp_path):
    folder = written(tmp_path / "s")
    source = open_source(folder)
    with (folder / "train-0001.tar").open("ab") as file:
        file.write(b"more")
    assert source.read(0).shape == (3, 9, 7)
    with pytest.raises(SourceFailed, match=r"train-0001\.tar has changed since it was opened"):
        source.read(5)
    (folder / "train-0002.tar").unlink()
    with pytest.raises(SourceFailed, match=r"train-0002\.tar cannot be read \(No such file"):
        source.read(9)
    with pytest.raises(SourceFailed, match="has changed"):
        decode_canvases(source)


def test_a_shard_that_changes_leaves_no_cache(tmp_path):
    folder = written(tmp_path / "s")
    source = open_source(folder)
    place = {"place": "disk", "cache_dir": tmp_path / "cache", "workers": 1}
    real = source.read_with_digest

    def touched(index, at_least=None):
        if index == 3:
            os.utime(folder / "train-0000.tar", ns=(1, 1))
        return real(index, at_least)

    source.read_with_digest = touched
    with pytest.raises(SourceFailed, match="has changed"):
        decode_canvases(source, **place)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_damaged_image_is_named(tmp_path):
    members = [(f"{row}.png", image()) for row in range(5)]
    members[2] = ("2.png", b"no image")
    source = open_source(tar(tmp_path / "s.tar", members))
    with pytest.raises(Unreadable, match=r"s/2: not a JPEG"):
        source.read(2)
    assert decode_canvases(source).skipped[0][0] == "s/2"


def test_truncated_and_other_files(tmp_path):
    members = [(f"{row}.png", image(size=(40, 40))) for row in range(4)]
    content = tar(tmp_path / "s.tar", members).read_bytes()
    with tarfile.open(tmp_path / "s.tar") as file:
        places = [(member.offset, member.offset_data) for member in file]
    at, data_at = places[2]
    for cut in (at, at + 100, data_at + 1000):  # between members, in a header, in an image
        (tmp_path / "cut.tar").write_bytes(content[:cut])
        refused(tmp_path / "cut.tar", "cut.tar", "ends early", "fetch or write it again")
    damaged = bytearray(content)
    damaged[at + 10 : at + 200] = b"\xff" * 190
    (tmp_path / "bad.tar").write_bytes(damaged)
    refused(tmp_path / "bad.tar", "bad.tar ends early or is damaged")
    (tmp_path / "empty.tar").write_bytes(b"")
    refused(tmp_path / "empty.tar", "empty.tar is empty")
    (tmp_path / "png.tar").write_bytes(members[0][1])
    refused(tmp_path / "png.tar", "is no tar file, or compressed")
    refused(tar(tmp_path / "none.tar", []), "holds no image in 1 shard")
    refused(tar(tmp_path / "text.tar", [("1.txt", b"x")]), "holds no image", "KEY.jpg")


def test_names_that_name_nothing(tmp_path):
    folder = written(tmp_path / "s")
    (folder / "train-0001.tar").rename(folder / "other.tar")
    refused(f"{folder}/train-{{0000..0002}}.tar", "1 of the 3 shards", "train-0001.tar")
    refused(f"{folder}/x-{{00..02}}.tar", "matches nothing", "x-00.tar")
    refused(f"{folder}/x.tar", "does not exist")
    refused(f"{folder}/x-{{3..1}}.tar", "runs backwards", "{1..3}")
    refused(f"{folder}/x-{{one}}.tar", "is no range")
    refused(f"{folder}/x-{{0..9999999}}.tar", "too many")
    refused(f"{folder}/x.tar.gz", "compressed", "unpack")
    refused("https://host/x-{0..1}.tar.gz", "compressed")
    refused("https://host/x.parquet", "only shards")
    refused("nosuch://host/x.tar", "no place that shards can be read from")
    tar(folder / "deep" / "other.tar", [("1.png", image())])
    refused(folder, "Two shards", "other.tar")
    (tmp_path / "s" / "1.png").write_bytes(image())
    refused(folder, "holds both images (1.png) and shards (deep/other.tar)")


def test_patterns(tmp_path, monkeypatch):
    assert list(expand("a-{08..10}.{x,y}")) == [
        "a-08.x", "a-08.y", "a-09.x", "a-09.y", "a-10.x", "a-10.y"
    ]  # fmt: skip
    assert list(expand("{9..11}")) == ["9", "10", "11"]
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "s")
    assert absolute("s/train-{0000..0002}.tar") == f"{tmp_path}/s/train-{{0000..0002}}.tar"
    for kept in ("s3://bucket/{0..2}.tar", "pretrained:a1", "nowhere"):
        assert absolute(kept) == kept


def test_mixed_depths_are_refused(tmp_path):
    deep = io.BytesIO()
    Image.fromarray(np.full((9, 7), 3000, np.uint16)).save(deep, "PNG")
    path = tar(tmp_path / "s.tar", [("1.png", image()), ("2.png", deep.getvalue())])
    with pytest.raises(UsageError, match=r"8-bit images \(s/1\) and 16-bit images \(s/2\)"):
        decode_canvases(open_source(path))


# Behind a server


def same(a, b):
    assert a.ids.equal(b.ids) and a.labels.equal(b.labels) and list(a.names) == list(b.names)
    assert [a._load(row) for row in range(len(a))] == [b._load(row) for row in range(len(b))]
    assert a.outline() == b.outline()


def test_over_http(tmp_path):
    folder = written(tmp_path / "s")
    pattern = "train-{0000..0002}.tar"
    with serving(tmp_path) as server:
        source = open_source(f"{server.url}/s/{pattern}")
        same(source, open_source(folder))
        server.asked.clear()
        again = open_source(f"{server.url}/s/{pattern}")
        assert {method for method, *_ in server.asked} == {"HEAD"}  # nothing is walked again
        assert len(server.asked) == 3
        again.read(7)
        method, path, asked, _ = server.asked[-1]
        start, end = map(int, asked.removeprefix("bytes=").split("-"))
        assert (method, path) == ("GET", "/s/train-0001.tar")
        assert end + 1 - start == len(again._load(7))  # an image's own bytes and no others


def test_an_index_beside_a_remote_shard_spares_reading_it(tmp_path):
    folder = written(tmp_path / "s", count=4)
    here = open_source(folder)
    assert write_index(folder / "train-0000.tar") == folder / "train-0000.tar.index"
    with serving(tmp_path) as server:
        source = open_source(f"{server.url}/s/train-0000.tar")
        asked = [(method, path) for method, path, *_ in server.asked]
        assert ("GET", "/s/train-0000.tar") not in asked
        same(source, here)
        for end in ("", ".index"):
            (folder / f"train-0000.tar{end}").rename(folder / f"other.tar{end}")
        renamed = open_source(f"{server.url}/s/other.tar")
        assert renamed.ids.tolist() == [sample_id(f"other/{row:05d}") for row in range(4)]
        tar(folder / "other.tar", [(f"{n}.png", image()) for n in range(30)])  # larger
        refused(f"{server.url}/s/other.tar", "other.tar.index is not of the shard beside it")


def test_an_object_store(tmp_path, monkeypatch):
    """A server that answers as one; what is signed, and where it is, come from the environment."""
    folder = written(tmp_path / "bucket")
    with serving(tmp_path) as server:
        blobs._store_of.cache_clear()
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        same(open_source("s3://bucket/train-{0000..0002}.tar"), open_source(folder))
        assert all("AWS4-HMAC-SHA256 Credential=someone/" in each[3] for each in server.asked)
    blobs._store_of.cache_clear()


def test_servers_that_fail(tmp_path, monkeypatch):
    written(tmp_path / "s")
    monkeypatch.setattr(blobs, "RETRIES", 0)
    monkeypatch.setattr(blobs, "TIMEOUT", "1s")
    with serving(tmp_path) as server:
        refused(f"{server.url}/s/train-{{0002..0003}}.tar", "train-0003.tar is not there (404)")
        source = open_source(f"{server.url}/s/train-0000.tar")
        os.utime(tmp_path / "s/train-0000.tar")
        with pytest.raises(SourceFailed, match="has changed"):
            source.read(0)
        server.ranges = False
        refused(f"{server.url}/s/train-0001.tar", "train-0001.tar", "no Range requests")
    refused("http://127.0.0.1:1/s/train-0002.tar", "train-0002.tar cannot be read")
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    blobs._store_of.cache_clear()
    refused(f"{server.url}/s/train-0002.tar", "pip install ownlatent[stream]")


def test_every_sample_once_over_an_epoch(tmp_path):
    from ownlatent.data.order import epoch_order

    source = open_source(written(tmp_path / "s"))
    order = epoch_order(source.ids, 0, 0)
    assert sorted(order.tolist()) == list(range(10))
    assert torch.equal(order, epoch_order(open_source(tmp_path / "s").ids, 0, 0))


def test_a_large_index_is_memory_that_processes_share(tmp_path, cache, monkeypatch):
    folder = written(tmp_path / "s")
    alone = open_source(folder)
    monkeypatch.setattr(shards, "SHARED", 10)
    shared = open_source(folder)
    (entry,) = cache.glob("*.joined")
    monkeypatch.setattr(shards, "unpack", lambda *given: pytest.fail("each shard's index is read"))
    again = open_source(folder)
    for source in (shared, again):
        assert source.ids.equal(alone.ids) and source.labels.equal(alone.labels)
        assert list(source.names) == list(alone.names) and source.outline() == alone.outline()
        assert all(source.read(row).tolist() == alone.read(row).tolist() for row in range(10))
    lines = Path("/proc/self/maps").read_text().splitlines()
    held = {line.split("/")[-1] for line in lines if str(entry) in line}
    assert held == {f"{name}.npy" for name in ("offsets", "sizes", "labels", "ids", "keys", "ends")}
    again.ids[0] += 1  # a mistake of one process
    assert open_source(folder).ids.equal(alone.ids)


@pytest.mark.parametrize("name", ["starts", "offsets", "labels", "keys"])
def test_a_damaged_shared_index_is_made_again(name, tmp_path, cache, monkeypatch):
    folder = written(tmp_path / "s")
    alone = open_source(folder)
    monkeypatch.setattr(shards, "SHARED", 10)
    open_source(folder)
    (entry,) = cache.glob("*.joined")
    content = (entry / f"{name}.npy").read_bytes()
    other = io.BytesIO()
    np.save(other, np.zeros(0, np.int64))
    damages = [content[:-8], b"", pickle.dumps([1]), other.getvalue(), b"PK\3\4"]
    for at in (8, 30, len(content) - 1):  # of the header, and of the numbers
        damages.append(content[:at] + bytes([content[at] ^ 64]) + content[at + 1 :])
    for damage in damages:
        (entry / f"{name}.npy").write_bytes(damage)
        again = open_source(folder)
        assert again.ids.equal(alone.ids) and again.labels.equal(alone.labels)
        assert list(again.names) == list(alone.names)
        assert (entry / f"{name}.npy").read_bytes() == content
    (entry / f"{name}.npy").unlink()
    assert list(open_source(folder).names) == list(alone.names)


def test_a_shared_index_is_made_again_when_its_rules_change(tmp_path, cache, monkeypatch):
    folder, walked, real = written(tmp_path / "s"), [], shards.index_shard
    monkeypatch.setattr(shards, "index_shard", lambda blob: walked.append(1) or real(blob))
    monkeypatch.setattr(shards, "SHARED", 10)
    open_source(folder)
    for room in (shards, tars):
        monkeypatch.setattr(room, "FORMAT", 2)
    open_source(folder)
    assert len(walked) == 6


def test_processes_that_share_at_the_same_time(tmp_path, cache):
    folder = written(tmp_path / "s", count=200, per_shard=9)
    code = (
        "import sys; from ownlatent.data import open_source, shards; shards.SHARED = 10\n"
        "sys.stdin.read(); source = open_source(sys.argv[1])\n"
        "print(source.ids.sum().item(), 'joined' in open('/proc/self/maps').read())"
    )
    command = [sys.executable, "-c", code, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for each in started:
        each.stdin.close()
    said = {each.stdout.read() for each in started}
    assert [each.wait() for each in started] == [0] * 3
    assert said == {f"{open_source(folder).ids.sum().item()} True\n"}
    assert not list(cache.glob("*.tmp"))


def test_an_index_that_cannot_be_shared_stays_in_memory(tmp_path, cache, monkeypatch):
    folder = written(tmp_path / "s")
    alone = open_source(folder)
    monkeypatch.setattr(shards, "SHARED", 10)
    monkeypatch.setattr(joined.np, "save", full)
    assert open_source(folder).ids.equal(alone.ids)
    assert sorted(each.suffix for each in cache.iterdir()) == [".index"] * 3 + [".lock"]


def full(*given):
    raise OSError(28, "No space left on device")
