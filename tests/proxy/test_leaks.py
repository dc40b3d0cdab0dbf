"""Hundreds of hostile connections, from both sides, through each kind of door: nothing is left."""

import asyncio
import contextlib
import gc
import random
import ssl
import threading
from pathlib import Path
from typing import Self

import pytest
from live_broker import HOST, until
from proxy_tools import WITHIN, Fronted, connect
from test_proxy_fuzz import ACCEPTED, cut, mutated
from tls_relay import make_certificates
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from mqtt_ids.sensors.proxy.certificates import server_context
from mqtt_ids.sensors.proxy.options import Options

AT_ONCE = 20
WARM, MORE = 100, 300  # connections
RESIDENT, FILES = Path("/proc/self/statm"), Path("/proc/self/fd")


class Counter:
    """Counts events, and keeps none."""

    def __init__(self) -> None:
        self.count = 0

    def feed(self, _: object) -> None:
        self.count += 1

    def barred(self, **_: object) -> None:
        return None


class Madhouse:
    """A broker that says anything at any time, and hangs up when it likes."""

    def __init__(self) -> None:
        self._rng = random.Random(3)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        start = asyncio.start_server(self._serve, HOST, 0, backlog=512)
        server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if self._rng.random() < 0.7:
                writer.write(ACCEPTED + mutated(self._rng))
            if self._rng.random() < 0.7:
                await asyncio.wait_for(reader.read(-1), 5)
            if self._rng.random() < 0.3:
                writer.transport.abort()
        writer.close()


def framed(rng: random.Random, data: bytes) -> bytes:
    kinds = [Opcode.BINARY] * 5 + [Opcode.CONT, Opcode.TEXT, Opcode.PING, Opcode.CLOSE]
    return Frame(rng.choice(kinds), data[:125]).serialize(mask=rng.random() < 0.95)


async def offend(rng: random.Random, port: int, door: str, tls: ssl.SSLContext) -> None:
    said = (connect("fuzz", version=rng.choice((4, 5))) if rng.random() < 0.7 else b"") + mutated(
        rng
    )
    pieces = cut(rng, said)
    if door == "web":
        protocol = ClientProtocol(parse_uri(f"ws://{HOST}:{port}/mqtt"))
        protocol.send_request(protocol.connect())
        pieces = [*protocol.data_to_send(), *(framed(rng, piece) for piece in pieces)]
    with contextlib.suppress(OSError):
        context = tls if door == "tls" and rng.random() < 0.7 else None
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(rng.choice((0, 0, 0.002)))
        if rng.random() < 0.5:
            await asyncio.wait_for(reader.read(100), 0.05)
        if rng.random() < 0.5:
            writer.transport.abort()
        writer.close()


async def crowd(rng: random.Random, count: int, port: int, door: str, tls: ssl.SSLContext) -> None:
    for _ in range(count // AT_ONCE):
        all_of_them = (offend(rng, port, door, tls) for _ in range(AT_ONCE))
        await asyncio.gather(*all_of_them)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def files() -> int:
    return len(list(FILES.iterdir()))


def state(front: Fronted) -> tuple[int, int]:
    """Objects and resident kilobytes, when all is over."""
    front.empty()
    gc.collect()
    return len(gc.get_objects()), int(RESIDENT.read_text().split()[1]) * 4


@pytest.mark.parametrize(
    ("door", "reserved"), [("plain", (b"$ids/",)), ("tls", ()), ("web", (b"$ids/",))]
)
def test_nothing_is_left(certificates: Path, door: str, reserved: tuple[bytes, ...]) -> None:
    rng = random.Random(door)
    tls = ssl.create_default_context(cafile=certificates / "ca.pem")
    ours = None
    if door == "tls":
        ours = server_context(certificates / "server.pem", certificates / "server.key")
    options = Options(reserved=reserved, connect_within=1.0)
    counter = Counter()
    with (
        Madhouse() as broker,
        Fronted(
            broker.port, options, observer=counter, front_tls=ours, front_web=door == "web"
        ) as front,
    ):
        before = files()
        asyncio.run(crowd(rng, WARM, front.port, door, tls))
        objects, resident = state(front)
        asyncio.run(crowd(rng, MORE, front.port, door, tls))
        after = state(front)
        assert after[0] - objects < MORE  # less than one for each connection
        assert after[1] - resident < 16_000
        until(lambda: files() <= before, WITHIN, failing=f"{files()} files are open, not {before}")
        proxy = front.proxy
        assert front.exceptions == []
        assert (proxy._faults.count, proxy._faults.last) == (0, None)
        assert (proxy._stalled, proxy._waiting, proxy._lingering) == ({}, {}, {})
        assert (len(proxy._tasks), proxy.budget.total, len(proxy.budget._held)) == (1, 0, 0)
        assert (proxy._trusted.total, len(proxy._trusted._held)) == (0, 0)
        assert counter.count > WARM + MORE
