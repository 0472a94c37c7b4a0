"""A server of files on this machine, by HTTP or as an object store, with and without ranges."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace


@contextmanager
def serving(root: Path) -> Iterator[SimpleNamespace]:
    """``url``; ``asked``: method, path, range and authorization of every request; ``ranges``."""
    state = SimpleNamespace(asked=[], ranges=True)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked, path = self.headers.get("Range"), root / self.path.lstrip("/")
            authorization = self.headers.get("Authorization", "")
            state.asked.append((self.command, self.path, asked, authorization))
            content = path.read_bytes() if path.is_file() else b""
            size, code = len(content), 200 if path.is_file() else 404
            if asked and state.ranges and code == 200:
                start, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups())
                content, code = content[start : end + 1], 206
            self.send_response(code)
            if code == 206:
                self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
            if code != 404:
                self.send_header("ETag", f'"{path.stat().st_mtime_ns}"')
                self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
