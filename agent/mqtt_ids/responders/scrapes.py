"""Answers Prometheus: GET /metrics over HTTP, from a thread of its own.

`http.server` takes a thread for each connection and knows no deadline for a request; here a few
connections are open at once, each for a few seconds, and so many are accepted in a second,
whatever they do. Of more, the kernel keeps a few waiting and refuses the rest.
"""

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus

from mqtt_ids.readers import HostPort

log = logging.getLogger(__name__)

PATH = "/metrics"
AT_ONCE = 16  # connections; of more, the one that is open for longest goes
PATIENCE = 5.0  # seconds for a client to send its request, and to take its answer
PER_SECOND = 100  # connections that are accepted: most of a tenth of a core
WAITING = 16  # connections that the kernel keeps waiting
REQUEST_LIMIT = 8192  # bytes
AGAIN = 10.0  # seconds after which a port that is in use is tried again


class Scrapes:
    """Serves `text`, which is called from another thread, at `bind`."""

    def __init__(self, bind: HostPort, text: Callable[[], bytes], content_type: str) -> None:
        self._bind = bind
        self._text = text
        self._content_type = content_type
        self._open: dict[asyncio.StreamWriter, None] = {}  # the oldest first
        self._answering: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen. A port that is in use is tried again and again, after one line."""
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(ready,), name="mqtt-ids-metrics", daemon=True
        )
        self._thread.start()
        ready.wait(PATIENCE)

    def stop(self, patience: float = 2.0) -> None:
        """Close the port and every connection. Twice does no harm."""
        if self._thread is None or self._loop is None or self._task is None:
            return
        with contextlib.suppress(RuntimeError):  # the thread has ended by itself
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(patience)
        self._thread = None

    def _serve(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._run(ready))
        except Exception:
            log.exception("metrics: failed, and nobody is answered any more; all else goes on")

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        ready.set()
        with contextlib.suppress(asyncio.CancelledError), await self._listener() as listener:
            log.info("metrics: http://%s%s", self._bind, PATH)
            while True:
                await self._accept(listener)
                await asyncio.sleep(1 / PER_SECOND)

    async def _listener(self) -> socket.socket:
        told = False
        while True:
            try:
                return _listening(self._bind)
            except OSError as error:
                if not told:
                    told = True
                    why = _why(error)
                    log.error("metrics: cannot listen on %s: %s; all else goes on", self._bind, why)  # noqa: TRY400 - one line says it
            await asyncio.sleep(AGAIN)

    async def _accept(self, listener: socket.socket) -> None:
        connection = None
        try:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            reader, writer = await asyncio.open_connection(sock=connection, limit=REQUEST_LIMIT)
        except OSError as error:  # gone already, or no more descriptors
            log.debug("metrics: %s", error)
            if connection is not None:
                connection.close()
            return
        if len(self._open) >= AT_ONCE:
            next(iter(self._open)).transport.abort()
        self._open[writer] = None
        task = asyncio.create_task(self._answer(reader, writer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=0)  # drain() waits for all of it
        try:
            async with asyncio.timeout(PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._reply(request))
                await writer.drain()
            writer.close()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
            # Whoever went away, was too slow or said too much: their own affair.
            log.debug("metrics: %s", error)
        finally:
            self._open.pop(writer, None)
            if not writer.is_closing():
                writer.transport.abort()

    def _reply(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in {b"GET", b"HEAD"}:
            status, body = HTTPStatus.METHOD_NOT_ALLOWED, b"only GET\n"
        elif path != PATH.encode():
            status, body = HTTPStatus.NOT_FOUND, f"the metrics are at {PATH}\n".encode()
        else:
            status, body = HTTPStatus.OK, self._text()
        kind = self._content_type if status is HTTPStatus.OK else "text/plain"
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + (b"" if method == b"HEAD" else body)


def _listening(bind: HostPort) -> socket.socket:
    """A socket that listens there. Raises OSError."""
    found = socket.getaddrinfo(*bind, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    listener = socket.create_server(address[:2], family=family, backlog=WAITING)
    listener.settimeout(0)  # for the loop
    return listener


def _why(error: OSError) -> str | None:
    """In the system's words, without what create_server adds to them."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror
    return os.strerror(error.errno)
