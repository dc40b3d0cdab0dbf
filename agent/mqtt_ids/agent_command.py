"""The command `mqtt-ids-agent`: options to settings, then the broker until a signal."""

from collections.abc import Callable
from pathlib import Path

import click

from mqtt_ids import readers as read
from mqtt_ids.errors import SettingsError
from mqtt_ids.logs import log_to_stderr
from mqtt_ids.settings import from_yaml, read_yaml

CONTEXT = {"help_option_names": ["-h", "--help"]}


def reading(
    reader: read.Reader,
) -> Callable[[click.Context, click.Parameter, str | None], object]:
    """An option's callback that reads it like the same value in the configuration."""

    def callback(context: click.Context, option: click.Parameter, value: str | None) -> object:
        try:
            return None if value is None else reader(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return callback


@click.command(context_settings=CONTEXT)
@click.version_option(package_name="mqtt-ids", message="%(prog)s %(version)s")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration; see examples/mqtt-ids.yaml for every key.",
)
@click.option(
    "--mode",
    type=click.Choice(["observe", "protect"]),
    help="observe only alerts (default); protect cuts attackers off.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="State folder, instead of the configuration's state_dir.",
)
@click.option(
    "--bind",
    callback=reading(read.host_port),
    metavar="HOST:PORT",
    default="127.0.0.1:1883",
    show_default=True,
    help="Where the broker listens.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Users of the broker, USER:HASH (Argon2) a line; needed to listen beyond this machine.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log the broker's doings as well.")
def agent(
    config: Path | None,
    mode: str | None,
    state: Path | None,
    bind: read.HostPort,
    password_file: Path | None,
    *,
    verbose: bool,
) -> None:
    """Run an MQTT broker that watches itself, until SIGINT or SIGTERM.

    It learns what each client normally does and publishes alerts on $ids/alerts.

    \b
      mqtt-ids-agent
      mqtt-ids-agent --mode protect --state /var/lib/mqtt-ids
      mqtt-ids-agent --bind 0.0.0.0:1883 --password-file users.txt
    Then, from another terminal:
      mqtt-ids status
    """  # noqa: D301 - as above
    mapping = _plugin_settings(config, mode, state)
    log_to_stderr(verbose=verbose)
    from mqtt_ids import embedded  # noqa: PLC0415 - loads the broker

    embedded.run(embedded.broker_config(bind, mapping, password_file), bind)


def _plugin_settings(
    config: Path | None, mode: str | None, state: Path | None
) -> dict[str, object]:
    """What the plugin is configured with: the file, and on top what the command line says.

    Raises SettingsError, before a broker is loaded.
    """
    file = Path("mqtt-ids.yaml") if config is None else config
    mapping = {} if config is None else read_yaml(config)
    for key in ("broker", "log", "listen"):
        if mapping.get(key) is not None:
            raise SettingsError(
                f"{file}: {key}: this version watches its own broker only; remove the key"
            )
    if mode is not None:
        mapping["mode"] = mode
    if state is not None:
        mapping["state_dir"] = str(state)
    from_yaml(mapping, file)
    return mapping
