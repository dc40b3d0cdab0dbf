"""MQTT conversations by hand, and the events of a capture in few words."""

import capture_tools as tools

from mqtt_ids.events import AnyEvent
from mqtt_ids.lab.capture_writer import Frame
from mqtt_ids.lab.talks import Side
from mqtt_ids.sensors.capture.sensor import Capture

ACCEPTED = b"\x20\x02\x00\x00"
REFUSED = b"\x20\x02\x00\x05"
PING = b"\xc0\x00"
PONG = b"\xd0\x00"
DISCONNECT = b"\xe0\x00"
QOS_3 = b"\x36\x05\x00\x01t\x00\x01"
UNKNOWN = "?192.168.1.10:40000"


def text(content: str) -> bytes:
    return len(content).to_bytes(2, "big") + content.encode()


def packet(first: int, body: bytes) -> bytes:
    more, low = divmod(len(body), 128)
    return bytes((first, low | 128, more) if more else (first, low)) + body


def connect(
    client_id: str = "c", *, version: int = 4, username: str | None = None, password: str = ""
) -> bytes:
    flags = 2 if username is None else 0xC2
    properties = b"\0" if version == 5 else b""
    body = text("MQTT") + bytes((version, flags, 0, 60)) + properties + text(client_id)
    if username is not None:
        body += text(username) + text(password)
    return packet(0x10, body)


def publish(topic: str = "t", payload: bytes = b"12", qos: int = 0) -> bytes:
    identifier = b"\0\1" if qos else b""
    return packet(0x30 | qos << 1, text(topic) + identifier + payload)


def subscribe(*filters: str) -> bytes:
    return packet(0x82, b"\0\1" + b"".join(text(one) + b"\0" for one in filters))


def chat(*said: tuple[Side, bytes]) -> tools.Chat:
    """A connection that is opened, and on which this is said."""
    made = tools.Chat()
    made.open()
    for side, data in said:
        made.say(data, side=side)
    return made


def events(made: tools.Chat, frames: list[Frame] | None = None) -> list[AnyEvent]:
    return list(Capture().read(made.frames() if frames is None else frames))


def told(found: list[AnyEvent]) -> list[str]:
    """The kinds of the events, each with its client id."""
    return [
        f"{type(event).__name__} {event.client_id}" if event.client_id else type(event).__name__
        for event in found
    ]


JOINED: list[tuple[Side, bytes]] = [("client", connect()), ("server", ACCEPTED)]
