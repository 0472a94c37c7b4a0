"""Images decoded anew for every batch: the same pixels, ahead of time, whatever the threads."""

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from ownlatent.data import canvases_or_stream, decode_canvases, open_source, placement, ready
from ownlatent.data import streamed as streaming
from ownlatent.data.source import SourceFailed
from ownlatent.data.streamed import stream
from ownlatent.errors import UsageError
from tests.data.test_shards import tar

RNG = np.random.default_rng(6)
AUTO = {"side": None, "view_size": 16, "workers": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


def encoded(kind, *size, mode="RGB"):
    file = io.BytesIO()
    pixels = RNG.integers(0, 256, (*size, 3) if mode == "RGB" else size, dtype=np.uint8)
    Image.fromarray(pixels, mode).save(file, kind)
    return file.getvalue()


def folder_of(root, contents):
    root.mkdir()
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def mixed(tmp_path):
    """Large JPEGs that are decoded smaller, small ones, PNGs, gray ones."""
    contents = {f"{n}.jpg": encoded("JPEG", 300 + n, 320) for n in range(4)}
    contents |= {f"{n}.png": encoded("PNG", 20 + n, 31) for n in range(4, 8)}
    contents |= {f"{n}.png": encoded("PNG", 40, 31, mode="L") for n in range(8, 10)}
    return folder_of(tmp_path / "mixed", contents)


@pytest.mark.parametrize(("workers", "side"), [(1, None), (3, None), (2, 30)])
def test_the_same_pixels_as_canvases_in_memory(mixed, workers, side, tmp_path):
    shard = tar(tmp_path / "s.tar", [(p.name, p.read_bytes()) for p in sorted(mixed.iterdir())])
    for data in (mixed, shard):
        source = open_source(data)
        held, streamed = (
            decode_canvases(source, side=side),
            stream(source, side=side, workers=workers),
        )
        assert (held.shape, held.largest) == (streamed.shape, streamed.largest)
        assert np.array_equal(held.digests, streamed.digests)
        rows = torch.tensor([7, 2, 9, 0, 3, 1, 8])
        for a, b in zip(held.batch(rows, "cpu"), streamed.batch(rows, "cpu"), strict=True):
            assert a.dtype == b.dtype and torch.equal(a, b)
        for a, b in zip(held.channel_statistics(), streamed.channel_statistics(), strict=True):
            assert torch.equal(a, b)
        assert "10 images" in streamed.summary() and "anew" in streamed.summary()


def test_sixteen_bits_and_arrays(tmp_path):
    images = RNG.integers(0, 65536, (6, 9, 9, 2), dtype=np.uint16)
    np.save(tmp_path / "x.npy", images)
    source = open_source(tmp_path / "x.npy")
    held, streamed = decode_canvases(source, side=5), stream(source, side=5)
    rows = torch.tensor([5, 0, 3])
    assert torch.equal(held.batch(rows, "cpu")[0], streamed.batch(rows, "cpu")[0])
    assert streamed.batch(rows, "cpu")[0].dtype == torch.uint16


def test_an_unreadable_image_is_stood_for_by_the_next(tmp_path, caplog):
    contents = {f"{n:02d}.png": encoded("PNG", 9, 9) for n in range(12)}
    for n in (3, 4, 11):
        contents[f"{n:02d}.png"] = b"no image"
    members = [(name, content) for name, content in contents.items()]
    members += [(f"{n:02d}.cls", str(n).encode()) for n in range(12)]
    source = open_source(tar(tmp_path / "s.tar", members))
    for order in ([3, 4, 5, 11, 0], [11, 0, 5, 4, 3]):
        streamed = stream(source, workers=2)
        pixels, _, ids = streamed.batch(torch.tensor(order), "cpu")
        stands = {3: 5, 4: 5, 11: 0}
        seen = [stands.get(row, row) for row in order]
        assert ids.tolist() == source.ids[seen].tolist()
        assert streamed.labels[order].tolist() == seen
        assert torch.equal(pixels, torch.stack([torch.from_numpy(source.read(r)) for r in seen]))
        assert torch.equal(streamed.ids, source.ids)  # the order of the epoch is as it was
        assert sorted(name for name, _ in streamed.skipped) == ["s/03", "s/04", "s/11"]
    assert source.labels.tolist() == list(range(12))


def test_an_image_of_another_kind_found_late(tmp_path, monkeypatch):
    monkeypatch.setattr("ownlatent.data.statistics.ROWS", 3)  # rows 0, 5 and 10 are looked at
    contents = {f"{n:02d}.png": encoded("PNG", 9, 9, mode="L") for n in range(11)}
    contents["03.png"] = encoded("PNG", 9, 9)
    contents["06.png"] = encoded("PNG", 19, 12, mode="L")
    streamed = stream(open_source(folder_of(tmp_path / "s", contents)))
    assert streamed.shape.channels == 1 and len(streamed.digests) == 3
    _, sizes, ids = streamed.batch(torch.tensor([3, 6]), "cpu")
    assert ids.tolist() == streamed.ids[[4, 6]].tolist()
    assert sizes.tolist() == [[9, 9], [19, 12]]
    assert streamed.skipped == [("03.png", "it has 3 channels of 8 bit where others have 1 of 8")]


def test_too_many_unreadable(tmp_path, monkeypatch):
    contents = {f"{n:03d}.png": encoded("PNG", 4, 4) for n in range(60)}
    contents |= {f"{n:03d}.png": b"no" for n in range(1, 12)}
    source = open_source(folder_of(tmp_path / "s", contents))
    with pytest.raises(UsageError, match="only 49 of the 60 images"):
        stream(source)
    monkeypatch.setattr("ownlatent.data.statistics.ROWS", 3)
    streamed = stream(source)
    streamed.batch(torch.arange(2, 12), "cpu")
    with pytest.raises(SourceFailed, match=r"11 images of .* cannot be read.*001\.png"):
        streamed.batch(torch.arange(0, 2), "cpu")


def test_batches_are_decoded_ahead_within_the_room_there_is(mixed, monkeypatch):
    source = open_source(mixed)
    streamed, read, real = stream(source, workers=2), [], source.read_with_header
    every = threading.Event()

    def counted(row, floor):
        read.append(row)
        if len(read) == 6:
            every.set()
        return real(row, floor)

    monkeypatch.setattr(source, "read_with_header", counted)
    parts = [torch.tensor(rows) for rows in ([1, 2], [3, 4], [5, 6], [7, 8])]
    monkeypatch.setattr(streaming, "AHEAD", 6 * streamed.shape.bytes)
    streamed.expect(iter(parts))
    assert every.wait(20)
    assert torch.equal(streamed.batch(parts[0], "cpu")[2], source.ids[1:3])
    assert sorted(read) == [1, 2, 3, 4, 5, 6]  # three batches, the first of them not twice
    streamed.expect(iter(parts[1:]))
    for part in parts[1:]:
        assert torch.equal(streamed.batch(part, "cpu")[2], source.ids[part])
    assert sorted(read) == [1, 2, 3, 4, 5, 6, 7, 8]
    monkeypatch.setattr(streaming, "AHEAD", 0)
    streamed.expect(iter(parts))
    assert len(streamed._batches) == 1  # one at least
    monkeypatch.undo()
    streamed.expect(torch.tensor([row]) for row in range(9))
    assert len(streamed._batches) == streaming.BATCHES


def test_threads_that_decode_start_no_others():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        pool = streaming._quiet_pool(3)
        assert {pool.submit(torch.get_num_threads).result() for _ in range(9)} == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_automatic_choice(mixed, monkeypatch):
    source = open_source(mixed)
    size = 10 * stream(source, view_size=16).shape.bytes
    monkeypatch.setattr(placement, "available_memory", lambda: 2 * size)
    assert canvases_or_stream(source, place="auto", **AUTO).place == "host"
    monkeypatch.setattr(placement, "available_memory", lambda: 2 * size - 2)
    monkeypatch.setattr(ready, "free_disk", lambda folder: size / 0.89)
    assert canvases_or_stream(source, place="auto", **AUTO).place == "disk"
    monkeypatch.setattr(ready, "free_disk", lambda folder: 0)  # they are there already
    assert canvases_or_stream(source, place="auto", **AUTO).place == "disk"
    other = AUTO | {"side": 80}
    assert canvases_or_stream(source, place="auto", **other).place == "stream"
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert canvases_or_stream(source, place="auto", **other).place == "disk"
    assert canvases_or_stream(source, place="stream", **other).place == "stream"
