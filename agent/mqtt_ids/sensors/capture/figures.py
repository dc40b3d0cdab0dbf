"""What is counted while a capture is read."""

from collections import Counter
from typing import Final

from mqtt_ids import packets as mqtt
from mqtt_ids.packets import PacketType

MALFORMED: Final = 0  # in place of a packet type, of which none is 0

# Where each record is counted; an acknowledgement knows its own type.
PLACES: Final[dict[type, int]] = {
    mqtt.ConnectPacket: PacketType.CONNECT,
    mqtt.ConnackPacket: PacketType.CONNACK,
    mqtt.PublishPacket: PacketType.PUBLISH,
    mqtt.SubscribePacket: PacketType.SUBSCRIBE,
    mqtt.SubackPacket: PacketType.SUBACK,
    mqtt.UnsubscribePacket: PacketType.UNSUBSCRIBE,
    mqtt.UnsubackPacket: PacketType.UNSUBACK,
    mqtt.PingreqPacket: PacketType.PINGREQ,
    mqtt.PingrespPacket: PacketType.PINGRESP,
    mqtt.DisconnectPacket: PacketType.DISCONNECT,
    mqtt.AuthPacket: PacketType.AUTH,
    mqtt.MalformedPacket: MALFORMED,
}


class Figures:
    """Counts over all connections, of both directions.

    `packets` holds one number per packet type, by its value, and that of the malformed at
    `MALFORMED`. `gaps` are holes in a stream that was being read.
    """

    __slots__ = ("connections", "encrypted", "frames", "gaps", "packets", "segments", "unreadable")

    def __init__(self) -> None:
        self.packets = [0] * (max(PacketType) + 1)
        self.frames = 0
        self.segments = 0
        self.connections = 0
        self.encrypted = 0
        self.gaps = 0
        self.unreadable: Counter[int] = Counter()  # frames by link type that nobody can read
