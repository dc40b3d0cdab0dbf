"""TLS in front, behind, and both; who is not trusted, and who never finishes its greeting."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_broker import HOST, until
from mosquitto_broker import Mosquitto, needs_mosquitto
from proxy_tools import WITHIN, Fronted, Sink, connect, dial, publish, read, rest
from tls_relay import make_certificates

from mqtt_ids.errors import SettingsError
from mqtt_ids.events import Closed, Published
from mqtt_ids.sensors.proxy.certificates import server_context
from mqtt_ids.sensors.proxy.options import Options

ACCEPTED = bytes.fromhex("20020000")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def front_tls(folder: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    return server_context(folder / "server.pem", folder / "server.key", client_ca)


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
        one = dial(front.port)
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(come, go, server_hostname=HOST)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                one.sendall(go.read())
                come.write(one.recv(65_536))
        tls.write(said)
        one.sendall(go.read())  # the handshake's last words, and all ours
        until(lambda: sink.heard and bytes(sink.heard[0]) == said, WITHIN, failing="not all heard")
        one.close()


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
    with pytest.raises(SettingsError, match="listen_tls"):
        server_context(certificates / "server.pem", tmp_path / "none")
    with pytest.raises(SettingsError, match="listen_tls"):
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
