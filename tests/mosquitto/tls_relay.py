"""Plain connections, brought to a broker over TLS, and the certificates for it."""

import asyncio
import contextlib
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Self

from live_broker import HOST, free_port


def make_certificates(folder: Path) -> None:
    """An authority, and a server for 127.0.0.1."""
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    (folder / "names").write_text(f"subjectAltName=IP:{HOST}")
    for words in (
        (*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2"),
        (*new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"),
        ("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
         "-CAcreateserial", "-out", "server.pem", "-days", "2", "-extfile", "names"),
    ):  # fmt: skip
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


class Relay:
    """Hands plain connections on over TLS, each from the address that it came from."""

    def __init__(self, broker_port: int, ca: Path) -> None:
        self.port = free_port()
        self._broker_port = broker_port
        self._tls = ssl.create_default_context(cafile=ca)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=500)

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        address = back.get_extra_info("peername")[0]
        to_broker = None
        try:
            far, to_broker = await asyncio.open_connection(
                HOST, self._broker_port, ssl=self._tls, local_addr=(address, 0)
            )
            ways = [
                asyncio.create_task(_copy(near, to_broker)),
                asyncio.create_task(_copy(far, back)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
        except (OSError, asyncio.CancelledError):
            pass  # it is over before it began, or all is
        finally:
            for writer in (back, to_broker):
                if writer is not None:
                    writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
