"""The fields that MQTT packets are made of: integers, text, topic names, topic filters.

Section numbers are those of the MQTT 5 standard unless 3.1.1 is named.
"""

from typing import Final

from mqtt_ids.packets import MQTT_5, MalformedReason

LENGTH_BYTES: Final = 4  # a variable byte integer has at most this many (section 1.5.5)
MORE: Final = 0x80  # set in a byte of a variable byte integer when another one follows


class MalformedError(Exception):
    """A packet breaks the protocol inside intact framing. It never leaves the decoder."""

    def __init__(self, reason: MalformedReason, detail: str) -> None:
        """`reason` is a slug of `MalformedReason`; `detail` must not quote what was sent."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class FramingLostError(MalformedError):
    """Where the next packet begins cannot be known, or nothing after may be believed."""


def variable_integer(data: bytes, at: int, stop: int) -> tuple[int, int] | None:
    """The variable byte integer at `at` and the position after it (section 1.5.5).

    None when it is not complete before `stop`: with four bytes or more there, it never will be.
    Longer encodings than needed are taken: MQTT 3.1.1 does not forbid them.
    """
    value = 0
    for count, byte in enumerate(data[at : min(at + LENGTH_BYTES, stop)]):
        value |= (byte & ~MORE) << 7 * count
        if byte < MORE:
            return value, at + count + 1
    return None


class Fields:
    """Reads the fields of one packet, or of a part of it, in order.

    Every method raises MalformedError("bad-length") where the field does not fit.
    """

    __slots__ = ("_at", "_data", "_stop")

    def __init__(self, data: bytes, at: int, stop: int) -> None:
        """Read `data[at:stop]`; `stop` must not lie past the end of `data`."""
        self._data = data
        self._at = at
        self._stop = stop

    @property
    def left(self) -> int:
        """How many bytes are still to be read."""
        return self._stop - self._at

    def _skip(self, count: int) -> int:
        """Go `count` bytes on; the position before."""
        at = self._at
        if at + count > self._stop:
            raise MalformedError("bad-length", "a field reaches past the end")
        self._at = at + count
        return at

    def byte(self) -> int:
        """One byte."""
        return self._data[self._skip(1)]

    def word(self) -> int:
        """A two byte integer (section 1.5.2)."""
        at = self._skip(2)
        return self._data[at] << 8 | self._data[at + 1]

    def long(self) -> int:
        """A four byte integer (section 1.5.3)."""
        at = self._skip(4)
        return int.from_bytes(self._data[at : at + 4], "big")

    def variable(self) -> int:
        """A variable byte integer."""
        found = variable_integer(self._data, self._at, self._stop)
        if found is None:
            raise MalformedError("bad-length", "a length without an end")
        value, self._at = found
        return value

    def binary(self) -> bytes:
        """Binary data with its length before it (section 1.5.6)."""
        length = self.word()
        at = self._skip(length)
        return self._data[at : at + length]

    def text(self) -> str:
        """Text with its length before it; raises MalformedError("bad-utf8") too (1.5.4)."""
        return decode_text(self.binary())

    def part(self, length: int) -> "Fields":
        """The next `length` bytes as fields of their own."""
        at = self._skip(length)
        return Fields(self._data, at, at + length)

    def finish(self) -> None:
        """Raise MalformedError("bad-length") unless everything was read."""
        if self._at != self._stop:
            raise MalformedError("bad-length", f"{self.left} bytes too many")


def decode_text(raw: bytes) -> str:
    """Well-formed UTF-8 without surrogates and U+0000, else MalformedError("bad-utf8")."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise MalformedError("bad-utf8", "text is not well-formed UTF-8") from None
    if "\0" in text:
        raise MalformedError("bad-utf8", "text holds U+0000")
    return text


def packet_id(fields: Fields) -> int:
    """A packet identifier, 1..65535, else MalformedError("packet-id") (section 2.2.1)."""
    value = fields.word()
    if value == 0:
        raise MalformedError("packet-id", "packet identifier 0")
    return value


def check_topic(topic: str) -> None:
    """Raise MalformedError unless this is a topic name that can be published on (section 4.7)."""
    if not topic:
        raise MalformedError("empty-topic", "a topic name without a character")
    if "#" in topic or "+" in topic:
        raise MalformedError("wildcard-topic", "a topic name with a wildcard")


def check_filter(topic_filter: str, version: int) -> None:
    """Raise MalformedError("bad-filter") unless this is a topic filter (sections 4.7 and 4.8.2)."""
    if not topic_filter:
        raise MalformedError("bad-filter", "an empty topic filter")
    if version == MQTT_5 and topic_filter.startswith("$share/"):
        _, group, shared = (*topic_filter.split("/", 2), "", "")[:3]
        if not group or not shared or "+" in group or "#" in group:
            raise MalformedError("bad-filter", "a shared subscription without a name or filter")
    if "#" not in topic_filter and "+" not in topic_filter:
        return
    *parents, last = topic_filter.split("/")
    if last in {"#", "+"}:
        last = ""
    if any("#" in level or ("+" in level and level != "+") for level in parents):
        raise MalformedError("bad-filter", "a wildcard that is not a whole level, or # inside")
    if "#" in last or "+" in last:
        raise MalformedError("bad-filter", "a wildcard that is not a whole level")
