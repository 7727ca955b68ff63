"""A server on the loopback that speaks as the Hub does, and has its faults."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# What the real Hub says: status, X-Error-Code, X-Error-Message.
REFUSALS = {
    "own/expired": (401, "", "Invalid credentials in Authorization header"),
    "own/unknown": (401, "RepoNotFound", "Repository not found"),
    "own/gated": (403, "GatedRepo", "Access to model own/gated is restricted"),
    "own/forbidden": (403, "", "This token may not read the model"),
    "own/limited": (429, "", ""),
    "own/broken": (503, "", ""),
}


class Hub(ThreadingHTTPServer):
    """Serves folders as models.

    Attributes:
        models: folders by their ids.
        cuts: for each of the next requests for weights, how many bytes are sent before the connection is closed.
        spoilt: whether weights are sent with another first byte.
        ranges: the ranges of bytes that were asked for.
        asked: how many requests there were for each model.
    """

    def __init__(self, models: dict[str, Path]) -> None:
        self.models = models
        self.asked: dict[str, int] = {}
        self.cuts: list[int] = []
        self.spoilt = False
        self.ranges: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, whole: bool) -> None:
        of_api = self.path.startswith("/api/models/")
        model, _, rest = self.path.removeprefix("/api/models").strip("/").partition("/")
        second, _, rest = rest.partition("/")
        model = f"{model}/{second}"
        self.server.asked[model] = self.server.asked.get(model, 0) + 1
        if model == "own/portal":
            return self._send(200, {"Content-Type": "text/html"}, b"<html>Sign in</html>", whole)
        if model in REFUSALS:
            status, code, message = REFUSALS[model]
            return self._send(status, {"X-Error-Code": code, "X-Error-Message": message}, b"", whole)
        folder = self.server.models.get(model)
        if folder is None:
            return self._send(404, {"X-Error-Code": "RepoNotFound"}, b"", whole)
        if of_api:
            names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
            if rest.startswith("tree/"):
                tree = [{"type": "file", "path": n, "oid": "0", "size": (folder / n).stat().st_size} for n in names]
                return self._send(200, {"Content-Type": "application/json"}, json.dumps(tree).encode(), whole)
            siblings = [{"rfilename": name} for name in names]
            about = {"id": model, "modelId": model, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            return self._send(200, {"Content-Type": "application/json"}, json.dumps(about).encode(), whole)
        file = folder / rest.partition("/")[2].partition("/")[2]
        if not file.is_file():
            return self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b"", whole)
        content = file.read_bytes()
        large = file.suffix == ".safetensors"
        digest = hashlib.sha256(content) if large else hashlib.sha1(content)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest.hexdigest()}"', "Accept-Ranges": "bytes"}
        if large and self.server.spoilt:
            content = bytes([content[0] ^ 255]) + content[1:]
        status = 200
        if whole and (asked := self.headers.get("Range")):
            self.server.ranges.append(asked)
            first = int(asked.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            content, status = content[first:], 206
        cut = self.server.cuts.pop(0) if whole and large and self.server.cuts else None
        return self._send(status, headers, content, whole, cut=cut)

    def _send(self, status: int, headers: dict[str, str], content: bytes, whole: bool, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if whole:
            self.wfile.write(content[:cut])
            if cut is not None:
                self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(models: dict[str, Path]) -> Iterator[Hub]:
    """A Hub with folders as models, by their ids."""
    server = Hub(models)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def asking(endpoint: str, home: Path, **variables: str) -> dict[str, str]:
    """The environment of a process that asks the Hub at an address and keeps what it gets in a folder."""
    others = {
        key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()
    }
    return others | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", **variables}
