"""What is announced to Home Assistant, and when; what it makes of it: tests/homeassistant."""

import json
import random
import re
from collections.abc import Callable
from typing import Any, get_args

import jinja2
import msgspec
import pytest

from mqtt_ids.alerts import Alert, Attack, Reason, encode
from mqtt_ids.errors import SettingsError
from mqtt_ids.responders.discovery import Discovery
from mqtt_ids.responders.home_assistant import SPREAD, HomeAssistant
from mqtt_ids.responders.publish import Summary
from mqtt_ids.settings import Settings

NODE = "node"
KEYS = {"alarm", "incident", "clients", "open_incidents", "mode", "learning", "lag"}
BIRTH = "homeassistant/status"


def settings(**home_assistant: object) -> Settings:
    return Settings.from_mapping({"home_assistant": home_assistant})


def configs(discovery: Discovery) -> dict[str, dict[str, Any]]:
    return {topic: json.loads(data) for topic, data in discovery.announcement().items()}


def entities() -> dict[str, dict[str, Any]]:
    """Each entity's message by its key."""
    return {
        topic.split("/")[3]: body for topic, body in configs(Discovery(settings(), NODE)).items()
    }


class Wired:
    """The responder, what it published, and what it asked to be called for later."""

    def __init__(self, **home_assistant: object) -> None:
        self.sent: list[tuple[str, bytes, bool]] = []
        self.waits: list[tuple[float, Callable[[], None]]] = []
        self.home = HomeAssistant(
            settings(**home_assistant),
            lambda *message: self.sent.append(message),
            node=NODE,
            later=self._later,
            rng=random.Random(7),
        )

    def _later(self, seconds: float, do: Callable[[], None]) -> None:
        self.waits.append((seconds, do))

    def told(self) -> list[tuple[str, bytes, bool]]:
        """What was published since the last call."""
        sent, self.sent = self.sent, []
        return sent

    def pass_time(self) -> None:
        waits, self.waits = self.waits, []
        for _, do in waits:
            do()


def test_each_entity_is_announced_with_what_home_assistant_demands() -> None:
    messages = configs(Discovery(settings(), NODE))
    for topic, body in messages.items():
        prefix, platform, node, key, last = topic.split("/")
        assert (prefix, last) == ("homeassistant", "config")
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", node)
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", key)
        assert body["origin"]["name"] == "mqtt-ids"
        assert body["default_entity_id"] == f"{platform}.mqtt_ids_{key}"
        assert body["availability_topic"] == "$ids/status"
        assert "platform" not in body
    assert entities().keys() == KEYS
    assert len({body["unique_id"] for body in messages.values()}) == len(KEYS)
    assert len({str(body["device"]["identifiers"]) for body in messages.values()}) == 1


def test_both_forms_hold_the_same_entities() -> None:
    ((topic, whole),) = configs(Discovery(settings(form="device"), NODE)).items()
    assert topic.startswith("homeassistant/device/mqtt-ids_")
    shared = {"device", "origin"}
    assert whole.keys() == {*shared, "components"}
    for key, entity in entities().items():
        platform = whole["components"][key].pop("platform")
        assert entity["default_entity_id"].startswith(f"{platform}.")
        assert whole["components"][key] == {k: v for k, v in entity.items() if k not in shared}


def test_two_installations_share_no_topic_and_no_id() -> None:
    other_topics = Settings.from_mapping({"topics": {"status": "second/status"}})
    all_of = [
        Discovery(settings(), NODE),
        Discovery(settings(), "other"),
        Discovery(other_topics, NODE),
        Discovery(settings(form="device"), "third"),
    ]
    topics = [topic for each in all_of for topic in (*each.announcement(), *each.other_form())]
    assert len(set(topics)) == len(topics)
    unique = [body["unique_id"] for each in all_of[:3] for body in configs(each).values()]
    assert len(set(unique)) == len(unique)


def test_the_ids_stay_over_restarts_and_upgrades() -> None:
    assert entities()["alarm"]["unique_id"] == "mqtt-ids_568e84dbb85d_alarm"


def test_any_node_makes_a_valid_id() -> None:
    for topic in Discovery(settings(), "büro/#+ \0").announcement():
        assert re.fullmatch(r"[a-z_/0-9-]+", topic)


def test_templates_name_only_what_alert_and_summary_hold() -> None:
    text = json.dumps(entities())
    of_summary = set(re.findall(r"value_json\.(\w+)", text))
    of_alert = set(re.findall(r"\ba\.(\w+)", text))
    assert of_summary <= set(Summary.__struct_fields__)
    assert of_alert <= set(Alert.__struct_fields__)
    assert {"active", "clients"} <= of_summary
    assert {"id", "state", "attack", "reasons"} <= of_alert
    assert entities()["incident"]["event_types"] == list(get_args(Attack))


def rendered(template: str, alert: Alert, attributes: object = None) -> str:
    """As Home Assistant renders it, whose filter is `to_json`."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - no HTML
    environment.filters["to_json"] = json.dumps
    values = {
        "value_json": json.loads(encode(alert, 0.0)),
        "this": {"attributes": attributes or {}},
    }
    return environment.from_string(template).render(values)


def alert(**changes: Any) -> Alert:  # noqa: ANN401 - any field
    least = Alert(
        id="X", state="open", active=True, severity="high", attack="flood", confidence=1.0,
        time=1.0, first_seen=1.0,
    )  # fmt: skip
    return msgspec.structs.replace(least, **changes)


def test_an_event_as_an_incident_opens_and_no_other() -> None:
    template = entities()["incident"]["value_template"]
    event = json.loads(rendered(template, alert()))
    assert (event["event_type"], event["incident"]) == ("flood", "X")
    assert "state" not in event
    assert json.loads(rendered(template, alert(severity="info")))["severity"] == "info"
    assert rendered(template, alert(state="update")) == ""
    assert rendered(template, alert(state="closed")) == ""


def test_attributes_tell_the_latest_alarm_whatever_its_names_are() -> None:
    template = entities()["alarm"]["json_attributes_template"]
    nasty = "{{ 1/0 }}'\"\n{% raw %}"
    assert json.loads(rendered(template, alert(client_id=nasty)))["client_id"] == nasty
    before = {"incident": "before"}
    assert json.loads(rendered(template, alert(severity="info"), before)) == before


def test_attributes_stay_within_what_is_stored() -> None:
    longest = "\U0001f512" * 256
    reason = Reason(feature="f", observed=1.0, usual=1.0, unit="u", share=None, text=longest)
    full = alert(
        client_id=longest, username=longest, address=longest, clients=(longest,) * 20,
        reasons=(reason,) * 3, action_reason=longest, also=get_args(Attack),
    )  # fmt: skip
    found = json.loads(rendered(entities()["incident"]["value_template"], full))
    assert len(json.dumps(found, ensure_ascii=False).encode()) < 16_384


def test_it_announces_retained_and_clears_what_the_other_form_left() -> None:
    wired, other = Wired(), Wired(form="device")
    wired.home.announce()
    first = wired.told()
    assert len(first) == len(KEYS)
    assert all(data and retain for _, data, retain in first)
    other.home.announce()
    for topic, data, _ in first:  # what it finds retained
        assert other.home.take(topic, data)
    assert [each for each in other.told() if not each[1]] == [(t, b"", True) for t, *_ in first]
    for topic, *_ in first:  # its own words come back
        assert other.home.take(topic, b"")
    assert other.told() == []
    other.pass_time()
    ((whole, data, _),) = other.told()
    assert wired.home.take(whole, data)
    assert wired.told() == [(whole, b"", True)]
    wired.pass_time()
    assert wired.told() == first


def test_a_birth_is_answered_once_after_a_while() -> None:
    wired = Wired()
    wired.home.announce()
    first = wired.told()
    assert wired.home.take(BIRTH, b"offline")
    assert wired.waits == []
    for _ in range(100):
        assert wired.home.take(BIRTH, b"online")
    ((seconds, _),) = wired.waits
    assert SPREAD[0] <= seconds <= SPREAD[1]
    assert wired.told() == []
    wired.pass_time()
    assert wired.told() == first
    assert wired.home.take(BIRTH, b"online")
    assert len(wired.waits) == 1
    assert not wired.home.take("home/door", b"online")


def test_births_come_where_the_prefix_says_and_where_they_come_by_default() -> None:
    wired = Wired(prefix="ha")
    assert {"ha/status", BIRTH} < set(wired.home.filters)
    wired.home.announce()
    assert all(topic.startswith("ha/") for topic, _, _ in wired.told())
    assert wired.home.take("ha/status", b"online")
    assert len(wired.waits) == 1


def test_withdrawn_it_stays_away_until_it_is_announced() -> None:
    wired = Wired()
    wired.home.announce()
    announced = {topic for topic, _, _ in wired.told()}
    wired.home.take(BIRTH, b"online")
    wired.home.withdraw()
    assert {(topic, data) for topic, data, _ in wired.told()} == {(t, b"") for t in announced}
    wired.pass_time()
    wired.home.take(BIRTH, b"online")
    wired.pass_time()
    assert wired.told() == []
    wired.home.announce()
    assert len(wired.told()) == len(KEYS)


@pytest.mark.parametrize("form", ["entities", "device"])
def test_with_discovery_off_nothing_is_announced(form: str) -> None:
    wired = Wired(discovery=False, form=form)
    assert wired.home.filters == ()
    wired.home.announce()
    assert not wired.home.take(BIRTH, b"online")
    assert (wired.sent, wired.waits) == ([], [])
    wired.home.withdraw()  # what was announced before it was switched off
    assert len(wired.told()) == len(KEYS) + 1


def test_another_form_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"home_assistant\.form: .*entities or device"):
        settings(form="both")
