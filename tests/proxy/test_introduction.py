"""The PROXY protocol's headers, read back by a small receiver: over IPv4, IPv6 and both in one."""

import contextlib
import ipaddress
import socket
import ssl
import threading
from pathlib import Path

import pytest
from live_broker import until
from proxy_tools import WITHIN, Fronted, Sink, connect
from tls_relay import make_certificates

from mqtt_ids.sensors.proxy.greetings import introduction

Ends = tuple[str, int, str, int]
FORMS = pytest.mark.parametrize("form", [1, 2])


def received(data: bytes) -> tuple[Ends | None, bytes]:
    """Source and target as the header has them, and what follows: as the specification says."""
    if data.startswith(b"PROXY "):
        line, rest = data.split(b"\r\n", 1)
        assert len(line) + 2 <= 107
        words = line.decode("ascii").split(" ")
        if words[1] == "UNKNOWN":
            return None, rest
        assert len(words) == 6
        version = {"TCP4": 4, "TCP6": 6}[words[1]]
        for word in words[2:4]:
            assert ipaddress.ip_address(word).version == version
            assert "." not in word or version == 4
        return (words[2], int(words[4]), words[3], int(words[5])), rest
    assert data[:12] == b"\r\n\r\n\0\r\nQUIT\n"
    length = int.from_bytes(data[14:16], "big")
    body, rest = data[16 : 16 + length], data[16 + length :]
    if data[12] == 0x20:
        return None, rest
    assert data[12] == 0x21
    family, size = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}[data[13]]
    assert length == 2 * size + 4
    ends = socket.inet_ntop(family, body[:size]), socket.inet_ntop(family, body[size : 2 * size])
    ports = int.from_bytes(body[-4:-2], "big"), int.from_bytes(body[-2:], "big")
    return (ends[0], ports[0], ends[1], ports[1]), rest


@FORMS
@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("192.0.2.7", "198.51.100.1", ("192.0.2.7", "198.51.100.1")),
        ("2001:db8::7", "2001:db8::1", ("2001:db8::7", "2001:db8::1")),
        ("192.0.2.7", "::ffff:198.51.100.1", ("192.0.2.7", "198.51.100.1")),
        ("::ffff:c000:207", "::ffff:198.51.100.1", ("192.0.2.7", "198.51.100.1")),
        ("fe80::7%eth0", "fe80::1%eth0", ("fe80::7", "fe80::1")),
        ("::", "::1", ("::", "::1")),
        ("192.0.2.7", "2001:db8::1", None),
        ("?", "198.51.100.1", None),
        ("192.0.2.7", "", None),
    ],
)
def test_a_header_says_who_came_where(
    form: int, source: str, target: str, told: tuple[str, str] | None
) -> None:
    header = introduction(form, (source, 65_535), (target, 1))  # type: ignore[arg-type]
    ends, rest = received(header + b"\x10")
    assert ends == (None if told is None else (told[0], 65_535, told[1], 1))
    assert rest == b"\x10"


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@FORMS
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_for_both_families_tells_of_each(form: int, host: str) -> None:
    if not has_ipv6():
        pytest.skip("no IPv6 here")
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    with Sink() as sink, Fronted(sink.port, bound=both, proxy_protocol=form) as front:
        one = socket.create_connection((host, front.port), timeout=WITHIN)
        one.sendall(connect("c1"))
        said = connect("c1")
        until(lambda: sink.heard and sink.heard[0].endswith(said), WITHIN, failing="not heard")
        ends, rest = received(bytes(sink.heard[0]))
        assert ends == (host, one.getsockname()[1], host, front.port)
        assert rest == said
        one.close()
        front.empty()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    make_certificates(tmp_path)
    return tmp_path


@FORMS
def test_the_header_comes_before_the_handshake(certificates: Path, form: int) -> None:
    answers = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    answers.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    heard: list[tuple[Ends | None, bytes]] = []

    def serve(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        length = len(introduction(form, one.getsockname(), ("127.0.0.1", front.port)))  # type: ignore[arg-type]
        header = plain.recv(length)
        with answers.wrap_socket(plain, server_side=True) as secured:
            heard.append((received(header)[0], secured.recv(1000)))

    behind = ssl.create_default_context(cafile=certificates / "ca.pem")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Fronted(listener.getsockname()[1], tls=behind, proxy_protocol=form) as front,
    ):
        one = socket.create_connection(("127.0.0.1", front.port), timeout=WITHIN)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        one.sendall(connect("c1"))
        until(lambda: heard, WITHIN, failing="nothing was heard")
        ends = ("127.0.0.1", one.getsockname()[1], "127.0.0.1", front.port)
        assert heard == [(ends, connect("c1"))]
        one.close()
