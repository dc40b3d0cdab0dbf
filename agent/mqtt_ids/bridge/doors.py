"""Where clients come: at the sockets from systemd, and at those that the settings name."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from mqtt_ids.bridge.binding import bind, is_broker
from mqtt_ids.bridge.inherited import Inherited, Kind
from mqtt_ids.errors import IdsError, SettingsError
from mqtt_ids.readers import HostPort
from mqtt_ids.sensors.proxy.certificates import server_context
from mqtt_ids.sensors.proxy.options import Listener
from mqtt_ids.settings import Inline, Settings

__all__ = ["Doors", "open_doors"]

KINDS: Final[dict[str, Kind]] = {
    "listen": "mqtt",
    "inline.tls_listen": "mqtts",
    "inline.websocket_listen": "ws",
    "inline.websocket_tls_listen": "wss",
}
ENCRYPTED: Final = frozenset({"mqtts", "wss"})
WEB: Final = frozenset({"ws", "wss"})


class Doors(NamedTuple):
    """Bound, and not heard yet. As text: 0.0.0.0:1883 (mqtt), 0.0.0.0:8883 (mqtts)."""

    listeners: tuple[Listener, ...]
    text: str


def open_doors(settings: Settings, passed: Sequence[Inherited], broker: HostPort) -> Doors:
    """A socket that was passed stands for the key of its kind.

    Raises SettingsError or StartError; then nothing is left bound.
    """
    found = list(passed)
    kinds = {each.kind for each in passed}
    named = [
        (key, KINDS[key], place) for key, place in settings.places() if KINDS[key] not in kinds
    ]
    try:
        for each in passed:
            _check("the socket from systemd", _place(each), broker)
        for key, kind, place in named:
            _check(key, place, broker)
            found += (Inherited(kind, bound) for bound in bind(place))
        listeners = _listeners(found, settings.inline)
    except IdsError:
        for each in found:
            each.bound.close()
        raise
    return Doors(listeners, ", ".join(f"{_place(each)} ({each.kind})" for each in found))


def _check(what: str, place: HostPort, broker: HostPort) -> None:
    if is_broker(place, broker):
        raise SettingsError(
            f"{what}: {place} is where the broker is called itself; give it another port"
        )


def _place(door: Inherited) -> HostPort:
    return HostPort(*door.bound.getsockname()[:2])


def _listeners(found: Sequence[Inherited], inline: Inline) -> tuple[Listener, ...]:
    """What the proxy is given. Raises SettingsError where certificates do not fit."""
    encrypted = sorted({each.kind for each in found} & ENCRYPTED)
    context = None
    if inline.cert is not None:
        if not encrypted:
            raise SettingsError("inline.cert: nobody comes with TLS; expected inline.tls_listen")
        context = server_context(inline.cert, inline.key, inline.client_ca)
    elif encrypted:
        raise SettingsError(f"inline.cert: expected a PEM file, for {' and '.join(encrypted)}")
    return tuple(
        Listener(
            bound=each.bound,
            tls=context if each.kind in ENCRYPTED else None,
            web=each.kind in WEB,
            origins=inline.websocket_origins,
        )
        for each in found
    )
