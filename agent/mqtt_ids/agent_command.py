"""The command `mqtt-ids-agent`: options to settings, then the broker until a signal."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from mqtt_ids import readers as read
from mqtt_ids.bridge.inherited import Inherited, inherited
from mqtt_ids.errors import SettingsError
from mqtt_ids.logs import log_to_stderr
from mqtt_ids.settings import Inline, Settings, from_yaml
from mqtt_ids.yaml_files import read_yaml

CONTEXT = {"help_option_names": ["-h", "--help"]}
BIND = read.HostPort("127.0.0.1", 1883)


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


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration; see examples/mqtt-ids.yaml for every key.",
)


@click.command(context_settings=CONTEXT)
@click.version_option(package_name="mqtt-ids", message="%(prog)s %(version)s")
@click.option(
    "--broker",
    callback=reading(read.broker_url),
    metavar="URL",
    help="The broker to watch, a Mosquitto unless --listen: mqtt[s]|ws[s]://USER@HOST:PORT. Without"
    " it, a broker of our own.",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, readable=False),
    help="Mosquitto's log file; with `log_type all` it tells everything.",
)
@click.option(
    "--listen",
    callback=reading(read.host_port),
    metavar="HOST:PORT",
    help="Stand in front of --broker, be it which it may: clients come here, and are forwarded.",
)
@config_option
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
    help=f"Where a broker of our own listens; {BIND} if nothing is said.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --broker: our password there, in the first line. For a broker of our own: its"
    " users, USER:HASH (Argon2) a line, needed to listen beyond this machine.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log a broker of our own in full as well.")
def agent(  # noqa: PLR0913 - one for each option
    broker: str | None,
    log: Path | None,
    listen: read.HostPort | None,
    config: Path | None,
    mode: str | None,
    state: Path | None,
    bind: read.HostPort | None,
    password_file: Path | None,
    *,
    verbose: bool,
) -> None:
    """Watch an MQTT broker until SIGINT or SIGTERM, and publish alerts on $ids/alerts.

    It learns what each client normally does, and tells when one stops behaving like itself.

    \b
    Beside a Mosquitto:
      mqtt-ids-agent --broker mqtt://localhost:1883 --log /var/log/mosquitto/mosquitto.log
      mqtt-ids doctor --broker mqtt://localhost:1883      (what it can see and do there)
    In front of any broker, on its port; the broker moves to another one:
      mqtt-ids-agent --listen 0.0.0.0:1883 --broker mqtt://127.0.0.1:1884
    With a broker of its own:
      mqtt-ids-agent
      mqtt-ids-agent --mode protect --state /var/lib/mqtt-ids
      mqtt-ids-agent --bind 0.0.0.0:1883 --password-file users.txt
    Then, from another terminal:
      mqtt-ids status
    The password for --broker comes from MQTT_IDS_PASSWORD or from --password-file.
    """  # noqa: D301 - as above
    file = Path("mqtt-ids.yaml") if config is None else config
    mapping: dict[str, object] = {} if config is None else read_yaml(config)
    given = {"broker": broker, "log": log, "listen": listen, "mode": mode, "state_dir": state}
    mapping |= {key: str(value) for key, value in given.items() if value is not None}
    if mapping.get("broker") is not None and password_file is not None:
        mapping["password_file"] = str(password_file)
    settings = from_yaml(mapping, file)
    log_to_stderr(verbose=verbose)
    passed = inherited()
    if bind is not None and (settings.broker or settings.listen):
        raise SettingsError("--bind: is for a broker of our own; leave out --broker, or --bind")
    if any(settings.places()) or passed:
        _front(settings, file, passed)
    elif settings.inline != Inline():
        raise SettingsError(f"{file}: inline: nobody listens in front of the broker; give listen")
    elif settings.broker is None:
        _embed(settings, mapping, file, bind or BIND, password_file)
    else:
        _watch(settings)


def _front(settings: Settings, file: Path, passed: Sequence[Inherited]) -> None:
    """In front of a broker that is there."""
    if settings.broker is None:
        raise SettingsError(f"{file}: listen: name the broker behind it too, with --broker")
    if settings.log is not None:
        raise SettingsError(
            f"{file}: log: is not read in front of the broker, where everything is seen; leave out"
            " log, or listen"
        )
    from mqtt_ids.bridge import run  # noqa: PLC0415 - loads the client library
    from mqtt_ids.uplink.access import Access  # noqa: PLC0415

    access = Access.of(settings.broker, password_file=settings.password_file, tls=settings.tls)
    run.run(settings, access, passed)


def _watch(settings: Settings) -> None:
    """Beside a broker that is there."""
    from mqtt_ids.sidecar import run  # noqa: PLC0415 - loads the client library
    from mqtt_ids.uplink.access import Access  # noqa: PLC0415

    assert settings.broker is not None  # noqa: S101 - the caller has looked
    access = Access.of(settings.broker, password_file=settings.password_file, tls=settings.tls)
    run.run(settings, access)


def _embed(
    settings: Settings,
    mapping: dict[str, object],
    file: Path,
    bind: read.HostPort,
    password_file: Path | None,
) -> None:
    """A broker of our own, with the plugin in it."""
    if settings.log is not None:
        raise SettingsError(f"{file}: log: is Mosquitto's; name the broker too, with --broker")
    from mqtt_ids import embedded  # noqa: PLC0415 - loads the broker

    embedded.run(embedded.broker_config(bind, mapping, password_file), bind)
