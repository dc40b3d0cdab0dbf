"""How the proxy behaves, and where its broker is."""

import socket
import ssl
from dataclasses import dataclass

from mqtt_ids.readers import HostPort
from mqtt_ids.sensors.proxy.greetings import ProxyProtocol


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """The broker behind. With `tls`, its certificate must be for `name`, or for the host.

    With `web`, the path of a URL such as /mqtt, it is called by WebSocket.
    """

    address: HostPort
    tls: ssl.SSLContext | None = None
    name: str | None = None
    proxy_protocol: ProxyProtocol = 0
    web: str | None = None


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where clients come: at `address`, or at a socket that is `bound` already.

    With `web` they speak MQTT over WebSocket. A browser tells which page it does that for: with
    `origins`, such as https://home.example, that page must be from one of them.
    """

    address: HostPort | None = None
    bound: socket.socket | None = None
    tls: ssl.SSLContext | None = None
    web: bool = False
    origins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Options:
    """Times are in seconds. A topic is reserved that begins with one of `reserved`, see `Sieve`.

    With `reserved`, nothing may be published there, and a CONNECT that cannot be read is not
    passed on. `fail_closed` ends a connection that we can no longer watch, for a fault of ours.
    """

    connect_within: float = 30.0
    broker_within: float = 5.0
    max_connections: int = 5000
    reserved: tuple[bytes, ...] = ()
    fail_closed: bool = False
