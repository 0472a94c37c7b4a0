"""Who may ask: a page that this program printed the address of, on this machine, and no other."""

import secrets
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""On every answer; the page may load what this program serves, and nothing else."""
_HOSTS = ("127.0.0.1", "localhost")
_SAME = (None, "same-origin", "none")  # none: typed, or opened by the program

Next = Callable[[Request], Awaitable[Response]]


def refusal(request: Request, token: str, port: int) -> Response | None:
    """Why a request is not answered, if it is not.

    The name it was made to must be this machine's, else a page elsewhere whose name has been
    pointed here could read the answers; no other site may make one; the first part of its path is
    a secret of this start; and what changes something must come from the page itself.
    """
    hosts = {f"{name}:{port}" for name in _HOSTS}
    origins = {f"http://{host}" for host in hosts}
    if request.headers.get("host") not in hosts:
        return _no(403, "Ask for it by the address that ownlatent explore printed.")
    if request.headers.get("sec-fetch-site") not in _SAME:
        return _no(403, "Another site may not ask.")
    origin = request.headers.get("origin")
    if origin is not None and origin not in origins:
        return _no(403, "Another site may not ask.")
    if request.method not in ("GET", "HEAD", "POST"):
        return _no(405, "That cannot be done here.")
    if request.method == "POST" and (
        origin is None or request.headers.get("content-type") != "application/json"
    ):
        return _no(403, "Only the explorer's own page may do that.")
    given = request.url.path.split("/", 2)[1]
    if not secrets.compare_digest(given.encode(), token.encode()):
        return _no(404, "There is nothing here; open the address that ownlatent explore printed.")
    return None


def _no(status: int, why: str) -> Response:
    return PlainTextResponse(why, status)
