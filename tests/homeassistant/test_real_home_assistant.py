"""Our device in a real Home Assistant beside a real Mosquitto, and the automation of examples/.

Home Assistant starts twice, which is most of the time this takes. Each test leaves calm behind.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from agent_link import Agent
from home_assistant_process import WITHIN, HomeAssistant, needs_home_assistant
from live_broker import HOST, until
from mosquitto_broker import Mosquitto, needs_mosquitto

pytestmark = [
    pytest.mark.homeassistant,
    pytest.mark.timeout(600),
    needs_home_assistant,
    needs_mosquitto,
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "home-assistant-automation.yaml"
ALARM = "binary_sensor.mqtt_ids_alarm"
INCIDENT = "event.mqtt_ids_incident"
ENTITIES = {
    ALARM,
    INCIDENT,
    "sensor.mqtt_ids_clients",
    "sensor.mqtt_ids_lag",
    "sensor.mqtt_ids_learning",
    "sensor.mqtt_ids_mode",
    "sensor.mqtt_ids_open_incidents",
}
AWAY = "00:02:00"  # in the example, after which the phone tells that nobody watches
NASTY = "{{ 1/0 }}'\"<b>{'a': None}"
NEWER_FORM = (2024, 12)
NEWER_WORDS = (2024, 10)


def automations(*, newer: bool) -> list[dict[str, Any]]:
    """The example, not to be waited for so long; for an older version in the older words."""
    text = EXAMPLE.read_text(encoding="utf-8")
    assert AWAY in text
    read: list[dict[str, Any]] = yaml.safe_load(text.replace(AWAY, "00:00:02"))
    return read if newer else [_in_older_words(each) for each in read]


def _in_older_words(automation: dict[str, Any]) -> dict[str, Any]:
    words = {"triggers": "trigger", "conditions": "condition", "actions": "action"}
    older = {words.get(key, key): value for key, value in automation.items()}
    older["trigger"] = [_renamed(each, "trigger", "platform") for each in older["trigger"]]
    older["action"] = [_renamed(each, "action", "service") for each in older["action"]]
    return older


def _renamed(part: dict[str, Any], newer: str, older: str) -> dict[str, Any]:
    return {older if key == newer else key: value for key, value in part.items()}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def home(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeAssistant]:
    folder = tmp_path_factory.mktemp("home")
    newer = HomeAssistant.version() >= NEWER_WORDS
    with HomeAssistant(folder, broker.port, automations(newer=newer)) as home:
        yield home


@pytest.fixture
def agent(broker: Mosquitto, home: HomeAssistant) -> Iterator[Agent]:
    """Online, calm, and known to Home Assistant."""
    with Agent(broker.url) as agent:
        agent.summary()
        until(lambda: home.state(ALARM) == "off", WITHIN, failing=f"{home.entities()}")
        yield agent


def known_to(home: HomeAssistant, entity: str, check: Callable[[dict[str, Any]], object]) -> None:
    """Wait until the attributes of an entity are as `check` wants them."""
    until(
        lambda: check(home.entities().get(entity, {}).get("attributes", {})),
        WITHIN,
        failing=f"{entity}: {home.entities().get(entity)}",
    )


def test_one_device_appears_with_all_that_the_summary_tells(
    home: HomeAssistant, agent: Agent
) -> None:
    agent.summary(mode="protect", clients=7, open_incidents=2, lag=1.5)
    until(lambda: home.state("sensor.mqtt_ids_clients") == "7", WITHIN, failing="no figures")
    found = {name: entity["state"] for name, entity in home.entities().items()}
    assert set(found) == ENTITIES
    assert found == {
        ALARM: "off",
        INCIDENT: "unknown",
        "sensor.mqtt_ids_clients": "7",
        "sensor.mqtt_ids_lag": "1.5",
        "sensor.mqtt_ids_learning": "learning",
        "sensor.mqtt_ids_mode": "protect",
        "sensor.mqtt_ids_open_incidents": "2",
    }
    ours = home.render(f"{{{{ device_entities(device_id('{ALARM}')) | sort | join(' ') }}}}")
    assert set(ours.split()) == ENTITIES
    learning = home.entities()["sensor.mqtt_ids_learning"]["attributes"]
    assert (learning["learned"], learning["clients"]) == (3, 12)
    assert home.entities()[ALARM]["attributes"]["device_class"] == "safety"


def test_an_attack_turns_the_alarm_on_tells_who_and_why_and_rings_once(
    home: HomeAssistant, agent: Agent
) -> None:
    before = len(home.shown())
    agent.alert(id="A", severity="info", attack="new-client", active=False, client_id="new")
    known_to(home, INCIDENT, lambda found: found.get("incident") == "A")
    assert home.entities()[INCIDENT]["attributes"]["event_type"] == "new-client"
    agent.alert(id="B", client_id=NASTY)
    agent.summary(active=1, open_incidents=2)
    until(lambda: home.state(ALARM) == "on", WITHIN, failing="no alarm")
    known_to(home, INCIDENT, lambda found: found.get("incident") == "B")
    event = home.entities()[INCIDENT]
    assert event["attributes"]["event_type"] == "flood"
    known_to(home, ALARM, lambda found: found.get("incident") == "B")
    agent.alert(id="C", severity="info", attack="silence", client_id="door")  # a note meanwhile
    known_to(home, INCIDENT, lambda found: found.get("incident") == "C")
    note = home.entities()[INCIDENT]["state"]
    agent.alert(id="B", state="update", severity="critical", client_id=NASTY)
    known_to(home, ALARM, lambda found: found.get("severity") == "critical")
    attributes = home.entities()[ALARM]["attributes"]
    assert attributes["client_id"] == NASTY
    assert attributes["attack"] == "flood"
    assert attributes["reasons"] == ["publishes 812 messages/s, usually 0.9"]
    agent.alert(id="B", state="closed", active=False, client_id=NASTY, address=None)
    agent.summary()
    until(lambda: home.state(ALARM) == "off", WITHIN, failing="the alarm stays")
    until(lambda: len(home.shown()) >= before + 3, WITHIN, failing=f"{home.shown()}")
    assert home.entities()[INCIDENT]["state"] == note, "an event for an update or an end"
    # Nothing came of the notes, for the messages keep their order.
    shown = home.shown()[before:]
    safe = NASTY.replace("{", "(").replace("<", "(")
    assert [each["title"] for each in shown] == [
        f"High: flood by {safe} at 192.168.1.40",
        f"Critical: flood by {safe} at 192.168.1.40",
        f"Over: flood by {safe}",
    ]
    assert shown[0]["message"] == (
        "publishes 812 messages/s, usually 0.9. Nothing was done (observe mode)."
    )
    assert [each["data"]["tag"] for each in shown] == ["mqtt-ids-B"] * 3


def test_a_note_changes_nothing_of_the_alarm(home: HomeAssistant, agent: Agent) -> None:
    agent.alert(id="D")
    known_to(home, ALARM, lambda found: found.get("incident") == "D")
    before = home.entities()[ALARM]
    agent.alert(id="E", severity="info", attack="login-failing")
    known_to(home, INCIDENT, lambda found: found.get("incident") == "E")
    assert home.entities()[ALARM]["attributes"] == before["attributes"]
    assert home.state(ALARM) == "off"


def test_who_no_longer_watches_is_no_calm(home: HomeAssistant, broker: Mosquitto) -> None:
    before = len(home.shown())
    with Agent(broker.url) as agent:
        agent.summary()
        until(lambda: home.state(ALARM) == "off", WITHIN, failing="not online")
    until(lambda: home.state(ALARM) == "unavailable", WITHIN, failing="still calm")
    assert {each["state"] for each in home.entities().values()} == {"unavailable"}
    until(lambda: len(home.shown()) > before, WITHIN, failing="the phone is silent")
    assert home.shown()[-1]["title"] == "MQTT is not watched"
    with Agent(broker.url):
        until(lambda: home.state(ALARM) == "off", WITHIN, failing="not back")


def test_the_alarm_is_right_after_a_restart_and_the_device_is_announced_again(
    home: HomeAssistant, broker: Mosquitto, agent: Agent
) -> None:
    agent.summary(active=1, open_incidents=1)
    until(lambda: home.state(ALARM) == "on", WITHIN, failing="no alarm")
    home.stop()
    forget_discovery(broker)
    home.start()
    until(lambda: home.state(ALARM) == "on", WITHIN, failing=f"{home.entities()}")
    assert set(home.entities()) == ENTITIES
    assert "unavailable" not in {each["state"] for each in home.entities().values()}
    agent.summary()
    until(lambda: home.state(ALARM) == "off", WITHIN, failing="the alarm stays")


def forget_discovery(broker: Mosquitto) -> None:
    """As a broker does that keeps nothing: what comes up now can only be announced anew."""
    address = ("-h", HOST, "-p", str(broker.port))
    subprocess.run(
        ["mosquitto_sub", *address, "-t", "homeassistant/#", "--remove-retained", "-W", "2"],
        check=False,  # it ends by its time-out
        timeout=20,
        capture_output=True,
    )


@pytest.mark.parametrize("form", ["device", "entities"])
def test_in_another_form_it_is_the_same_device(
    home: HomeAssistant, broker: Mosquitto, form: str
) -> None:
    if home.version() < NEWER_FORM:
        pytest.skip("this Home Assistant does not know discovery by device")
    with Agent(broker.url, form=form) as agent:
        agent.summary(clients=31)
        until(lambda: not home.entities(), WITHIN, failing="the other form is still there")
        until(
            lambda: home.state("sensor.mqtt_ids_clients") == "31",
            WITHIN,
            failing=f"{home.entities()}",
        )
        assert set(home.entities()) == ENTITIES
        agent.alert(id=form)
        known_to(home, INCIDENT, lambda found: found.get("incident") == form)


def test_what_is_cleared_is_unknown_and_what_is_garbage_ignored(
    home: HomeAssistant, agent: Agent
) -> None:
    agent.alert(id="F")
    known_to(home, ALARM, lambda found: found.get("incident") == "F")
    for garbage in (b"", b"no JSON", b"[]", b"7", b"{}"):
        agent.link.publish(agent.settings.topics.alerts, garbage)
    agent.link.publish(agent.settings.topics.summary, b"", retain=True)
    until(lambda: home.state(ALARM) == "unknown", WITHIN, failing="still known")
    states = {home.state(name) for name in ENTITIES - {INCIDENT}}
    assert states <= {"unknown", "None"}  # an older one takes None for a word
    assert home.entities()[ALARM]["attributes"]["incident"] == "F"
    assert home.entities()[INCIDENT]["attributes"]["incident"] == "F"
    agent.summary()
    until(lambda: home.state(ALARM) == "off", WITHIN, failing="not known again")


def test_what_is_released_vanishes_and_complains_of_nothing(
    home: HomeAssistant, broker: Mosquitto
) -> None:
    with Agent(broker.url) as agent:
        agent.summary()
        until(lambda: home.state(ALARM) == "off", WITHIN, failing="not online")
        agent.release()
        until(lambda: not home.entities(), WITHIN, failing=f"{home.entities()}")
    assert [line for line in home.complaints() if not is_expected(line)] == []


def is_expected(line: str) -> bool:
    """What it says of the other form until the first is gone."""
    return "Received a conflicting MQTT discovery message" in line
