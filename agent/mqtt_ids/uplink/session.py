"""One connection to the broker, from CONNECT to its end, in the thread that calls `run`.

paho-mqtt's loop is driven by hand and in one thread: so the reason of each failure is at hand,
and nothing of one connection is left over in the next.
"""

import logging
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_ids.uplink.access import Access
from mqtt_ids.uplink.ends import end_of
from mqtt_ids.uplink.outbox import Message, Outbox
from mqtt_ids.uplink.subscriptions import Subscriptions, Version
from mqtt_ids.uplink.troubles import CREDENTIALS, refused, tls_reason, why

__all__ = ["End", "Received", "Session", "Version", "Wishes"]

ANSWER = 5.0  # seconds for each step until the broker has accepted us
KEEP_ALIVE = 30  # seconds
LARGEST = 1 << 20  # bytes of a packet that we take, where the broker knows MQTT 5
FAREWELL = 2.0  # seconds to send what waits when we are told to stop
BEAT = 1.0  # seconds
_PROTOCOLS = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}
_TAKEN = "Session taken over"


class Received(NamedTuple):
    """A message from the broker. `time` is monotonic; the properties are MQTT 5's, in order."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    time: float
    user_properties: tuple[tuple[str, str], ...]


class End(NamedTuple):
    """How a connection ended, or why there was none: one line for people."""

    kind: Literal["away", "refused", "too new", "stopped"]
    text: str
    lasted: float | None = None  # seconds, if the broker had accepted us


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is wanted of each connection. With a status topic it says online, the will offline.

    `filters` may change while it lasts.
    """

    client_id: str
    filters: Callable[[], Sequence[str]]
    status_topic: str | None = None


class _LastError(logging.Handler):
    """Keeps the last error that paho reports nowhere else, such as a TLS alert."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


class _Introduced(Client):
    """Begins its connection with what the broker wants to hear before anything else."""

    introduce: Callable[[tuple[str, int], tuple[str, int]], bytes] | None = None

    def _create_socket_connection(self) -> socket.socket:
        sock = super()._create_socket_connection()
        if self.introduce is not None:
            sock.sendall(self.introduce(sock.getsockname()[:2], sock.getpeername()[:2]))
        return sock


class Session:
    """One attempt. `receive` and `note` are called in the thread of `run`, and must not wait."""

    def __init__(  # noqa: PLR0913 - all that a connection touches
        self,
        access: Access,
        wishes: Wishes,
        version: Version,
        *,
        outbox: Outbox,
        receive: Callable[[Received], None],
        note: Callable[[str], None],
        online: Callable[[tuple[str, int] | None], None],
        stopping: Callable[[], bool],
        wake: socket.socket,
    ) -> None:
        self._access = access
        self._wishes = wishes
        self._version = version
        self._outbox = outbox
        self._receive = receive
        self._note = note
        self._tell_online = online
        self._stopping = stopping
        self._wake = wake
        self._since: float | None = None  # when the broker accepted us
        self._subscriptions = Subscriptions(version)
        self._end: End | None = None
        self._errors = _LastError(logging.ERROR)

    def run(self) -> End:
        """Connect, and serve the connection until it ends. Never raises."""
        try:
            client = self._connect()
        except Exception as error:  # noqa: BLE001 - whatever paho makes of an odd server
            return End("away", why(self._access, error))
        try:
            self._pump(client)
        except Exception as error:  # noqa: BLE001 - the same
            self._end = End("away", f"the broker sends what is no MQTT ({type(error).__name__})")
        finally:
            self._outbox.broken()
            _close(client)
        lasted = None if self._since is None else time.monotonic() - self._since
        end = self._end or End("away", f"the connection to {self._access.address} is lost")
        return end._replace(lasted=lasted)

    def _connect(self) -> Client:
        access, wishes = self._access, self._wishes
        client = _Introduced(
            CallbackAPIVersion.VERSION2,
            wishes.client_id,
            protocol=_PROTOCOLS[self._version],
            transport="websockets" if access.web else "tcp",
            reconnect_on_failure=False,
        )
        # Of this connection alone: nothing of it reaches the program's own log.
        logger = logging.Logger("paho", logging.ERROR)  # noqa: LOG001
        logger.addHandler(self._errors)
        client.enable_logger(logger)
        client.connect_timeout = ANSWER
        client.introduce = access.introduce
        if access.web:
            client.ws_set_options(access.path)
        if access.encrypted:
            client.tls_set_context(access.context())
        if access.username is not None:
            client.username_pw_set(access.username, access.password())
        if wishes.status_topic is not None:
            client.will_set(wishes.status_topic, b"offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        limits = None
        if self._version == "5":
            limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            limits.MaximumPacketSize = LARGEST
        client.connect(*access.address, KEEP_ALIVE, properties=limits)
        return client

    def _pump(self, client: Client) -> None:
        """Read and write until the connection ends or we are told to stop."""
        deadline = time.monotonic() + ANSWER
        beat = 0.0
        leave: float | None = None
        while (sock := client.socket()) is not None:
            now = time.monotonic()
            if self._since is None and now > deadline:
                self._end = End("away", f"{self._access.address} does not answer CONNECT")
                return
            if self._stopping():
                leave = now + FAREWELL if leave is None else leave
                if self._since is None or not len(self._outbox) or now > leave:
                    self._end = End("stopped", "stopped")
                    client.disconnect()
                    return
            if self._since is not None:
                self._subscriptions.become(self._wishes.filters(), client)
                self._send(client)
            self._wait(client, sock)
            if now - beat >= BEAT:
                beat = now
                client.loop_misc()

    def _wait(self, client: Client, sock: Any) -> None:  # noqa: ANN401 - socket, TLS or WebSocket
        """Read and write what can be, or wait a while for it."""
        if client.socket() is None:
            return
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        poll.register(self._wake, select.POLLIN)
        pending = bool(getattr(sock, "pending", int)())  # decrypted, and not seen by poll
        ready = dict(poll.poll(0 if pending else BEAT * 1000))
        if self._wake.fileno() in ready:
            self._wake.recv(4096)
        events = ready.get(sock.fileno(), 0)
        if pending or events & ~select.POLLOUT:
            client.loop_read()
        if events & select.POLLOUT:
            client.loop_write()

    def _send(self, client: Client) -> None:
        while client.socket() is not None and (message := self._outbox.take()) is not None:
            info = client.publish(message.topic, message.payload, message.qos, message.retain)
            self._outbox.sent(info.mid, message)
            if not message.qos and not info.rc and info.is_published():
                self._outbox.arrived(info.mid)

    # What paho calls.

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _more: object
    ) -> None:
        if code.is_failure:
            self._end = self._refusal(code.getName())
            return
        self._since = time.monotonic()
        status = self._wishes.status_topic
        if status is not None and not self._outbox.waits_for(status):
            self._outbox.put(Message(status, b"online", retain=True, qos=1))
        self._tell_online(end_of(client))

    def _refusal(self, reason: str) -> End:
        if reason == "Unsupported protocol version":
            return End("too new", f"the broker does not know MQTT {self._version}")
        if reason not in CREDENTIALS:
            return End("away", f"the broker refuses us: {reason}")
        return End("refused", refused(self._access, reason))

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, codes: list[ReasonCode], _more: object
    ) -> None:
        names = self._subscriptions.refused(mid, codes)
        if names:
            self._note(f"the broker refuses our subscription to {', '.join(names)}")

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no broker lets it pass
        more = tuple(getattr(message.properties, "UserProperty", ()))
        now = time.monotonic()
        self._receive(
            Received(topic, bytes(message.payload), message.qos, message.retain, now, more)
        )

    def _on_publish(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _more: object
    ) -> None:
        message = self._outbox.arrived(mid)
        if message is not None and code.is_failure:
            self._note(f"the broker refuses what we publish on {message.topic}: {code}")

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        _more: object,
    ) -> None:
        if self._end is not None:
            return
        if flags.is_disconnect_packet_from_server:
            reason = code.getName()
            if reason == _TAKEN:
                reason = f"another client calls itself {self._wishes.client_id}, too"
            self._end = End("away", f"the broker ends the connection: {reason}")
        elif self._errors.text and "SSL" in self._errors.text:
            self._end = End("away", f"TLS fails: {tls_reason(self._errors.text)}")
        elif self._since is None:
            text = f"{self._access.address} closes the connection at once"
            if self._access.introduce is not None:
                text += "; does it expect the PROXY protocol there?"
            elif not self._access.encrypted:
                text += "; does it expect TLS there?"
            self._end = End("away", text)


def _close(client: Client) -> None:
    """Let go of the socket without another word; paho does so only when it connects again."""
    sock = client.socket()
    if sock is not None:
        sock.close()
