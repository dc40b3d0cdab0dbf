"""What Home Assistant makes its device and entities from: MQTT discovery, as messages.

Two forms: one message for each entity, which every version reads, or one for the whole device
(Home Assistant 2024.12 and later). The entities are the same in both, down to their ids.

The states come from the retained summary, so that they are right after a restart of Home
Assistant too; what happened comes from the alerts. The templates name each key they take: what an
attacker chose (ids, user names) stays data, and attributes stay below the 16 kB of them that Home
Assistant stores.
"""

import hashlib
from typing import Final, get_args, get_type_hints

import msgspec

from mqtt_ids.alerts import Attack
from mqtt_ids.release import release
from mqtt_ids.responders.publish import EVERY, Learning
from mqtt_ids.settings import Mode, Settings, Topics

__all__ = ["Discovery"]

Config = dict[str, object]

EXPIRES: Final = int(3 * EVERY)  # seconds without a summary after which nobody watches
_DIGEST: Final = 6  # bytes

# Not the alert's `state`: Home Assistant drops an attribute of that name.
_GIST: Final = """\
'severity': a.severity, 'attack': a.attack, 'also': a.also, 'client_id': a.client_id,
 'username': a.username, 'address': a.address, 'client_count': a.client_count,
 'reasons': a.reasons | map(attribute='text') | list, 'action': a.action,
 'action_reason': a.action_reason, 'action_until': a.action_until,
 'first_seen': a.first_seen, 'incident': a.id"""
# Nothing for an update or an end: the event is that an incident begins.
_EVENT: Final = (
    "{% set a = value_json | default({}) %}{% if a.state == 'open' %}"
    "{{ {'event_type': a.attack, " + _GIST + "} | to_json }}{% endif %}"
)
# A note is no alarm: the attributes stay as they are.
_ALARM: Final = (
    "{% set a = value_json | default({}) %}{% if a.severity | default('info') != 'info' %}"
    "{{ {" + _GIST + "} | to_json }}{% else %}{{ dict(this.attributes) | to_json }}{% endif %}"
)


class Discovery:
    """The messages of one installation. `node` tells it from every other.

    Two agents may meet in one Home Assistant: then node or topics differ, and so do all ids.
    """

    def __init__(self, settings: Settings, node: str) -> None:
        self._prefix = settings.home_assistant.prefix
        self._form = settings.home_assistant.form
        self._topics = settings.topics
        whole = f"{node}\0{settings.topics.status}"
        digest = hashlib.blake2b(whole.encode(), digest_size=_DIGEST).hexdigest()
        self._device = f"mqtt-ids_{digest}"

    def announcement(self) -> dict[str, bytes]:
        """Payloads by topic, to be published retained. Empty ones take the entities away."""
        return {topic: msgspec.json.encode(config) for topic, config in self._configs().items()}

    def other_form(self) -> tuple[str, ...]:
        """The topics of the form that is not in use. Entities that come in both are refused."""
        whole = self._form == "device"
        return tuple(self._each() if whole else self._whole())

    def _configs(self) -> dict[str, Config]:
        return self._whole() if self._form == "device" else self._each()

    def _each(self) -> dict[str, Config]:
        """The form with one message for each entity."""
        return {
            f"{self._prefix}/{entity['platform']}/{self._device}/{key}/config": {
                **{name: value for name, value in entity.items() if name != "platform"},
                **self._shared(),
            }
            for key, entity in self._entities().items()
        }

    def _whole(self) -> dict[str, Config]:
        """The form with one message for the device."""
        config = {"components": self._entities(), **self._shared()}
        return {f"{self._prefix}/device/{self._device}/config": config}

    def _shared(self) -> Config:
        version = release()
        return {
            "device": {
                "identifiers": [self._device],
                "name": "mqtt-ids",
                "manufacturer": "mqtt-ids",
                "model": "Intrusion detection for MQTT",
                "sw_version": version,
            },
            "origin": {"name": "mqtt-ids", "sw_version": version},
        }

    def _entities(self) -> dict[str, Config]:
        """Each entity by its key, with its `platform`."""
        entities = {**_told_by_alerts(self._topics), **_told_by_summary(self._topics)}
        return {
            key: {
                "unique_id": f"{self._device}_{key}",
                "default_entity_id": f"{entity['platform']}.mqtt_ids_{key}",
                "availability_topic": self._topics.status,
                "qos": 1,
                **entity,
            }
            for key, entity in entities.items()
        }


def _told_by_alerts(topics: Topics) -> dict[str, Config]:
    """An event for each incident, notes too: they have a severity."""
    return {
        "incident": {
            "platform": "event",
            "name": "Incident",
            "icon": "mdi:shield-search",
            "state_topic": topics.alerts,
            "event_types": get_args(Attack),
            "value_template": _EVENT,
        }
    }


def _told_by_summary(topics: Topics) -> dict[str, Config]:
    """What holds at the moment. A summary that stays away makes them unavailable."""
    learning = get_args(get_type_hints(Learning)["state"])
    entities: dict[str, Config] = {
        "alarm": {
            "platform": "binary_sensor",
            "name": "Alarm",
            "device_class": "safety",
            "value_template": _known("'ON' if value_json.active > 0 else 'OFF'"),
            "json_attributes_topic": topics.alerts,
            "json_attributes_template": _ALARM,
        },
        "clients": _figure("Clients", "clients", icon="mdi:lan-connect"),
        "open_incidents": _figure("Open incidents", "open_incidents", icon="mdi:shield-alert"),
        "mode": _word("Mode", "mode", get_args(Mode), icon="mdi:shield-half-full"),
        "learning": {
            **_word("Learning", "learning.state", learning, icon="mdi:school"),
            "json_attributes_topic": topics.summary,
            "json_attributes_template": "{{ (value_json | default({})).learning"
            " | default({}) | to_json }}",
        },
        "lag": _figure(
            "Lag",
            "lag",
            device_class="duration",
            unit_of_measurement="s",
            entity_category="diagnostic",
        ),
    }
    shared = {"state_topic": topics.summary, "expire_after": EXPIRES}
    return {key: {**entity, **shared} for key, entity in entities.items()}


def _figure(name: str, key: str, **config: str) -> Config:
    return {
        "name": name,
        "platform": "sensor",
        "state_class": "measurement",
        "value_template": _known(f"value_json.{key}"),
        **config,
    }


def _word(name: str, key: str, words: tuple[str, ...], *, icon: str) -> Config:
    return {
        "name": name,
        "platform": "sensor",
        "device_class": "enum",
        "options": words,
        "value_template": _known(f"value_json.{key}"),
        "entity_category": "diagnostic",
        "icon": icon,
    }


def _known(expression: str) -> str:
    """A template; what was cleared, as by `mqtt-ids release`, is unknown and no error."""
    return f"{{{{ ({expression}) if value_json is defined else None }}}}"
