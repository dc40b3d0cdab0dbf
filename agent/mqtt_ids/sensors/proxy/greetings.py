"""What the proxy says itself: the refusal of a CONNECT, and the PROXY protocol's first line."""

import ipaddress
from typing import Final, Literal

from mqtt_ids.names import canonical
from mqtt_ids.packets import MQTT_5

Refusal = Literal["unavailable", "not-authorised"]
ProxyProtocol = Literal[0, 1, 2]

_CODES: Final[dict[Refusal, tuple[int, int]]] = {  # before MQTT 5, and there
    "unavailable": (3, 0x88),
    "not-authorised": (5, 0x87),
}
_SIGNATURE: Final = bytes.fromhex("0d0a0d0a000d0a515549540a")
_PROXY: Final = 0x21  # version 2, a connection on behalf of another
_LOCAL: Final = 0x20  # version 2, nobody known
_STREAM_4: Final = 0x11
_STREAM_6: Final = 0x21

Place = tuple[str, int]


def refusal_code(why: Refusal, version: int) -> int:
    """The CONNACK code in the words of the client's version."""
    old, new = _CODES[why]
    return new if version == MQTT_5 else old


DISMISSAL: Final = b"\xe0\1\x98"  # DISCONNECT of MQTT 5: administrative action


def refusal(why: Refusal, version: int) -> bytes:
    """A CONNACK that says no."""
    code = refusal_code(why, version)
    return bytes((0x20, 3, 0, code, 0)) if version == MQTT_5 else bytes((0x20, 2, 0, code))


def introduction(form: ProxyProtocol, source: Place, target: Place) -> bytes:
    """The PROXY protocol's header: who (`source`) has come to which of our addresses (`target`)."""
    if form == 0:
        return b""
    try:
        pair = [
            ipaddress.ip_address(canonical(place[0].partition("%")[0]))
            for place in (source, target)
        ]
    except ValueError:
        pair = []
    if len({each.version for each in pair}) != 1:  # nobody known, or of two families
        return b"PROXY UNKNOWN\r\n" if form == 1 else _SIGNATURE + bytes((_LOCAL, 0, 0, 0))
    four = pair[0].version == 4  # noqa: PLR2004 - the IP version
    if form == 1:
        family = "TCP4" if four else "TCP6"
        return f"PROXY {family} {pair[0]} {pair[1]} {source[1]} {target[1]}\r\n".encode()
    body = b"".join(each.packed for each in pair)
    body += source[1].to_bytes(2, "big") + target[1].to_bytes(2, "big")
    kind = _STREAM_4 if four else _STREAM_6
    return _SIGNATURE + bytes((_PROXY, kind)) + len(body).to_bytes(2, "big") + body
