"""The command `mqtt-ids doctor`: what this broker shows, and what is missing."""

from pathlib import Path

import click

from mqtt_ids.agent_command import CONTEXT, config_option
from mqtt_ids.settings import Settings, from_yaml
from mqtt_ids.yaml_files import read_yaml

BROKER = "mqtt://localhost:1883"


@click.command(context_settings=CONTEXT)
@click.option(
    "--broker",
    metavar="URL",
    help=f"mqtt[s]|ws[s]://[USER@]HOST[:PORT]; else the configuration's, else {BROKER}.",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, readable=False),  # whether it can be read is ours to find out
    metavar="FILE",
    help="Mosquitto's log file.",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print findings and gaps as JSON.")
def doctor(broker: str | None, log: Path | None, config: Path | None, *, as_json: bool) -> int:
    """Find out what a broker shows us, what that costs in detection, and how to close it.

    The options mean the same as mqtt-ids-agent's; run it as the same user. The password comes from
    MQTT_IDS_PASSWORD or the configuration's password_file. Takes up to ten seconds, and changes
    nothing. Ends with exit code 1 where something is missing.

    \b
      mqtt-ids doctor
      mqtt-ids doctor --broker mqtt://ids@localhost --log /var/log/mosquitto/mosquitto.log
      mqtt-ids doctor --json | jq -r '.gaps[].text'
    """  # noqa: D301 - \b is click's, and no escape for a reader
    settings = _settings(broker, log, config)
    from mqtt_ids.doctor.run import run  # noqa: PLC0415 - loads paho

    return run(settings, json=as_json)


def _settings(broker: str | None, log: Path | None, config: Path | None) -> Settings:
    """What the file says, and on top of it the command line. Raises SettingsError."""
    mapping = {} if config is None else read_yaml(config)
    if broker is not None:
        mapping["broker"] = broker
    elif mapping.get("broker") is None:
        mapping["broker"] = BROKER
    if log is not None:
        mapping["log"] = str(log)
    return from_yaml(mapping, Path("mqtt-ids doctor") if config is None else config)
