"""Who is at the other end of a connection: its packets become events, whoever reads them."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from mqtt_ids import packets as mqtt
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

ACCEPTED: Final = 0  # the code of a CONNACK


def held(connect: mqtt.ConnectPacket) -> mqtt.ConnectPacket:
    """The CONNECT as it may be held until it is answered: its names are bounded."""
    will = connect.will_topic
    return msgspec.structs.replace(
        connect,
        client_id=bounded(connect.client_id),
        will_topic=None if will is None else bounded(will),
    )


def credential(key: bytes, connect: mqtt.ConnectPacket) -> int:
    """The keyed hash (64 bits) of user name and password.

    To send neither is a credential like any other: who comes again without one guesses nothing.
    """
    user = (connect.username or "").encode()
    digest = hashlib.blake2b(len(user).to_bytes(4, "big") + user, key=key, digest_size=8)
    digest.update(connect.password or b"")
    return int.from_bytes(digest.digest(), "big")


class Peer:
    """One connection and what is known of who is behind it.

    `client_id` is None until the broker has accepted the CONNECT. `goodbye` says that the client
    sent DISCONNECT, `closed` that the connection is over. Each method that takes `now` tells.
    """

    __slots__ = (
        "_emit",
        "_seen",
        "address",
        "client_id",
        "closed",
        "connect",
        "credential",
        "goodbye",
        "keep_alive",
        "number",
        "port",
        "username",
    )

    def __init__(
        self, number: int, address: str, port: int, emit: Callable[[AnyEvent], None]
    ) -> None:
        self.number = number
        self.address = address
        self.port = port
        self.client_id: str | None = None
        self.username: str | None = None
        self.keep_alive = 0
        self.connect: mqtt.ConnectPacket | None = None  # until it is answered, without a login
        self.credential: int | None = None
        self.goodbye = self.closed = False
        self._emit = emit
        self._seen: dict[str, Any] = {"connection": number, "address": address, "port": port}

    def opened(self, now: float) -> None:
        """The TCP connection is there."""
        self._emit(Opened(time=now, **self._seen))

    def claim(self, connect: mqtt.ConnectPacket, key: bytes) -> None:
        """A whole CONNECT was read; the password is hashed here and goes no further."""
        self.credential = credential(key, connect)
        self.connect = msgspec.structs.replace(connect, username=None, password=None)
        self.username = None if connect.username is None else bounded(connect.username)

    def answered(self, code: int, now: float, client_id: str | None = None) -> None:
        """The CONNECT was answered with this CONNACK code; `client_id` is in force, and bounded.

        Of one that was not claimed, only a refusal can be told.
        """
        connect, self.connect = self.connect, None
        if code != ACCEPTED:
            self._emit(
                Refused(
                    time=now,
                    **self._seen,
                    client_id=None if connect is None else bounded(connect.client_id) or None,
                    code=code,
                    username=self.username,
                    credential=self.credential,
                    will_topic=None if connect is None else connect.will_topic,
                )
            )
            return
        if connect is None:
            return
        self._known_as(client_id)
        self.keep_alive = connect.keep_alive
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

    def met(self, client_id: str, now: float) -> None:
        """It is connected and its CONNECT was not seen; `client_id` is what we call it."""
        self._known_as(client_id)
        self._emit(Connected(time=now, **self._seen))

    def _known_as(self, client_id: str | None) -> None:
        self.client_id = client_id
        self._seen["client_id"] = client_id

    def tell(self, packet: mqtt.Packet, now: float) -> None:
        """The client sent a packet, any but CONNECT."""
        if type(packet) is mqtt.PublishPacket:
            self._emit(
                Published(
                    time=now,
                    connection=self.number,
                    address=self.address,
                    port=self.port,
                    client_id=self.client_id,
                    topic=packet.topic or "",
                    size=packet.payload_size,
                    qos=packet.qos,
                    retain=packet.retain,
                )
            )
        else:
            self._tell_other(packet, now)

    def _tell_other(self, packet: mqtt.Packet, now: float) -> None:
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
                self._emit(Malformed(time=now, **self._seen, reason=packet.reason))

    def end(self, by: str, now: float) -> None:
        """The connection is over; only the first call counts."""
        if not self.closed:
            self.closed = True
            self._emit(Closed(time=now, **self._seen, by="client" if self.goodbye else by))
