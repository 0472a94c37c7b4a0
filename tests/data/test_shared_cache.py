"""Canvases on disk that several processes want at once: one decodes; a killed one harms none."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ownlatent.data import decode_canvases, open_source

WORKER = """
import json, os, pathlib, sys, time
from ownlatent.data import build, decode_canvases, open_source

data, cache, log, go = map(pathlib.Path, sys.argv[1:])
real = build.decode_onto

def logged(*arguments):
    with log.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    return real(*arguments)

def wait(done, total):
    while done < total and not go.exists():
        time.sleep(0.01)

build.decode_onto = logged
print("ready", flush=True)
held = decode_canvases(open_source(data), place="disk", cache_dir=cache, progress=wait)
mapped = [line for line in open("/proc/self/maps") if "pixels.bin" in line]
inode = os.stat(next(cache.glob("*/pixels.bin"))).st_ino
print(json.dumps([held.fingerprint, int(held.pixels.long().sum()), len(mapped), inode]))
"""


@pytest.fixture
def folder(tmp_path):
    """More than a block of images, so that decoding can be held up between two."""
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    for row in range(520):
        pixels = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{row}.png")
    return tmp_path / "data"


def until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waits_for_a_lock(process):
    """The kernel knows who is blocked on a file's lock."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {process.pid} " in line for line in lines)


@pytest.mark.parametrize("killed", [False, True])
def test_one_process_decodes_and_the_others_map_its_file(folder, tmp_path, killed):
    cache, log, go = tmp_path / "cache", tmp_path / "log", tmp_path / "go"
    command = [sys.executable, "-c", WORKER, str(folder), str(cache), str(log), str(go)]

    def start():
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    first = start()
    until(lambda: log.exists() and list(cache.glob("*.tmp")))
    second = start()
    assert second.stdout.readline() == "ready\n"
    until(lambda: waits_for_a_lock(second))
    assert log.read_text().splitlines() == [str(first.pid)]
    if killed:
        first.send_signal(signal.SIGKILL)
        first.wait()
    go.touch()
    found = [
        json.loads(each.communicate()[0].splitlines()[-1]) for each in [second, first][: 2 - killed]
    ]
    assert second.returncode == 0
    decoders = [first.pid, second.pid] if killed else [first.pid]
    assert log.read_text().split() == list(map(str, decoders))
    held = decode_canvases(open_source(folder), place="host")
    inode = os.stat(next(cache.glob("*/pixels.bin"))).st_ino
    assert found == [[held.fingerprint, int(held.pixels.long().sum()), 1, inode]] * len(found)
    assert not list(cache.glob("*.tmp"))
