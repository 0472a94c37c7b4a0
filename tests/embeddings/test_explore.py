"""The explorer, asked over HTTP as a stranger would and clicked on in a Chromium.

The store is made here: coloured shapes in 4 groups of 15 (the label is the colour) on a known
circle of directions, so that every sample's neighbours are known without a search.
"""

import csv
import http.client
import io
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from ownlatent.cli import main
from ownlatent.embeddings import open_store, outliers
from ownlatent.embeddings.explorer import layout as layouts
from ownlatent.embeddings.explorer.look import look
from ownlatent.embeddings.explorer.thumbnails import Thumbnails
from ownlatent.embeddings.store import KEY, Near, unit

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
browsing = pytest.mark.skipif(
    not CHROMIUM, reason="NO CHROMIUM: the explorer's clicks are not tested (apt install chromium)"
)
COLOURS = {"blue": "#2050c0", "green": "#209050", "red": "#c03030", "violet": "#8040b0"}
EACH = 15
SECRET = b"this file lies outside the store's folder"


class Place(NamedTuple):
    store: Path
    names: list[str]
    labels: list[str]
    vectors: np.ndarray


def write_store(file: Path, names: list[str], labels: Any, vectors: np.ndarray, root: Path) -> None:
    origin = {"encoder": "shapes", "weights": "0", "kind": "images", "root": str(root)}
    flat = pa.array(np.asarray(vectors, np.float32).reshape(-1))
    columns = {
        "id": pa.array(np.arange(len(names), dtype=np.int64) * 7 - 3),
        "path": pa.array(names, pa.string()),
        "label": pa.array(labels, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    pq.write_table(pa.table(columns, metadata={KEY: json.dumps(origin).encode()}), file)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """60 shapes, then 6 rows whose names or files are hostile."""
    folder = tmp_path_factory.mktemp("explore")
    root = folder / "images"
    names, labels, vectors = [], [], []
    for group, (label, colour) in enumerate(COLOURS.items()):
        (root / label).mkdir(parents=True)
        for number in range(EACH):
            image = Image.new("RGB", (100, 80), "#f0f0f0")
            side = 8 + 2 * number
            ImageDraw.Draw(image).ellipse((50 - side, 40 - side, 50 + side, 40 + side), fill=colour)
            name = f"{label}/{number:02}.png"
            image.save(root / name)
            # Of one group along an arc: gaps grow, so no two neighbours are equally far.
            angle = 0.01 * number + 0.0004 * number**2
            vector = np.zeros(8)
            vector[2 * group : 2 * group + 2] = math.cos(angle), math.sin(angle)
            names.append(name), labels.append(label), vectors.append(vector)
    (folder / "secret.png").write_bytes((root / "blue/00.png").read_bytes() + SECRET)
    (root / "link.png").symlink_to(folder / "secret.png")
    (root / "notes.txt").write_bytes(SECRET)
    (root / "torn.png").write_bytes(b"\x89PNG\r\n")
    hostile = ["../secret.png", str(folder / "secret.png"), "link.png", "notes.txt", "torn.png",
               "<img src=x onerror=alert(1)>.png"]  # fmt: skip
    for name in hostile:
        names.append(name), labels.append(None), vectors.append(np.eye(8)[7] + 0.01 * len(names))
    vectors = unit(np.array(vectors))
    write_store(folder / "shapes.parquet", names, labels, vectors, root)
    return Place(folder / "shapes.parquet", names, labels, vectors)


class Running(NamedTuple):
    port: int
    token: str
    process: subprocess.Popen[str]
    said: list[str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Any:
        """Status, headers and content; the path is sent as it is, dots and all."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        host = named.pop("Host", f"127.0.0.1:{self.port}")
        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        asking.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": host, **named}.items():
            asking.putheader(name, value)
        if body is not None:
            asking.putheader("Content-Length", str(len(body)))
        asking.endheaders(body.encode() if body is not None else None)
        answer = asking.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def own(self, what: str, **more: Any) -> Any:
        return self.ask(f"/{self.token}/{what}", **more)

    def post(self, what: str, body: str, **headers: str) -> Any:
        headers = {"Origin": f"http://127.0.0.1:{self.port}", "Content_Type": "application/json",
                   **headers}  # fmt: skip
        return self.own(what, method="POST", body=body, **headers)


def start(*arguments: str | Path) -> Running:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "ownlatent", "explore", *map(str, arguments), "--no-browser"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    said: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/", line):
            threading.Thread(target=said.extend, args=(process.stdout,), daemon=True).start()
            return Running(int(found[1]), found[2], process, said)
    raise AssertionError("".join(said))


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Running]:
    served = start(place.store, "--port", "0")
    yield served
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(20) == 0


# ---- over HTTP


def test_it_listens_to_this_machine_alone(running: Running) -> None:
    listening = Path("/proc/net/tcp").read_text() if Path("/proc/net/tcp").exists() else ""
    held = [line.split()[1] for line in listening.splitlines()[1:] if line.split()[3] == "0A"]
    of_it = [place for place in held if place.endswith(f":{running.port:04X}")]
    assert of_it == [f"0100007F:{running.port:04X}"]


def test_what_the_page_is_made_of_and_its_policy(running: Running) -> None:
    for what in ("", "explore.js", "explore.css", "report.css", "icon.svg", "about", "points"):
        status, headers, content = running.own(what)
        assert status == 200 and content
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy and "*" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        outside = re.findall(rb"(?:https?:)?//[\w.-]+\.\w+", content) if what != "points" else []
        assert set(outside) <= {b"http://www.w3.org"}  # the name of SVG, which is not asked for


def test_points_are_the_looks_numbers(running: Running, place: Place) -> None:
    count = len(place.names)
    _, _, held = running.own("points")
    seen, _ = look(open_store(place.store))
    assert len(held) == 21 * count
    assert np.array_equal(np.frombuffer(held, "<f4", 2 * count).reshape(-1, 2), seen.points)
    assert np.array_equal(np.frombuffer(held, "<f4", count, 8 * count), seen.oddity)
    labels = np.frombuffer(held, "<i4", count, 16 * count)
    about = json.loads(running.own("about")[2])
    assert [about["classes"][n] if n >= 0 else None for n in labels] == place.labels
    # Neither hostile names nor files of other kinds are pictures; a torn one is tried.
    pictured = np.frombuffer(held, "u1", count, 20 * count)
    assert pictured.tolist() == [1] * 60 + [0, 0, 0, 0, 1, 0]


def test_thumbnails_are_the_images_made_small(running: Running, place: Place) -> None:
    status, headers, content = running.own("thumbnail/31")  # red/01.png
    image = Image.open(io.BytesIO(content))
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert image.size == (96, 77)
    red, green, blue = image.convert("RGB").getpixel((48, 38))
    assert abs(red - 0xC0) < 8 and abs(green - 0x30) < 8 and abs(blue - 0x30) < 8
    assert Image.open(io.BytesIO(running.own("picture/31")[2])).size == (100, 80)


@pytest.mark.parametrize("row", range(60, 66))
def test_no_picture_of_what_lies_outside(running: Running, row: int) -> None:
    for use in ("thumbnail", "picture"):
        status, _, content = running.own(f"{use}/{row}")
        assert status == 404 and SECRET not in content
        assert content == b"There is no image to show."


@pytest.mark.parametrize(
    "path",
    ["thumbnail/../../secret.png", "../secret.png", "thumbnail/%2e%2e%2fsecret.png",
     "..%2f..%2fetc/passwd", "thumbnail//etc/passwd", "/etc/passwd", "explore.py", "serve.py",
     "thumbnail/-1", "thumbnail/66", "thumbnail/1e1", "thumbnail/0x1",
     "thumbnail/99999999999999999999", "thumbnail", "thumbnail/", "images/", "near/66",
     "report.css/../../../errors.py", "%00"],
)  # fmt: skip
def test_paths_are_not_taken(running: Running, path: str) -> None:
    status, _, content = running.own(path)
    assert status == 404, path
    assert SECRET not in content and b"root:" not in content and len(content) < 100
    assert b"/tmp" not in content and b"Traceback" not in content


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "evil.example:{port}"}, {"Host": "127.0.0.1"},
     {"Host": "127.0.0.1:1"}, {"Host": "127.0.0.1.evil.example:{port}"},
     {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
     {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}],
)  # fmt: skip
def test_other_sites_and_other_names_are_refused(running: Running, headers: dict[str, str]) -> None:
    given = {name: value.format(port=running.port) for name, value in headers.items()}
    for what in ("", "about", "thumbnail/0", "near/0"):
        status, answered, content = running.own(what, **given)
        assert status == 403 and len(content) < 80
        assert "access-control-allow-origin" not in answered
    status, _, _ = running.post("save", '{"rows": [0]}', **given)
    assert status == 403


def test_both_names_of_this_machine_do(running: Running) -> None:
    for name in ("127.0.0.1", "localhost"):
        assert running.own("about", Host=f"{name}:{running.port}")[0] == 200


def test_without_the_secret_there_is_nothing(running: Running) -> None:
    for path in ("/", "/about", "/thumbnail/0", f"/{'A' * 22}/about",
                 f"/{running.token[:-1]}/about", "//about", "*", "/%ff/"):  # fmt: skip
        assert running.ask(path)[0] in (400, 404), path


def test_only_the_page_may_write(running: Running, place: Place) -> None:
    before = sorted(place.store.parent.iterdir())
    rows = '{"rows": [0]}'
    own = f"http://127.0.0.1:{running.port}"
    assert running.own("save", method="POST", body=rows, Content_Type="application/json")[0] == 403
    assert running.own("save", method="POST", body=rows, Origin=own)[0] == 403
    assert running.post("save", rows, Content_Type="text/plain")[0] == 403
    assert running.own("save")[0] == 405
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert running.own("save", method=method, Origin=own)[0] == 405
    for bad in ("", "[]", "{}", '{"rows": []}', '{"rows": [66]}', '{"rows": [-1]}',
                '{"rows": "0"}', '{"rows": [true]}', '{"rows": [0.5]}', '{"rows": ["../x"]}',
                "[" * 5000):  # fmt: skip
        assert running.post("save", bad)[0] == 400, bad
    assert sorted(place.store.parent.iterdir()) == before


def test_a_list_holds_the_rows_asked_for(running: Running, place: Place) -> None:
    status, headers, content = running.post("export", '{"rows": [31, 2, 65, 2]}')
    assert status == 200 and headers["content-type"].startswith("text/csv")
    expected = [["id", "path", "label"], ["11", "blue/02.png", "blue"],
                ["214", "red/01.png", "red"], ["452", place.names[65], ""]]  # fmt: skip
    assert list(csv.reader(io.StringIO(content.decode()))) == expected
    answer = json.loads(running.post("save", '{"rows": [31, 2, 65]}')[2])
    assert answer == {"name": "shapes.selected-1.csv"}
    written = place.store.with_name(answer["name"])
    assert list(csv.reader(written.open(newline=""))) == expected
    assert json.loads(running.post("save", '{"rows": [1]}')[2])["name"] == "shapes.selected-2.csv"
    assert list(csv.reader(written.open(newline=""))) == expected


def test_neighbours_are_exact(running: Running, place: Place) -> None:
    for row in (0, 7, 44):
        found = json.loads(running.own(f"near/{row}")[2])
        cosines = place.vectors.astype(np.float64) @ place.vectors[row]
        cosines[row] = -2
        best = np.argsort(-cosines)[: len(found["rows"])]
        assert len(best) == 24
        np.testing.assert_allclose(found["similarity"], cosines[best], atol=1e-6)
        assert found["rows"][:14] == best[:14].tolist()  # those of its own group, no two alike


# ---- the map, the cache, the pictures kept


def planted(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    of = random.integers(12, size=count)
    return unit(random.normal(size=(12, 32))[of] + 0.6 * random.normal(size=(count, 32))), of


def nearest(vectors: np.ndarray, k: int) -> Near:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    rows = np.argsort(-cosines, axis=1)[:, :k]
    return Near(rows, np.take_along_axis(cosines, rows, axis=1))


def test_weights_of_pairs_are_umaps() -> None:
    vectors, _ = planted(80)
    near = nearest(vectors, 10)
    apart = np.sqrt(2 - 2 * near.similarity.astype(np.float64))
    one_way = np.zeros((80, 80))
    for row in range(80):  # equation 1 of McInnes et al., the scale found by Newton's method
        beyond = apart[row] - apart[row].min()
        scale = 0.05
        for _ in range(100):
            parts = np.exp(-beyond / scale)
            slope = (parts * beyond).sum() / scale**2
            scale = max(scale - (parts.sum() - math.log2(10)) / slope, scale / 3)
        one_way[row, near.rows[row]] = np.exp(-beyond / scale)
    expected = one_way + one_way.T - one_way * one_way.T
    heads, tails, weights = layouts.graph(near)
    found = np.zeros((80, 80))
    found[heads, tails] = weights
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_map_keeps_neighbours_together_and_is_the_same_again() -> None:
    from sklearn.decomposition import PCA
    from sklearn.manifold import trustworthiness

    vectors, of = planted()
    near = nearest(vectors, 15)
    points = layouts.layout(vectors, near)
    assert points.shape == (600, 2) and np.abs(points).max() == pytest.approx(1)
    kept = trustworthiness(vectors, points, n_neighbors=10)
    flat = trustworthiness(vectors, PCA(2).fit_transform(vectors), n_neighbors=10)
    assert kept > 0.95 and kept > flat + 0.03
    centres = np.array([points[of == each].mean(axis=0) for each in range(12)])
    apart = ((points[:, None] - centres) ** 2).sum(axis=2)
    assert (apart.argmin(axis=1) == of).mean() > 0.99
    assert np.array_equal(points, layouts.layout(vectors, near))
    assert not np.array_equal(points, layouts.layout(vectors, near, seed=1))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 40])
def test_maps_of_few_samples_and_of_copies(tmp_path: Path, count: int) -> None:
    names = [str(number) for number in range(count)]
    for vectors in (np.eye(40)[:count], np.ones((count, 1)), np.zeros((count, 3))):
        write_store(tmp_path / "few.parquet", names, [None] * count, vectors, tmp_path)
        seen, _ = look(open_store(tmp_path / "few.parquet"))
        assert seen.points.shape == (count, 2)
        assert np.isfinite(seen.points).all() and np.isfinite(seen.oddity).all()


def test_the_score_is_that_of_outliers(place: Place) -> None:
    store = open_store(place.store)
    seen, _ = look(store)
    ranked = outliers(store)
    np.testing.assert_allclose(seen.oddity[ranked.rows], ranked.score, atol=1e-6)


def test_the_cache_serves_this_content_alone(tmp_path: Path, monkeypatch: Any) -> None:
    from ownlatent.embeddings.explorer import look as looks

    made = []
    real = looks.neighbours
    monkeypatch.setattr(looks, "neighbours", lambda *a: made.append(1) or real(*a))
    file, names = tmp_path / "s.parquet", [f"{n}.png" for n in range(30)]
    vectors = np.random.default_rng(0).normal(size=(30, 5))

    def seen(**options: Any) -> Any:
        return look(open_store(file), **options)[0]

    write_store(file, names, [None] * 30, vectors, tmp_path)
    first = seen()
    assert np.array_equal(seen().points, first.points) and len(made) == 1
    seen(seed=1)
    assert len(made) == 2  # another seed
    seen(seed=1, clusters=3)
    assert len(made) == 3
    vectors[4, 2] += 0.5
    write_store(file, names, [None] * 30, vectors, tmp_path)
    changed = seen(seed=1, clusters=3)
    assert len(made) == 4 and len(changed.points) == 30  # another vector
    cache = tmp_path / "s.parquet.explore.npz"
    for damage in (b"", b"no archive", cache.read_bytes()[:-200]):
        cache.write_bytes(damage)
        assert np.array_equal(seen(seed=1, clusters=3).points, changed.points)
    assert len(made) == 7
    assert sorted(each.name for each in tmp_path.iterdir()) == ["s.parquet", cache.name]


def test_pictures_kept_are_bounded_and_made_once(place: Place, monkeypatch: Any) -> None:
    thumbnails = Thumbnails(open_store(place.store), room=6000)
    first = thumbnails.get(0, "thumbnail")
    assert first is not None
    for row in range(1, 40):
        thumbnails.get(row, "thumbnail")
        thumbnails.get(0, "thumbnail")  # asked for again and again, it stays
    assert 0 < thumbnails.held <= 6000 and 1 < len(thumbnails) < 39
    made = []
    monkeypatch.setattr(thumbnails, "_make", lambda *_: made.append(1))
    assert thumbnails.get(0, "thumbnail") is first and not made
    assert thumbnails.get(1, "thumbnail") is None and made  # this one had gone


# ---- mistakes


def refused(capsys: Any, *arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["explore", *map(str, arguments), "--no-browser"])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and said.endswith(".")
    return str(said)


def test_mistakes_are_told_in_a_sentence(place: Place, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "torn.parquet").write_bytes(place.store.read_bytes()[:-400])
    (tmp_path / "table.csv").write_text("a,b\n")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    assert "There is no store" in refused(capsys, tmp_path / "none.parquet")
    assert "is damaged" in refused(capsys, tmp_path / "torn.parquet")
    assert "ends in .parquet or .lance" in refused(capsys, tmp_path / "table.csv")
    assert "does not say which encoder" in refused(capsys, tmp_path / "other.parquet")
    assert "this machine alone" in refused(capsys, place.store, "--host", "0.0.0.0")
    assert "port must lie" in refused(capsys, place.store, "--port", "70000")
    assert "clusters must be at least 1" in refused(capsys, place.store, "--clusters", "0")


def test_a_port_in_use_names_a_free_one(place: Place, capsys: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(capsys, place.store, "--port", str(port))
    found = re.fullmatch(rf"Port {port} is in use; --port (\d+) is free\.", said)
    assert found
    with socket.socket() as free:
        free.bind(("127.0.0.1", int(found[1])))


def test_images_that_are_gone_are_counted_and_ctrl_c_ends(place: Place, tmp_path: Path) -> None:
    store = tmp_path / "moved.parquet"
    write_store(store, place.names[:8], place.labels[:8], place.vectors[:8], tmp_path / "nowhere")
    served = start(store, "--port", "0")
    assert served.said[0].startswith("8 of 8 images are not there")
    assert json.loads(served.own("about")[2])["note"] == served.said[0].strip()
    assert served.own("thumbnail/0")[0] == 404
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(20) == 0
    deadline = time.monotonic() + 5
    while served.said[-1].strip() != "Stopped." and time.monotonic() < deadline:
        time.sleep(0.05)
    assert served.said[-1].strip() == "Stopped." and "Traceback" not in "".join(served.said)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", served.port))


# ---- in a browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


class Tab:
    """The page, opened, and all that it asked for and complained of."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "accept_downloads": True} | context
        )
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda said: self.complaints.append(
            f"{said.text} {said.location['url']}") if said.type in ("error", "warning") else None
        )  # fmt: skip
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector("#state", state="hidden")
        self.settle()

    def settle(self) -> None:
        self.page.wait_for_timeout(80)
        for _ in range(100):
            if not self.page.evaluate("explorer.busy()"):
                return
            self.page.wait_for_timeout(50)

    def at(self, row: int) -> tuple[float, float]:
        x, y = self.page.evaluate(f"explorer.place({row})")
        return x, y

    def dots(self) -> None:
        self.page.locator("#pictures").uncheck()
        self.page.wait_for_timeout(60)

    @property
    def picked(self) -> list[int]:
        return list(self.page.evaluate("explorer.picked()"))

    def neighbours(self) -> list[int]:
        self.page.wait_for_selector("#near button")
        return [int(each) for each in self.page.eval_on_selector_all(
            "#near button", "all => all.map(one => one.dataset.row)")]  # fmt: skip

    def pixel(self, row: int) -> tuple[int, ...]:
        x, y = self.at(row)
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        return shot.getpixel((round(x), round(y)))


@pytest.fixture()
def tab(chromium: Any, running: Running, place: Place, request: Any) -> Iterator[Tab]:
    opened = Tab(chromium, running.address, **getattr(request, "param", {}))
    yield opened
    opened.context.close()
    # The row of the torn image is asked for whenever it is in a list, and answered with 404.
    torn = f"404 (Not Found) {running.address}thumbnail/{place.names.index('torn.png')}"
    assert [each for each in opened.complaints if not each.endswith(torn)] == []
    assert opened.asked and all(
        url.startswith((running.address, f"blob:http://127.0.0.1:{running.port}/"))
        for url in opened.asked
    )


def alone(tab: Tab, rows: range) -> int:
    """A sample of some whose dot no other covers."""
    places = {row: tab.at(row) for row in range(66)}

    def room(row: int) -> float:
        return min(math.dist(places[row], there) for r, there in places.items() if r != row)

    return max(rows, key=room)


@browsing
def test_a_click_lists_the_planted_neighbours_in_order(tab: Tab, place: Place) -> None:
    tab.dots()
    row = alone(tab, range(15, 30))
    tab.page.mouse.click(*tab.at(row))
    found = tab.neighbours()
    assert tab.page.locator("#name").inner_text() == place.names[row]
    cosines = place.vectors.astype(np.float64) @ place.vectors[row]
    planned = sorted((each for each in range(15, 30) if each != row), key=lambda r: -cosines[r])
    assert found[:14] == planned and len(found) == 24
    first = tab.page.locator("#near li").first
    assert first.locator("b").inner_text() == f"{cosines[planned[0]]:.3f} ✓".removesuffix(" ✓")
    assert first.get_attribute("class") == "same"
    # On to a neighbour, with the keyboard; then Escape closes.
    first.locator("button").focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("Enter")
    tab.page.locator("#name", has_text=place.names[planned[1]]).wait_for()
    tab.neighbours()
    tab.page.keyboard.press("Escape")
    assert tab.page.locator("#chosen").is_hidden()


@browsing
def test_colours_follow_label_cluster_and_score(tab: Tab, place: Place) -> None:
    tab.dots()
    rows = [alone(tab, range(start, start + EACH)) for start in range(0, 60, EACH)]
    by_label = [tab.pixel(row) for row in rows]
    kinds = [tuple(bytes.fromhex(tab.page.evaluate(
        f"getComputedStyle(document.documentElement).getPropertyValue('--k{kind}').trim()")[1:]))
        for kind in range(4)]  # fmt: skip
    assert by_label == kinds  # labels in the order of their names
    legend = tab.page.locator("#legend").inner_text().split()
    assert legend == ["blue", "15", "green", "15", "red", "15", "violet", "15", "no", "label", "6"]
    seen, _ = look(open_store(place.store))
    tab.page.get_by_text("cluster", exact=True).click()
    clustered = [tab.pixel(row) for row in rows]
    same = [(seen.clusters[a] == seen.clusters[b]) for a in rows for b in rows]
    assert same == [a == b for a in clustered for b in clustered]
    tab.page.get_by_text("outlier score", exact=True).click()
    assert "mean distance" in tab.page.locator("#legend").inner_text()
    plain, odd = (tab.page.evaluate(f"explorer.colour({row})") for row in
                  (seen.oddity.argmin(), seen.oddity.argmax()))  # fmt: skip
    ends = [tuple(bytes.fromhex(tab.page.evaluate(
        f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()")[1:]))
        for name in ("base", "other")]  # fmt: skip
    assert [tuple(map(int, re.findall(r"\d+", each))) for each in (plain, odd)] == ends


@browsing
def test_the_filter_leaves_what_matches(tab: Tab, place: Place) -> None:
    tab.dots()
    row = alone(tab, range(30, 45))
    tab.page.locator("#class").select_option(label="blue")
    tab.page.locator("#matching", has_text="Select 15 matches").click()
    assert tab.picked == list(range(15))
    tab.page.mouse.click(*tab.at(row))  # red, so there is nothing to choose
    assert tab.page.locator("#chosen").is_hidden()
    tab.page.locator("#class").select_option(label="all")
    tab.page.locator("#text").fill("RED/0")
    tab.page.locator("#matching", has_text="Select 10 matches").click()
    assert tab.picked == list(range(30, 40))
    tab.page.locator("#text").fill("nothing like it")
    assert tab.page.locator("#state").inner_text().startswith("No sample matches")
    tab.page.keyboard.press("Escape")
    assert tab.page.locator("#state").is_hidden() and tab.page.locator("#text").input_value() == ""


def corners(tab: Tab, rows: list[int]) -> tuple[float, float, float, float]:
    xs, ys = zip(*(tab.at(row) for row in rows), strict=True)
    return min(xs) - 6, min(ys) - 6, max(xs) + 6, max(ys) + 6


@browsing
@pytest.mark.parametrize("tool", ["Box", "Lasso"])
def test_a_drag_selects_and_the_list_holds_exactly_these(
    tab: Tab, place: Place, tool: str, tmp_path: Path
) -> None:
    tab.dots()
    left, top, right, bottom = corners(tab, list(range(15, 30)))
    path = [(left, top), (right, bottom)] if tool == "Box" else [
        (left, top), (right, top), (right, bottom), (left, bottom), (left, top + 1)]  # fmt: skip
    tab.page.get_by_text(tool, exact=True).click()
    tab.page.mouse.move(*path[0])
    tab.page.mouse.down()
    for x, y in path[1:]:
        tab.page.mouse.move(x, y, steps=6)
    tab.page.mouse.up()
    expected = [
        row for row in range(66) if left < tab.at(row)[0] < right and top < tab.at(row)[1] < bottom
    ]
    assert set(range(15, 30)) <= set(expected) and len(expected) < 60
    assert tab.picked == expected
    # Shift-click takes one out and puts another in.
    out, new = alone(tab, range(15, 30)), alone(tab, range(0, 15))
    for row in (out, new):
        tab.page.keyboard.down("Shift")
        tab.page.mouse.click(*tab.at(row))
        tab.page.keyboard.up("Shift")
    wanted = sorted(set(expected) ^ {out, new})
    assert tab.page.locator("#count").inner_text() == f"{len(wanted)} selected"
    with tab.page.expect_download() as download:
        tab.page.locator("#download").click()
    assert download.value.suggested_filename == "shapes.selected.csv"
    download.value.save_as(tmp_path / "list.csv")
    rows = list(csv.reader((tmp_path / "list.csv").open(newline="", encoding="utf-8")))
    store = open_store(place.store)
    assert rows == [["id", "path", "label"]] + [
        [str(store.ids[row]), place.names[row], place.labels[row] or ""] for row in wanted
    ]
    tab.page.locator("#save").click()
    said = tab.page.locator("#saved", has_text="Written beside the store")
    said.wait_for()
    written = place.store.with_name(said.inner_text().split(": ")[1])
    assert written.read_bytes() == (tmp_path / "list.csv").read_bytes()
    tab.page.locator("#clear").click()
    assert tab.picked == []


@browsing
def test_pictures_on_the_map_and_on_hover(tab: Tab, place: Place) -> None:
    assert tab.page.evaluate("explorer.shown().length") >= 4
    before = set(tab.page.evaluate("explorer.shown()"))
    tab.page.locator("#map").focus()
    for _ in range(6):
        tab.page.keyboard.press("+")
    tab.settle()
    assert tab.page.evaluate("explorer.shown()") != sorted(before)  # another part, closer
    tab.page.keyboard.press("0")
    tab.settle()
    tab.dots()
    assert tab.page.evaluate("explorer.shown()") == []
    row = alone(tab, range(45, 60))
    tab.page.mouse.move(*tab.at(row))
    tab.page.locator("#card").wait_for()
    assert tab.page.locator("#card-name").inner_text() == place.names[row].split("/")[1]
    tab.page.wait_for_timeout(200)
    assert tab.page.locator("#card-image").evaluate("one => one.naturalWidth") == 96


@browsing
def test_a_name_is_text_and_nothing_else(tab: Tab, place: Place) -> None:
    tab.dots()
    tab.page.locator("#text").fill("onerror")
    tab.page.locator("#map").focus()
    tab.page.keyboard.press("Enter")  # chooses the nearest to the middle, of those that match
    tab.page.locator("#name", has_text=place.names[65]).wait_for()
    tab.neighbours()
    assert tab.page.locator("img[src=x]").count() == 0


@browsing
@pytest.mark.parametrize(
    "tab", [{"viewport": {"width": 390, "height": 844}, "has_touch": True}], indirect=True
)
def test_a_phone(tab: Tab, place: Place) -> None:
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
    tab.dots()
    row = alone(tab, range(0, 15))
    tab.page.touchscreen.tap(*tab.at(row))
    assert set(tab.neighbours()[:14]) == set(range(15)) - {row}
    side, stage = (tab.page.locator(each).bounding_box() for each in ("#chosen", "#stage"))
    assert side["y"] >= stage["y"] + stage["height"] - 1 and side["width"] <= 390
    for button in tab.page.locator("button:visible").all():
        box = button.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    tab.page.locator("#pick").tap()
    assert tab.picked == [row]


@browsing
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(
    chromium: Any, running: Running, scheme: str
) -> None:
    """WCAG 2.1's contrast of at least 4.5 for every visible text."""
    tab = Tab(chromium, running.address, color_scheme=scheme)
    tab.dots()
    tab.page.mouse.click(*tab.at(alone(tab, range(15))))
    tab.neighbours()
    found = tab.page.evaluate(
        """() => { const told = [];
        const exempt = ":disabled, .hidden, option, :has(> :disabled)";
        for (const one of document.querySelectorAll("body *")) {
          const own = [...one.childNodes].some((part) => part.nodeType === 3 && part.data.trim());
          if (!own || !one.checkVisibility() || one.closest(exempt)) continue;
          let under = one, behind = "rgba(0, 0, 0, 0)";
          for (; under && /, 0\\)$/.test(behind); under = under.parentElement)
            behind = getComputedStyle(under).backgroundColor;
          told.push([one.textContent.trim(), getComputedStyle(one).color, behind]);
        } return told; }"""
    )
    assert len(found) > 40

    def light(colour: str) -> float:
        parts = [float(each) for each in re.findall(r"[\d.]+", colour)[:3]]
        if not colour.startswith("color("):
            parts = [each / 255 for each in parts]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for text, colour, behind in found:
        low, high = sorted((light(colour), light(behind)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, colour, behind)
    tab.context.close()
