"""How one value of the configuration is read: one function for each kind of value.

A reader takes what YAML made of the text and returns what the program works with. It raises
ValueError with a message that ends in what would be right; the caller puts the key before it.
"""

import re
import reprlib
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

Reader = Callable[[object], object]
Network = IPv4Network | IPv6Network

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhdw])")
_ORIGIN = re.compile(r"https?://[^/?#@\sA-Z]{1,255}")
_BYTES = {"kB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(r"([0-9]{1,6})(kB|MB|GB)")
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel = 2  # an alias within aliases in YAML can stand for gigabytes of text
_LIST_LIMIT = 1000  # entries
_TEXT_LIMIT = 1024  # characters


class HostPort(NamedTuple):
    """Where to listen or to connect."""

    host: str
    port: int

    def __str__(self) -> str:
        """As it is written in the configuration: 127.0.0.1:1883, [::1]:1883."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _wrong(value: object, right: str) -> ValueError:
    return ValueError(f"{_SHOWN.repr(value)} is not usable; expected {right}")


def one_of(*choices: str) -> Reader:
    """One of a few words."""

    def reader(value: object) -> object:
        if value not in choices or not isinstance(value, str):
            raise _wrong(value, " or ".join(choices))
        return value

    return reader


def optional(reader: Reader) -> Reader:
    """A value that `null` switches off."""
    return lambda value: None if value is None else reader(value)


def either(first: Reader, second: Reader) -> Reader:
    """A value of one of two kinds; what would be right names both."""

    def reader(value: object) -> object:
        try:
            return first(value)
        except ValueError as error:
            try:
                return second(value)
            except ValueError as other:
                right = str(other).partition("expected ")[2]
                raise ValueError(f"{error}, or {right}") from None

    return reader


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _wrong(value, "true or false")
    return value


def number(least: float, most: float) -> Reader:
    """A number between two bounds, both included."""

    def reader(value: object) -> object:
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and least <= value <= most
        ):
            return float(value)
        raise _wrong(value, f"a number from {least:g} to {most:g}")

    return reader


def whole(least: int, most: int) -> Reader:
    """A whole number between two bounds, both included."""

    def reader(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _wrong(value, f"a whole number from {least} to {most}")
        return value

    return reader


def seconds(value: object) -> float:
    """A duration such as 30s, 10m, 24h, 7d or 2w, in seconds."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _wrong(value, "a duration such as 30s, 10m, 24h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def spell(length: float) -> str:
    """A duration in seconds as the configuration has it: 10m, 24h, 7d."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if length >= size and length % size == 0:
            return f"{length / size:g}{unit}"
    return f"{length:g}s"


def duration(least: float, most: float) -> Reader:
    """A duration between two bounds, both in seconds and both included."""

    def reader(value: object) -> object:
        length = seconds(value)
        if not least <= length <= most:
            raise _wrong(value, f"a duration from {least:g}s to {most:g}s, such as 10m, 24h or 7d")
        return length

    return reader


def size(least: int, most: int) -> Reader:
    """A size such as 5MB between two bounds, both in bytes and both included; in bytes."""

    def reader(value: object) -> object:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is not None and least <= (found := int(match[1]) * _BYTES[match[2]]) <= most:
            return found
        raise _wrong(value, f"a size from {least // 1000}kB to {most // 10**6}MB, such as 5MB")

    return reader


def text(value: object) -> str:
    """Some text that is not empty."""
    if not isinstance(value, str) or not value or len(value) > _TEXT_LIMIT or "\0" in value:
        raise _wrong(value, "text (put numbers and special signs in quotes)")
    return value


def path(value: object) -> Path:
    """A file or folder; ~ is the home folder."""
    if not isinstance(value, str) or not value or len(value) > _TEXT_LIMIT or "\0" in value:
        raise _wrong(value, "the path of a file or folder")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise _wrong(value, "a path without ~: this user has no home folder") from None


def topic(value: object) -> str:
    """A topic that can be published to: no wildcards."""
    name = text(value)
    if "#" in name or "+" in name:
        raise _wrong(value, "a topic without the wildcards # and +")
    return name


def host_port(value: object) -> HostPort:
    """An address to listen on, such as 127.0.0.1:9108 or [::1]:9108."""
    right = "HOST:PORT such as 127.0.0.1:1883 or [::1]:1883"
    if not isinstance(value, str):
        raise _wrong(value, right)
    host, _, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not bare or (":" in bare) != bracketed or not re.fullmatch(r"[0-9]{1,5}", port):
        raise _wrong(value, right)
    if not 1 <= int(port) <= 65_535:  # noqa: PLR2004 - the largest port there is
        raise _wrong(value, f"{right}, with a port from 1 to 65535")
    return HostPort(bare, int(port))


def broker_url(value: object) -> str:
    """A broker's address. Errors never show it: somebody may have put a password into it."""
    right = "expected a URL such as mqtt://localhost:1883 (mqtt, mqtts, ws or wss)"
    if not isinstance(value, str):
        raise ValueError(right)  # noqa: TRY004 - one kind of error for every wrong value
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(right) from None
    if parts.password is not None:
        raise ValueError("holds a password; it belongs into MQTT_IDS_PASSWORD or password_file")
    if parts.scheme not in {"mqtt", "mqtts", "ws", "wss"} or not usable:
        raise ValueError(right)
    return value


def patterns(value: object) -> tuple[str, ...]:
    """A list of shell patterns such as ha-*."""
    return tuple(text(item) for item in _list(value, "a list of shell patterns such as ['ha-*']"))


def topic_patterns(value: object) -> tuple[str, ...]:
    """A list of shell patterns for topics, such as garden/*, where MQTT would have garden/#."""
    found = patterns(value)
    for pattern in found:
        if "#" in pattern or "+" in pattern:
            raise _wrong(pattern, "a shell pattern such as garden/* (not MQTT's # and +)")
    return found


def origins(value: object) -> tuple[str, ...]:
    """A list of origins, as browsers spell them: the beginning of a page's address."""
    right = "a list of origins such as ['https://home.example', 'http://192.168.1.10:8123']"
    found = []
    for item in _list(value, right):
        if not isinstance(item, str) or not _ORIGIN.fullmatch(item):
            raise _wrong(item, right)
        found.append(item)
    return tuple(found)


def networks(value: object) -> tuple[Network, ...]:
    """A list of addresses and networks."""
    right = "a list of addresses or networks such as [192.168.1.7, 10.0.0.0/24, 'fd00::/8']"
    found = []
    for item in _list(value, right):
        try:
            found.append(ip_network(text(item)))
        except ValueError as error:
            hint = f"{right} ({error})" if "host bits" in str(error) else right
            raise _wrong(item, hint) from None
    return tuple(found)


def _list(value: object, right: str) -> list[object]:
    if not isinstance(value, list | tuple) or len(value) > _LIST_LIMIT:
        raise _wrong(value, right)
    return list(value)
