"""A public archive over real sockets that answers, and misbehaves, exactly as a test says."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from seqharvest.archives.http import ArchiveClient, Patience
from seqharvest.archives.limits import Limits
from seqharvest.settings import settings

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Reply:
    """One answer: cut by a reset after `cut` bytes, or sent in drops with a `pause` between."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    pause: float = 0.0
    ranges: bool = True


class ArchiveServer:
    """Serves `routes[path]`, a list of replies of which the last one is for ever."""

    def __init__(self) -> None:
        self.routes: dict[str, list[Reply]] = {}
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        handler = type("Handler", (_Handler,), {"archive": self})
        self._server = _bind(handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def serve(self, path: str, *replies: Reply) -> str:
        """Let a path answer with these replies, one after the other; return its address."""
        self.routes[path] = list(replies)
        return self.url + path

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of the requests for a path."""
        return [headers for where, _, headers in self.requests if where == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    archive: ArchiveServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.archive.requests.append((parts.path, query, dict(self.headers)))
        replies = self.archive.routes.get(parts.path, [Reply(b"not here", 404)])
        self._answer(replies.pop(0) if len(replies) > 1 else replies[0])

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_HEAD(self) -> None:  # prefetch asks so; it is not among `requests`
        reply = self.archive.routes.get(urlsplit(self.path).path, [Reply(b"", 404)])[0]
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()

    def _answer(self, reply: Reply) -> None:
        status, body, headers = reply.status, reply.body, dict(reply.headers)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and reply.ranges and status == 200:
            first = int(wanted[1])
            last = min(int(wanted[2] or len(body)), len(body) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            status, body = 206, body[first : last + 1]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self._send(body, reply)

    def _send(self, body: bytes, reply: Reply) -> None:
        try:
            if reply.pause:
                for place in range(0, len(body), 100):
                    self.wfile.write(body[place : place + 100])
                    time.sleep(reply.pause)
                return
            self.wfile.write(body[: reply.cut])
        except OSError:
            self.close_connection = True
            return
        if reply.cut is not None:
            self.wfile.flush()
            time.sleep(0.02)  # what was sent is to arrive before the reset does
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        return


def _bind(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    return ThreadingHTTPServer(("127.0.0.1", 0), handler)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    server = ArchiveServer()
    monkeypatch.setenv("SEQHARVEST_EUTILS_URL", f"{server.url}/eutils")
    monkeypatch.setenv("SEQHARVEST_GEO_URL", f"{server.url}/geo")
    monkeypatch.setenv("SEQHARVEST_ENA_PORTAL_URL", f"{server.url}/portal")
    monkeypatch.setenv("SEQHARVEST_SRA_URL", server.url)
    monkeypatch.setenv("SEQHARVEST_SDL_URL", f"{server.url}/sdl")
    monkeypatch.setenv("SEQHARVEST_ENA_FASTQ_SCHEME", "http")
    monkeypatch.setenv("SEQHARVEST_NCBI_API_KEY", "secret-key")
    settings.cache_clear()
    yield server
    server.close()
    settings.cache_clear()


@pytest.fixture
def client() -> Iterator[ArchiveClient]:
    with ArchiveClient(Patience(attempts=3, first_wait=0.01, timeout=2)) as quick:
        yield quick


@pytest.fixture
def limits() -> Limits:
    return Limits(minimum_rate=5_000, window=0.3, silence=2, fruitless_attempts=3, first_wait=0.01)


@pytest.fixture(scope="session")
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"recorded replies are absent: {DATA}")
    return DATA
