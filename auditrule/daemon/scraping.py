"""Answering Prometheus on the loopback interface, beside the daemon and never in its way."""

from __future__ import annotations

import logging
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Self

from auditrule.config import loopback_address

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

# https://prometheus.io/docs/instrumenting/exposition_formats/
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MOST_CONNECTIONS = 4
_PATIENCE = 5.0


class MetricsServer:
    """Answers GET /metrics with what `text` returns, from threads of its own, until closed.

    A few connections at once are served, others are dropped; so is who says nothing for five
    seconds. `port` is the one that was got, where 0 was asked for.
    """

    def __init__(self, listen: str, text: Callable[[], bytes]) -> None:
        """Listen at an address such as 127.0.0.1:9273 or [::1]:9273.

        Raises ValueError where that is not an address of the loopback interface, and OSError
        where it cannot be had.
        """
        host, port = loopback_address(listen)
        self._server = _Server((host, port), text)
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering, and let the address go."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingMixIn, HTTPServer):
    """A thread for each connection, up to a bound: more would be a way to take the memory."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], text: Callable[[], bytes]) -> None:
        self.text = text
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, without asking DNS for the address's name as HTTPServer does."""
        super(HTTPServer, self).server_bind()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread if there is room, else hang up."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - inherited
        """Say little of a client that broke off."""
        _log.debug("a scrape broke off", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server_version = "auditrule"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, b"the metrics are at /metrics\n")
            return
        try:
            body = self.server.text()
        except Exception:
            _log.exception("the metrics cannot be told")
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"see the daemon's log\n")
            return
        self._answer(HTTPStatus.OK, body, CONTENT_TYPE)

    def _answer(
        self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: each scrape would be a line."""
