"""What the bridge decides before anybody comes."""

import socket

import pytest
from live_broker import free_port
from proxy_tools import publish

from mqtt_ids.bridge.binding import bind, is_broker
from mqtt_ids.bridge.descriptors import connections
from mqtt_ids.bridge.doors import open_doors
from mqtt_ids.bridge.inherited import Inherited
from mqtt_ids.bridge.run import options, reserved
from mqtt_ids.errors import SettingsError
from mqtt_ids.readers import HostPort
from mqtt_ids.sensors.proxy.options import Listener, Options
from mqtt_ids.sensors.proxy.sieve import Sieve
from mqtt_ids.settings import Settings, Topics

BROKER = HostPort("127.0.0.1", 1)


@pytest.mark.parametrize(
    ("place", "broker", "same"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "localhost", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "localhost", True),
        ("::", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", False),
        ("0.0.0.0", "192.0.2.1", False),
        ("nobody.invalid", "nobody.invalid", True),
        ("127.0.0.1", "nobody.invalid", False),
    ],
)
def test_the_broker_is_not_called_where_we_listen(place: str, broker: str, same: bool) -> None:  # noqa: FBT001
    assert is_broker(HostPort(place, 1883), HostPort(broker, 1883)) == same
    assert not is_broker(HostPort(place, 1884), HostPort(broker, 1883))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_the_whole_of_ipv6_takes_in_ipv4_as_well() -> None:
    (bound,) = bind(HostPort("::", free_port()))
    with bound:
        bound.listen()
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, bound.getsockname()[1]), 5).close()


@pytest.mark.parametrize(
    ("limit", "most"), [(None, 5000), (1_048_576, 5000), (10_064, 5000), (1024, 480), (10, 1)]
)
def test_each_connection_needs_two_open_files(limit: int | None, most: int) -> None:
    found, line = connections(5000, limit)
    assert found == most
    assert (line is None) == (most == 5000)


def test_our_topics_are_ours_wherever_they_are() -> None:
    assert reserved(Topics()) == (b"$ids/",)
    assert reserved(Topics(status="home/ids")) == (b"$ids/", b"home/ids\0")


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("step", [1, 2, 7, 100])
def test_a_topic_of_ours_elsewhere_reserves_no_other(version: int, step: int) -> None:
    sieve = Sieve(reserved(Topics(status="home/ids")), version)
    passing = ("home/ids2", "home/id", "home", "home/ids/x", "$id", "home/idz")
    kept = [publish(topic, version=version) for topic in passing]
    taken = [publish(topic, version=version) for topic in ("home/ids", "$ids/x")]
    data = b"".join([*taken[:1], *kept[:3], *taken[1:], *kept[3:], *taken])
    passed = b"".join(sieve.feed(data[at : at + step])[0] for at in range(0, len(data), step))
    assert passed == b"".join(kept)


def test_the_settings_become_the_proxys() -> None:
    inline = {"fail": "closed", "connect_within": "5s"}
    protect = Settings.from_mapping({"mode": "protect", "inline": inline})
    assert options(protect, 7) == Options(
        connect_within=5.0, max_connections=7, reserved=(b"$ids/",), fail_closed=True
    )
    assert options(Settings(), 7) == Options(max_connections=7)


def test_a_socket_that_was_passed_stands_for_the_key_of_its_kind() -> None:
    settings = Settings.from_mapping(
        {"listen": "192.0.2.1:1883", "inline": {"websocket_listen": f"127.0.0.1:{free_port()}"}}
    )
    with socket.create_server(("127.0.0.1", 0)) as passed:
        doors = open_doors(settings, [Inherited("mqtt", passed)], BROKER)
        ours, web = doors.listeners
        assert ours == Listener(bound=passed)
        assert web.web
        assert web.bound is not None
        web.bound.close()
        assert doors.text.startswith(f"127.0.0.1:{passed.getsockname()[1]} (mqtt), ")


def test_a_socket_that_was_passed_needs_what_the_key_of_its_kind_needs() -> None:
    passed = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(SettingsError, match=r"inline\.cert: expected a PEM file, for mqtts"):
        open_doors(Settings(), [Inherited("mqtts", passed)], BROKER)
    passed = socket.create_server(("127.0.0.1", 0))
    broker = HostPort("127.0.0.1", passed.getsockname()[1])
    with pytest.raises(SettingsError, match="is where the broker is called itself"):
        open_doors(Settings(), [Inherited("mqtt", passed)], broker)


def test_certificates_that_nobody_is_shown_are_refused() -> None:
    settings = Settings.from_mapping(
        {"listen": f"127.0.0.1:{free_port()}", "inline": {"cert": "c.pem"}}
    )
    with pytest.raises(SettingsError, match=r"expected inline\.tls_listen"):
        open_doors(settings, [], BROKER)
