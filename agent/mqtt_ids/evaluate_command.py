"""The command `mqtt-ids evaluate`: how good the detection is, as a report."""

from pathlib import Path

import click

from mqtt_ids.agent_command import CONTEXT
from mqtt_ids.settings import Settings


def _attack(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> object:
    """NAME=FILE, any number of times."""
    pairs = []
    for value in values:
        name, separator, file = value.partition("=")
        if not (name and separator and file):
            raise click.BadParameter(f"{value!r} should be NAME=FILE, as in dos=dos.pcap")
        pairs.append((name, file))
    return tuple(pairs)


@click.command(context_settings=CONTEXT)
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("evaluation"),
    show_default=True,
    metavar="FOLDER",
    help="Where report.html and results.json go.",
)
@click.option(
    "--model", default=Settings().model, show_default=True, help="A model's name or folder."
)
@click.option("--short", is_flag=True, help="A few trials of each kind: minutes, not an hour.")
@click.option("--check", is_flag=True, help="Exit with 1 where a bar is missed.")
@click.option("--json", "as_json", is_flag=True, help="Print the bars as JSON.")
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=0,
    help="Processes; one a core if 0.",
)
@click.option(
    "--mqttset",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    envvar="MQTTSET_DIR",
    metavar="FOLDER",
    help="MQTTset's captures; or name the folder in MQTTSET_DIR.",
)
@click.option("--calm", multiple=True, metavar="FILE", help="A capture or event log that is calm.")
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    callback=_attack,
    metavar="NAME=FILE",
    help="A capture or event log in which everybody takes part in an attack.",
)
def evaluate(  # noqa: PLR0913 - one for each option
    folder: Path,
    model: str,
    workers: int,
    mqttset: Path | None,
    calm: tuple[str, ...],
    attacks: tuple[tuple[str, str], ...],
    *,
    short: bool,
    check: bool,
    as_json: bool,
) -> int:
    """Measure the detection: false alarms, time to detect, names, beside simpler methods.

    Plays simulated homes that the model was never taught by, weeks of calm and all kinds of
    attacks, and MQTTset where its folder is given. Takes up to an hour on two cores. With --calm
    and --attack, only your own captures and event logs are judged.

    \b
      mqtt-ids evaluate --short
      mqtt-ids evaluate --calm monday.pcap --attack flood=flood.pcapng
      mqtt-ids evaluate --model my-home --check
    """  # noqa: D301 - \b is click's, and no escape for a reader
    from mqtt_ids.evaluating.run import Choices, run  # noqa: PLC0415 - loads numpy

    return run(
        Choices(
            folder=folder,
            model=model,
            short=short,
            check=check,
            as_json=as_json,
            workers=workers,
            mqttset=mqttset,
            calm=calm,
            attacks=attacks,
        )
    )
