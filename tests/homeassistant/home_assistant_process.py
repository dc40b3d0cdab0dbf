"""A real Home Assistant on loopback, in a process of its own, driven over its REST interface."""

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from live_broker import HOST, free_port, until

PYTHON = os.environ.get("MQTT_IDS_HOMEASSISTANT")  # of the environment that it is installed in
STARTS = 180.0  # seconds that a start may take on a busy machine
WITHIN = 20.0
PHONE = "mobile_app_phone"  # as the example of an automation has it

needs_home_assistant = pytest.mark.skipif(
    PYTHON is None, reason="no Home Assistant here: run make test-homeassistant"
)

_SCRIPT = """
import ctypes, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: it never outlives the tests
from homeassistant.__main__ import main
sys.exit(main())
"""
# A notify service that writes down what a phone would show.
_PHONE = """
import json
from homeassistant.components.notify import BaseNotificationService

class Phone(BaseNotificationService):
    def __init__(self, file):
        self._file = file

    def send_message(self, message="", **more):
        with open(self._file, "a", encoding="utf-8") as file:
            file.write(json.dumps({"message": message, **more}) + "\\n")

def get_service(hass, config, discovery_info=None):
    return Phone(hass.config.path("phone.jsonl"))
"""


class HomeAssistant:
    """Its configuration is in `folder`: MQTT with discovery, a phone, the automations given."""

    def __init__(self, folder: Path, broker_port: int, automations: list[dict[str, Any]]) -> None:
        self.folder = folder
        self._phone = folder / "phone.jsonl"
        self._port = free_port()
        self._token: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._write_mqtt(broker_port)
        self._write_phone()
        settings = {
            "http": {"server_host": HOST, "server_port": self._port},
            "api": None,
            "logger": {"default": "warning"},
            "notify": [{"platform": "stand_in", "name": PHONE}],
            "automation": automations,
        }
        (folder / "configuration.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(WITHIN)

    def _write_mqtt(self, port: int) -> None:
        """What its dialogue would have written of a broker."""
        entry = {
            "entry_id": "0123456789abcdef0123456789abcdef",
            "version": 1,
            "minor_version": 1,
            "domain": "mqtt",
            "title": "broker",
            "data": {"broker": HOST, "port": port, "discovery": True},
            "options": {},
            "pref_disable_new_entities": False,
            "pref_disable_polling": False,
            "source": "user",
            "unique_id": None,
            "disabled_by": None,
        }
        key = "core.config_entries"
        stored = {"version": 1, "minor_version": 1, "key": key, "data": {"entries": [entry]}}
        storage = self.folder / ".storage"
        storage.mkdir()
        (storage / key).write_text(json.dumps(stored), encoding="utf-8")

    def _write_phone(self) -> None:
        folder = self.folder / "custom_components" / "stand_in"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "notify.py").write_text(_PHONE, encoding="utf-8")
        manifest = {"domain": "stand_in", "name": "Stand-in", "version": "1.0.0"}
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    def start(self) -> None:
        """Begin to serve, with a user of its own, and wait until all is set up."""
        assert PYTHON is not None
        command = [PYTHON, "-c", _SCRIPT, "-c", str(self.folder), "--skip-pip"]
        with (self.folder / "output").open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        until(self._answers, STARTS, failing="Home Assistant does not start", beat=0.5)
        if self._token is None:
            self._token = self._enrol()
        until(self._runs, STARTS, failing="Home Assistant is not set up", beat=0.5)

    def stop(self) -> None:
        """End it in good order."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "output").read_text(encoding="utf-8")
        with contextlib.suppress(OSError):
            self._ask("/api/onboarding")
            return True
        return False

    def _runs(self) -> bool:
        return bool(self._ask("/api/config")["state"] == "RUNNING")

    def _enrol(self) -> str:
        client = f"http://{HOST}:{self._port}/"
        user = {
            "client_id": client,
            "name": "A",
            "username": "a",
            "password": "a",
            "language": "en",
        }
        code = self._ask("/api/onboarding/users", user)["auth_code"]
        grant = {"grant_type": "authorization_code", "code": code, "client_id": client}
        body = urllib.parse.urlencode(grant).encode()
        with urllib.request.urlopen(f"{client}auth/token", body, WITHIN) as answer:  # noqa: S310 - as below
            token: str = json.load(answer)["access_token"]
        return token

    def _ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        request = urllib.request.Request(
            f"http://{HOST}:{self._port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=WITHIN) as answer:  # noqa: S310 - it is our own
            text = answer.read().decode()
        return json.loads(text) if text[:1] in {"{", "["} else text

    @staticmethod
    def version() -> tuple[int, ...]:
        """Of the one that is installed: (2024, 3, 3)."""
        assert PYTHON is not None
        ask = "from importlib.metadata import version; print(version('homeassistant'))"
        found = subprocess.run([PYTHON, "-c", ask], check=True, capture_output=True, text=True)
        return tuple(int(part) for part in found.stdout.split("."))

    def entities(self) -> dict[str, dict[str, Any]]:
        """Ours, each with `state` and `attributes`, by its id."""
        states = self._ask("/api/states")
        return {each["entity_id"]: each for each in states if ".mqtt_ids_" in each["entity_id"]}

    def state(self, entity: str) -> str | None:
        """None where there is no such entity."""
        found = self.entities().get(entity)
        return None if found is None else found["state"]

    def render(self, template: str) -> str:
        """What a template becomes."""
        return str(self._ask("/api/template", {"template": template}))

    def shown(self) -> list[dict[str, Any]]:
        """What the phone was sent."""
        if not self._phone.exists():
            return []
        lines = self._phone.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def complaints(self) -> list[str]:
        """Lines of its log, since its first start, about MQTT, templates or automations."""
        logs = self.folder.glob("home-assistant.log*")
        lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
        words = ("components.mqtt", "helpers.template", "automation.", "notify", "mqtt_ids")
        return [line for line in lines if any(word in line for word in words)]
