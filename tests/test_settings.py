"""What a configuration may hold, and how each mistake in it is answered."""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from mqtt_ids.errors import SettingsError
from mqtt_ids.readers import HostPort, seconds, spell
from mqtt_ids.settings import Settings
from mqtt_ids.yaml_files import FILE_LIMIT

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def refused(mapping: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(mapping)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_nothing_configured_watches_and_touches_nobody() -> None:
    settings = Settings.from_mapping({})
    assert (settings.mode, settings.protect.dry_run, settings.threshold) == (
        "observe",
        False,
        "budget",
    )
    assert settings.topics.alerts == "$ids/alerts"
    assert (settings.broker, settings.listen, settings.metrics) == (None, None, None)


def test_the_example_holds_every_key_with_its_default() -> None:
    file = EXAMPLES / "mqtt-ids.yaml"
    assert Settings.from_file(file) == Settings()
    written = yaml.safe_load(file.read_text())
    assert list(written) == list(Settings.__struct_fields__)
    for key, section in written.items():
        default = getattr(Settings(), key)
        if isinstance(default, msgspec.Struct):
            assert list(section) == list(default.__struct_fields__), key


def test_the_plugin_of_the_amqtt_example_is_configured_rightly() -> None:
    plugins = yaml.safe_load((EXAMPLES / "amqtt.yaml").read_text())["plugins"]
    assert next(iter(plugins)) == "mqtt_ids_plugin.IDSPlugin"
    assert Settings.from_mapping(plugins["mqtt_ids_plugin.IDSPlugin"]).mode == "observe"


def test_every_key_is_read() -> None:
    settings = Settings.from_mapping(
        {
            "mode": "protect",
            "broker": "mqtts://ids@broker.lan:8883",
            "password_file": "~/secret",
            "tls": {"ca": "/etc/ca.pem"},
            "log": "/var/log/mosquitto/mosquitto.log",
            "listen": "0.0.0.0:1883",
            "inline": {
                "tls_listen": "0.0.0.0:8883",
                "websocket_listen": "[::]:9001",
                "websocket_tls_listen": "[::]:9002",
                "websocket_origins": ["https://home.example"],
                "cert": "/etc/cert.pem",
                "key": "/etc/key.pem",
                "client_ca": "/etc/ca.pem",
                "proxy_protocol": "v2",
                "fail": "closed",
                "connect_within": "5s",
            },
            "state_dir": "state",
            "topics": {"alerts": "ids/alerts"},
            "home_assistant": {"discovery": False, "prefix": "ha"},
            "allow": {
                "client_ids": ["ha-*"],
                "usernames": ["root"],
                "addresses": ["10.0.0.0/8", "::1"],
                "topics": ["firmware/*"],
            },
            "protect": {"ban": "24h", "max_share": 1, "dry_run": True},
            "model": "my-model",
            "threshold": 0.01,
            "learning": {"enabled": False, "every": "7d"},
            "limits": {"max_clients": 10, "incidents_kept": 20},
            "export": {"file": "a.jsonl", "format": "ocsf", "max_size": "100kB", "keep": 0},
            "metrics": "[::1]:9108",
        }
    )
    assert settings.protect == type(settings.protect)(ban=86_400.0, max_share=1.0, dry_run=True)
    assert settings.password_file == Path("~/secret").expanduser()
    assert settings.listen == HostPort("0.0.0.0", 1883)
    assert dict(settings.places()) == {
        "listen": HostPort("0.0.0.0", 1883),
        "inline.tls_listen": HostPort("0.0.0.0", 8883),
        "inline.websocket_listen": HostPort("::", 9001),
        "inline.websocket_tls_listen": HostPort("::", 9002),
    }
    assert (settings.inline.fail, settings.inline.connect_within) == ("closed", 5.0)
    assert settings.export == type(settings.export)(
        file=Path("a.jsonl"), format="ocsf", max_size=100_000, keep=0
    )
    assert settings.metrics == HostPort("::1", 9108)
    assert str(settings.metrics) == "[::1]:9108"
    assert settings.allow.addresses == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.topics.summary == "$ids/summary"
    assert (settings.threshold, settings.learning.every) == (0.01, 604_800.0)


@pytest.mark.parametrize(
    ("mapping", "path", "right"),
    [
        ({"mod": "observe"}, "mod:", "did you mean mode?"),
        ({"zzz": 1}, "zzz:", "known are mode, broker"),
        ({"protect": {"bann": "10m"}}, "protect.bann:", "did you mean protect.ban?"),
        ({7: 1}, "7:", "unknown key"),
        ({"mode": "protected"}, "mode:", "observe or protect"),
        ({"mode": True}, "mode:", "observe or protect"),
        ({"mode": ["observe"]}, "mode:", "observe or protect"),
        ({"protect": ["10m"]}, "protect:", "keys ban, max_share, dry_run"),
        ({"protect": {"ban": 600}}, "protect.ban:", "10m, 24h or 7d"),
        ({"protect": {"ban": "10 minutes"}}, "protect.ban:", "10m, 24h or 7d"),
        ({"protect": {"ban": "0s"}}, "protect.ban:", "from 1s"),
        ({"protect": {"ban": "1m\n"}}, "protect.ban:", "10m, 24h or 7d"),
        ({"protect": {"max_share": 1.5}}, "protect.max_share:", "from 0 to 1"),
        ({"protect": {"max_share": float("nan")}}, "protect.max_share:", "from 0 to 1"),
        ({"protect": {"dry_run": "yes"}}, "protect.dry_run:", "true or false"),
        ({"broker": "localhost"}, "broker:", "mqtt://localhost:1883"),
        ({"broker": "mqtt://host:99999"}, "broker:", "mqtt://localhost:1883"),
        ({"listen": "1883"}, "listen:", "HOST:PORT"),
        ({"listen": "::1:1883"}, "listen:", "[::1]:1883"),
        ({"inline": {"tls_listen": "0.0.0.0:1"}}, "inline.tls_listen:", "expected inline.cert"),
        ({"inline": {"websocket_tls_listen": "0.0.0.0:1"}}, "inline.websocket_tls", "inline.cert"),
        ({"inline": {"key": "k.pem"}}, "inline.key:", "stands without inline.cert"),
        ({"inline": {"client_ca": "c.pem"}}, "inline.client_ca:", "stands without inline.cert"),
        ({"inline": {"proxy_protocol": "v3"}}, "inline.proxy_protocol:", "none or v1 or v2"),
        ({"inline": {"websocket_origins": "a"}}, "inline.websocket_origins:", "a list"),
        ({"inline": {"websocket_origins": ["a.b"]}}, "inline.websocket_origins:", "https://home"),
        ({"inline": {"fail": True}}, "inline.fail:", "open or closed"),
        ({"inline": {"connect_within": "0s"}}, "inline.connect_within:", "from 1s"),
        (
            {"listen": "0.0.0.0:1", "inline": {"websocket_listen": "0.0.0.0:1"}},
            "inline.websocket_listen:",
            "is that of listen",
        ),
        ({"metrics": "127.0.0.1:0"}, "metrics:", "port from 1"),
        ({"export": {"format": "json"}}, "export.format:", "alert or ocsf"),
        ({"export": {"max_size": "5M"}}, "export.max_size:", "such as 5MB"),
        ({"export": {"max_size": 5_000_000}}, "export.max_size:", "such as 5MB"),
        ({"export": {"max_size": "99kB"}}, "export.max_size:", "from 100kB to 1000MB"),
        ({"export": {"max_size": "2GB"}}, "export.max_size:", "from 100kB to 1000MB"),
        ({"topics": {"alerts": "ids/#"}}, "topics.alerts:", "wildcards"),
        ({"topics": {"alerts": "x", "status": "x"}}, "topics:", "three different"),
        ({"allow": {"client_ids": "ha-*"}}, "allow.client_ids:", "a list"),
        ({"allow": {"client_ids": [12]}}, "allow.client_ids:", "in quotes"),
        ({"allow": {"addresses": ["10.0.0.1/8"]}}, "allow.addresses:", "host bits"),
        ({"allow": {"addresses": ["router"]}}, "allow.addresses:", "networks"),
        ({"allow": {"topics": ["garden/#"]}}, "allow.topics:", "garden/*"),
        ({"threshold": "strict"}, "threshold:", "budget or mean-std, or a number"),
        ({"threshold": 0}, "threshold:", "a number"),
        ({"limits": {"max_clients": 1.5}}, "limits.max_clients:", "a whole number"),
        ({"limits": {"max_clients": True}}, "limits.max_clients:", "a whole number"),
        ({"model": ""}, "model:", "text"),
        ({"state_dir": None}, "state_dir:", "path"),
        ({"state_dir": "a\0b"}, "state_dir:", "path"),
        ({"config": "x.yaml", "mode": "protect"}, "config:", "move mode into"),
        ({"config": 5}, "config:", "path"),
    ],
)
def test_a_mistake_is_refused_with_its_path_and_what_would_be_right(
    mapping: dict[str, Any], path: str, right: str
) -> None:
    message = refused(mapping)
    assert message.startswith(path)
    assert right in message


def test_a_password_in_the_url_is_refused_and_never_shown() -> None:
    message = refused({"broker": "mqtt://ids:canary-7@host"})
    assert "MQTT_IDS_PASSWORD" in message
    assert "canary-7" not in message
    assert "canary-7" not in refused({"broker": "mqtz://ids@canary-7"})


def test_an_empty_section_is_as_good_as_none() -> None:
    assert Settings.from_mapping({"allow": None, "tls": {}}) == Settings()


def test_a_file_with_mistakes_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mqtt-ids.yaml"
    file.write_text("mode: protect\nprotect: {ban: soon}\n")
    assert refused({"config": str(file)}).startswith(f"{file}: protect.ban: 'soon'")


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_file_holds_the_defaults(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mqtt-ids.yaml"
    file.write_text(text)
    assert Settings.from_mapping({"config": str(file)}) == Settings()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"mode: [", "line 1, column 8"),
        (b"mode: observe\nmode: protect\n", "'mode' is given twice"),
        (b"protect: {ban: 1m, ban: 2m}", "'ban' is given twice"),
        (b"- observe\n", "expected keys"),
        (b"mode: \xff\xfe\n", "not valid YAML"),
        (b"mode: \x00\n", "not valid YAML"),
        (b"mode: !!python/object:os.system {}\n", "line 1"),
        (b"[" * 100_000, "nested too deep"),
        (b"? {a: b}\n: 1\n", "unhashable key"),
        (b"x" * (FILE_LIMIT + 1), "larger than"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    tmp_path: Path, content: bytes, wrong: str
) -> None:
    file = tmp_path / "mqtt-ids.yaml"
    file.write_bytes(content)
    message = refused({"config": str(file)})
    assert wrong in message
    assert message.startswith(str(file))


def test_what_a_file_holds_is_not_blown_up_in_the_message(tmp_path: Path) -> None:
    lines = ["mode: &a0 [x]"]
    lines += [f"log{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(20)]
    file = tmp_path / "mqtt-ids.yaml"
    file.write_text("\n".join(["mode:", *(f"  {line}" for line in lines)]))
    assert len(refused({"config": str(file)})) < 1000


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused({"config": str(tmp_path / "absent.yaml")})
    assert "directory" in refused({"config": str(tmp_path)})


def test_durations_are_spelled_as_they_are_read() -> None:
    for text in ("30s", "10m", "24h", "7d", "90s"):
        assert seconds(spell(seconds(text))) == seconds(text)
    assert spell(600.0) == "10m"
    assert spell(1.5) == "1.5s"
