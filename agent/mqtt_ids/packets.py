"""What the MQTT decoder gives out: one immutable record per control packet.

The records of MQTT 3.1, 3.1.1 and 5, in both directions. No record holds a payload; the only
secret is `ConnectPacket.password`, which no `repr` shows. `size` is the number of bytes on the
wire, fixed header included.
"""

import enum
from typing import Any, Final, Literal

import msgspec

MQTT_31: Final = 3
MQTT_311: Final = 4
MQTT_5: Final = 5


class PacketType(enum.IntEnum):
    """The control packet types (MQTT 5, table 2-1); 15 is reserved before MQTT 5."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


AckType = Literal[PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP]

MalformedReason = Literal[
    "bad-code",  # a return code or reason code that the version does not define
    "bad-filter",  # a topic filter that is empty, or misplaces # or +, or a bad $share
    "bad-flags",  # a reserved flag is set, or flags contradict each other
    "bad-length",  # the fields do not fill the remaining length exactly
    "bad-property",  # an MQTT 5 property unknown, repeated, out of place or out of range
    "bad-qos",  # quality of service 3
    "bad-utf8",  # text that is not well-formed UTF-8, or holds U+0000
    "empty-topic",  # a topic name without a character
    "no-filter",  # SUBSCRIBE or UNSUBSCRIBE without a topic filter
    "not-connect-first",  # a client's first packet is not CONNECT
    "packet-id",  # packet identifier 0
    "password-without-username",  # forbidden before MQTT 5
    "protocol-name",  # neither MQTT nor MQIsdp
    "protocol-version",  # a level that the protocol name does not go with
    "remaining-length",  # a remaining length of more than four bytes
    "reserved-type",  # packet type 0, or 15 before MQTT 5
    "second-connect",  # CONNECT on a connection that had one
    "too-large",  # larger than the decoder was told to take
    "topic-alias",  # an alias of 0, or unknown, or more aliases than are kept
    "truncated",  # the stream ended inside a packet
    "wildcard-topic",  # a topic name with # or +
    "will-flags",  # a will's quality of service or retain flag without a will
    "wrong-direction",  # a packet that only the other side may send
]


class ConnectPacket(msgspec.Struct, frozen=True, gc=False):
    """CONNECT. `version` is 3 (3.1), 4 (3.1.1) or 5; `keep_alive` is in seconds.

    `client_id` is empty where the client leaves it to the server. `will_size` counts the will's
    payload bytes. `password` is for whoever hashes it at once; it is in no `repr`.
    """

    version: int
    client_id: str
    username: str | None
    password: bytes | None
    keep_alive: int
    clean_session: bool
    will_topic: str | None
    will_size: int
    will_qos: int
    will_retain: bool
    size: int

    @property
    def has_password(self) -> bool:
        """Whether a password was sent, be it empty."""
        return self.password is not None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Give the fields by name, with whether there is a password in place of the password."""
        hidden = {"password": ("has_password", self.has_password)}
        return [hidden.get(n, (n, getattr(self, n))) for n in self.__struct_fields__]

    def __repr__(self) -> str:
        """Show everything but the password."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"ConnectPacket({shown})"


class ConnackPacket(msgspec.Struct, frozen=True, gc=False):
    """CONNACK. `code` is 0 for accepted. `assigned_client_id` is MQTT 5's id for an empty one."""

    code: int
    session_present: bool
    assigned_client_id: str | None = None


class PublishPacket(msgspec.Struct, frozen=True, gc=False):
    """PUBLISH. `payload_size` is in bytes; `packet_id` is None at quality of service 0.

    `topic` is resolved where an MQTT 5 topic alias stands for it. It is None only after a start
    in mid-stream, for an alias whose topic was sent before.
    """

    topic: str | None
    payload_size: int
    qos: int
    retain: bool
    dup: bool
    packet_id: int | None
    size: int


class AckPacket(msgspec.Struct, frozen=True, gc=False):
    """PUBACK, PUBREC, PUBREL or PUBCOMP. `reason` is the MQTT 5 reason code, else 0."""

    type: AckType
    packet_id: int
    reason: int = 0


class SubscribePacket(msgspec.Struct, frozen=True, gc=False):
    """SUBSCRIBE. `filters` holds (topic filter, maximum quality of service), at least one."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


class SubackPacket(msgspec.Struct, frozen=True, gc=False):
    """SUBACK, with one code per topic filter: 0, 1, 2 granted, 0x80 and above refused."""

    packet_id: int
    codes: tuple[int, ...]


class UnsubscribePacket(msgspec.Struct, frozen=True, gc=False):
    """UNSUBSCRIBE, with at least one topic filter."""

    packet_id: int
    filters: tuple[str, ...]


class UnsubackPacket(msgspec.Struct, frozen=True, gc=False):
    """UNSUBACK. `codes` is empty before MQTT 5."""

    packet_id: int
    codes: tuple[int, ...] = ()


class PingreqPacket(msgspec.Struct, frozen=True, gc=False):
    """PINGREQ."""


class PingrespPacket(msgspec.Struct, frozen=True, gc=False):
    """PINGRESP."""


class DisconnectPacket(msgspec.Struct, frozen=True, gc=False):
    """DISCONNECT. `reason` is the MQTT 5 reason code, else 0."""

    reason: int = 0


class AuthPacket(msgspec.Struct, frozen=True, gc=False):
    """AUTH (MQTT 5 only) with its reason code."""

    reason: int = 0


class MalformedPacket(msgspec.Struct, frozen=True, gc=False):
    """Bytes that break MQTT. `reason` is a stable slug; `detail` says more, without any content."""

    reason: MalformedReason
    detail: str


Packet = (
    ConnectPacket
    | ConnackPacket
    | PublishPacket
    | AckPacket
    | SubscribePacket
    | SubackPacket
    | UnsubscribePacket
    | UnsubackPacket
    | PingreqPacket
    | PingrespPacket
    | DisconnectPacket
    | AuthPacket
    | MalformedPacket
)
