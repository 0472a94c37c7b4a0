"""What the explorer answers: its page, the samples, their pictures and neighbours, and lists."""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ownlatent.embeddings.explorer.guard import HEADERS, refusal
from ownlatent.embeddings.explorer.look import Look
from ownlatent.embeddings.explorer.thumbnails import Thumbnails
from ownlatent.embeddings.lists import write_list, write_table
from ownlatent.embeddings.store import Store
from ownlatent.errors import UsageError

COLUMNS = ("id", "path", "label")
"""Of an exported list."""
_HERE = Path(__file__).parent
_REPORT = _HERE.parents[1] / "report"
_PAGE = {
    "": (_HERE / "explore.html", "text/html"),
    "explore.js": (_HERE / "explore.js", "text/javascript"),
    "explore.css": (_HERE / "explore.css", "text/css"),
    "icon.svg": (_HERE / "icon.svg", "image/svg+xml"),
    "report.css": (_REPORT / "report.css", "text/css"),  # the house's colours and letters
}
_NEIGHBOURS = 24


@dataclass(frozen=True)
class Shown:
    """What the page is about.

    Attributes:
        store: the vectors.
        look: a place, a cluster and a score of each.
        pictures: whether each has an image, bool ``[N]``.
        note: a sentence on images that are not there, or none.
    """

    store: Store
    look: Look
    pictures: Any
    note: str = ""


def application(shown: Shown, *, token: str, port: int) -> ASGIApp:
    """The explorer, which answers requests below ``/TOKEN/`` that `guard.refusal` lets pass."""
    store = shown.store
    thumbnails = Thumbnails(store)
    classes = sorted({label for label in store.labels if label is not None})
    numbers = {name: number for number, name in enumerate(classes)}
    labels = [-1 if label is None else numbers[label] for label in store.labels]
    points = b"".join(
        np.ascontiguousarray(column).astype(kind).tobytes()
        for column, kind in (
            (shown.look.points, "<f4"), (shown.look.oddity, "<f4"), (shown.look.clusters, "<i4"),
            (labels, "<i4"), (shown.pictures, "u1"),
        )
    )  # fmt: skip
    about = {
        "name": store.path.name, "count": len(store), "dim": store.dim,
        "encoder": store.origin["encoder"], "note": shown.note, "classes": classes,
        "clusters": int(shown.look.clusters.max()) + 1, "names": [_text(n) for n in store.names],
    }  # fmt: skip

    def row_of(request: Request) -> int:
        row = int(request.path_params["row"])
        if row >= len(store):
            raise HTTPException(404, "There is no such sample.")
        return row

    def picture(request: Request) -> Response:
        made = thumbnails.get(row_of(request), request.path_params["use"])
        if made is None:
            raise HTTPException(404, "There is no image to show.")
        content, kind = made
        kept = {"Cache-Control": "private, max-age=86400"}  # its address is of this start alone
        return Response(content, media_type=kind, headers=kept)

    def near(request: Request) -> Response:
        row = row_of(request)
        most = min(_NEIGHBOURS + 1, len(store))
        found = store.near(store.vectors()[row : row + 1], most, exact=True)
        pairs = zip(found.rows[0].tolist(), found.similarity[0].tolist(), strict=True)
        others = [pair for pair in pairs if pair[0] != row][:_NEIGHBOURS]
        return JSONResponse({"rows": [r for r, _ in others], "similarity": [s for _, s in others]})

    def listed(rows: list[int]) -> list[tuple[int, str, str]]:
        return [(int(store.ids[row]), store.names[row], store.labels[row] or "") for row in rows]

    async def export(request: Request) -> Response:
        rows = await _rows(request, len(store))
        text = io.StringIO(newline="")
        write_table(text, COLUMNS, listed(rows))
        # Names of files need not be valid UTF-8.
        content = text.getvalue().encode("utf-8", "surrogateescape")
        return Response(content, media_type="text/csv", headers={"Cache-Control": "no-store"})

    async def save(request: Request) -> Response:
        rows = await _rows(request, len(store))
        try:
            out = await run_in_threadpool(_save, store, listed(rows))
        except UsageError as error:
            print(error, file=sys.stderr)  # it names places that a page need not know
            raise HTTPException(507, "The list could not be written; see the terminal.") from error
        return JSONResponse({"name": out.name})

    def static(request: Request) -> Response:
        file, kind = _PAGE[request.path_params.get("name", "")]
        return Response(file.read_bytes(), media_type=kind, headers={"Cache-Control": "no-store"})

    def fixed(content: bytes, kind: str) -> Any:
        return lambda _: Response(content, media_type=kind, headers={"Cache-Control": "no-store"})

    def below(path: str, answer: Any, **more: Any) -> Route:
        return Route(f"/{token}/{path}", answer, **more)

    app = Starlette(
        routes=[
            below("", static),
            *(below(name, _named(static, name)) for name in _PAGE if name),
            below("about", fixed(json.dumps(about).encode(), "application/json")),
            below("points", fixed(points, "application/octet-stream")),
            below("near/{row:int}", near),
            *(below(f"{use}/{{row:int}}", _named(picture, use, "use"))
              for use in ("thumbnail", "picture")),
            below("export", export, methods=["POST"]),
            below("save", save, methods=["POST"]),
        ]
    )  # fmt: skip
    return _Guarded(app, token, port)


def _named(answer: Any, value: str, key: str = "name") -> Any:
    def named(request: Request) -> Response:
        request.path_params[key] = value
        return answer(request)  # type: ignore[no-any-return]

    return named


class _Guarded:
    """Refuses what `guard.refusal` refuses, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token, self.port = app, token, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        answer = refusal(Request(scope), self.token, self.port) or self.app
        await answer(scope, receive, sent)


_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


async def _rows(request: Request, count: int) -> list[int]:
    """The rows that a list is to hold, in the store's order, each once."""
    try:
        rows = json.loads(await request.body())["rows"]
        fits = isinstance(rows, list) and all(type(r) is int and 0 <= r < count for r in rows)
    except (ValueError, TypeError, KeyError, RecursionError):
        fits = False
    if not fits or not rows:
        raise HTTPException(400, "A list needs the rows of samples.")
    return sorted(set(rows))


_SAVING = Lock()


def _save(store: Store, rows: list[tuple[int, str, str]]) -> Path:
    """Write the list beside the store, under the first number that is free."""
    number = 1
    with _SAVING:  # two requests must not find the same number
        while (out := store.path.with_name(f"{store.path.stem}.selected-{number}.csv")).exists():
            number += 1
        write_list(out, COLUMNS, rows)
    return out


def _text(name: str) -> str:
    """A name that JSON and a page can hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
