"""The configuration: which keys there are, what each may be, and how a file becomes `Settings`.

The same keys stand in `mqtt-ids.yaml` and in amqtt's YAML below `mqtt_ids_plugin.IDSPlugin`.
An unknown key or a bad value is refused with its path and what would be right; nothing is
guessed, for a mistyped `mode` must not leave a home unprotected. How a value is read stands in
`readers.py`, one function a kind of value; the structs here say which keys exist and what holds
where a file says nothing.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from mqtt_ids import readers as read
from mqtt_ids.errors import SettingsError
from mqtt_ids.yaml_files import read_yaml

Mode = Literal["observe", "protect"]
Threshold = Literal["budget", "mean-std"] | float
Form = Literal["entities", "device"]
ProxyProtocol = Literal["none", "v1", "v2"]
Fail = Literal["open", "closed"]
LineFormat = Literal["alert", "ocsf"]

_T = TypeVar("_T")


def _state_dir() -> Path:
    """The default: below the home folder, or where services keep theirs if this user has none."""
    try:
        return read.path("~/.local/state/mqtt-ids")
    except ValueError:
        return Path("/var/lib/mqtt-ids")


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Certificates for a broker behind TLS, each a PEM file."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class Inline(msgspec.Struct, frozen=True, kw_only=True):
    """In front of the broker, beside `listen`: where else clients come, and how they are met.

    `websocket_origins` are pages that may speak for their visitors; any may where there are none.
    `cert`, `key` and `client_ca` are PEM files, for the clients that come with TLS.
    `connect_within` is in seconds.
    """

    tls_listen: read.HostPort | None = None
    websocket_listen: read.HostPort | None = None
    websocket_tls_listen: read.HostPort | None = None
    websocket_origins: tuple[str, ...] = ()
    cert: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    proxy_protocol: ProxyProtocol = "none"
    fail: Fail = "open"
    connect_within: float = 30.0


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts, the retained status and the retained summary are published."""

    alerts: str = "$ids/alerts"
    status: str = "$ids/status"
    summary: str = "$ids/summary"


class HomeAssistant(msgspec.Struct, frozen=True, kw_only=True):
    """Home Assistant's MQTT discovery: a message for each entity, or one for the device."""

    discovery: bool = True
    prefix: str = "homeassistant"
    form: Form = "entities"


class Allow(msgspec.Struct, frozen=True, kw_only=True):
    """Who is never acted upon: shell patterns, and networks for addresses. Alerts still come."""

    client_ids: tuple[str, ...] = ()
    usernames: tuple[str, ...] = ()
    addresses: tuple[read.Network, ...] = ()
    topics: tuple[str, ...] = ()


class Protect(msgspec.Struct, frozen=True, kw_only=True):
    """How far protect mode goes. `ban` is in seconds, `max_share` a share of the clients, 0..1."""

    ban: float = 600.0
    max_share: float = 0.2
    dry_run: bool = False


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """Whether and how often (seconds) the agent learns this home."""

    enabled: bool = True
    every: float = 86_400.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds memory and disk."""

    max_clients: int = 5000
    incidents_kept: int = 10_000


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A file of alerts, one JSON object a line.

    From `max_size` bytes on it makes room for a new one, and `keep` old ones stay.
    """

    file: Path | None = None
    format: LineFormat = "alert"
    max_size: int = 5_000_000
    keep: int = 5


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that can be configured. The defaults watch, alert, and touch nobody."""

    mode: Mode = "observe"
    broker: str | None = None
    password_file: Path | None = None
    tls: Tls = msgspec.field(default_factory=Tls)
    log: Path | None = None
    listen: read.HostPort | None = None
    inline: Inline = msgspec.field(default_factory=Inline)
    state_dir: Path = msgspec.field(default_factory=_state_dir)
    topics: Topics = msgspec.field(default_factory=Topics)
    home_assistant: HomeAssistant = msgspec.field(default_factory=HomeAssistant)
    allow: Allow = msgspec.field(default_factory=Allow)
    protect: Protect = msgspec.field(default_factory=Protect)
    model: str = "default"
    threshold: Threshold = "budget"
    learning: Learning = msgspec.field(default_factory=Learning)
    limits: Limits = msgspec.field(default_factory=Limits)
    export: Export = msgspec.field(default_factory=Export)
    metrics: read.HostPort | None = None

    def places(self) -> Iterator[tuple[str, read.HostPort]]:
        """The keys that say where clients come, in front of the broker, and what they say."""
        keys = {
            "listen": self.listen,
            "inline.tls_listen": self.inline.tls_listen,
            "inline.websocket_listen": self.inline.websocket_listen,
            "inline.websocket_tls_listen": self.inline.websocket_tls_listen,
        }
        return ((key, place) for key, place in keys.items() if place is not None)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object]) -> "Settings":
        """The settings that `mapping` describes, or those of the file that its `config` names.

        Raises SettingsError, in one line with the key's path.
        """
        if "config" not in mapping:
            return _settings(mapping)
        if len(mapping) > 1:
            others = ", ".join(sorted(str(key) for key in mapping if key != "config"))
            raise SettingsError(f"config: stands alone: move {others} into the file that it names")
        try:
            file = read.path(mapping["config"])
        except ValueError as error:
            raise SettingsError(f"config: {error}") from None
        return cls.from_file(file)

    @classmethod
    def from_file(cls, file: Path) -> "Settings":
        """The settings in a YAML file; an empty file holds the defaults. Raises SettingsError."""
        return from_yaml(read_yaml(file), file)


def from_yaml(mapping: Mapping[str, object], file: Path) -> Settings:
    """The settings in what `read_yaml` read. Raises SettingsError that names the file."""
    try:
        return _settings(mapping)
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from None


# Every key with the function that reads its value; a dict is a section. Same names as the structs.
_KEYS: dict[str, read.Reader | dict[str, read.Reader]] = {
    "mode": read.one_of("observe", "protect"),
    "broker": read.optional(read.broker_url),
    "password_file": read.optional(read.path),
    "tls": {key: read.optional(read.path) for key in ("ca", "cert", "key")},
    "log": read.optional(read.path),
    "listen": read.optional(read.host_port),
    "inline": {
        **{
            f"{kind}listen": read.optional(read.host_port)
            for kind in ("tls_", "websocket_", "websocket_tls_")
        },
        "websocket_origins": read.origins,
        **{key: read.optional(read.path) for key in ("cert", "key", "client_ca")},
        "proxy_protocol": read.one_of("none", "v1", "v2"),
        "fail": read.one_of("open", "closed"),
        "connect_within": read.duration(1, 3600),
    },
    "state_dir": read.path,
    "topics": dict.fromkeys(("alerts", "status", "summary"), read.topic),
    "home_assistant": {
        "discovery": read.flag,
        "prefix": read.topic,
        "form": read.one_of("entities", "device"),
    },
    "allow": {
        "client_ids": read.patterns,
        "usernames": read.patterns,
        "addresses": read.networks,
        "topics": read.topic_patterns,
    },
    "protect": {
        "ban": read.duration(1, 365 * 86_400),
        "max_share": read.number(0, 1),
        "dry_run": read.flag,
    },
    "model": read.text,
    "threshold": read.either(read.one_of("budget", "mean-std"), read.number(1e-12, 1e12)),
    "learning": {"enabled": read.flag, "every": read.duration(3600, 365 * 86_400)},
    "limits": {"max_clients": read.whole(1, 100_000), "incidents_kept": read.whole(1, 1_000_000)},
    "export": {
        "file": read.optional(read.path),
        "format": read.one_of("alert", "ocsf"),
        "max_size": read.size(100_000, 10**9),
        "keep": read.whole(0, 100),
    },
    "metrics": read.optional(read.host_port),
}

_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "tls": Tls,
    "inline": Inline,
    "topics": Topics,
    "home_assistant": HomeAssistant,
    "allow": Allow,
    "protect": Protect,
    "learning": Learning,
    "limits": Limits,
    "export": Export,
}


def _settings(mapping: Mapping[str, object]) -> Settings:
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        reader = _known(key, _KEYS, "")
        if isinstance(reader, dict):
            values[key] = _SECTIONS[key](**_section(key, value, reader))
        else:
            values[key] = _value(key, value, reader)
    settings = Settings(**values)
    topics = msgspec.structs.astuple(settings.topics)
    if len(set(topics)) < len(topics):
        raise SettingsError("topics: alerts, status and summary must be three different topics")
    _check_inline(settings)
    return settings


def _check_inline(settings: Settings) -> None:
    """What each key cannot know of the others."""
    inline = settings.inline
    used: dict[read.HostPort, str] = {}
    for name, place in settings.places():
        if used.setdefault(place, name) != name:
            raise SettingsError(f"{name}: {place} is that of {used[place]}; expected another port")
        if "tls" in name and inline.cert is None:
            raise SettingsError(f"{name}: needs a certificate; expected inline.cert, a PEM file")
    for name, file in (("key", inline.key), ("client_ca", inline.client_ca)):
        if file is not None and inline.cert is None:
            raise SettingsError(f"inline.{name}: stands without inline.cert; expected both")


def _section(name: str, value: object, readers: dict[str, read.Reader]) -> dict[str, object]:
    if value is None:  # a section whose every line is commented out
        return {}
    if not isinstance(value, dict):
        keys = ", ".join(readers)
        raise SettingsError(f"{name}: expected a section with the keys {keys}")
    return {
        key: _value(f"{name}.{key}", item, _known(key, readers, f"{name}."))
        for key, item in value.items()
    }


def _known(key: object, keys: Mapping[str, _T], prefix: str) -> _T:
    if isinstance(key, str) and key in keys:
        return keys[key]
    name = str(key)[:64]
    close = difflib.get_close_matches(name, keys, n=1)
    right = f"did you mean {prefix}{close[0]}?" if close else f"known are {', '.join(keys)}"
    raise SettingsError(f"{prefix}{name}: unknown key; {right}")


def _value(path: str, value: object, reader: read.Reader) -> object:
    try:
        return reader(value)
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from None
