"""One connection as the sensor sees it: packets become events with the true peer."""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from mqtt_ids import packets as mqtt
from mqtt_ids.bans import Ban
from mqtt_ids.events import (
    AnyEvent,
    Closed,
    Connected,
    Disconnected,
    Malformed,
    Opened,
    Pinged,
    Published,
    Refused,
    Subscribed,
    Unsubscribed,
)
from mqtt_ids.names import bounded

if TYPE_CHECKING:
    from amqtt.session import Session

ACCEPTED: Final = 0


class Observer(Protocol):
    """The part of the engine that a sensor sees. Neither call raises."""

    def feed(self, event: AnyEvent) -> None:
        """Take in what a client did."""

    def barred(
        self,
        *,
        address: str | None = None,
        client_id: str | None = None,
        username: str | None = None,
    ) -> Ban | None:
        """The ban that keeps this one out."""


def credential(key: bytes, connect: mqtt.ConnectPacket) -> int:
    """The keyed hash (64 bits) of user name and password.

    To send neither is a credential like any other: who comes again without one guesses nothing.
    """
    user = (connect.username or "").encode()
    digest = hashlib.blake2b(len(user).to_bytes(4, "big") + user, key=key, digest_size=8)
    digest.update(connect.password or b"")
    return int.from_bytes(digest.digest(), "big")


class Connection:
    """One connection and what is known of who is behind it.

    `client_id` is None until the broker has accepted the CONNECT. `faulty` says that the client
    did what closes its connection. `paused` says that we keep it waiting, so it is not silent.
    `held` keeps back the event of the end while the same client id connects anew.
    """

    __slots__ = (
        "_emit",
        "_end",
        "_seen",
        "address",
        "client_id",
        "closed",
        "connect",
        "credential",
        "faulty",
        "goodbye",
        "heard",
        "held",
        "keep_alive",
        "number",
        "paused",
        "port",
        "reserved",
        "session",
        "username",
    )

    def __init__(
        self,
        number: int,
        peer: tuple[str, int],
        emit: Callable[[AnyEvent], None],
        reserved: Callable[[str], bool],
        now: float,
    ) -> None:
        """`reserved` tells which topics no client may publish on."""
        self.number = number
        self.address, self.port = peer
        self.reserved = reserved
        self.heard = now
        self.client_id: str | None = None
        self.username: str | None = None
        self.keep_alive = 0
        self.connect: mqtt.ConnectPacket | None = None  # until it is answered, without a password
        self.credential: int | None = None
        self.session: Session | None = None
        self.faulty = self.goodbye = self.paused = self.held = self.closed = False
        self._emit = emit
        self._end: str | None = None  # by whom it was closed while `held`
        self._seen: dict[str, Any] = {
            "connection": number,
            "address": self.address,
            "port": self.port,
        }

    def opened(self, now: float) -> None:
        """The TCP connection is there."""
        self._emit(Opened(time=now, **self._seen))

    def claim(self, connect: mqtt.ConnectPacket, key: bytes) -> None:
        """A whole CONNECT was read; the password is hashed here and goes no further."""
        self.credential = credential(key, connect)
        self.connect = msgspec.structs.replace(connect, password=None)
        self.username = None if connect.username is None else bounded(connect.username)

    def answered(self, code: int, now: float, client_id: str | None = None) -> None:
        """The CONNECT was answered with this CONNACK code; `client_id` is in force, and bounded."""
        connect, self.connect = self.connect, None
        if connect is None:
            return
        self.heard = now
        if code != ACCEPTED:
            self._emit(
                Refused(
                    time=now,
                    **self._seen,
                    client_id=bounded(connect.client_id) or None,
                    code=code,
                    username=self.username,
                    credential=self.credential,
                    will_topic=connect.will_topic,
                )
            )
            return
        self.client_id = client_id
        self.keep_alive = connect.keep_alive
        self._seen["client_id"] = client_id
        self._emit(
            Connected(
                time=now,
                **self._seen,
                username=self.username,
                keep_alive=connect.keep_alive,
                clean_session=connect.clean_session,
                version=connect.version,
                will_topic=connect.will_topic,
                id_was_empty=not connect.client_id,
            )
        )

    def take(self, packet: mqtt.Packet, now: float) -> None:
        """A packet came that is no CONNECT; it may make the connection `faulty`."""
        if self.goodbye or self.faulty or self.closed:
            return  # nothing counts after DISCONNECT [MQTT-3.14.4-2]
        self.heard = now
        if type(packet) is mqtt.PublishPacket:
            topic = packet.topic or ""
            self._emit(
                Published(
                    time=now,
                    connection=self.number,
                    address=self.address,
                    port=self.port,
                    client_id=self.client_id,
                    topic=topic,
                    size=packet.payload_size,
                    qos=packet.qos,
                    retain=packet.retain,
                )
            )
            self.faulty = self.reserved(topic)
        else:
            self._take_other(packet, now)

    def _take_other(self, packet: mqtt.Packet, now: float) -> None:
        match packet:
            case mqtt.PingreqPacket():
                self._emit(Pinged(time=now, **self._seen))
            case mqtt.SubscribePacket():
                filters = tuple(name for name, _ in packet.filters)
                self._emit(Subscribed(time=now, **self._seen, filters=filters))
            case mqtt.UnsubscribePacket():
                self._emit(Unsubscribed(time=now, **self._seen, filters=packet.filters))
            case mqtt.DisconnectPacket():
                self.goodbye = True
                self._emit(Disconnected(time=now, **self._seen, reason=packet.reason))
            case mqtt.MalformedPacket():
                self.faulty = True
                self._emit(Malformed(time=now, **self._seen, reason=packet.reason))

    def end(self, by: str, now: float) -> None:
        """The connection is over; only the first call counts."""
        if self.closed:
            return
        self.closed = True
        by = "client" if self.goodbye else by
        if self.held:
            self._end = by
        else:
            self._emit(Closed(time=now, **self._seen, by=by))

    def release(self, now: float) -> None:
        """Tell of the end that was kept back, if it has come."""
        self.held = False
        if self._end is not None:
            self._emit(Closed(time=now, **self._seen, by=self._end))
            self._end = None
