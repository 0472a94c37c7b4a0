"""Where canvases live: the choice, the cache on disk, and what is refused."""

import os
import shutil
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from ownlatent.data import build, decode_canvases, open_source, placement
from ownlatent.data.cache import map_or_decode
from ownlatent.data.canvas import CanvasShape
from ownlatent.data.decoding import Decoded
from ownlatent.data.placement import available_memory, choose_place
from ownlatent.errors import UsageError

RNG = np.random.default_rng(3)
CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for index in range(8):
        pixels = RNG.integers(0, 256, (10 + index, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{index}.png")
    (tmp_path / "data/5.png").write_text("not an image")
    data = (tmp_path / "data/3.png").read_bytes()
    (tmp_path / "data/3.png").write_bytes(data[:200])
    return tmp_path / "data"


def on_disk(source, cache, **options):
    return decode_canvases(source, place="disk", cache_dir=cache, **options)


def same(a, b):
    assert a.pixels.dtype == b.pixels.dtype
    for field in ("pixels", "sizes", "ids"):
        assert torch.equal(getattr(a, field), getattr(b, field))
    assert np.array_equal(a.digests, b.digests)
    assert (a.names, a.fingerprint, a.skipped) == (b.names, b.fingerprint, b.skipped)


@pytest.fixture
def decodings(monkeypatch):
    """How often canvases were decoded."""
    done, real = [], build.decode_onto

    def counted(*arguments):
        done.append(1)
        return real(*arguments)

    monkeypatch.setattr(build, "decode_onto", counted)
    return done


def test_disk_equals_host_bit_for_bit_and_is_decoded_once(folder, tmp_path, decodings):
    host = decode_canvases(open_source(folder), place="host")
    first, again = (on_disk(open_source(folder), tmp_path / "cache") for _ in range(2))
    assert len(decodings) == 2  # host, first
    assert (host.place, first.place, again.place) == ("host", "disk", "disk")
    assert len(host.skipped) == 2
    same(host, first)
    same(host, again)
    assert torch.equal(again.batch(torch.tensor([4, 1]), "cpu")[0], host.pixels[[4, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_on_disk(dtype, tmp_path, decodings):
    images = RNG.integers(0, np.iinfo(dtype).max, (5, 9, 9, 3), dtype=dtype)
    host = decode_canvases(open_source(images))
    assert np.shares_memory(host.pixels.numpy(), images)  # not copied
    for _ in range(2):
        same(host, on_disk(open_source(images), tmp_path / "cache"))
    assert len(decodings) == 2  # host, and once for both on disk
    np.save(tmp_path / "x.npy", images)
    mapped = on_disk(open_source(tmp_path / "x.npy"), tmp_path / "other")
    same(host, mapped)
    assert not (tmp_path / "other").exists()  # it is on disk already
    same(host, decode_canvases(open_source(tmp_path / "x.npy"), place="host"))


def test_the_cache_knows_files_and_shape(folder, tmp_path, decodings):
    cache = tmp_path / "cache"
    on_disk(open_source(folder), cache)
    assert on_disk(open_source(folder), cache, side=10).pixels.shape[2:] == (10, 10)
    assert len(decodings) == 2
    os.utime(folder / "1.png", ns=(1, 1))
    on_disk(open_source(folder), cache)
    assert len(decodings) == 3
    Image.new("RGB", (12, 10)).save(folder / "new.png")
    assert len(on_disk(open_source(folder), cache)) == 7
    shutil.copytree(folder, tmp_path / "copy")  # keeps times: only the place differs
    assert open_source(tmp_path / "copy").stamp() != open_source(folder).stamp()
    (tmp_path / "copy/7.png").unlink()
    assert len(on_disk(open_source(tmp_path / "copy"), cache)) == 6


def test_an_array_in_memory_is_known_by_its_pixels(tmp_path, decodings):
    images = RNG.integers(0, 256, (5, 9, 9), dtype=np.uint8)
    on_disk(open_source(images), tmp_path)
    images[4, 8, 8] ^= 1
    assert on_disk(open_source(images), tmp_path).pixels[4, 0, 8, 8] == images[4, 8, 8]
    assert len(decodings) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_is_not_complete_is_not_used(folder, tmp_path, decodings, error):
    cache = tmp_path / "cache"

    def interrupt(done, total):
        raise error

    wanted = UsageError if isinstance(error, OSError) else error
    with pytest.raises(wanted):
        on_disk(open_source(folder), cache, progress=interrupt)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    same(decode_canvases(open_source(folder)), on_disk(open_source(folder), cache))


def test_what_a_killed_process_left_is_cleared(folder, tmp_path):
    cache = tmp_path / "cache"
    on_disk(open_source(folder), cache)
    entry = next(path for path in cache.iterdir() if path.is_dir())
    left = entry.with_suffix(".tmp")
    entry.rename(left)
    (left / "pixels.bin").write_bytes(b"half")
    same(decode_canvases(open_source(folder)), on_disk(open_source(folder), cache))
    assert entry.is_dir() and not left.exists()


def test_only_one_of_several_decodes(tmp_path):
    """Locks belong to open files, so threads here stand for processes."""
    shape, decodings = CanvasShape(1, 2, 3, 8), []

    def fill(write):
        decodings.append(1)
        time.sleep(0.1)  # long enough for the others to come
        write(np.full((4, 1, 2, 3), 7, np.uint8))
        return Decoded(np.arange(4), np.zeros((4, 16), np.uint8), [])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: map_or_decode(tmp_path, "key", shape, 4, fill), range(4)))
    assert len(decodings) == 1
    assert all(torch.equal(pixels, torch.full((4, 1, 2, 3), 7)) for pixels, _ in found)


def test_a_short_disk_is_refused_before_decoding(tmp_path, monkeypatch, decodings):
    usage = namedtuple("usage", "total used free")
    images = np.zeros((3, 600, 1000), np.uint8)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 1_700_000))
    with pytest.raises(UsageError, match=r"need 1\.8 MB and 1\.7 MB are free under .*cache"):
        on_disk(open_source(images), tmp_path / "cache", side=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 1_800_000))
    assert len(on_disk(open_source(images), tmp_path / "cache", side=1000)) == 3
    assert len(decodings) == 1


def test_a_cache_folder_that_cannot_be_made(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cache folder .*file.* cannot be written"):
        on_disk(open_source(folder), tmp_path / "file")


def test_the_default_cache_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    decode_canvases(open_source(folder), place="disk")
    assert (tmp_path / "xdg/ownlatent").is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    decode_canvases(open_source(folder), place="disk")
    assert (tmp_path / "home/.cache/ownlatent").is_dir()


def test_the_automatic_choice(monkeypatch):
    monkeypatch.setattr(placement, "free_device_memory", lambda device: 100)
    monkeypatch.setattr(placement, "available_memory", lambda: 80)
    sizes = (30, 31, 40, 41)
    assert [choose_place(size, "auto", GPU) for size in sizes] == ["device", "host", "host", "disk"]
    assert [choose_place(size, "auto", CPU) for size in sizes] == ["host", "host", "host", "disk"]
    assert choose_place(31, "device", CPU) == "host"
    assert choose_place(100, "device", GPU) == "device"
    assert choose_place(80, "host", GPU) == "host"
    for place, device in (("device", GPU), ("host", CPU), ("device", CPU)):
        with pytest.raises(UsageError, match=r"need .* free: place them on .*'disk'"):
            choose_place(101, place, device)
    with pytest.raises(UsageError, match="'gpu' is no place"):
        choose_place(1, "gpu", CPU)


def test_what_does_not_fit_in_memory_goes_to_disk(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(placement, "available_memory", lambda: 0)
    canvases = decode_canvases(open_source(folder), cache_dir=tmp_path / "cache")
    assert canvases.place == "disk" and canvases.summary().endswith("on disk; 2 unreadable skipped")
    images = np.zeros((3, 8, 8), np.uint8)
    assert decode_canvases(open_source(images)).place == "host"  # it is there already


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    free = available_memory()
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(placement, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 1500\n")
    assert available_memory() == 2500
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() > 5000
