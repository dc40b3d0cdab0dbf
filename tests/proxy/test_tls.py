"""TLS in front, behind, and both; who is not trusted, and who never finishes its greeting."""

import contextlib
import hashlib
import random
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_broker import HOST, until
from mosquitto_broker import Mosquitto, needs_mosquitto
from proxy_tools import WITHIN, Fronted, Sink, connect, dial, publish, read, rest
from tls_relay import make_certificates

from mqtt_ids.errors import SettingsError
from mqtt_ids.events import Closed, Published
from mqtt_ids.sensors.proxy import pair, tls_layer
from mqtt_ids.sensors.proxy.certificates import server_context
from mqtt_ids.sensors.proxy.options import Options
from mqtt_ids.sensors.proxy.tls_layer import HANDSHAKE, TlsLayer

ACCEPTED = bytes.fromhex("20020000")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def front_tls(folder: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    return server_context(folder / "server.pem", folder / "server.key", client_ca)


def pump(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            to.sendall(data)


def dial_tls(port: int, folder: Path, *, own: bool = False) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if own:
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context.wrap_socket(dial(port), server_hostname=HOST)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(ACCEPTED) as sink:
        yield sink


def test_tls_ends_here(certificates: Path, sink: Sink) -> None:
    said = connect("c1") + publish("a", b"x" * 200_000)
    with Fronted(sink.port, front_tls=front_tls(certificates)) as front:
        one = dial_tls(front.port, certificates)
        one.sendall(said)
        assert read(one, 4) == ACCEPTED
        until(lambda: bytes(sink.heard[0]) == said, WITHIN, failing="not all was heard")
        one.close()
        front.empty()
        assert front.seen.of(Published)[0].size == 200_000
        assert front.seen.of(Closed)[0].by == "client"
        assert front.exceptions == []


def test_what_comes_together_with_the_handshakes_end(certificates: Path, sink: Sink) -> None:
    said = connect("c1") + publish("a", b"x" * 200_000)
    with Fronted(sink.port, front_tls=front_tls(certificates)) as front:
        one = Hand(front.port, certificates)
        one.tls.write(said)
        one.flush()  # the handshake's last words, and all ours
        until(lambda: sink.heard and bytes(sink.heard[0]) == said, WITHIN, failing="not all heard")
        one.socket.close()


class Hand:
    """A client of TLS in memory, so that a test says which bytes go when."""

    def __init__(self, port: int, folder: Path) -> None:
        self.socket = dial(port)
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        self.come, self.go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.come, self.go, server_hostname=HOST)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(self.go.read())
                self.come.write(self.socket.recv(65_536))

    def flush(self) -> None:
        self.socket.sendall(self.go.read())


@pytest.mark.parametrize("closes", [False, True])
def test_all_that_was_said_before_the_goodbye_arrives(
    certificates: Path, sink: Sink, *, closes: bool
) -> None:
    said = connect("c1") + publish("a", b"x" * 50_000) + b"\xe0\0"
    with Fronted(sink.port, front_tls=front_tls(certificates)) as front:
        one = Hand(front.port, certificates)
        one.tls.write(said)
        with pytest.raises(ssl.SSLWantReadError):
            one.tls.unwrap()  # says close_notify
        one.flush()
        if closes:
            one.socket.shutdown(socket.SHUT_WR)
        until(lambda: sink.heard and bytes(sink.heard[0]) == said, WITHIN, failing="not all heard")
        rest(one.socket)
        front.empty()
        assert front.seen.of(Closed)[0].by == "client"
        assert front.exceptions == []


def test_the_brokers_last_words_reach_who_has_said_goodbye(certificates: Path) -> None:
    words = ACCEPTED + publish("last", b"words" * 20_000)
    with (
        socket.create_server((HOST, 0)) as listener,
        Fronted(listener.getsockname()[1], front_tls=front_tls(certificates)) as front,
    ):
        one = Hand(front.port, certificates)
        one.tls.write(connect("c1"))
        one.flush()
        broker, _ = listener.accept()
        assert read(broker, len(connect("c1"))) == connect("c1")
        one.socket.shutdown(socket.SHUT_WR)
        assert broker.recv(1) == b""
        broker.sendall(words)
        broker.close()
        one.come.write(rest(one.socket))
        heard = b""
        while more := one.tls.read(65_536):
            heard += more
        assert heard == words
        front.empty()


def test_who_does_not_read_over_tls_is_not_read_for(certificates: Path, sink: Sink) -> None:
    with Fronted(sink.port, front_tls=front_tls(certificates)) as front:
        one = dial_tls(front.port, certificates)
        one.sendall(connect("c1"))
        assert read(one, 4) == ACCEPTED
        broker = sink.sockets[0]
        broker.settimeout(0.5)
        with pytest.raises(TimeoutError):
            broker.sendall(publish("a", bytes(60_000_000)))
        (pair,) = front.proxy._pairs.values()
        assert pair.transport is not None
        assert pair.transport.get_write_buffer_size() < 400_000
        one.close()
        front.empty()


def test_a_broker_that_does_not_read_holds_back_who_speaks_tls(certificates: Path) -> None:
    with (
        socket.create_server((HOST, 0)) as listener,
        Fronted(listener.getsockname()[1], front_tls=front_tls(certificates)) as front,
    ):
        one = dial_tls(front.port, certificates)
        one.sendall(connect("c1"))
        broker, _ = listener.accept()
        large = publish("a", random.Random(1).randbytes(16_000_000))
        sender = threading.Thread(target=one.sendall, args=(large,))
        one.settimeout(30)
        sender.start()
        time.sleep(0.7)
        (pair,) = front.proxy._pairs.values()
        assert pair.far is not None
        assert pair.far.get_write_buffer_size() < 400_000
        got = hashlib.sha256()
        left = len(connect("c1")) + len(large)
        while left:
            data = broker.recv(1_000_000)
            got.update(data)
            left -= len(data)
        assert got.digest() == hashlib.sha256(connect("c1") + large).digest()
        sender.join()
        one.close()
        broker.close()
        front.empty()


def test_broken_tls_ends_quietly(certificates: Path, sink: Sink) -> None:
    rng = random.Random(4)
    options = Options(connect_within=1.0)
    with Fronted(sink.port, options, front_tls=front_tls(certificates)) as front:
        for turn in range(30):
            one = Hand(front.port, certificates)
            one.tls.write(connect("c1"))
            record = bytearray(one.go.read())
            if turn:
                record[rng.randrange(len(record))] ^= 1 << rng.randrange(8)
            one.socket.sendall(record + rng.randbytes(turn))
            one.socket.shutdown(socket.SHUT_WR)
            rest(one.socket)
        hello = ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        with pytest.raises(ssl.SSLWantReadError):
            context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname=HOST).do_handshake()
        first = hello.read()
        for _ in range(60):
            broken = bytearray(first)
            for _ in range(rng.randrange(1, 4)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            two = dial(front.port)
            two.sendall(broken)
            two.shutdown(socket.SHUT_WR)
            rest(two)
        front.empty()
        assert front.exceptions == []
        assert front.proxy._faults.count == 0


def ask_for_keys(
    who: subprocess.Popen[bytes], front: Fronted, client: socket.socket, ours: socket.socket
) -> None:
    """Bring it the other side's words until both agree, and then none."""
    (layer,) = [each.transport for each in front.proxy._pairs.values()]
    assert isinstance(layer, TlsLayer)
    while not layer._agreed:
        if select.select([ours], [], [], 0.1)[0]:
            client.sendall(ours.recv(65_536))
    assert who.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        while not front.seen.of(Closed) and who.poll() is None:
            who.stdin.write(b"K\n")  # for one that asks back, each in a read of its own
            who.stdin.flush()
            time.sleep(0.0005)
            assert layer.get_write_buffer_size() < 20_000


def test_who_asks_for_new_keys_and_never_reads_is_cut(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_layer, "MOST_SAID", 1_000)
    monkeypatch.setattr(pair, "HIGH", 1_000)
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # so that little is in flight
    bound.bind((HOST, 0))
    bound.setblocking(False)  # noqa: FBT003 - the socket's own
    with (
        Sink(ACCEPTED) as sink,
        Fronted(sink.port, front_tls=front_tls(certificates), bound=bound) as front,
        socket.create_server((HOST, 0)) as relay,
    ):
        asks = ["openssl", "s_client", "-tls1_3", "-connect", f"{HOST}:{relay.getsockname()[1]}"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(asks, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as who:
            client, _ = relay.accept()
            ours = socket.socket()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            ours.connect((HOST, front.port))
            threading.Thread(target=pump, args=(client, ours), daemon=True).start()
            until(lambda: len(front.proxy) == 1, WITHIN)
            ask_for_keys(who, front, client, ours)
            who.kill()
            client.close()
            ours.close()
        assert front.seen.of(Closed)
        front.empty()
        assert front.exceptions == []


def test_who_has_not_ended_its_handshake_costs_little(certificates: Path, sink: Sink) -> None:
    status = Path("/proc/self/statm")
    with Fronted(sink.port, front_tls=front_tls(certificates)) as front:
        Hand(front.port, certificates).socket.close()
        front.empty()
        before = int(status.read_text().split()[1])
        held = [dial(front.port) for _ in range(200)]
        for each in held:
            each.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        until(lambda: len(front.proxy) == 200, WITHIN)
        kilobytes = 4 * (int(status.read_text().split()[1]) - before)
        assert kilobytes / 200 < 120
        for each in held:
            each.close()
        front.empty()


def test_unfinished_handshakes_are_bounded_and_the_oldest_has_to_go(
    certificates: Path, sink: Sink
) -> None:
    with Fronted(sink.port, front_tls=front_tls(certificates)) as front:
        front.proxy.budget._most = 40 * HANDSHAKE
        good = dial_tls(front.port, certificates)
        held = []
        for _ in range(60):
            held.append(dial(front.port))
            held[-1].sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        until(lambda: len(front.proxy) == 41, WITHIN, failing="they are not bounded")
        assert [rest(each) for each in held[:20]] == [b""] * 20
        good.sendall(connect("c1"))
        assert read(good, 4) == ACCEPTED
        for each in [good, *held]:
            each.close()
        front.empty()
        assert front.proxy.budget.total == 0


def test_clients_need_a_certificate_where_one_is_asked_for(certificates: Path, sink: Sink) -> None:
    context = front_tls(certificates, certificates / "ca.pem")
    with Fronted(sink.port, front_tls=context) as front:
        with pytest.raises((ssl.SSLError, ConnectionResetError)):  # noqa: PT012 - 1.3 tells late
            one = dial_tls(front.port, certificates)
            one.sendall(connect("c1"))
            if not one.recv(4):
                raise ConnectionResetError
        front.empty()
        assert sink.heard == []
        two = dial_tls(front.port, certificates, own=True)
        two.sendall(connect("c1"))
        assert read(two, 4) == ACCEPTED


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", connect("plain")])
def test_who_never_ends_its_handshake_is_seen_and_cut(
    certificates: Path, sink: Sink, said: bytes
) -> None:
    options = Options(connect_within=0.5)
    with Fronted(sink.port, options, front_tls=front_tls(certificates)) as front:
        one = dial(front.port)
        until(lambda: front.seen.kinds() == ["Opened"], WITHIN)
        one.sendall(said)
        rest(one)
        front.empty()
        assert front.seen.kinds()[-1] == "Closed"
        assert sink.heard == []


def test_a_key_that_is_none_is_told(tmp_path: Path, certificates: Path) -> None:
    with pytest.raises(SettingsError, match="expected PEM"):
        server_context(certificates / "server.pem", tmp_path / "none")
    with pytest.raises(SettingsError, match="expected PEM"):
        server_context(certificates / "server.pem", certificates / "ca.key")


@pytest.mark.broker
@needs_mosquitto
@pytest.mark.parametrize("reserved", [(), (b"$ids/",)])
def test_tls_before_and_behind(
    tmp_path: Path, certificates: Path, reserved: tuple[bytes, ...]
) -> None:
    lines = (
        "allow_anonymous true",
        f"certfile {certificates / 'server.pem'}",
        f"keyfile {certificates / 'server.key'}",
    )
    behind = ssl.create_default_context(cafile=certificates / "ca.pem")
    options, before = Options(reserved=reserved), front_tls(certificates)
    with (
        Mosquitto(tmp_path, *lines) as broker,
        Fronted(broker.port, options, tls=behind, front_tls=before) as front,
    ):
        one = dial_tls(front.port, certificates)
        one.sendall(connect("c1") + publish("a", b"y" * 1_000_000, qos=1))
        assert read(one, 8) == ACCEPTED + bytes.fromhex("40020001")
        one.sendall(b"\xe0\0")
        assert rest(one) == b""
        front.empty()
        assert front.exceptions == []


@pytest.mark.broker
@needs_mosquitto
def test_a_broker_that_cannot_prove_its_name_gets_nobody(
    tmp_path: Path, certificates: Path
) -> None:
    lines = (
        "allow_anonymous true",
        f"certfile {certificates / 'server.pem'}",
        f"keyfile {certificates / 'server.key'}",
    )
    behind = ssl.create_default_context()
    with Mosquitto(tmp_path, *lines) as broker, Fronted(broker.port, tls=behind) as front:
        one = dial(front.port)
        one.sendall(connect("c1"))
        assert rest(one).hex() == "20020003"
        assert len(front.told) == 1
        front.empty()


def test_the_broker_never_ends_its_handshake(certificates: Path) -> None:
    behind = ssl.create_default_context(cafile=certificates / "ca.pem")
    with socket.create_server((HOST, 0)) as listener:
        held: list[socket.socket] = []
        threading.Thread(target=lambda: held.append(listener.accept()[0]), daemon=True).start()
        options = Options(broker_within=0.5)
        with Fronted(listener.getsockname()[1], options, tls=behind) as front:
            one = dial(front.port)
            one.sendall(connect("c1"))
            assert rest(one).hex() == "20020003"
            front.empty()
            assert front.exceptions == []
